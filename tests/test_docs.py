"""The documentation: its code runs, its commands are understood, every public name is in the
reference, and the site builds.

Costs, when programs are in the cache: see below.
"""

import ast
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import zlib
from types import CodeType
from typing import NamedTuple

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxcompress import cli

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^```python\n(?P<source>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
# What a page does on a large scale, or on machines that a test has not, is run on a small one. Each
# phrase must stand in its page, or the page has changed and this table must follow.
SMALLER = {
    "README.md": {
        "10**6, 200": "10**5, 20",
        "tight_frame(moments, 5, 200)": "tight_frame(moments, 5, 20)",
        "runs=4096": 'runs=12, block=3, solver={"method": "flow"}',
        '["erf", "relu"], n=[2, 3, "k-1"], k=[4, 6], d="k+1"': '"erf", n=1, k=2, d=2',
        "12345": "1",
        '"tcp://scheduler:8786"': "processes=False, dashboard_address=None",
        '"/shared/sweep"': '"sweep"',
        '"/shared/programs"': '"programs"',
    },
    "docs/how-to/several-machines.md": {
        '"__main__"': '"page"',
        "ProcessPoolExecutor(2, mp_context=spawn)": "ThreadPoolExecutor(2)",
        '"tcp://scheduler:8786"': "processes=False, dashboard_address=None",
        '"/shared/results"': '"results"',
        '"/shared/programs"': '"programs"',
    },
}


def name_of(path):
    """How a page is called: its path in the repository."""
    return path.relative_to(ROOT).as_posix()


class Block(NamedTuple):
    """A block of Python, compiled so that an error names page and line, and what the page says that
    it prints; `None` where it says nothing.
    """

    code: CodeType
    printed: str | None


def blocks_of(path):
    """The blocks of Python of a page, in order."""
    text = path.read_text()
    smaller = SMALLER.get(name_of(path), {})
    for old in smaller:
        assert old in text, f"{name_of(path)} no longer has {old}"
    for found in BLOCK.finditer(text):
        source = found["source"]
        for old, new in smaller.items():
            source = source.replace(old, new)
        lines_above = text[: found.start("source")].count("\n")
        code = compile("\n" * lines_above + source, name_of(path), "exec")
        yield Block(code, found["printed"])


def same_words(one, other):
    """Whether two outputs say the same: equal words, and numbers within 2 % or next to zero."""
    for ours, theirs in zip(words := NUMBER.split(one), NUMBER.split(other), strict=False):
        if ours.split() != theirs.split():
            return False
    mine, yours = (np.array([float(x) for x in NUMBER.findall(text)]) for text in (one, other))
    return len(mine) == len(yours) == len(words) - 1 and np.allclose(
        mine, yours, rtol=0.02, atol=1e-9
    )


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
@pytest.mark.filterwarnings("error::DeprecationWarning:page")  # pages use the names of today
@pytest.mark.filterwarnings("default")  # Dask's own; the mark above it wins
@pytest.mark.parametrize(
    "path", [path for path in WRITTEN if "```python" in path.read_text()], ids=name_of
)
def test_a_page_runs_from_top_to_bottom_and_prints_what_it_says(path, capsys):
    names = {"__name__": "page"}
    said = ""
    for block in blocks_of(path):
        exec(block.code, names)
        printed = capsys.readouterr().out
        if block.printed is not None:
            assert same_words(printed, block.printed), printed
        said += printed
    assert said


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("risk 0.0567 (4, 1)\n", "risk 0.0568 (4, 1)", True),
        ("left 3e-15\n", "left 0e+00\n", True),
        ("risk 0.05\n", "risk 0.06\n", False),
        ("risk 0.05\n", "the risk 0.05\n", False),
        ("risk 1 2\n", "risk 1\n", False),
    ],
)
def test_other_words_and_other_numbers_are_noticed(one, other, same):
    assert same_words(one, other) == same


def commands():
    """Every command of the package in the pages' blocks of shell, with its page."""
    for path in WRITTEN:
        for found in re.finditer(r"^```sh\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            for line in found[1].splitlines():
                if line.startswith("jaxcompress "):
                    yield pytest.param(shlex.split(line)[1:], id=f"{name_of(path)}: {line}")


@pytest.mark.parametrize("words", list(commands()))
def test_a_command_of_the_pages_is_one_that_the_command_line_understands(words, capsys):
    if "--help" in words:
        with pytest.raises(SystemExit) as end:
            cli._parser().parse_args(words)
        assert end.value.code == 0
        assert "usage" in capsys.readouterr().out
    else:
        assert cli._parser().parse_args(words).command == words[0]


def public_names():
    """Every name that users may type, by its subpackage, read from the sources."""
    faces = [
        *PACKAGE.glob("[a-z]*/__init__.py"),
        PACKAGE / "kernels" / "activations" / "__init__.py",
        PACKAGE / "networks" / "ensembles.py",
    ]
    for path in sorted(faces):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                yield from (f"{module}.{name}" for name in ast.literal_eval(node.value))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a broken link, a page that no menu has or a name that does not
    exist is an error. In a process of its own, which takes 12 processor seconds.
    """
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_public_name_is_in_the_reference_of_the_site(site):
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    described = {line.split(" py:")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    assert set(public_names()) - described == set()
    assert len(described) > 300


def test_every_name_of_daily_use_is_in_the_list_of_the_reference(site):
    import jaxcompress as jc

    listed = (site / "reference" / "index.html").read_text()
    assert [name for name in jc.__all__ if f">jc.{name}</code>" not in listed] == []


def test_the_site_asks_nothing_of_the_network(site):
    """No script, style, font or picture of a page comes from another server."""
    foreign = re.compile(
        r"""(?:src|srcset)=["']?https?://|<link [^>]*href=["']?https?://[^>]*\.css"""
    )
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    assert [page for page in pages if foreign.search(page.read_text())] == []


def test_every_file_of_the_package_that_a_page_names_is_there():
    named = re.compile(r"`((?:\w+/)+\w+\.(?:py|md|json|ipynb))`")
    missing = [
        f"{name_of(path)}: {name}"
        for path in WRITTEN
        for name in named.findall(path.read_text())
        if not (ROOT / name).exists() and not (PACKAGE / name).exists()
    ]
    assert missing == []
