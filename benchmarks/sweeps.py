"""What plan, store and progress add to bare `solve_many`, and a large sweep from its plan to its
end.

`overhead`: every cell of the large sweep, in the same process, alternately by `solve_many` in one
call and by `sweep.run` into a new folder, told of its progress after every block, on one core;
nothing compiles while it is timed. `large`: a sweep of 200 000 runs, erf and ReLU, by two processes
that start with nothing compiled, with the share of compiling and storing in their time. Processes
of the pool import this file: it has to be started as a script.
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
    return sweep.Plan(
        **({"activation": ["erf", "relu"], "n": [2, 3], "k": [4, 6], "d": "k+1"} | changes)
    )


def overhead(repeats: int, rows: list[dict], store: Callable[[dict], None]) -> None:
    """Seconds of every cell and repeat, bare and as a sweep, and the relative difference of the
    medians' sums.

    `rows` that are there already are gone on with; `store` takes the record after every
    measurement. Of wall clock and processor time, the ratio of the latter is the one to trust on a
    core that others use too.
    """
    for repeat in range(repeats):
        for number, cell in enumerate(plan_of(runs=1).cells):
            if number == len(rows):
                rows.append(
                    {"activation": cell.activation, "n": cell.n, "k": cell.k, "runs": RUNS_A_CELL}
                )
                rows[-1] |= {f"{way}_{clock}": [] for way in ("bare", "sweep") for clock in CLOCKS}
            row = rows[number]
            if len(row["bare_seconds"]) > repeat:
                continue
            for name, taken in measured(row).items():
                row[name].append(taken)
            row["overhead"] = ratio([row], "cpu_seconds")
            print(row, flush=True)
            store(
                {
                    "overhead": ratio(rows, "cpu_seconds"),
                    "wall_overhead": ratio(rows, "seconds"),
                    "cells": rows,
                }
            )


CLOCKS = ("seconds", "cpu_seconds")


def ratio(rows: list[dict], clock: str) -> float:
    """How much more the sweeps of these cells take than the bare calls."""
    bare, stored = (
        sum(statistics.median(row[f"{way}_{clock}"]) for row in rows) for way in ("bare", "sweep")
    )
    return stored / bare - 1


def measured(row: dict) -> dict[str, float]:
    """One cell by `solve_many` in one call, and as a sweep into a new folder."""
    sizes = {name: row[name] for name in ("activation", "n", "k", "runs")}
    f = getattr(jc.activations, row["activation"])
    target = jc.targets.orthonormal(row["k"], row["k"] + 1, activation=f)
    law = {"width": row["n"], "dim": row["k"] + 1, "activation": f}
    block = plan_of(runs=RUNS_A_CELL).block

    def bare(**options: float) -> jc.Solution:
        starts = jc.initialize.Starts(
            jax.random.key(0), row["runs"], jc.initialize.glorot_normal, **law
        )
        return jc.solve_many(starts, target, **options)

    def stored(**options: float) -> None:
        told: list[sweep.Progress] = []
        with tempfile.TemporaryDirectory() as folder:
            plan = plan_of(**sizes, block=block, solver=options)
            sweep.run(plan, Path(folder) / "sweep", progress=told.append)

    taken = {}
    for way, call in {"bare": bare, "sweep": stored}.items():
        # compiles, and is content with every start
        common.seconds(lambda call=call: call(gradient_tolerance=1e6))
        begin = time.process_time()
        taken[f"{way}_seconds"] = common.seconds(call)[0]
        taken[f"{way}_cpu_seconds"] = time.process_time() - begin
    return taken


def large(runs: int, processes: int, folder: Path, programs: Path) -> dict:
    """A sweep of eight cells, `runs` in all, by a pool of processes."""
    plan = plan_of(runs=runs // len(plan_of(runs=1).cells))
    print(sweep.estimate(plan), flush=True)
    begin = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, mp_context=context) as pool:
        state = sweep.run(plan, folder, executor=pool, programs=programs)
    seconds = time.perf_counter() - begin
    # of the largest process of the pool
    peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
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
        "peak_memory": peak,
        "estimated_disk": guess.disk,
        "disk": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "cells": cells,
        "plan": plan.to_dict(),
    }


def main() -> None:
    parser: argparse.ArgumentParser = common.parser(__doc__, "sweeps.json")
    parser.add_argument(
        "--part",
        choices=("overhead", "large"),
        default=None,
        help="only this one; what is stored is kept",
    )
    parser.add_argument("--runs", type=int, default=200_000, help="runs of the large sweep")
    parser.add_argument(
        "--processes", type=int, default=2, help="processes of the large sweep, a core each"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--programs",
        type=Path,
        default=None,
        help="where compiled programs are kept (else: nowhere)",
    )
    options = parser.parse_args()
    common.pin(options.core)
    record = json.loads(options.out.read_text()) if options.part and options.out.exists() else {}

    rows = record.get("overhead", {}).get("cells", [])
    names = [f"{way}_{clock}" for way in ("bare", "sweep") for clock in CLOCKS]
    if not all(isinstance(row.get(name), list) for row in rows for name in names):
        parser.error(
            f"{options.out}: given cells without {', '.join(names)}; delete them, or name another "
            "--out"
        )

    def write(part: str, found: dict) -> None:
        record[part] = found
        common.write(
            options.out, {name: entry for name, entry in record.items() if name != "environment"}
        )

    if options.part != "large":
        if options.programs is not None:
            jc.keep_programs(options.programs)
        overhead(options.repeats, rows, lambda part: write("overhead", part))
    if options.part != "overhead":
        with tempfile.TemporaryDirectory() as folder:
            programs = options.programs or Path(folder) / "programs"
            write("large", large(options.runs, options.processes, Path(folder) / "sweep", programs))
        print(record["large"], flush=True)


if __name__ == "__main__":
    main()
