"""A sweep on disk: made whole, filled block by block, checked by checksums.

Everything that is written is a function of the plan and of the block, and every file appears whole:
two processes that do the same block write the same bytes, in whatever order.
"""

import contextlib
import dataclasses
import errno
import functools
import json
import os
import shutil
import warnings
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.sweep import _disk
from jaxcompress.sweep._blocks import Block, block_count, block_of
from jaxcompress.sweep._layout import PLAN, SCRATCH, chunks_of, log_path, manifest_path
from jaxcompress.sweep._manifests import (
    FORMAT,
    as_json,
    checked,
    fingerprint_in,
    header_of,
    manifest_of,
    read_header,
)
from jaxcompress.sweep._metadata import metadata_of
from jaxcompress.sweep._plan import Plan


@functools.cache
def versions() -> dict[str, str]:
    """The versions that results depend on, and that of the library which describes them in the
    store.
    """
    found = {}
    for name in ("jaxcompress", "jax", "jaxlib", "numpy", "zarr"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclasses.dataclass(frozen=True)
class Store:
    """A folder with a plan: `create` makes one, `open_store` finds one."""

    directory: Path
    plan: Plan
    made_with: dict[str, str]

    @functools.cached_property
    def metadata(self) -> dict[str, bytes]:
        """Every file that the plan alone decides."""
        return metadata_of(self.plan, _attributes(self.made_with))

    def has_manifest(self, number: int) -> bool:
        """Whether a block has a manifest, valid or not; cheap, and enough for a look."""
        return (self.directory / manifest_path(number)).exists()

    def converged(self, number: int) -> int | None:
        """How many runs of a block have converged; `None` unless it is done, and its manifest and
        every chunk are undamaged.
        """
        manifest = _disk.read(self.directory / manifest_path(number))
        return checked(
            self.plan,
            block_of(self.plan, number),
            lambda path: _disk.read(self.directory / path),
            manifest,
        )

    def done(self) -> dict[int, int]:
        """The blocks that are done, and how many of their runs have converged: reads everything
        that is there.
        """
        found = ((number, self.converged(number)) for number in range(block_count(self.plan)))
        return {number: converged for number, converged in found if converged is not None}

    def manifests(self) -> list[int]:
        """The blocks that have a manifest."""
        return [number for number in range(block_count(self.plan)) if self.has_manifest(number)]

    def put(self, block: Block, arrays: dict[str, np.ndarray]) -> None:
        """Store a block: chunks first, its manifest last. Raises `OSError` when they cannot be
        written.
        """
        self._check_there()
        digests = {}
        for path, data in chunks_of(self.plan, block, arrays):
            self._put(path, data)
            digests[path] = _disk.digest(data)
        self._check_there()
        self._put(
            manifest_path(block.number),
            manifest_of(self.plan, block, digests, int(np.sum(arrays["converged"]))),
        )

    def _check_there(self) -> None:
        """Raise `FileNotFoundError` unless the store is still there, and of this plan: a worker
        that read it long ago neither makes a folder anew around its block nor writes into another
        sweep.
        """
        if fingerprint_in(_disk.read(self.directory / PLAN)) != self.plan.fingerprint:
            raise FileNotFoundError(
                errno.ENOENT, f"{PLAN} is gone: the folder was removed or replaced meanwhile"
            )

    def note(self, number: int, cost: dict[str, Any]) -> None:
        """Note what a block cost. Raises `OSError` when that cannot be written."""
        self._put(log_path(number), as_json(cost))

    def notes(self) -> list[dict[str, Any]]:
        """What the blocks cost, as far as it was noted and can be read."""
        out = []
        for number in range(block_count(self.plan)):
            with contextlib.suppress(ValueError, TypeError):
                out.append(dict(json.loads(_disk.read(self.directory / log_path(number)) or b"")))
        return out

    def mend(self) -> None:
        """Put back whatever the plan alone decides and is not as it should be."""
        for path, data in self.metadata.items():
            if _disk.read(self.directory / path) != data:
                self._put(path, data)

    def tidy(self) -> None:
        """Remove what killed processes have left; only when nothing is missing, for others may be
        writing.

        Several processes may come to the end together and tidy at once; what one has removed, the
        others need not. A process that still writes makes the folder anew (`_disk.put`), and tidies
        it in its turn.
        """
        shutil.rmtree(self.directory / SCRATCH, ignore_errors=True)

    def _put(self, path: str, data: bytes, lasting: bool = False) -> None:
        _disk.put(self.directory / path, data, self.directory / SCRATCH, lasting)


def create(directory: str | os.PathLike, plan: Plan) -> Store:
    """Make the store of a plan, or find it made.
    Raises `ValueError` when the folder holds anything else, `OSError` when it cannot be written.
    """
    directory = Path(directory)
    store = Store(directory, plan, versions())
    if not (directory / PLAN).exists():
        stranger = _stranger(directory, store.metadata)
        if stranger is None:
            store.mend()
            store._put(PLAN, header_of(plan, store.made_with), lasting=True)
            return store
        if not (directory / PLAN).exists():  # no other process has made the store since
            raise ValueError(
                f"{directory}: given a place where something else is ({stranger}), and no {PLAN}; "
                "expected a new or empty folder; choose another"
            )
    found = open_store(directory)
    if found.plan != plan:
        raise ValueError(
            f"{directory}: given a store of another plan ({_difference(plan, found.plan)}); "
            "expected one of this plan, or an empty folder; choose another folder, or resume the "
            "sweep that is there"
        )
    return found


def open_store(directory: str | os.PathLike) -> Store:
    """The store in a folder.
    Raises `ValueError` when there is none, or one of another format, or a damaged one.
    """
    directory = Path(directory)
    data = _disk.read(directory / PLAN)
    if data is None:
        raise ValueError(
            f"{directory}: given a folder without {PLAN}; expected a sweep's store; check the path"
        )
    return Store(directory, *read_header(directory, data))


def _stranger(directory: Path, known: Iterable[str]) -> str | None:
    """A file that is not of an attempt at this store that was cut short, before any of its blocks;
    `None` without.
    """
    if directory.exists() and not directory.is_dir():
        return directory.name
    folders = {path.split("/")[0] for path in known} | {"sweep"}
    for folder, _, names in os.walk(directory):
        place = Path(folder).relative_to(directory).as_posix()
        if place == SCRATCH:
            continue
        found = {(Path(place) / name).as_posix() for name in names} - set(known)
        if found or (place != "." and place.split("/")[0] not in folders):
            return min(found, default=place)
    return None


def check_version(store: Store) -> None:
    """Raise `ValueError` unless this version of the package made the store: two would mix their
    numbers.
    """
    made, here = store.made_with.get("jaxcompress"), versions()["jaxcompress"]
    if made != here:
        raise ValueError(
            f"{store.directory}: given a store of jaxcompress {made}; expected one of {here}, for "
            "numbers of two versions do not mix; install the other version to resume, or sweep "
            "into another folder"
        )


def note_other_versions(store: Store, there: dict[str, str]) -> None:
    """Warn when libraries are others than those that made a store: new blocks may differ in their
    last bits.
    """
    names = dict.fromkeys((*store.made_with, *there))
    pairs = [
        (name, store.made_with.get(name, "missing"), there.get(name, "missing")) for name in names
    ]
    changed = [f"{name} {made} (now {now})" for name, made, now in pairs if made != now]
    if changed:
        warnings.warn(
            f"{store.directory}: made with {', '.join(changed)}; new blocks may differ in their "
            "last bits",
            stacklevel=2,
        )


def _attributes(made_with: dict[str, str]) -> dict[str, str]:
    return {
        "format": str(FORMAT),
        **{f"{name}_version": number for name, number in made_with.items()},
    }


def _difference(mine: Plan, its: Plan) -> str:
    """The first field in which two plans differ."""
    here, there = mine.to_dict(), its.to_dict()
    name = next(name for name in here if here[name] != there[name])
    return f"its {name} is {there[name]!r}, not {here[name]!r}"
