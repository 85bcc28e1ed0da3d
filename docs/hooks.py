"""What the build of the site adds to the pages: files that live elsewhere in the repository, and
links from names to the reference.
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


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files, config):
    """Add the files that live elsewhere, pages under names in small letters."""
    for pattern, folder in ELSEWHERE.items():
        for path in sorted(ROOT.glob(pattern)):
            name = path.name.lower() if path.suffix == ".md" else path.name
            made = File(f"{folder}/{name}".lstrip("/"), str(ROOT), **places(config))
            if made.src_uri != path.relative_to(ROOT).as_posix():
                made.abs_src_path = str(path)
            files.append(made)
    return files


def places(config):
    """Where a file of the site goes."""
    return {"dest_dir": config.site_dir, "use_directory_urls": config.use_directory_urls}
