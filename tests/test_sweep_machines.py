"""Sweeps on engines that exist: Dask, with a worker that is killed, and two JAX processes."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from jaxcompress import sweep
from tests.sweep_child import LANES, PROGRAMS, do, files, small_plan

RUNS = 60  # a cell: 20 blocks in each of two


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """All files of a sweep that one process did."""
    folder = tmp_path_factory.mktemp("sweep") / "undisturbed"
    do(str(folder), RUNS)
    return files(folder)


@pytest.mark.filterwarnings("default")  # Dask's own
def test_a_dask_cluster_that_loses_a_worker_leaves_what_one_process_leaves(undisturbed, tmp_path):
    distributed = pytest.importorskip("distributed")
    folder, told = tmp_path / "dask", []
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "memory_limit": 0,
    }
    with (
        distributed.LocalCluster(**options, local_directory=tmp_path) as cluster,
        distributed.Client(cluster) as client,
    ):

        def tell(state):
            told.append(state)
            if len(told) == 5:
                os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

        with client.get_executor() as executor:
            state = sweep.run(
                small_plan(runs=RUNS),
                folder,
                executor=executor,
                slots=LANES,
                programs=PROGRAMS,
                progress=tell,
            )
    assert len(told) == 40
    assert state.done == state.converged == 2 * RUNS
    assert files(folder) == undisturbed


PROCESS = """
import sys, jax
jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
from jaxcompress import sweep
from tests.sweep_child import LANES, PROGRAMS, small_plan
state = sweep.run(small_plan(runs=int(sys.argv[4])), sys.argv[3], slots=LANES, programs=PROGRAMS)
print(jax.process_count(), state.done_here)
"""


def test_two_jax_processes_share_a_sweep(undisturbed, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    root = str(pathlib.Path(__file__).parent.parent)
    arguments = [sys.executable, "-c", PROCESS, address]
    rest = [str(tmp_path / "both"), str(RUNS)]
    both = [
        subprocess.Popen([*arguments, str(i), *rest], stdout=subprocess.PIPE, cwd=root, text=True)
        for i in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0]
    counts = [
        tuple(map(int, re.search(r"^(\d) (\d+)$", words, re.MULTILINE).groups())) for words in said
    ]
    assert [processes for processes, _ in counts] == [2, 2]
    assert sum(done for _, done in counts) == 2 * RUNS
    assert files(tmp_path / "both") == undisturbed
