"""What the build of the site adds to the pages: files that live elsewhere in the repository, the
list of the names of daily use, and links from names to the reference.
"""

import ast
import pathlib
import re

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "jaxcompress"
# Pattern of files in the repository → their folder in the site: nothing is stored twice.
ELSEWHERE = {
    "CONTRIBUTING.md": "",
    "CHANGELOG.md": "",
    "notebooks/*.ipynb": "notebooks",
    "benchmarks/results/*.png": "figures",
}
DAILY = "<!-- names of daily use -->"
# Short for a subpackage, in text and examples.
SHORT = {"iw": "infinite_width", "activations": "kernels.activations"}
# What is no place for a link, or has one already; then a name in the font of code.
NAME = re.compile(
    r"<(a|pre|autoref|h[1-6])\b.*?</\1>|<code>((?:\w+\.)*)(\w+)(?:\([^<]*\))?</code>", re.DOTALL
)


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files, config):
    """Add the files that live elsewhere, pages under names in small letters."""
    places = {"dest_dir": config.site_dir, "use_directory_urls": config.use_directory_urls}
    for pattern, folder in ELSEWHERE.items():
        for path in sorted(ROOT.glob(pattern)):
            name = path.name.lower() if path.suffix == ".md" else path.name
            made = File(f"{folder}/{name}".lstrip("/"), str(ROOT), **places)
            if made.src_uri != path.relative_to(ROOT).as_posix():
                made.abs_src_path = str(path)
            files.append(made)
    return files


def on_page_markdown(markdown, page, config, files):
    """Write the list of the names of daily use where a page asks for it."""
    return markdown.replace(DAILY, "\n".join(sorted(daily_names())))


def daily_names():
    """An item for every name that `import jaxcompress as jc` offers, with where it is described."""
    for name, place in DAILY_NAMES.items():
        if place is None:
            yield f"- [`jc.{name}`]({name}.md), a subpackage"
        else:
            yield f"- [`jc.{name}`][{place}]"


def on_page_content(html, page, config, files):
    """Link every name of the package that a page writes in the font of code."""
    return html if page.file.src_uri.endswith(".ipynb") else NAME.sub(linked, html)


def linked(found):
    """A name with its link; as it stands where it is not clear which name of the package it is. A
    single word in small letters, such as `fit`, must name its subpackage.
    """
    text, tag, prefix, name = found.group(0, 1, 2, 3)
    if tag or not (prefix or "_" in name or name != name.lower()):
        return text
    if prefix in ("jc.", "jaxcompress.") and DAILY_NAMES.get(name):
        return link(DAILY_NAMES[name], text)
    folder = re.sub(r"^(jaxcompress|jc)\b\.?", "", prefix).strip(".")
    folder = SHORT.get(folder, folder)
    module = f"jaxcompress.{folder}".strip(".")
    fits = [each for each in IDENTIFIERS.get(name, []) if each.startswith(f"{module}.")]
    return link(fits[0], text) if len(fits) == 1 else text


def link(identifier, text):
    """A link that the reference resolves."""
    return f'<autoref identifier="{identifier}" optional>{text}</autoref>'


def described():
    """Name of daily use → where it is described, `None` for a subpackage, which has a page."""
    out = {}
    for node in ast.parse((PACKAGE / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                out[alias.name] = node.module and f"jaxcompress.{node.module}.{alias.name}"
    return out


def identifiers():
    """Name → where it is described, for everything that a subpackage lists for users."""
    out = {}
    for path in sorted(PACKAGE.glob("[a-z]*/**/__init__.py")):
        module = ".".join(path.parent.relative_to(ROOT).parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                for name in ast.literal_eval(node.value):
                    out.setdefault(name, []).append(f"{module}.{name}")
    return out


IDENTIFIERS = identifiers()
DAILY_NAMES = described()
