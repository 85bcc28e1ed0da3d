"""Type checkers see the public names: no error in a user's script, and no result that is anything.

mypy and pyright read the package as installed users do, by `py.typed` and `__init__.pyi`.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tests" / "user_script.py"
CALLS = SCRIPT.read_text().count("reveal_type(")
CHECKERS = {
    "mypy": (["-m", "mypy"], r'Revealed type is "(.*)"'),
    "pyright": (["-m", "pyright", "--pythonpath", sys.executable], r'Type of ".*" is "(.*)"'),
}


def read(checker, path):
    """The exit status of a checker and the types that it reveals in a file."""
    command, pattern = CHECKERS[checker]
    done = subprocess.run(
        [sys.executable, *command, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.returncode, re.findall(pattern, done.stdout), done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_knows_the_result_of_every_call(checker):
    status, types, said = read(checker, SCRIPT)
    assert status == 0, said
    assert len(types) == CALLS >= 20, said
    assert not [kind for kind in types if re.search(r"\b(Any|Unknown)\b", kind)]


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_checker_notices_names_and_arguments_that_do_not_exist(checker, tmp_path):
    script = tmp_path / "wrong.py"
    script.write_text("import jaxcompress as jc\njc.copress\njc.load('net.npz', mode='r')\n")
    status, _, said = read(checker, script)
    assert status == 1
    assert "copress" in said
    assert "mode" in said
