"""What plan, store and progress add to bare `solve_many`, and a large sweep from its plan to its end.

`overhead`: the same runs of one cell, in the same process, alternately by `solve_many` (in one call, and in calls of a
block each) and by `sweep.run` into a new folder, told of its progress after every block; nothing compiles while it is
timed. `large`: a sweep of 200 000 runs, erf and ReLU, by two processes that start with nothing compiled, with the share
of compiling and storing in their time. Processes of the pool import this file: it has to be started as a script.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

if __package__:
    from benchmarks import common
else:
    import common

import jax
import numpy as np

import jaxcompress as jc
from jaxcompress import sweep

CELLS = (("erf", 3, 6), ("relu", 3, 6), ("erf", 2, 4))


def overhead(activation: str, n: int, k: int, runs: int, repeats: int) -> dict:
    """Seconds of every repeat, bare and as a sweep, and the relative difference of their medians."""
    plan = sweep.Plan(activation=activation, n=n, k=k, d="k+1", runs=runs)
    f = getattr(jc.activations, activation)
    target = jc.targets.orthonormal(k, k + 1, activation=f)

    def starts(count: int) -> jc.initialize.Starts:
        key = jax.random.key(plan.key)
        return jc.initialize.Starts(key, count, jc.initialize.glorot_normal, width=n, dim=k + 1, activation=f)

    def whole():
        return jc.solve_many(starts(runs), target)

    def blocks():
        for number in range(-(-runs // plan.block)):
            jax.block_until_ready(sweep.run_block(plan, number))

    def stored(folder: str):
        told: list[sweep.Progress] = []
        sweep.run(plan, Path(folder) / "sweep", progress=told.append)

    def timed(way) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return common.seconds((lambda: stored(folder)) if way is stored else way)[0]

    ways = {"one call": whole, "calls of a block": blocks, "sweep": stored}
    first = {name: timed(way) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    middle = {name: float(np.median(times)) for name, times in seconds.items()}
    ratios = {name: middle["sweep"] / middle[name] - 1 for name in ways if name != "sweep"}
    return {
        "activation": activation,
        "n": n,
        "k": k,
        "runs": runs,
        "first": first,
        "seconds": seconds,
        "overhead": ratios,
    }


def large(runs: int, processes: int, folder: Path, programs: Path) -> dict:
    """A sweep of eight cells, `runs` in all, by a pool of processes."""
    plan = sweep.Plan(activation=["erf", "relu"], n=[2, 3], k=[4, 6], d="k+1", runs=runs // 8)
    print(plan, flush=True)
    begin = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        state = sweep.run(plan, folder, executor=pool, programs=programs)
    seconds = time.perf_counter() - begin
    check, _ = common.seconds(lambda: sweep.resume(folder))
    show, rows = common.seconds(lambda: sweep.table(folder))
    cost = sweep.costs(folder)
    cells = [
        {
            "cell": f"{row.cell.activation} n={row.cell.n} k={row.cell.k}",
            "done": row.done,
            "converged": row.converged,
            "levels": [dataclasses.asdict(level) for level in row.levels],
        }
        for row in rows
    ]
    guess = sweep.estimate(plan)
    return {
        "runs": state.done,
        "converged": state.converged,
        "processes": processes,
        "seconds": seconds,
        "runs_per_second": state.done / seconds,
        "of_all_blocks": cost,
        "compile_share": cost["compile_seconds"] / cost["seconds"],
        "store_share": cost["store_seconds"] / cost["seconds"],
        "check_seconds": check,
        "table_seconds": show,
        "estimated_solve_seconds": guess.seconds,
        "estimated_disk": guess.disk,
        "disk": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "cells": cells,
        "plan": plan.to_dict(),
    }


def main() -> None:
    parser: argparse.ArgumentParser = common.parser(__doc__, "sweeps.json")
    parser.add_argument("--part", choices=("overhead", "large"), default=None, help="only this one; keep the other")
    parser.add_argument("--runs", type=int, default=200_000, help="runs of the large sweep")
    parser.add_argument("--processes", type=int, default=2, help="processes of the large sweep, a core each")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--programs", type=Path, default=None, help="where compiled programs are kept (else: nowhere)")
    options = parser.parse_args()
    common.pin(options.core)
    record = json.loads(options.out.read_text()) if options.part and options.out.exists() else {}
    if options.part != "large":
        record["overhead"] = []
        for activation, n, k in CELLS:
            record["overhead"].append(overhead(activation, n, k, 4096, options.repeats))
            print(record["overhead"][-1], flush=True)
    if options.part != "overhead":
        with tempfile.TemporaryDirectory() as folder:
            programs = options.programs or Path(folder) / "programs"
            record["large"] = large(options.runs, options.processes, Path(folder) / "sweep", programs)
        print(record["large"], flush=True)
    record.pop("environment", None)
    common.write(options.out, record)


if __name__ == "__main__":
    main()
