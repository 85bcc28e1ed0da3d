"""Measurable rules of the house over the whole package: size of files and functions, examples of
public functions, repeats, one meaning of a name.
"""

import ast
import collections
import doctest
import importlib
import io
import keyword
import pathlib
import re
import tokenize
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("[a-z]*/__init__.py"))
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_LINE, MOST_AT_P90 = 300, 50, 100, 21
REPEATED_LINES = 6
# Six lines of fewer tokens (closing brackets, one argument a line) are alike by chance.
FEWEST_TOKENS = 30
FSTRING = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)


# --- the readers, each tried below on a text that breaks its rule ---


def long_lines(source):
    """The numbers of the lines that are too long, without remarks to tools at their end."""
    lines = (re.sub(r"  # (type: |noqa|pyright).*", "", line) for line in source.splitlines())
    return [i for i, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]


def function_lengths(source):
    """The name and the number of lines of every function, its docstring not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            yield node.name, lines


def without_example(docstring):
    """Whether a docstring has neither an example nor a link to one.

    An example is a line of an interpreter (`>>>`), a sentence that begins with "Example:", a block
    of code, or the name of a notebook, of a page of the documentation or of a benchmark.
    """
    known = r">>> |Examples?:|```|`?(notebooks|docs|benchmarks)/[\w/]+\.(ipynb|md|py)`?"
    return re.search(known, docstring or "") is None


class Piece(NamedTuple):
    """A run of lines that stands in a second place too."""

    file: str
    line: int
    other: str
    other_line: int

    def __str__(self):
        return f"{self.file}:{self.line} = {self.other}:{self.other_line}"


def normalised(source):
    """The lines of code of a source as `(number, tokens)`, with names and constants made alike.

    What differs only in the names of its variables is a repeat too; names behind a dot
    (`jnp.where`, `self.risk`) say what a line does, and stay. Docstrings, comments, blank lines,
    lines of brackets, imports, lists of names, signatures and fields are no code to share.
    """
    skipped = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        listed = isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        field = isinstance(node, ast.AnnAssign) and node.value is None
        if text or listed or field or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, ast.FunctionDef):
            skipped |= set(range(node.lineno, node.body[0].lineno))
    lines, asked = collections.defaultdict(list), False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        number, word = token.start[0], token.string.strip()
        if number in skipped or token.type == tokenize.COMMENT or not word:
            continue
        named = token.type == tokenize.NAME and not keyword.iskeyword(word) and not asked
        constant = token.type in (tokenize.NUMBER, tokenize.STRING, FSTRING)
        lines[number].append("name" if named else "constant" if constant else word)
        asked = word == "."
    return [
        (number, tuple(words))
        for number, words in sorted(lines.items())
        if any(word.isidentifier() for word in words)
    ]


def repeats(sources):
    """Where six lines of code or more stand twice, each repeat once: `{file: source}` → pieces."""
    known, found = {}, []
    for file, source in sources.items():
        lines, end = normalised(source), -1
        for i in range(len(lines) - REPEATED_LINES + 1):
            window = tuple(words for _, words in lines[i : i + REPEATED_LINES])
            if sum(map(len, window)) < FEWEST_TOKENS:
                continue
            other, number, place = known.setdefault(window, (file, lines[i][0], i))
            if other == file and place > i - REPEATED_LINES:
                continue
            if i > end:
                found.append(Piece(other, number, file, lines[i][0]))
            end = i + REPEATED_LINES
    return found


def public_names():
    """Every public name of every subpackage: `(subpackage, name, what it is)`."""
    for path in sorted(PACKAGE.glob("[a-z]*/__init__.py")):
        module = importlib.import_module(f"jaxcompress.{path.parent.name}")
        for name in getattr(module, "__all__", ()):
            yield path.parent.name, name, getattr(module, name)


def clashes(offered):
    """The names that several subpackages use for different things."""
    meanings = collections.defaultdict(dict)
    for folder, name, thing in offered:
        meanings[name].setdefault(id(thing), folder)
    return {name: sorted(each.values()) for name, each in meanings.items() if len(each) > 1}


# Repeats that are not one idea: both files, with the reason.
REPEATED = {
    (
        "kernels/activations/_logistic.py",
        "kernels/activations/_logistic.py",
    ): "a function and its derivative, by the same identity",
    (
        "kernels/tables/_gram.py",
        "kernels/tables/_gram_error.py",
    ): "a table and its error are asked for in the same words",
}


# --- the tests ---


@pytest.fixture(scope="module")
def sources():
    return {name: path.read_text() for name, path in zip(NAMES, FILES, strict=True)}


def test_files_are_short(sources):
    found = [name for name, text in sources.items() if len(text.splitlines()) > LONGEST_FILE]
    assert found == []


def test_functions_are_short(sources):
    lengths = {
        f"{name}:{function}": lines
        for name, text in sources.items()
        for function, lines in function_lengths(text)
        if lines > LONGEST_FUNCTION
    }
    assert lengths == {}
    every = sorted(n for text in sources.values() for _, n in function_lengths(text))
    assert every[int(0.9 * len(every))] <= MOST_AT_P90


def test_lines_are_short(sources):
    assert {name: long_lines(text) for name, text in sources.items() if long_lines(text)} == {}


def test_every_public_name_has_an_example_or_a_link_to_one():
    found = [
        f"{folder}.{name}"
        for folder, name, thing in public_names()
        if callable(thing) and without_example(thing.__doc__)
    ]
    assert found == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_examples_at_the_head_of_a_subpackage_give_what_they_show(folder):
    module = importlib.import_module(f"jaxcompress.{folder}")
    known = {"jax": importlib.import_module("jax")}
    for example in doctest.DocTestFinder(recurse=False).find(module, globs=known):
        failed, _ = doctest.DocTestRunner().run(example)
        assert failed == 0


def test_no_six_lines_stand_twice(sources):
    pieces = {(piece.file, piece.other): str(piece) for piece in repeats(sources)}
    assert pieces.keys() == REPEATED.keys(), pieces


def test_no_public_name_has_two_meanings():
    assert clashes(public_names()) == {}


# --- each reader notices what breaks its rule ---


def test_a_long_line_is_noticed_and_a_remark_to_a_tool_is_not_counted():
    assert long_lines("x\n" + "y" * 101 + "\n" + "z" * 98 + "  # type: ignore[attr-defined]") == [2]


def test_the_length_of_a_function_is_counted_without_its_docstring():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    return (\n        1\n    )\n'
    assert list(function_lengths(source)) == [("f", 4)]


@pytest.mark.parametrize(
    ("docstring", "missing"),
    [
        (None, True),
        ("Squares a number.", True),
        ("Squares a number, for example two.", True),
        ("Squares.\n\nExample: `square(2) == 4`.", False),
        ("Squares.\n\n>>> square(2)\n4", False),
        ("Squares, see `notebooks/quickstart.ipynb`.", False),
    ],
)
def test_a_docstring_without_an_example_is_noticed(docstring, missing):
    assert without_example(docstring) is missing


BLOCK = """
    size = jnp.sqrt(jnp.sum({x} ** 2, axis=-1))
    scale = jnp.where(size > 0, 1 / size, 1)
    moved = scale[:, None] * {x}
    total = jnp.sum(jnp.where(moved > 0, moved, 0), axis=0)
    if {y} is not None:
        total = total + jnp.dot({y}, moved)
    return total, size
"""


def test_a_copied_block_is_noticed_whatever_its_variables_are_called():
    one = "def f(x, y=None):" + BLOCK.format(x="x", y="y")
    two = "A = 1\n\n\ndef other(rows, bias):" + BLOCK.format(x="rows", y="bias")
    assert [str(piece) for piece in repeats({"a.py": one, "b.py": two})] == ["a.py:2 = b.py:5"]
    assert repeats({"a.py": one, "b.py": two.replace("jnp.where", "jnp.select")}) == []
    assert repeats({"a.py": one}) == []


def test_a_name_with_two_meanings_is_noticed():
    offered = [("a", "f", len), ("b", "f", max), ("a", "g", len), ("b", "g", len)]
    assert clashes(offered) == {"f": ["a", "b"]}
