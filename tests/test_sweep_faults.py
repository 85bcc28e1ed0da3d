"""Sweeps under fire: killed processes, dying workers, several hands on one store. What remains is
always the same.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import shutil
import signal
import time

import numpy as np
import pytest

from jaxcompress import sweep
from jaxcompress.sweep import _disk
from jaxcompress.sweep._layout import SCRATCH
from jaxcompress.sweep._store import Store
from tests.sweep_child import LANES, PROGRAMS, do, files, small_plan

KILLS = 20
RUNS = 99  # a cell: 33 blocks in each of two


@pytest.fixture(scope="module")
def processes():
    """Processes that have read the package, and what a sweep reads later, and started no thread
    yet.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tests.sweep_child", "jaxcompress.solvers", "jaxcompress.sweep", "zarr", "scipy.linalg"]
    )
    return context


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """All files of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("sweep") / "undisturbed"
    do(str(folder), RUNS)
    return files(folder)


def marks(folder: pathlib.Path) -> int:
    """Blocks that are done."""
    return len(list((folder / "sweep/blocks").glob("*.json")))


def kill_at(process, folder: pathlib.Path, moment: float, from_first_block: bool) -> bool:
    """Kill a process a while after its start, or after it has done a block; whether it was killed
    before its end.
    """
    before = marks(folder)
    while from_first_block and process.is_alive() and marks(folder) == before:
        time.sleep(0.001)
    process.join(moment)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == -signal.SIGKILL


def test_a_sweep_killed_at_twenty_moments_is_the_sweep_that_was_not(
    processes, undisturbed, tmp_path
):
    moments = np.random.default_rng(0)
    folder, killed, stages = tmp_path / "killed", 0, set()
    while killed < KILLS:
        process = processes.Process(target=do, args=(str(folder), RUNS))
        process.start()
        # A quarter of the kills meet a process that starts or compiles, the others one that solves
        # and writes.
        early = killed % 4 == 3
        moment = moments.uniform(0, 2.0 if early else 0.06)
        if kill_at(process, folder, moment, not early):
            stages.add(marks(folder))
            killed += 1
        else:  # it was faster
            assert files(folder) == undisturbed
            shutil.rmtree(folder)
    assert len(stages) >= KILLS // 2
    do(str(folder), RUNS)
    assert files(folder) == undisturbed


def test_two_processes_on_one_store_leave_what_one_leaves(processes, undisturbed, tmp_path):
    folder = tmp_path / "shared"
    both = [processes.Process(target=do, args=(str(folder), RUNS)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert files(folder) == undisturbed


def test_a_pool_of_processes_leaves_what_one_leaves_even_when_a_worker_is_killed(
    processes, undisturbed, tmp_path
):
    folder, told = tmp_path / "pool", []
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=processes) as pool:

        def tell(state):
            told.append(state)
            if len(told) == 5:
                os.kill(next(iter(pool._processes)), signal.SIGKILL)

        with pytest.raises(
            ChildProcessError, match=r"a worker died .* of 66 blocks are stored .* resume the sweep"
        ):
            sweep.run(
                small_plan(runs=RUNS),
                folder,
                executor=pool,
                slots=LANES,
                programs=PROGRAMS,
                progress=tell,
            )
    assert 5 <= marks(folder) < 66
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=processes) as pool:
        state = sweep.resume(folder, executor=pool, slots=LANES, programs=PROGRAMS)
    assert state.done == state.converged == 2 * RUNS
    assert files(folder) == undisturbed


def write_and_tidy(folder: str) -> None:
    """Write a hundred files and tidy after each, as a process does that finds the sweep
    complete.
    """
    root = pathlib.Path(folder)
    store = Store(root, small_plan(), {})
    for number in range(100):
        _disk.put(root / f"results/{number % 7}/{number}", bytes([number]) * 1000, root / SCRATCH)
        store.tidy()


def test_processes_that_tidy_under_each_other_s_hands_lose_nothing(processes, tmp_path):
    """Four at once: each finds its scratch folder, or its file on the way, removed by another,
    again and again.
    """
    hands = [processes.Process(target=write_and_tidy, args=(str(tmp_path),)) for _ in range(4)]
    for process in hands:
        process.start()
    for process in hands:
        process.join()
    assert [process.exitcode for process in hands] == [0] * 4
    expected = {f"results/{number % 7}/{number}": bytes([number]) * 1000 for number in range(100)}
    assert files(tmp_path) == expected
