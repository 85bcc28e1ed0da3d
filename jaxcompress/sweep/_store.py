"""A sweep on disk: made whole, filled block by block, checked by checksums.

Everything that is written is a function of the plan and of the block, and every file appears whole: two processes that
do the same block write the same bytes, in whatever order.
"""

import dataclasses
import errno
import functools
import json
import os
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from jaxcompress.sweep import _disk
from jaxcompress.sweep._blocks import Block, block_count, block_of
from jaxcompress.sweep._layout import PLAN, SCRATCH, chunks_of, log_path, mark_path, paths_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._skeleton import skeleton_of

FORMAT = 1


def versions() -> dict[str, str]:
    """The versions that results depend on."""
    return {name: version(name) for name in ("jaxcompress", "jax", "jaxlib", "numpy")}


@dataclasses.dataclass(frozen=True)
class Store:
    """A folder with a plan: `create` makes one, `open_store` finds one."""

    directory: Path
    plan: Plan
    made_with: dict[str, str]

    @functools.cached_property
    def skeleton(self) -> dict[str, bytes]:
        """Every file that the plan alone decides."""
        return skeleton_of(self.plan, _attributes(self.made_with))

    def is_marked(self, number: int) -> bool:
        """Whether a block is said to be done; cheap, and enough for a look."""
        return (self.directory / mark_path(number)).exists()

    def is_intact(self, number: int) -> bool:
        """Whether a block is done and every chunk has its checksum."""
        data = _disk.read(self.directory / mark_path(number))
        try:
            files = json.loads(data or b"")["files"]
            expected = paths_of(self.plan, block_of(self.plan, number)).values()
            return files.keys() == set(expected) and all(self._has(path, files[path]) for path in files)
        except (ValueError, KeyError, TypeError, AttributeError):  # the mark itself is damaged
            return False

    def _has(self, path: str, digest: str) -> bool:
        data = _disk.read(self.directory / path)
        return data is not None and _disk.digest(data) == digest

    def missing(self) -> list[int]:
        """The blocks that are not done, or damaged: reads everything that is there."""
        return [number for number in range(block_count(self.plan)) if not self.is_intact(number)]

    def converged(self, number: int) -> int:
        """How many runs of a block that is done have converged."""
        return json.loads((self.directory / mark_path(number)).read_bytes())["converged"]

    def marked(self) -> list[int]:
        """The blocks that are said to be done."""
        return [number for number in range(block_count(self.plan)) if self.is_marked(number)]

    def put(self, block: Block, arrays: dict[str, np.ndarray]) -> None:
        """Store a block: chunks first, its mark last. Raises `OSError` when they cannot be written."""
        self._check_there()
        digests = {}
        for path, data in chunks_of(self.plan, block, arrays):
            self._put(path, data)
            digests[path] = _disk.digest(data)
        converged = int(np.sum(arrays["converged"]))
        mark = {
            "block": block.number,
            "first_run": block.first,
            "runs": block.count,
            "converged": converged,
            "files": digests,
        }
        self._check_there()
        self._put(mark_path(block.number), _as_json(mark))

    def _check_there(self) -> None:
        """Raise `FileNotFoundError` when somebody has removed the store: no folder is made anew around a block."""
        if not (self.directory / PLAN).exists():
            raise FileNotFoundError(errno.ENOENT, f"{PLAN} is gone: the folder was removed or replaced meanwhile")

    def note(self, number: int, cost: dict[str, Any]) -> None:
        """Note what a block cost. Raises `OSError` when that cannot be written."""
        self._put(log_path(number), _as_json(cost))

    def notes(self) -> list[dict[str, Any]]:
        """What the blocks cost, as far as it was noted."""
        read = (_disk.read(self.directory / log_path(number)) for number in range(block_count(self.plan)))
        return [json.loads(data) for data in read if data]

    def mend(self) -> None:
        """Put back whatever the plan alone decides and is not as it should be."""
        for path, data in self.skeleton.items():
            if _disk.read(self.directory / path) != data:
                self._put(path, data)

    def tidy(self) -> None:
        """Remove what killed processes have left; only when nothing is missing, for others may be writing.

        Several processes may come to the end together and tidy at once; what one has removed, the others need not. A
        process that still writes makes the folder anew (`_disk.put`), and tidies it in its turn.
        """
        shutil.rmtree(self.directory / SCRATCH, ignore_errors=True)

    def _put(self, path: str, data: bytes, lasting: bool = False) -> None:
        _disk.put(self.directory / path, data, self.directory / SCRATCH, lasting)


