"""A solve of smooth activations beside one of erf: work B, 3 neurons for 6 orthonormal ones.

    python benchmarks/smooth_flows.py --core 0

The same starts for every activation; processor seconds a run, and what the first call took. Ends
are held against `population_risk`, which knows nothing of the short formulas."""

import time

import common
import jax
import numpy as np
from problems import WORKS

import jaxcompress as jc

NAMES = ("erf", "tanh", "sigmoid", "softplus")


def measure(name: str, runs: int, repeats: int) -> dict:
    """One activation."""
    f = getattr(jc.activations, name)
    given = WORKS["B"].starts(runs)
    students = jc.TwoLayer(given.weights, given.readout, activation=f)
    target = jc.targets.orthonormal(6, given.dim, activation=f)
    begin = time.process_time()
    found = jax.block_until_ready(jc.solve_many(students, target))
    first = time.process_time() - begin
    timing = common.per_call(
        lambda: jax.block_until_ready(jc.solve_many(students, target)), repeats=repeats
    )
    risks = jax.vmap(lambda network: jc.population_risk(network, target))(found.network)
    return {
        "activation": name,
        "runs": runs,
        "converged": int(np.sum(found.converged)),
        "milliseconds_a_run": 1e3 * timing["median_cpu_seconds"] / runs,
        "first_call_cpu_seconds": first,
        "mean_steps": float(np.mean(found.stats["steps"])),
        "largest_difference_of_risks": float(np.max(np.abs(risks - found.risk))),
    }


def main() -> None:
    made = common.parser(__doc__, "smooth_flows.json")
    made.add_argument("--runs", type=int, default=1024)
    made.add_argument("--repeats", type=int, default=3)
    options = made.parse_args()
    common.pin(options.core)
    rows = []
    for name in NAMES:
        row = measure(name, options.runs, options.repeats)
        row["times_erf"] = row["milliseconds_a_run"] / (rows or [row])[0]["milliseconds_a_run"]
        rows.append(row)
        print(row, flush=True)
    common.write(options.out, {"rows": rows})


if __name__ == "__main__":
    main()
