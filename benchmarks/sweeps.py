"""What plan, store and progress add to bare `solve_many`, and a large sweep from its plan to its end.

`overhead`: every cell of the large sweep, in the same process, alternately by `solve_many` in one call and by
`sweep.run` into a new folder, told of its progress after every block, on one core; nothing compiles while it is
timed. `large`: a sweep of 200 000 runs, erf and ReLU, by two processes that start with nothing compiled, with the share
of compiling and storing in their time. Processes of the pool import this file: it has to be started as a script.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __package__:
    from benchmarks import common
else:
    import common

import jax

import jaxcompress as jc
from jaxcompress import sweep

RUNS_A_CELL = 25_000


def plan_of(**changes) -> sweep.Plan:
    """The large sweep, or a part of it."""
    return sweep.Plan(**({"activation": ["erf", "relu"], "n": [2, 3], "k": [4, 6], "d": "k+1"} | changes))


def overhead(repeats: int, rows: list[dict], store: Callable[[dict], None]) -> None:
    """Seconds of every cell and repeat, bare and as a sweep, and the relative difference of the medians' sums.

    `rows` that are there already are kept; `store` takes the record after every cell.
    """
    for cell in plan_of(runs=1).cells[len(rows) :]:
        sizes = {"activation": cell.activation, "n": cell.n, "k": cell.k}
        plan = plan_of(**sizes, runs=RUNS_A_CELL, block=plan_of(runs=RUNS_A_CELL).block)
        bare, stored = overhead_of(plan, repeats)
        extra = statistics.median(stored) / statistics.median(bare) - 1
        rows.append({**sizes, "runs": RUNS_A_CELL, "bare_seconds": bare, "sweep_seconds": stored, "overhead": extra})
        print(rows[-1], flush=True)
        total = {name: sum(statistics.median(row[name]) for row in rows) for name in ("bare_seconds", "sweep_seconds")}
        store({"overhead": total["sweep_seconds"] / total["bare_seconds"] - 1, **total, "cells": rows})


def overhead_of(plan: sweep.Plan, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of one cell by `solve_many` in one call, and as a sweep into a new folder, by turns."""
    (cell,) = plan.cells
    f = getattr(jc.activations, cell.activation)
    target = jc.targets.orthonormal(cell.k, cell.d, activation=f)
    law = {"width": cell.n, "dim": cell.d, "activation": f}

    def bare() -> jc.Solution:
        starts = jc.initialize.Starts(jax.random.key(plan.key), plan.runs, jc.initialize.glorot_normal, **law)
        return jc.solve_many(starts, target)

    def stored() -> float:
        told: list[sweep.Progress] = []
        with tempfile.TemporaryDirectory() as folder:
            return common.seconds(lambda: sweep.run(plan, Path(folder) / "sweep", progress=told.append))[0]

    both: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + repeats):
        both[0].append(common.seconds(bare)[0])
        both[1].append(stored())
    return both[0][1:], both[1][1:]  # the first of each compiles


def large(runs: int, processes: int, folder: Path, programs: Path) -> dict:
    """A sweep of eight cells, `runs` in all, by a pool of processes."""
    plan = plan_of(runs=runs // len(plan_of(runs=1).cells))
    print(plan, flush=True)
    begin = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        state = sweep.run(plan, folder, executor=pool, programs=programs)
    seconds = time.perf_counter() - begin
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest process of the pool
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
        "estimated_memory": guess.memory,
        "peak_memory": peak,
        "estimated_disk": guess.disk,
        "disk": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "cells": cells,
        "plan": plan.to_dict(),
    }


def main() -> None:
    parser: argparse.ArgumentParser = common.parser(__doc__, "sweeps.json")
    parser.add_argument(
        "--part", choices=("overhead", "large"), default=None, help="only this one; what is stored is kept"
    )
    parser.add_argument("--runs", type=int, default=200_000, help="runs of the large sweep")
    parser.add_argument("--processes", type=int, default=2, help="processes of the large sweep, a core each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--programs", type=Path, default=None, help="where compiled programs are kept (else: nowhere)")
    options = parser.parse_args()
    common.pin(options.core)
    record = json.loads(options.out.read_text()) if options.part and options.out.exists() else {}

    def write(part: str, found: dict) -> None:
        record[part] = found
        common.write(options.out, {name: entry for name, entry in record.items() if name != "environment"})

    if options.part != "large":
        overhead(options.repeats, record.get("overhead", {}).get("cells", []), lambda part: write("overhead", part))
    if options.part != "overhead":
        with tempfile.TemporaryDirectory() as folder:
            programs = options.programs or Path(folder) / "programs"
            write("large", large(options.runs, options.processes, Path(folder) / "sweep", programs))
        print(record["large"], flush=True)


if __name__ == "__main__":
    main()
