"""Files that appear whole or not at all.

A file is written beside its place and renamed into it. Only a plan is forced to the disk: a process that is killed
loses nothing that it has written; what a power failure takes of the last half minute is found by its checksum and done
again. An `fsync` took 4 ms a file on a cloud disk, for a mark and the dozen chunks before it, of a block that
may solve in 600 ms.
"""

import hashlib
import os
import tempfile
from pathlib import Path


def put(path: Path, data: bytes, scratch: Path, lasting: bool = False) -> None:
    """Write a file by way of the folder `scratch`; `lasting` waits until it is on the disk. Raises `OSError`.

    Folders are made when they turn out to be missing, the first time. Another process that finds the sweep complete
    tidies `scratch` away, and with it perhaps this file: then it is written again.
    """
    part = _beside(data, scratch, lasting)
    try:
        os.replace(part, path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part if part.exists() else _beside(data, scratch, lasting), path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _beside(data: bytes, scratch: Path, lasting: bool) -> Path:
    """The data in a file of its own."""
    try:
        descriptor, name = tempfile.mkstemp(dir=scratch)
    except FileNotFoundError:
        scratch.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=scratch)
    try:
        write(descriptor, data)
        os.fchmod(descriptor, 0o644)
        if lasting:
            os.fsync(descriptor)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return Path(name)


def write(descriptor: int, data: bytes) -> None:
    """All of the bytes; the one place where anything is written. Raises `OSError`, as when the disk is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def digest(data: bytes) -> str:
    """The checksum of a file's content."""
    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> bytes | None:
    """The content of a file, or `None` where there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None
