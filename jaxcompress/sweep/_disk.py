"""Files that appear whole or not at all.

A file is written beside its place and renamed into it. Only a plan is forced to the disk: a process
that is killed loses nothing that it has written; what a power failure takes of the last half minute
is found by its checksum and done again. An `fsync` took 4 ms a file on a cloud disk, for a mark and
the dozen chunks before it, of a block that may solve in 600 ms.
"""

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path

# Every process tidies at most once, so that a file is swept away at most once by each of those that
# share the store.
_ATTEMPTS = 1000


def put(path: Path, data: bytes, scratch: Path, lasting: bool = False) -> None:
    """Write a file by way of the folder `scratch`; `lasting` waits until it is on the disk. Raises
    `OSError`.

    Folders are made when they turn out to be missing. Another process that finds the sweep complete
    tidies `scratch` away, at any moment and with it perhaps this file: then it is written again.
    """
    part = None
    for left in reversed(range(_ATTEMPTS)):
        try:
            part = part if part is not None and part.exists() else _beside(data, scratch, lasting)
            os.replace(part, path)
            return
        except BaseException as error:
            if not left or not isinstance(error, FileNotFoundError):
                if part is not None:
                    part.unlink(missing_ok=True)
                if isinstance(error, IsADirectoryError):
                    raise IsADirectoryError(
                        errno.EISDIR, f"{path} is a folder, where a file belongs"
                    ) from None
                raise
        for folder in (scratch, path.parent):
            # `mkdir` looks again where the folder was there; by then it may be gone.
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True, exist_ok=True)


def _beside(data: bytes, scratch: Path, lasting: bool) -> Path:
    """The data in a file of its own. Raises `FileNotFoundError` when the folder is not there."""
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
    """All of the bytes; the one place where anything is written.
    Raises `OSError`, as when the disk is full.
    """
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


def size(path: Path) -> int | None:
    """The bytes of a file, or `None` where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
