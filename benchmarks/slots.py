"""Slots with refill: time a run against their number, occupancy on a heavy-tailed workload, and
equal answers.

    python benchmarks/slots.py --core 1  # work B with 1, 2, 4, …, 512 slots
    python benchmarks/slots.py --core 1 --runs 2048 --slots 32 64
"""

import heapq
import inspect
import resource
import statistics

import common
import jax
import jax.numpy as jnp
import numpy as np
from basins import distances
from problems import STEPS, WORKS, Work

import jaxcompress as jc

LANES = tuple(2**i for i in range(10))
# ReLU starts of mixed sizes: nine in ten as Glorot would have them, the others 10 to 40 times as
# large; a large start needs ten times the steps to come down. Sixty times is too much: some runs
# spend 4096 steps.
HEAVY = Work("ReLU (4, 6), mixed sizes", "relu", n=4, k=6, d=6)
SHARE, SIZES = 0.1, (10.0, 40.0)


def has_slots() -> bool:
    """Whether this version of the solver lets the number of slots be chosen."""
    return "slots" in inspect.signature(jc.solve_many).parameters


def heavy_tailed(runs: int) -> jc.TwoLayer:
    """Glorot starts, some of them far too large."""
    starts = HEAVY.starts(runs)
    rng = np.random.default_rng(0)
    sizes = jnp.asarray(np.where(rng.random(runs) < SHARE, rng.uniform(*SIZES, size=runs), 1.0))
    return jc.TwoLayer(
        starts.weights * sizes[:, None, None],
        starts.readout * sizes[:, None],
        activation=starts.activation,
    )


def run(work: Work, starts: jc.TwoLayer, slots: int | None, **settings) -> jc.Solution:
    """All runs through so many slots."""
    extra = {} if slots is None else {"slots": slots}
    return jax.block_until_ready(
        jc.solve_many(starts, work.target, freeze=work.freeze, **extra, **settings)
    )


def steps_of(sols: jc.Solution) -> np.ndarray:
    """Steps of every run, of the flow and what ends it; the polish has its own queue."""
    return sum(np.asarray(sols.stats[name]).astype(int) for name in STEPS[:2] if name in sols.stats)


def refill_occupancy(steps: np.ndarray, slots: int) -> tuple[float, float]:
    """What refill in the order of the queue can reach at best, from the steps of every run.

    Returns the occupancy until the queue is empty (one by construction, unless there are more slots
    than runs) and over the whole batch, whose end is the last run's.
    """
    ends = [0] * slots
    emptied = 0
    for count in steps:
        free = heapq.heappop(ends)
        emptied = max(emptied, free)
        heapq.heappush(ends, free + int(count))
    until = 1.0 if len(steps) >= slots and emptied else len(steps) / slots
    return min(1.0, until), float(steps.sum() / (slots * max(ends)))


def occupancy(sols: jc.Solution, slots: int | None) -> dict:
    """Occupancy as the solver reports it, what refill can reach, and what lockstep would."""
    steps = steps_of(sols)
    out = {
        "steps_median": float(np.median(steps)),
        "steps_largest": int(steps.max()),
        "tail": float(steps.max() / np.median(steps)),
        "lockstep_occupancy": float(steps.mean() / steps.max()),
    }
    if slots is not None:
        _, out["best_occupancy_of_batch"] = refill_occupancy(steps, slots)
    if "occupancy" in sols.stats:
        out["occupancy"] = float(np.min(np.asarray(sols.stats["occupancy"])))
    return out


def scaling(work: Work, runs: int, repeats: int, slots: list[int | None]) -> list[dict]:
    """Time a run against the number of slots."""
    starts = work.starts(runs)
    rows = []
    for count in slots:
        timing, sols = common.repeated(lambda count=count: run(work, starts, count), repeats)
        each = [taken / runs for taken in timing["seconds"]]
        row = {
            "work": work.name,
            "slots": count,
            "runs": runs,
            "compile_seconds": timing["compile_seconds"],
            "seconds_per_run": each,
            "median_seconds_per_run": statistics.median(each),
            "converged": int(np.sum(sols.converged)),
            **occupancy(sols, count),
        }
        rows.append(row)
        print(
            f"{work.name:24s} {count or 'default'} slots  "
            f"{1e3 * row['median_seconds_per_run']:.3f} ms a run",
            flush=True,
        )
    return rows


