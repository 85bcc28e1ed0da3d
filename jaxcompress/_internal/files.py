"""Files that appear whole or not at all: written beside their place, then renamed into it."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: str | os.PathLike, fill: Callable[[BinaryIO], Any]) -> None:
    """Write a file by way of another one beside it, which `fill` writes: whole or not at all.

    Raises what `fill` raises, and `OSError`; then nothing is left behind.
    """
    path = Path(path)
    part = write_part(path.parent, fill, prefix=".saving-", mode=0o666 & ~_umask())
    try:
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_part(
    folder: Path,
    fill: Callable[[BinaryIO], Any],
    *,
    prefix: str = "",
    mode: int = 0o644,
    lasting: bool = False,
) -> Path:
    """A new file in a folder, for its writer to rename into its place.

    Arguments: `fill`, which writes into it; the beginning of its name; its mode; `lasting`,
    whether to wait until it is on the disk.
    Raises what `fill` raises, and `OSError`, such as `FileNotFoundError` when the folder is not
    there; then nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=prefix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fchmod(descriptor, mode)
            if lasting:
                os.fsync(descriptor)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_writable(path: str | os.PathLike) -> Path:
    """The path, after making sure that a file can be put there.
    Raises `ValueError`; leaves nothing behind.
    """
    path = Path(path)
    reason = _why_not_writable(path)
    if reason:
        raise ValueError(
            f"{path}: given an output path that {reason}; expected a path for a new file; choose "
            "another"
        )
    return path


def _why_not_writable(path: Path) -> str | None:
    try:
        if path.is_dir():
            return "is a folder"
        if not path.parent.is_dir():
            return f"lies in {path.parent}, which is not a folder"
        if path.exists() and not path.is_file():
            return "exists and is not a regular file"
        if path.exists() and not os.access(path, os.W_OK):
            return "exists and is write-protected"
    except OSError as error:
        return f"cannot be used ({error.strerror})"
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return None
    except OSError as error:
        return f"lies in a folder that cannot be written ({error.strerror})"
