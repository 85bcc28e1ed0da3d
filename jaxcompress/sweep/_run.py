"""Whole sweeps: what is missing is done, here or by an executor's workers, and everybody is told
how it goes.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence

import jax

from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.sweep._blocks import block_count, block_of, each_shape_first, in_order
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._store import (
    Store,
    check_version,
    create,
    note_other_versions,
    open_store,
    versions,
)
from jaxcompress.sweep._work import Done, do_block


@dataclasses.dataclass(frozen=True)
class Progress:
    """How a sweep stands: `done` of `runs`, of which `converged`; `done_here` and `seconds` since
    this call began.

    Example: that of `run`.
    """

    runs: int
    done: int
    converged: int
    done_here: int
    seconds: float

    @property
    def rate(self) -> float:
        """Runs a second, in this call."""
        return self.done_here / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float:
        """Seconds left at this rate."""
        return (self.runs - self.done) / self.rate if self.rate else float("inf")


Told = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Options:
    """How the work is done, which the results do not depend on but for their last bits."""

    executor: concurrent.futures.Executor | None
    slots: int | None
    devices: Sequence[jax.Device] | None
    programs: str | os.PathLike | None
    progress: Told | None

    def __post_init__(self):
        if self.executor is not None and self.devices is not None:
            raise ValueError(
                "sweep: given both devices and an executor; expected one of them, for devices are "
                "this process's own; choose devices where the workers are started, such as with "
                "CUDA_VISIBLE_DEVICES"
            )


@renamed_arguments(lanes="slots")
def run(
    plan: Plan,
    directory: str | os.PathLike,
    *,
    executor: concurrent.futures.Executor | None = None,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    programs: str | os.PathLike | None = None,
    progress: Told | None = None,
) -> Progress:
    """Do a sweep and store it in a folder; of a sweep that is there already, what is missing.

    Arguments:

    - `plan`: the plan;
    - `directory`: a new folder, an empty one, or one with the store of this plan;
    - `executor`: any of the kind of `concurrent.futures`, whose workers see the folder under the
      same path (left out: here, one block after the other; under `jax.distributed`, every process
      does its share);
    - `slots`, `devices`: as for `solve_many` (`devices` are those of this process, so they do not
      go together with an executor);
    - `programs`: a folder in which compiled programs are kept for the next process
      (`jaxcompress.keep_programs`);
    - `progress`: called with a `Progress` after every block.

    Returns the last `Progress` (under `jax.distributed`, that of this process). Killed at any
    moment, the same call, or `resume`, goes on where it was.
    Raises `ValueError` for a folder that holds anything else and for devices with an executor,
    `OSError` when a block cannot be stored or a worker died: what was done stays. What `progress`
    raises ends the call and passes as it is.
    Example: `jc.sweep.run(jc.sweep.Plan("erf", n=3, k=4, d=5, runs=100), folder).converged`.
    """
    options = Options(executor, slots, devices, programs, progress)
    with _explained(directory):
        store = create(directory, plan)
    return _finish(store, options)


@renamed_arguments(lanes="slots")
def resume(
    directory: str | os.PathLike,
    *,
    executor: concurrent.futures.Executor | None = None,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    programs: str | os.PathLike | None = None,
    progress: Told | None = None,
) -> Progress:
    """Do what is missing of the sweep in a folder: blocks that were not done, and blocks that were
    damaged.

    Arguments:

    - `directory`: the folder;
    - `executor`, `slots`, `devices`, `programs`, `progress`: as for `run`.

    Returns and raises as `run`; `ValueError` also for the store of another format or version.
    Example: `jc.sweep.resume(folder, progress=print).done`.
    """
    options = Options(executor, slots, devices, programs, progress)
    return _finish(open_store(directory), options)


def _finish(store: Store, options: Options) -> Progress:
    check_version(store)
    begin = time.perf_counter()
    with _explained(store.directory):
        store.mend()
        state, missing = _found(store)
        if missing:
            note_other_versions(store, versions())
    known = [versions()]
    with contextlib.closing(_blocks_done(store, missing, options)) as blocks:
        while (found := _next(store, blocks)) is not None:
            number, (good, used) = found
            if used not in known:  # by a worker on another machine
                note_other_versions(store, used)
                known.append(used)
            count = block_of(store.plan, number).count
            done, converged, here = (
                state.done + count,
                state.converged + good,
                state.done_here + count,
            )
            state = Progress(state.runs, done, converged, here, time.perf_counter() - begin)
            if options.progress is not None:
                options.progress(state)
    if len(store.manifests()) == block_count(store.plan):
        store.tidy()
    return state


def _found(store: Store) -> tuple[Progress, list[int]]:
    """How a sweep stands before anything is done, and the blocks that are missing."""
    done = store.done()
    missing = [number for number in range(block_count(store.plan)) if number not in done]
    runs = sum(block_of(store.plan, number).count for number in done)
    return Progress(store.plan.total, runs, sum(done.values()), 0, 0.0), missing


def _next(store: Store, blocks: Iterator[tuple[int, Done]]) -> tuple[int, Done] | None:
    """The next block that has been done; `None` after the last."""
    with _explained(store.directory):
        return next(blocks, None)


@contextlib.contextmanager
def _explained(directory: str | os.PathLike) -> Iterator[None]:
    """Errors of disks and workers with what is left and what to do."""
    try:
        yield
    except concurrent.futures.BrokenExecutor as error:
        reason = f"a worker died ({' '.join(str(error).split())})"
        raise ChildProcessError(
            f"{directory}: {reason}; {_kept(directory)}; resume the sweep"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = "make room or mend it, then go on with the same call"
        raise OSError(
            error.errno, f"{directory}: {reason}; {_kept(directory)}; {remedy}"
        ) from error


def _kept(directory: str | os.PathLike) -> str:
    """What is in a store that cannot be gone on with."""
    try:
        store = open_store(directory)
    except ValueError:
        return "no block is stored"
    return (
        f"{len(store.manifests())} of {block_count(store.plan)} blocks are stored and can be read"
    )


def _blocks_done(
    store: Store, numbers: list[int], options: Options
) -> Generator[tuple[int, Done], None, None]:
    """Every block that has been done, as it is done, and what its worker answers."""
    place = str(store.directory.resolve()), store.plan.fingerprint
    # A worker may have been started in another folder.
    programs = None if options.programs is None else os.path.abspath(options.programs)
    if options.executor is None:
        for number in _share(in_order(store.plan, numbers)):
            yield number, do_block(*place, number, options.slots, options.devices, programs)
        return
    numbers = (in_order if programs is None else each_shape_first)(store.plan, numbers)
    futures = {
        options.executor.submit(do_block, *place, n, options.slots, None, programs): n
        for n in numbers
    }
    try:
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _share(numbers: list[int]) -> Iterator[int]:
    """The blocks that fall to this process of a `jax.distributed` program; all of them, where there
    is one process.

    By their numbers and not by their places in the list: processes that looked at the store at
    different times still leave nothing out. Each begins elsewhere, with another shape to compile;
    all wait for the last.
    """
    processes, mine = jax.process_count(), jax.process_index()
    begin = len(numbers) * mine // processes
    yield from (
        number for number in numbers[begin:] + numbers[:begin] if number % processes == mine
    )
    if processes > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("jaxcompress.sweep")