def create(directory: str | os.PathLike, plan: Plan) -> Store:
    """Make the store of a plan, or find it made. Raises `ValueError` when the folder holds anything else, `OSError`
    when it cannot be written.
    """
    directory = Path(directory)
    store = Store(directory, plan, versions())
    if (directory / PLAN).exists():
        found = open_store(directory)
        if found.plan != plan:
            raise ValueError(
                f"{directory}: given a store of another plan ({_difference(plan, found.plan)}); expected one of this "
                "plan, or an empty folder; choose another folder, or resume the sweep that is there"
            )
        return found
    _check_free(directory, {path.split("/")[0] for path in store.skeleton} | {"sweep"})
    store.mend()
    head = {"format": FORMAT, "made_with": store.made_with, "fingerprint": plan.fingerprint, "plan": plan.to_dict()}
    store._put(PLAN, _as_json(head), lasting=True)
    return store


def open_store(directory: str | os.PathLike) -> Store:
    """The store in a folder. Raises `ValueError` when there is none, or one of another format, or a damaged one."""
    directory = Path(directory)
    data = _disk.read(directory / PLAN)
    if data is None:
        raise ValueError(f"{directory}: given a folder without {PLAN}; expected a sweep's store; check the path")
    try:
        head = json.loads(data)
        found = head["format"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{directory}: given a damaged {PLAN}; expected JSON with a plan; {_REDO}") from None
    if found != FORMAT:
        raise ValueError(
            f"{directory}: given a store of format {found!r}; expected format {FORMAT}; read it with xarray.open_zarr, "
            "or work on it with the version of jaxcompress that made it"
        )
    try:
        plan = Plan.from_dict(head["plan"])
        made_with = dict(head["made_with"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{directory}: given a {PLAN} that is no plan ({error}); {_REDO}") from None
    if plan.fingerprint != head.get("fingerprint"):
        raise ValueError(f"{directory}: given a {PLAN} that was changed after the store was made; {_REDO}")
    return Store(directory, plan, made_with)


_REDO = "put the original file back, or sweep the plan into another folder"


def check_version(store: Store) -> None:
    """Raise `ValueError` unless this version of the package made the store: two would mix their numbers."""
    made, here = store.made_with.get("jaxcompress"), versions()["jaxcompress"]
    if made != here:
        raise ValueError(
            f"{store.directory}: given a store of jaxcompress {made}; expected one of {here}, for numbers of two "
            "versions do not mix; install the other version to resume, or sweep into another folder"
        )


def note_other_versions(store: Store) -> None:
    """Warn when libraries have changed since a store was made: new blocks may differ in their last bits."""
    here = versions()
    changed = [f"{name} {made} (now {here[name]})" for name, made in store.made_with.items() if made != here.get(name)]
    if changed:
        warnings.warn(
            f"{store.directory}: made with {', '.join(changed)}; new blocks may differ in their last bits",
            stacklevel=2,
        )


def _check_free(directory: Path, known: set[str]) -> None:
    """Raise `ValueError` unless a folder is absent, empty, or an attempt at this store that was cut short."""
    if not directory.exists():
        return
    if not directory.is_dir() or {path.name for path in directory.iterdir()} - known:
        raise ValueError(
            f"{directory}: given a place where something else is; expected a new or empty folder; choose another"
        )


def _attributes(made_with: dict[str, str]) -> dict[str, str]:
    return {"format": str(FORMAT), **{f"{name}_version": number for name, number in made_with.items()}}


def _difference(mine: Plan, its: Plan) -> str:
    """The first field in which two plans differ."""
    here, there = mine.to_dict(), its.to_dict()
    name = next(name for name in here if here[name] != there[name])
    return f"its {name} is {there[name]!r}, not {here[name]!r}"


def _as_json(table: dict[str, Any]) -> bytes:
    return (json.dumps(table, indent=1) + "\n").encode()
