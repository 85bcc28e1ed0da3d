"""Files of a store: whole or not at all, though other processes remove folders meanwhile.

Only a plan is forced to the disk: a process
that is killed loses nothing that it has written; what a power failure takes of the last half minute
is found by its checksum and done again. An `fsync` took 4 ms a file on a cloud disk, for a manifest
and the dozen chunks before it, of a block that may solve in 600 ms.
"""

import contextlib
import errno
import hashlib
import os
import stat
from pathlib import Path

from jaxcompress._internal.files import write_part

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
            if part is None or not part.exists():
                part = write_part(scratch, lambda file: write(file.fileno(), data), lasting=lasting)
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