def heavy(runs: int, slots: list[int | None], max_steps: int) -> list[dict]:
    """The heavy-tailed workload at several numbers of slots."""
    starts = heavy_tailed(runs)
    rows = []
    for count in slots:
        sols = run(HEAVY, starts, count, max_steps=max_steps)
        taken, _ = common.seconds(
            lambda count=count: run(HEAVY, starts, count, max_steps=max_steps)
        )
        row = {"work": HEAVY.name, "slots": count, "runs": runs, "seconds_per_run": taken / runs}
        rows.append({**row, "converged": int(np.sum(sols.converged)), **occupancy(sols, count)})
        print({name: value for name, value in rows[-1].items() if name != "work"}, flush=True)
    return rows


def same_answers(work: Work, starts: jc.TwoLayer, slots: list[int], **settings) -> dict:
    """End points across numbers of slots, and bit by bit across orders of the queue.

    A run that did not converge stops anywhere, so its difference is counted apart. Ends of ReLU
    runs may lie apart on one orbit of scales, so the distance of the functions, `E(f₁ − f₂)²` over
    `E f_target²`, stands beside.
    """
    runs = starts.weights.shape[0]
    sols = {count: run(work, starts, count, **settings) for count in slots}
    ends = {count: work.flat(sol.network) for count, sol in sols.items()}
    first = ends[slots[0]]
    converged = np.all([np.asarray(sol.converged) for sol in sols.values()], axis=0)
    difference = np.max([np.max(np.abs(end - first), axis=1) for end in ends.values()], axis=0)
    order = np.random.default_rng(1).permutation(runs)
    shuffled = jax.tree.map(lambda leaf: leaf[order], starts)
    again = work.flat(run(work, shuffled, slots[0], **settings).network)
    return {
        "work": work.name,
        "slots": slots,
        "runs": runs,
        "converged": int(converged.sum()),
        "largest_difference": float(np.max(difference[converged], initial=0.0)),
        "largest_function_distance": max(
            float(
                np.max(distances(work, sol.network, sols[slots[0]].network)[converged], initial=0.0)
            )
            for sol in sols.values()
        ),
        "largest_difference_of_the_others": float(np.max(difference[~converged], initial=0.0)),
        "beyond_1e-9": np.flatnonzero(converged & (difference > 1e-9)).tolist(),
        "bit_identical_in_another_order": bool(np.array_equal(again, first[order], equal_nan=True)),
    }


def memory(work: Work, runs: list[int], slots: int) -> list[dict]:
    """Peak resident memory after ever more runs, in MiB, and the size of their results."""
    rows = []
    for count in runs:
        sols = run(work, work.starts(count), slots)
        held = sum(leaf.nbytes for leaf in jax.tree.leaves(sols) if hasattr(leaf, "nbytes"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({"runs": count, "results_mib": held / 2**20, "peak_mib": peak})
    return rows


def main() -> None:
    made = common.parser(__doc__, "slots.json")
    made.add_argument("--runs", type=int, default=1024)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--slots", type=int, nargs="+", default=list(LANES))
    made.add_argument("--heavy-runs", type=int, default=1024)
    made.add_argument(
        "--heavy-steps", type=int, default=4096, help="step budget of the heavy-tailed runs"
    )
    made.add_argument(
        "--check-runs", type=int, default=600, help="runs whose end points are compared; 0 for none"
    )
    options = made.parse_args()
    common.pin(options.core)
    chosen = [count for count in options.slots if count <= options.runs] if has_slots() else []
    record: dict = {"scaling": scaling(WORKS["B"], options.runs, options.repeats, [*chosen, None])}
    few = [count for count in (8, 64, 512) if count in chosen]
    if options.heavy_runs:
        record["heavy"] = heavy(options.heavy_runs, few or [None], options.heavy_steps)
    if options.check_runs and len(few) > 1:
        relu = heavy_tailed(options.check_runs)
        record["same_answers"] = [
            same_answers(WORKS["B"], WORKS["B"].starts(options.check_runs), few),
            same_answers(HEAVY, relu, few, max_steps=options.heavy_steps),
        ]
        record["memory"] = memory(
            WORKS["B"], [options.runs, 4 * options.runs, 16 * options.runs], few[0]
        )
        print(record["same_answers"], record["memory"], flush=True)
    common.write(options.out, record)


if __name__ == "__main__":
    main()
