"""One block, done: solved, stored, noted. What an executor sends to a worker is this function and a
number.
"""

import functools
import os
import pathlib
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax

from jaxcompress.programs import keep_programs
from jaxcompress.sweep._blocks import block_of, shape_of
from jaxcompress.sweep._compiling import compile_clock
from jaxcompress.sweep._solving import arrays_of, run_block
from jaxcompress.sweep._store import Store, check_version, open_store, versions

# Every compiled function keeps some ten memory maps, of which Linux grants 65530 a process; beyond,
# LLVM aborts it.
_MANY_MAPS = 25_000


class Done(NamedTuple):
    """What a worker answers: how many runs of its block have converged, and with which versions it
    works.
    """

    converged: int
    versions: dict[str, str]


def do_block(
    directory: str,
    fingerprint: str,
    number: int,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    programs: str | None = None,
) -> Done:
    """Do block `number` of the store in `directory`.

    Idempotent: done twice, or by two processes at once, it leaves the same files. `fingerprint` is
    that of the plan that was read where the work is given out.
    Raises `ValueError` when it is another one here, `OSError` when the block cannot be stored.
    """
    begin = time.perf_counter()
    store = _opened(directory, fingerprint)
    if programs is not None:
        keep_programs(programs)
    block = block_of(store.plan, number)
    _enter(fingerprint, shape_of(store.plan, block.cell))
    with compile_clock() as clock:
        solution = jax.block_until_ready(
            run_block(store.plan, number, slots=slots, devices=devices)
        )
        arrays = arrays_of(store.plan, block, solution)
    solved = time.perf_counter()
    store.put(block, arrays)
    used = jax.local_devices() if devices is None else list(devices)
    cost = {
        "seconds": time.perf_counter() - begin,
        "compile_seconds": clock.seconds,
        "store_seconds": time.perf_counter() - solved,
        "device": used[0].device_kind,
        "devices": len(used),
        "slots": slots,
        "versions": versions(),
    }
    store.note(number, cost)
    return Done(int(arrays["converged"].sum()), versions())


@functools.lru_cache(maxsize=4)
def _opened(directory: str, fingerprint: str) -> Store:
    """The store, read once a process."""
    store = open_store(directory)
    check_version(store)
    if store.plan.fingerprint != fingerprint:
        raise ValueError(f"{directory}: given a store of another plan than the sweep's; {_SHARED}")
    return store


_SHARED = "expected the same folder everywhere; mount one that all workers share"


@functools.lru_cache(maxsize=1)
def _enter(fingerprint: str, shape: tuple) -> None:
    """Drop compiled programs before the maps of this process run out; looked at whenever another
    shape begins.

    Counting takes 1 ms for 1000 maps: too long for every block.
    """
    maps = pathlib.Path("/proc/self/maps")
    if os.name == "posix" and maps.exists() and maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()
