"""What plan, store and progress add to bare `solve_many`, and a large sweep from its plan to its end.

`overhead`: the same runs of one cell, in the same process, alternately by `solve_many` (in one call, and in calls of a
block each) and by `sweep.run` into a new folder; nothing compiles while it is timed. `large`: a sweep of 200 000 runs,
erf and ReLU, with the share of compiling and storing in its time.
"""

import argparse
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


def large(runs: int, folder: Path, programs: Path | None) -> dict:
    """A sweep of eight cells, `runs` in all."""
    plan = sweep.Plan(activation=["erf", "relu"], n=[2, 3], k=[4, 6], d="k+1", runs=runs // 8)
    print(plan, flush=True)
    begin = time.perf_counter()
    state = sweep.run(plan, folder, programs=programs)
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    sweep.resume(folder)
    check = time.perf_counter() - begin
    cost = sweep.costs(folder)
    rows = [
        {"cell": f"{row.cell.activation} {row.cell.n} {row.cell.k}", "done": row.done, "converged": row.converged}
        for row in sweep.table(folder)
    ]
    out = {"runs": state.done, "converged": state.converged, "seconds": seconds, "check_seconds": check, **cost}
    return {**out, "outside_blocks": seconds - cost["seconds"], "cells": rows, "plan": plan.to_dict()}


def main() -> None:
    parser: argparse.ArgumentParser = common.parser(__doc__, "sweeps.json")
    parser.add_argument("--runs", type=int, default=200_000, help="runs of the large sweep")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--programs", type=Path, default=None, help="where compiled programs are kept")
    options = parser.parse_args()
    common.pin(options.core)
    rows = []
    for activation, n, k in CELLS:
        rows.append(overhead(activation, n, k, 4096, options.repeats))
        print(rows[-1], flush=True)
    record = {"overhead": rows}
    with tempfile.TemporaryDirectory() as folder:
        record["large"] = large(options.runs, Path(folder) / "sweep", options.programs)
    print(record["large"], flush=True)
    common.write(options.out, record)


if __name__ == "__main__":
    main()
