"""Works A to D of the design page: this package and its rivals on the same runs, in the same
process, on the same core.

    python benchmarks/works.py --core 1  # all works, all rivals: about half an hour
    python benchmarks/works.py --core 1 --works B --runs 1024 --rivals lsoda lsoda-ours
    python benchmarks/works.py --works B --processes 2  # two processes, a core each
    python benchmarks/works.py --works B --runs 100000 --gpu-limit  # on a GPU, with its ceilings
"""

import multiprocessing
import statistics
import time

import common
import gram_tables
import jax
import numpy as np
import rivals
from problems import WORKS, Work, flow_many

import jaxcompress as jc

# Runs of ours, and of every rival: those that take seconds a run are timed on fewer. The number
# stands in every row.
RUNS = {"B": 1024, "Bp": 1024, "C": 64, "D": 32}
RIVAL_RUNS = {
    "B": {
        "lsoda": 64,
        "lsoda-ours": 64,
        "lsoda-loose": 64,
        "lsoda-loose-ours": 64,
        "bdf": 16,
        "tsit5": 16,
    }
    | {"kvaerno3": 64, "kvaerno5": 64, "adam": 64, "lbfgs": 64},
    "Bp": {
        "lsoda": 64,
        "lsoda-ours": 64,
        "lsoda-loose": 64,
        "lsoda-loose-ours": 64,
        "bdf": 16,
        "tsit5": 16,
    }
    | {"kvaerno3": 64, "kvaerno5": 64, "adam": 64, "lbfgs": 64},
    "C": {"gd": 16, "lsoda": 8, "lsoda-ours": 8, "bdf": 4, "kvaerno5": 1, "lbfgs": 16},
    "D": {"lsoda": 1, "lsoda-ours": 1, "lsoda-loose-ours": 1, "lbfgs": 4},
}
# Two end points of the same run have the same risk within this; at a gradient of 1e-8 it is known
# to about 1e-14.
SAME_RISK = 1e-9


def ours(work: Work, runs: int, repeats: int, options: dict) -> list[dict]:
    """Flow then polish, and the flow alone, from the starts of the work; default tolerances of the
    step.
    """
    starts = work.starts(runs)
    calls = {"ours": ("jaxcompress, flow and polish", jc.solve_many)}
    if flow_many is not None:
        calls["ours-flow"] = ("jaxcompress, flow alone", flow_many)
    settings = {"freeze": work.freeze, "gradient_tolerance": work.largest_entry, **options}
    rows = []
    for name, (title, call) in calls.items():
        timing, sols = common.repeated(
            lambda call=call: call(starts, work.target, **settings), repeats
        )
        counts = {
            name: float(np.mean(value)) for name, value in sols.stats.items() if _is_number(value)
        }
        row = rivals.row_of(work, name, title, settings, timing, work.flat(sols.network), counts)
        rows.append(row | {"reported_converged": int(np.sum(sols.converged))})
    return rows


def _is_number(value) -> bool:
    return np.issubdtype(getattr(value, "dtype", np.asarray(value).dtype), np.number)


def compare(rows: list[dict]) -> None:
    """Put ratios to ours and distances of the end risks into the rows of one work, and take the
    risks out.
    """
    reference = {row["solver"]: row for row in rows}
    ends = reference["ours"]["risks"]
    for row in rows:
        common_runs = min(len(ends), len(row["risks"]))
        distance = np.abs(row.pop("risks")[:common_runs] - ends[:common_runs])
        row["risk_distance"] = {
            "largest": float(distance.max()),
            "median": float(np.median(distance)),
        }
        row["same_end_risk"] = int(np.sum(distance <= SAME_RISK))
        row["ratio_to_ours"] = (
            row["median_seconds_per_run"] / reference["ours"]["median_seconds_per_run"]
        )
        if "ours-flow" in reference:
            flow = reference["ours-flow"]["median_seconds_per_run"]
            row["ratio_to_ours_flow"] = row["median_seconds_per_run"] / flow


def show(row: dict) -> None:
    """One line of progress."""
    print(
        f"{row['work']:3s} {row['title']:44s} {1e3 * row['median_seconds_per_run']:10.3f} ms a "
        f"run  {row['converged']:5d}/{row['runs']:<5d} max|∇R| {row['largest_gradient']:.1e}  "
        f"compile {row['compile_seconds']:.1f} s",
        flush=True,
    )


