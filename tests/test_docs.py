"""The documentation: its code runs, its commands are understood, every public name is in the
reference, and the site builds.

Costs, when programs are in the cache: see below.
"""

import ast
import contextlib
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import zlib

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxcompress import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What a page does on a large scale, or on machines that a test has not, is run on a small one. Each
# phrase must stand in its page, or the page has changed and this table must follow.
SMALLER = {
    "README.md": {
        "10**6, 200": "10**4, 20",
        "tight_frame(moments, 5, 200)": "tight_frame(moments, 5, 20)",
        "runs=4096": "runs=4",
        'activation=["erf", "relu"], n=[2, 3, "k-1"], k=[4, 6]': 'activation="erf", n=3, k=6',
        "12345": "1",
        '"tcp://scheduler:8786"': "processes=False, dashboard_address=None",
        '"/shared/sweep"': '"sweep"',
        '"/shared/programs"': '"programs"',
    },
}


def name_of(path):
    """How a page is called: its path in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(text, language):
    """The blocks of code of a page in one language, each with the line that it begins at."""
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield found[1], text[: found.start(1)].count("\n") + 1


def code_of(path):
    """The blocks of Python of a page, compiled, so that an error names page and line."""
    text = path.read_text()
    smaller = SMALLER.get(name_of(path), {})
    for old in smaller:
        assert old in text, f"{name_of(path)} no longer has {old}"
    for block, line in blocks(text, "python"):
        for old, new in smaller.items():
            block = block.replace(old, new)
        yield compile("\n" * (line - 1) + block, name_of(path), "exec")


@pytest.fixture
def _a_folder_of_its_own(tmp_path, monkeypatch):
    """Pages write files, and send JAX to a folder for compiled programs: here the suite's own."""
    usual = {
        name: getattr(jax.config, name)
        for name in ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    }
    monkeypatch.chdir(tmp_path)
    if usual["jax_compilation_cache_dir"]:
        pathlib.Path(usual["jax_compilation_cache_dir"]).mkdir(parents=True, exist_ok=True)
        os.symlink(usual["jax_compilation_cache_dir"], "programs")
    yield
    for name, setting in usual.items():
        jax.config.update(name, setting)
    compilation_cache.reset_cache()


@pytest.mark.usefixtures("_a_folder_of_its_own")
@pytest.mark.filterwarnings("default")  # Dask's own
@pytest.mark.parametrize(
    "path", [path for path in WRITTEN if "```python" in path.read_text()], ids=name_of
)
def test_the_code_of_a_page_runs_from_top_to_bottom(path, capsys):
    names = {"__name__": "page"}
    for code in code_of(path):
        exec(code, names)
    assert capsys.readouterr().out
