"""Is the end of a default run the end of the true gradient flow? Fresh starts against a reference
flow at rtol 1e-10.

Two ends are the same when their functions are: `E(f₁ − f₂)² ≤ 1e-12 E f_target²`, which knows of no
order of neurons, signs or scales. The reference is our own flow at rtol 1e-10, atol 1e-12; on a
subsample SciPy's LSODA with the plain closed forms, at the same tolerances, checks the reference;
and LSODA at rtol 1e-3 and 1e-6 is judged like ours.

    python benchmarks/basins.py --core 1  # 1000 starts each of three sizes
    python benchmarks/basins.py --core 1 --runs 100 --check 0 --fidelity 0 --seed 5000
"""

import time

import common
import jax
import jax.numpy as jnp
import numpy as np
import rivals
from problems import Work
from scipy.stats import binomtest

import jaxcompress as jc

SIZES = (("erf", 6, 8), ("erf", 8, 10), ("relu", 4, 6))
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
SAME = 1e-12


def work_of(activation: str, n: int, k: int, tolerance: float = 1e-8) -> Work:
    """The orthonormal target in as many dimensions as it has neurons, everything free."""
    return Work(f"{activation} ({n}, {k})", activation, n=n, k=k, d=k, tolerance=tolerance)


def in_blocks(call, students: jc.TwoLayer, size: int) -> list:
    """`call` on blocks of at most `size` students, so that memory and a lost run cost one block."""
    runs = students.weights.shape[0]
    blocks = [
        jax.tree.map(lambda leaf, i=i: leaf[i : i + size], students) for i in range(0, runs, size)
    ]
    return [jax.block_until_ready(call(block)) for block in blocks]


def solved(work: Work, students: jc.TwoLayer, block: int, **settings) -> dict:
    """End points, their risks and how the runs ended; seconds in all, compilation included."""
    begin = time.perf_counter()
    parts = in_blocks(lambda some: jc.solve_many(some, work.target, **settings), students, block)
    networks = jax.tree.map(
        lambda *leaves: jnp.concatenate(leaves), *[part.network for part in parts]
    )
    out = {
        name: np.concatenate([np.asarray(getattr(part, name)) for part in parts])
        for name in ("risk", "converged")
    }
    out["steps"] = np.concatenate([np.asarray(part.stats["steps"]) for part in parts])
    messages = [message for part in parts for message in part.message]
    return {
        **out,
        "network": networks,
        "messages": messages,
        "wall_seconds": time.perf_counter() - begin,
    }


def distances(work: Work, first: jc.TwoLayer, second: jc.TwoLayer) -> np.ndarray:
    """`E(f₁ − f₂)² / E f_target²` run by run."""
    energy = jc.RiskProblem.of(work.target).second_moment
    return np.asarray(jax.jit(jax.vmap(jc.population_risk))(first, second) / energy)


def endings(messages: list[str]) -> dict[str, int]:
    """How often each result message was given, by its first sentence."""
    firsts = [message.split(".")[0] for message in messages]
    return {first: firsts.count(first) for first in sorted(set(firsts))}


def compare(work: Work, options) -> dict:
    """One row: default settings against the reference."""
    starts = work.starts(options.runs, options.seed)
    default = solved(work, starts, options.block)
    reference = solved(work, starts, options.block, max_steps=options.max_steps, **TIGHT)
    distance = distances(work, default["network"], reference["network"])
    same = distance <= SAME
    both = default["converged"] & reference["converged"]
    low, high = binomtest(int(same.sum()), options.runs).proportion_ci(0.95, method="wilson")
    row = {
        "work": work.name,
        "runs": options.runs,
        "first_seed": options.seed,
        "same": int(same.sum()),
        "fraction": float(same.mean()),
        "wilson_95": [low, high],
        "both_converged": int(both.sum()),
        "same_of_both_converged": int((same & both).sum()),
        "other_seeds": (options.seed + np.flatnonzero(~same)).tolist(),
        "other_risks": [
            [float(default["risk"][i]), float(reference["risk"][i])] for i in np.flatnonzero(~same)
        ],
        "largest_distance_of_same": float(distance[same].max(initial=0)),
        "smallest_distance_of_others": float(distance[~same].min(initial=np.inf)),
    }
    for name, ran in (("default", default), ("reference", reference)):
        row[name] = {
            "converged": int(ran["converged"].sum()),
            "endings": endings(ran["messages"]),
            "steps": {"median": float(np.median(ran["steps"])), "largest": int(ran["steps"].max())},
            "wall_seconds": ran["wall_seconds"],
        }
    ends = default["network"], reference["network"]
    if options.check:
        row["check"] = scipy_ends(work, starts, *ends, options.check, options.check_method, **TIGHT)
    if options.fidelity:
        row["lsoda"] = [
            scipy_ends(work, starts, *ends, options.fidelity, "LSODA", rtol=rtol, atol=rtol / 1000)
            for rtol in (1e-3, 1e-6)
        ]
    return row


def scipy_ends(
    work: Work,
    starts,
    default: jc.TwoLayer,
    reference: jc.TwoLayer,
    runs: int,
    method: str,
    **tolerances,
):
    """The first runs by SciPy, then polished by ours, since a flow ends at a gradient; how many
    ends are the same.
    """
    count = min(runs, starts.weights.shape[0])
    timing, vectors, _ = rivals.scipy_flow(
        work, work.flat(starts)[:count], 1, method=method, hessian_by="autodiff", **tolerances
    )
    _, gradients = work.judge(vectors)
    arrived = gradients <= work.tolerance
    ends = jc.solve_many(work.network(vectors), work.target).network

    def agreeing(networks) -> int:
        first = jax.tree.map(lambda leaf: leaf[:count], networks)
        return int(np.sum((distances(work, ends, first) <= SAME) & arrived))

    return {
        "method": f"SciPy {method}",
        **tolerances,
        "runs": count,
        "arrived": int(arrived.sum()),
        "same_as_reference": agreeing(reference),
        "same_as_default": agreeing(default),
        "seconds_per_run": timing["seconds"][0] / count,
    }


def main() -> None:
    made = common.parser(__doc__, "basins.json")
    made.add_argument("--runs", type=int, default=1000)
    made.add_argument(
        "--seed", type=int, default=100_000, help="first seed: fresh ones for every judgement"
    )
    made.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2], help=f"which of {SIZES}")
    made.add_argument("--block", type=int, default=250, help="runs in one call")
    made.add_argument("--max-steps", type=int, default=20_000, help="step budget of the reference")
    made.add_argument(
        "--check", type=int, default=20, help="runs of the independent check; 0 for none"
    )
    made.add_argument("--check-method", choices=["LSODA", "Radau", "BDF"], default="LSODA")
    made.add_argument(
        "--fidelity", type=int, default=200, help="runs of LSODA at looser tolerances; 0 for none"
    )
    options = made.parse_args()
    common.pin(options.core)
    rows = []
    for size in options.sizes:
        row = compare(work_of(*SIZES[size]), options)
        rows.append(row)
        low, high = row["wilson_95"]
        print(
            f"{row['work']:12s} {row['same']}/{row['runs']} ends are the reference's: "
            f"{row['fraction']:.2%} (95 %: {low:.2%} to {high:.2%}); converged "
            f"{row['default']['converged']} and {row['reference']['converged']}; check "
            f"{row.get('check')}",
            flush=True,
        )
        common.write(options.out, {"same": SAME, "reference": TIGHT, "rows": rows})


if __name__ == "__main__":
    main()
