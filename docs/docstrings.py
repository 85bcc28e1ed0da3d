"""How the docstrings of the package become Markdown: they are prose that reads well in an editor,
and the reference needs a little more of its structure said aloud.
"""

import re
from typing import Any

import griffe

PART = re.compile(
    r"(Arguments|Fields|Returns|Raises|References?|Examples?|Letters|Where it fails)\b"
)
RULE = re.compile(r"=+( +=+)+$")  # first, second and last line of a table of docutils
ITEM = re.compile(r"`?([\w*, ]+)`?((?: \([^:]*\))?): ")


class AsMarkdown(griffe.Extension):
    """Rewrite every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """Markdown of a docstring: examples and tables fenced, each part of a contract a paragraph that
    opens in bold, each argument that has a line of its own an item.
    """
    lines = docstring.split("\n")
    out: list[str] = []
    while lines:
        line = lines[0]
        if line.lstrip().startswith(">>>"):
            out += fenced("pycon", taken(lines, lambda line: line.strip() != ""))
        elif RULE.match(line):
            rules = iter(range(3))
            table = taken(lines, lambda line, rules=rules: not ended(line, rules))
            out += fenced("text", [*table, lines.pop(0)])
        elif found := PART.match(line):
            lines.pop(0)
            out += ["", f"**{found[1]}**{line[found.end() :]}"]
            if line.endswith(":"):
                out += items(lines)
        else:
            out.append(lines.pop(0))
    return "\n".join(out)


def taken(lines, wanted):
    """Take the first lines off, as long as they are wanted."""
    out = []
    while lines and wanted(lines[0]):
        out.append(lines.pop(0))
    return out


def ended(line, rules):
    """Whether a line is the third rule of its table."""
    return bool(RULE.match(line)) and next(rules) == 2


def fenced(language, lines):
    """A block of code."""
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return ["", f"```{language}", *(line[margin:] for line in lines), "```", ""]


def items(lines):
    """The list that follows `Arguments:`, one argument a line; further lines of one are indented
    deeper than its first.
    """
    if not lines or not (lines[0].startswith((" ", "- ")) or ITEM.match(lines[0])):
        return []
    margin = len(lines[0]) - len(lines[0].lstrip())
    out = [""]

    def belongs(line):
        inner = line[margin:]
        indented = inner.startswith(" ") or (margin > 0 and line.startswith(" "))
        return line.strip() != "" and (indented or inner.startswith("- ") or ITEM.match(inner))

    for line in taken(lines, lambda line: bool(belongs(line))):
        inner = line[margin:]
        if inner.startswith(" "):
            out.append("    " + inner.strip())
        else:
            bare = inner.removeprefix("- ")
            out.append("- " + ITEM.sub(r"`\1`\2: ", bare, count=1))
    return [*out, ""]
