"""Work against precision: time a run against the distance of the flow's end from the true end.

Two questions, two panels. Left, work B, whose critical points are isolated: the distance falls with
the gradient at which the flow stops, so that is swept. Right, ReLU (4, 6), whose critical points
are orbits (scales trade between weights and readout, and the exact flow conserves `a² − |w|²`):
where on the orbit a flow ends shows the error of its path, so rtol is swept. The truth is our flow
at rtol 1e-11, polished, of runs that keep all their neurons; distances are `max|θ − θ_true|`.

    python benchmarks/work_precision.py --core 1
"""

import statistics
from pathlib import Path

import common
import jax
import numpy as np
import rivals
from problems import WORKS, Work, flow_many

import jaxcompress as jc

# to 1e-10: at 1e-8 what is left of the flow is 3e-5 of the way, more than the error of the path
RELU = Work("ReLU (4, 6)", "relu", n=4, k=6, d=6, tolerance=1e-10)
GRADIENTS = (1e-3, 1e-5, 1e-7, 1e-9, 1e-11)
RTOLS = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
TRUTH = {"rtol": 1e-11, "atol": 1e-13, "max_steps": 5_000}
# Step budgets: a run that needs more than this at some tolerance counts as one that did not arrive.
BUDGETS = {"tsit5": 200_000, "kvaerno5": 5_000}
SOLVERS = {
    "ours-flow": "jaxcompress, flow",
    "lsoda": "SciPy LSODA, autodiff Hessian",
    "kvaerno5": "diffrax Kvaerno5, vmap",
    "tsit5": "diffrax Tsit5, vmap",
}


def our_flow(work: Work, starts: jc.TwoLayer, **settings) -> np.ndarray:
    """Our flow without the polish, as vectors; one run after another where there is no batched
    flow.
    """
    if flow_many is not None:
        return work.flat(flow_many(starts, work.target, freeze=work.freeze, **settings).network)
    singles = [
        jax.tree.map(lambda leaf, i=i: leaf[i], starts) for i in range(starts.weights.shape[0])
    ]
    ends = [
        jc.gradient_flow(s, work.target, freeze=work.freeze, throw=False, **settings).network
        for s in singles
    ]
    return work.flat(jax.tree.map(lambda *leaves: np.stack(leaves), *ends))


def truth(work: Work, runs: int) -> tuple[jc.TwoLayer, np.ndarray]:
    """The first `runs` starts, of twice as many, whose flow ends at a critical point, and their
    true ends.

    The tight flow goes on to a gradient of 1e-11, so that the polish has nothing left to move along
    an orbit.
    """
    starts = work.starts(2 * runs)
    sols = jc.solve_many(starts, work.target, freeze=work.freeze, **TRUTH)
    fine = np.asarray(sols.converged) & (np.asarray(sols.stats.get("neurons_at_zero", 0)) == 0)
    ends = our_flow(work, starts, gradient_tolerance=1e-11, **TRUTH)
    known = np.flatnonzero(fine & (work.judge(ends)[1] <= 1e-11))[:runs]
    polished = jc.solve_many(work.network(ends[known]), work.target, freeze=work.freeze, **TRUTH)
    return jax.tree.map(lambda leaf: leaf[known], starts), work.flat(polished.network)


def point(
    work: Work, solver: str, starts: jc.TwoLayer, repeats: int, **settings
) -> tuple[list[float], np.ndarray]:
    """Seconds a run of every repeat, and the end vectors."""
    vectors = work.flat(starts)
    if solver == "ours-flow":
        given = {"gradient_tolerance": work.tolerance, **settings}
        timing, ends = common.repeated(lambda: our_flow(work, starts, **given), repeats)
        return [taken / len(vectors) for taken in timing["seconds"]], ends
    row, ends = rivals.play(work, solver, vectors, repeats, **settings)
    return row["seconds_per_run"], ends


def sweep(work: Work, by: str, values, options) -> list[dict]:
    """All solvers at all values of what is swept, from the same starts."""
    starts, true = truth(work, options.runs)
    rows = []
    for solver in options.solvers:
        for value in values:
            tolerances = {"rtol": value, "atol": value / 1000} if by == "rtol" else {}
            if solver == "tsit5":
                # an explicit method ends only where atol is far below the gradient (see rivals.py)
                tolerances = {**tolerances, "atol": min(1e-11, value / 1000)}
            if solver in BUDGETS:
                tolerances["max_steps"] = BUDGETS[solver]
            swept = work if by == "rtol" else work._replace(tolerance=value)
            seconds, ends = point(swept, solver, starts, options.repeats, **tolerances)
            distance = np.max(np.abs(ends - true), axis=1)
            rows.append(
                {
                    "work": work.name,
                    "solver": solver,
                    "title": SOLVERS[solver],
                    by: value,
                    "settings": tolerances,
                    "runs": len(true),
                    "seconds_per_run": seconds,
                    "median_seconds_per_run": statistics.median(seconds),
                    "median_distance": float(np.median(distance)),
                    "largest_distance": float(np.max(distance)),
                    "converged": int(np.sum(swept.judge(ends)[1] <= swept.tolerance)),
                }
            )
            row = rows[-1]
            print(
                f"{work.name:12s} {SOLVERS[solver]:30s} {by} {value:.0e}: "
                f"{1e3 * row['median_seconds_per_run']:.3f} ms, distance "
                f"{row['median_distance']:.1e}, {row['converged']}/{row['runs']}",
                flush=True,
            )
    return rows


def draw(panels: dict[str, list[dict]], path: Path) -> None:
    """Both panels; medians over runs, times the median of the repeats."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(9, 3.8), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (by, rows) in zip(all_axes, panels.items(), strict=True):
        for solver, title in SOLVERS.items():
            mine = [row for row in rows if row["solver"] == solver]
            if not mine:
                continue
            times = [1e3 * row["median_seconds_per_run"] for row in mine]
            axes.loglog(
                [row["median_distance"] for row in mine], times, "o-", label=title, markersize=4
            )
        axes.set(title=f"{rows[0]['work']}, {by} swept", xlabel="distance to the true end, max|Δθ|")
        axes.set_ylabel("milliseconds a run")
        axes.invert_xaxis()
        axes.grid(alpha=0.3)
    figure.legend(
        *all_axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(SOLVERS),
        fontsize="small",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    made = common.parser(__doc__, "work_precision.json")
    made.add_argument("--runs", type=int, default=16)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--solvers", nargs="+", choices=list(SOLVERS), default=list(SOLVERS))
    made.add_argument("--gradients", type=float, nargs="+", default=GRADIENTS)
    made.add_argument("--rtols", type=float, nargs="+", default=RTOLS)
    options = made.parse_args()
    common.pin(options.core)
    panels = {"end gradient": sweep(WORKS["B"], "end gradient", options.gradients, options)}
    panels["rtol"] = sweep(RELU, "rtol", options.rtols, options)
    common.write(options.out, {"truth": TRUTH, "rows": [*panels["end gradient"], *panels["rtol"]]})
    draw(panels, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
