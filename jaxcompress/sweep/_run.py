"""Whole sweeps: what is missing is done, here or by an executor's workers, and everybody is told how it goes."""

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence

import jax

from jaxcompress.sweep._blocks import block_count, block_of, in_order
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._store import Store, check_version, create, open_store
from jaxcompress.sweep._work import do_block


@dataclasses.dataclass(frozen=True)
class Progress:
    """How a sweep stands: `done` of `runs`, of which `converged`; `done_here` and `seconds` since this call began."""

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
    lanes: int | None
    devices: Sequence[jax.Device] | None
    programs: str | os.PathLike | None
    progress: Told | None


def run(
    plan: Plan,
    directory: str | os.PathLike,
    *,
    executor: concurrent.futures.Executor | None = None,
    lanes: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    programs: str | os.PathLike | None = None,
    progress: Told | None = None,
) -> Progress:
    """Do a sweep and store it in a folder; of a sweep that is there already, what is missing.

    Arguments: the plan; a new folder, an empty one, or one with the store of this plan; `executor`, any of the kind of
    `concurrent.futures`, whose workers see the folder under the same path (left out: here, one block after the other;
    under `jax.distributed`, every process does its share); `lanes`, `devices` as for `solve_many`; `programs`, a
    folder in which compiled programs are kept for the next process (JAX's persistent cache); `progress(state)`, told
    after every block.
    Returns the last `Progress`. Killed at any moment, the same call, or `resume`, goes on where it was.
    Raises `ValueError` for a folder that holds anything else, `OSError` when a block cannot be stored or a worker
    died: what was done stays.
    """
    return _finish(create(directory, plan), Options(executor, lanes, devices, programs, progress))


def resume(
    directory: str | os.PathLike,
    *,
    executor: concurrent.futures.Executor | None = None,
    lanes: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    programs: str | os.PathLike | None = None,
    progress: Told | None = None,
) -> Progress:
    """Do what is missing of the sweep in a folder: blocks that were not done, and blocks that were damaged.

    Arguments, returns and raises as for `run`; `ValueError` also for the store of another format or version.
    """
    return _finish(open_store(directory), Options(executor, lanes, devices, programs, progress))


def _finish(store: Store, options: Options) -> Progress:
    check_version(store)
    begin = time.perf_counter()
    try:
        store.mend()
        missing = store.missing()
        total = block_count(store.plan)
        done = sorted(set(range(total)) - set(missing))
        runs = sum(block_of(store.plan, number).count for number in done)
        converged = sum(store.converged(number) for number in done)
        state = Progress(store.plan.total, runs, converged, 0, 0.0)
        for number, good in _blocks_done(store, in_order(store.plan, missing), options):
            count = block_of(store.plan, number).count
            state = Progress(
                state.runs,
                state.done + count,
                state.converged + good,
                state.done_here + count,
                time.perf_counter() - begin,
            )
            if options.progress is not None:
                options.progress(state)
        if len(store.marked()) == total:
            store.tidy()
    except concurrent.futures.BrokenExecutor as error:
        raise ChildProcessError(_stopped(store, f"a worker died ({error})", "resume the sweep")) from error
    except OSError as error:
        reason = _stopped(store, error.strerror or str(error), "make room or mend it, then resume the sweep")
        raise OSError(error.errno, reason) from error
    return state


def _stopped(store: Store, reason: str, remedy: str) -> str:
    done, total = len(store.marked()), block_count(store.plan)
    return f"{store.directory}: {reason}; {done} of {total} blocks are stored and can be read; {remedy}"


def _blocks_done(store: Store, numbers: list[int], options: Options) -> Iterator[tuple[int, int]]:
    """Every block that has been done, as it is done, and how many of its runs have converged."""
    place = str(store.directory.resolve()), store.plan.fingerprint
    programs = None if options.programs is None else os.fspath(options.programs)
    if options.executor is None:
        for number in _share(numbers):
            yield number, do_block(*place, number, options.lanes, options.devices, programs)
        return
    futures = {options.executor.submit(do_block, *place, n, options.lanes, None, programs): n for n in numbers}
    try:
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def _share(numbers: list[int]) -> Iterator[int]:
    """The blocks that fall to this process of a `jax.distributed` program; all of them, where there is one process.

    By their numbers and not by their places in the list: processes that looked at the store at different times still
    leave nothing out. All wait for the last.
    """
    processes, mine = jax.process_count(), jax.process_index()
    yield from (number for number in numbers if number % processes == mine)
    if processes > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("jaxcompress.sweep")
