"""Compiled programs on disk, for the next process: JAX's persistent cache, safe from kills.

JAX finds a program by its instructions and by the versions of JAX and XLA, so an entry is never
wrong for being old. But JAX writes an entry in place, and never again over one that is there: an
entry that a kill or a full disk has cut short would be warned of in every process to come, and its
program compiled anew. So entries are looked at before JAX is sent to a folder.
"""

import contextlib
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

# Of the user's own cache, when a process begins: the entries used least recently go first. The
# bound of JAX (`jax_compilation_cache_max_size`) needs another package for its lock, and an entry
# without its time stamp, as a kill leaves it, ends all writing for good.
_MOST_BYTES = 1_000_000_000
# Looked at are the entries that have come since the last look, at 0.04 s a megabyte; in a folder
# that nobody has looked at, the newest of them, among which a cut one would be.
_MOST_LOOKED_AT = 32_000_000
_LOOK, _LOOKING = ".looked-at", ".looking"
_COARSE = 2_000_000_000  # nanoseconds between times that a file system tells apart, at worst (FAT)
_PROBE = 1_000_000  # bytes that must find room
_ENTRY, _USED = "-cache", "-atime"


class ProgramsNotKept(UserWarning):
    """Compiled programs cannot be kept: every process compiles what it needs."""


def keep_programs(folder: str | os.PathLike | None = None) -> Path:
    """Let this process keep what it compiles in a folder, and look there first.

    The first call of a solver is nearly all compiling. After this line it is so on a machine once,
    and not in every process. This is JAX's persistent cache, in which every program is kept,
    however small: fifteen single operations before a first risk were 0.7 of 4.5 processor seconds.
    Arguments: `folder`. Left out, it is the one that JAX has been told (by
    `JAX_COMPILATION_CACHE_DIR` or `jax.config`), else `jaxcompress` in the user's cache folder, of
    which at most 1 GB is kept. A second call with another folder changes to that one.
    Returns the folder. Entries that were cut short are removed from it. A folder that cannot be
    written is only read, and one that cannot be read is done without: the warning `ProgramsNotKept`
    says so in one line.
    Raises `ValueError` when the user's cache folder is needed and the package `platformdirs`, which
    knows where it is, is not installed.
    Where it fails: a process may meet an entry that another is writing; JAX warns, and compiles.
    """
    config: Any = jax.config  # whose entries its type does not list
    told = config.jax_compilation_cache_dir
    own = folder is None and not told
    if not own and "://" in str(folder or told):  # a store elsewhere, which JAX knows how to reach
        config.update("jax_compilation_cache_dir", str(folder or told))
        return Path(str(folder or told))
    place = Path(os.path.abspath(_own_folder() if own else folder or told))
    readable, reason = _prepare(place, own)
    if reason is not None:
        said = f"compiled programs are not kept in {place} ({reason})"
        warnings.warn(said, ProgramsNotKept, stacklevel=2)
    wanted = str(place) if readable else None
    if told != wanted:
        config.update("jax_compilation_cache_dir", wanted)
        compilation_cache.reset_cache()  # JAX reads the name once
    least = 0.0 if reason is None else float("inf")  # seconds of compiling that are worth an entry
    config.update("jax_persistent_cache_min_compile_time_secs", least)
    return place


def keep_no_programs() -> None:
    """Let this process, and those that it starts, compile everything, whatever JAX has been
    told.
    """
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()


def _own_folder() -> Path:
    try:
        import platformdirs
    except ImportError:
        raise ValueError(
            "keep_programs: given no folder; expected the package platformdirs, which knows the "
            "user's cache folder; name a folder or pip install 'jaxcompress[cli]'"
        ) from None
    return platformdirs.user_cache_path("jaxcompress")


def _prepare(folder: Path, own: bool) -> tuple[bool, str | None]:
    """Make a folder fit for JAX; whether it can be read, and why it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
        _remove_cut(folder)
        if own:
            _remove_least_recent(folder)
    except OSError as error:
        readable = folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
        return readable, error.strerror or str(error)
    return True, None


def _remove_cut(folder: Path) -> None:
    """Remove the entries since the last look that are not whole.

    The time of the last look is that of a file, made before the look and renamed after it: it is by
    the clock of the folder's file system, and a look that was killed does not count.
    """
    last_look = folder / _LOOK
    since = last_look.stat().st_mtime_ns - _COARSE if last_look.exists() else 0
    # A file that a killed look has left keeps its older time, so that more is looked at.
    (folder / _LOOKING).open("ab").close()
    left = _MOST_LOOKED_AT
    for entry, status in sorted(_entries(folder), key=lambda found: -found[1].st_mtime_ns):
        if status.st_size and (status.st_mtime_ns < since or left <= 0):
            continue
        left -= status.st_size
        if not _is_whole(entry):
            _remove(entry)
    with contextlib.suppress(FileNotFoundError):  # another process has looked meanwhile
        os.replace(folder / _LOOKING, last_look)


def _remove_least_recent(folder: Path) -> None:
    """Remove entries until the others fit."""

    def last_use(found: tuple[Path, os.stat_result]) -> int:
        return max(found[1].st_atime_ns, found[1].st_mtime_ns)

    left = _MOST_BYTES
    for entry, status in sorted(_entries(folder), key=last_use, reverse=True):
        left -= status.st_size
        if left < 0:
            _remove(entry)


def _entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The entries of JAX in a folder; others may be removing some."""
    found = []
    for entry in os.scandir(folder):
        if entry.name.endswith(_ENTRY):
            with contextlib.suppress(FileNotFoundError):
                found.append((Path(entry.path), entry.stat()))
    return found


def _remove(entry: Path) -> None:
    """Remove an entry, and the time of its last use where JAX has kept one."""
    for path in (entry, entry.with_name(entry.name.removesuffix(_ENTRY) + _USED)):
        path.unlink(missing_ok=True)


def _is_whole(entry: Path) -> bool:
    """Whether what JAX has compressed can be read to its end."""
    try:
        data = entry.read_bytes()
    except FileNotFoundError:
        return True
    decompress = _zstandard() if data.startswith(b"\x28\xb5\x2f\xfd") else zlib.decompress
    if decompress is None:
        return True  # JAX cannot read it in this process either, and does not ask for it
    try:
        return len(decompress(data)) > 0
    except Exception:  # every library has an error of its own
        return False


def _zstandard() -> Callable[[bytes], bytes] | None:
    """The compression that JAX prefers where it is installed."""
    try:
        from compression import zstd
    except ImportError:
        pass
    else:
        return zstd.decompress
    try:
        import zstandard
    except ImportError:
        return None
    return lambda data: zstandard.ZstdDecompressor().decompress(data)