def versus(work: Work, options) -> list[dict]:
    """All rows of one work."""
    runs = options.runs or RUNS[work.name]
    extra = {} if options.slots is None else {"slots": options.slots}
    rows = ours(work, runs, options.repeats, extra)
    for row in rows:
        show(row)
    platform = jax.devices()[0].platform
    for name, count in RIVAL_RUNS[work.name].items():
        if (
            options.rivals is not None and name not in options.rivals
        ) or platform not in rivals.RIVALS[name].platforms:
            continue
        some = work.flat(work.starts(min(options.rival_runs or count, runs)))
        row, _ = rivals.play(work, name, some, options.rival_repeats)
        rows.append(row)
        show(row)
    compare(rows)
    for row in rows[1:]:
        print(
            f"{work.name:3s} {row['title']:44s} {row['ratio_to_ours']:8.1f} times ours", flush=True
        )
    return rows


def _worker(name: str, runs: int, repeats: int, core: int, barrier, alone: bool, queue) -> None:
    """One of several processes: alone first, if it is the one that is measured alone, then all
    together.
    """
    common.pin(core)
    work = WORKS[name]
    starts = work.starts(runs, first_seed=core * runs)

    def call():
        return jc.solve_many(
            starts, work.target, freeze=work.freeze, gradient_tolerance=work.largest_entry
        )

    common.seconds(call)
    lone, together = [], []
    for _ in range(repeats):
        barrier.wait()
        if alone:
            lone.append(common.seconds(call)[0])
        barrier.wait()
        together.append(common.seconds(call)[0])
    queue.put({"alone": lone, "together": together})


def processes(work: Work, runs: int, repeats: int, count: int) -> dict:
    """Throughput of `count` processes, a core each, relative to one of them running while the
    others wait.
    """
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(count), context.Queue()
    workers = [
        context.Process(
            target=_worker, args=(work.name, runs, repeats, core, barrier, core == 0, queue)
        )
        for core in range(count)
    ]
    for worker in workers:
        worker.start()
    answers = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    lone = statistics.median(max((answer["alone"] for answer in answers), key=len))
    slowest = [
        max(taken) for taken in zip(*(answer["together"] for answer in answers), strict=True)
    ]
    row = {
        "work": work.name,
        "processes": count,
        "runs_each": runs,
        "seconds_alone": lone,
        "seconds_together": slowest,
        "throughput_ratio": count * lone / statistics.median(slowest),
    }
    print(
        f"{work.name:3s} {count} processes do {row['throughput_ratio']:.2f} times the runs of one",
        flush=True,
    )
    return row


def arguments():
    made = common.parser(__doc__, "works.json")
    made.add_argument("--works", nargs="+", choices=["A", *WORKS], default=["A", *WORKS])
    made.add_argument(
        "--runs", type=int, help="runs of ours (default: 1024, and fewer for C and D)"
    )
    made.add_argument("--repeats", type=int, default=5)
    made.add_argument(
        "--rivals", nargs="*", choices=list(rivals.RIVALS), help="default: all that fit the work"
    )
    made.add_argument(
        "--rival-runs",
        type=int,
        help="runs of every rival (default: chosen so that it takes seconds)",
    )
    made.add_argument("--rival-repeats", type=int, default=3)
    made.add_argument("--slots", type=int, help="slots of ours (default: its own choice)")
    made.add_argument(
        "--processes",
        type=int,
        help="measure only the throughput of this many processes, a core each",
    )
    made.add_argument(
        "--gpu-limit", action="store_true", help="also measure what the chip can do at most"
    )
    return made.parse_args()


def main() -> None:
    options = arguments()
    common.pin(options.core)
    begin = time.perf_counter()
    solved = [WORKS[name] for name in options.works if name in WORKS]
    if options.processes:
        rows = [
            processes(w, options.runs or RUNS[w.name], options.repeats, options.processes)
            for w in solved
        ]
        out = (
            options.out.with_name("processes.json")
            if options.out.name == "works.json"
            else options.out
        )
        common.write(out, {"rows": rows})
        return
    record: dict = {"rows": []}
    if "A" in options.works:
        record["tables"] = gram_tables.rows(options.repeats)
        for row in record["tables"]:
            title = f"{row['activation']} {row['quantity']}, {row['solver']}"
            print(f"A   {title:44s} {1e3 * row['median_seconds']:10.3f} ms", flush=True)
    for work in solved:
        record["rows"] += versus(work, options)
        common.write(options.out, record)
    if options.gpu_limit:
        import ceilings

        record["ceilings"] = ceilings.measure(record["rows"])
    record["wall_seconds"] = time.perf_counter() - begin
    common.write(options.out, record)


if __name__ == "__main__":
    main()
