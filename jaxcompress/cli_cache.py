"""The cache of compiled programs on the command line: its options, and its troubles on one line."""

import argparse
import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

# What JAX warns of, once for every program.
_JAX = r"Error (?:reading|writing) persistent compilation cache entry"
_REASON = re.compile(_JAX + r" for '.*?': \w+: (?:\[Errno \d+\] )?([^\n]*)")


def add_cache_options(parser: argparse.ArgumentParser) -> None:
    """Add `--programs` and `--no-cache`."""
    cache = parser.add_mutually_exclusive_group()
    cache.add_argument(
        "--programs",
        type=Path,
        metavar="DIR",
        help="where compiled programs are kept for the next time (default: "
        "JAX_COMPILATION_CACHE_DIR where it is set, else the user's cache)",
    )
    said = "keep no compiled programs, and use none that were kept"
    cache.add_argument("--no-cache", action="store_true", help=said)


def keep_as_asked(options: argparse.Namespace) -> Path | None:
    """Keep compiled programs as the options say; the folder, or `None` without one."""
    from jaxcompress.programs import keep_no_programs, keep_programs

    if options.no_cache:
        keep_no_programs()
        return None
    return keep_programs(options.programs)


@contextlib.contextmanager
def troubles_on_one_line() -> Iterator[None]:
    """Inside, the first trouble with the cache is one line on the error stream, the others
    silent.
    """
    told = False

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        nonlocal told
        found = _REASON.match(str(message))
        if found is None and category.__name__ != "ProgramsNotKept":
            usual(message, category, filename, lineno, file, line)
            return
        if not told:
            said = str(message) if found is None else f"a compiled program is not kept ({found[1]})"
            said += ": all works, but is compiled again next time"
            print(f"jaxcompress: {said}", file=sys.stderr)
        told = True

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.showwarning = show
        warnings.filterwarnings("always", _JAX)
        warnings.filterwarnings("always", "compiled programs are not kept")
        yield


def leave_troubles_to_parent() -> None:
    """In a process that works for another: that one has told them."""
    warnings.filterwarnings("ignore", _JAX)
    warnings.filterwarnings("ignore", "compiled programs are not kept")
