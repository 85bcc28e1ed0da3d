"""Where the time of a run goes: gradient, Hessian, factorisation, the whole step, and compilation.

    python benchmarks/stages.py --core 1                               # work B, 32 slots
    python benchmarks/stages.py --core 1 --work D --slots 1

Every stage is timed by itself, over a batch of `slots`, in microseconds a slot.
"""

from collections.abc import Callable

import common
import jax
import jax.numpy as jnp
import numpy as np
from problems import STEPS, WORKS, Work, flow_many

import jaxcompress as jc
from jaxcompress.risk import RiskProblem
from jaxcompress.risk.internal import CentredTarget, centred_hessian, centred_risk


def points(work: Work, slots: int, along: float) -> jax.Array:
    """Flat points between the starts (0) and the ends (1) of as many runs as slots."""
    starts = work.starts(slots)
    ends = jc.solve_many(starts, work.target, freeze=work.freeze).network
    return jnp.asarray((1 - along) * work.flat(starts) + along * work.flat(ends))


def one_network(work: Work, vector: jax.Array) -> jc.TwoLayer:
    """The student of one flat vector."""
    return jax.tree.map(lambda leaf: leaf[0], work.network(vector[None]))


def gradient_of(work: Work) -> Callable:
    """The package's risk, differentiated once."""
    problem = RiskProblem.of(work.target)
    return jax.grad(lambda vector: problem.risk(one_network(work, vector)))


def hessian_of(work: Work) -> Callable:
    """The package's Hessian, assembled in weight space."""
    problem = RiskProblem.of(work.target)
    return lambda vector: problem.hessian(one_network(work, vector), work.freeze)


def stage_gradient(work: Work, y: jax.Array) -> dict:
    """The short closed forms of the solver's loop, along the slots."""
    f, target, weights, readout = in_slots(work, y)
    return timed(lambda w, a: centred_risk(f, target, w, a)[2:], weights, readout, axis=-1)


def in_slots(work: Work, y: jax.Array):
    """Activation, target, weights `(n, d, slots)` and readout `(n, 1, slots)`."""
    networks = work.network(y)
    problem = RiskProblem.of(work.target)
    target = CentredTarget(
        problem.layers[0].weights[..., None],
        problem.layers[0].readout[..., None],
        problem.second_moment,
        problem.magnitude,
        work.target.activation,
    )
    weights, readout = (jnp.moveaxis(leaf, 0, -1) for leaf in (networks.weights, networks.readout))
    return work.target.activation, target, weights, readout[:, None]


def stage_hessian(work: Work, y: jax.Array) -> dict:
    """The short closed forms of the solver's loop, along the slots."""
    f, target, weights, readout = in_slots(work, y)
    move_readout = "readout" not in work.freeze
    return timed(
        lambda w, a: centred_hessian(f, target, w, a, move_readout), weights, readout, axis=-1
    )


def stage_factorisation(work: Work, y: jax.Array) -> dict:
    """Cholesky factor of `I + γH`, shifted until it is positive, with matrices at hand."""
    matrices = jax.jit(jax.vmap(hessian_of(work)))(y)
    lowest = jnp.linalg.eigvalsh(matrices)[:, :1, None]
    shifted = matrices + (1 - jnp.minimum(lowest, 0)) * jnp.eye(work.unknowns)
    return timed(jnp.linalg.cholesky, shifted)


def stage_solves(work: Work, y: jax.Array, stages: int = 8) -> dict:
    """One factor and `stages` pairs of triangular solves, as in a step of a Rosenbrock method."""
    factor = jnp.broadcast_to(jnp.eye(work.unknowns), (y.shape[0], work.unknowns, work.unknowns))

    def solves(factor, right):
        for _ in range(stages):
            right = jax.vmap(lambda low, b: jax.scipy.linalg.cho_solve((low, True), b))(
                factor, right
            )
        return right

    return timed(solves, factor, y)


def stage_eigenvalues(work: Work, y: jax.Array) -> dict:
    """The spectrum, once a run, for the certificate."""
    return timed(jnp.linalg.eigvalsh, jax.jit(jax.vmap(hessian_of(work)))(y))


def timed(function: Callable, *batch: jax.Array, axis: int = 0) -> dict:
    """Seconds a slot of a batched function; `axis` is that of the slots."""
    run = jax.jit(function)
    timing = common.per_call(lambda: run(*batch))
    slots = batch[0].shape[axis]
    return {
        "compile_seconds": timing["compile_seconds"],
        "microseconds_per_slot": 1e6 * timing["median_seconds"] / slots,
        "repeats": [1e6 * taken / slots for taken in timing["seconds"]],
    }


def whole_runs(work: Work, runs: int, repeats: int, slots: int | None) -> list[dict]:
    """Whole runs through the public entry points, divided by their steps, with the first call's
    compilation.
    """
    starts = work.starts(runs)
    extra = {} if slots is None else {"slots": slots}
    calls = {"flow and polish": jc.solve_many}
    if flow_many is not None:
        calls["flow alone"] = flow_many
    rows = []
    for name, call in calls.items():
        timing, sols = common.repeated(
            lambda call=call: call(
                starts,
                work.target,
                freeze=work.freeze,
                gradient_tolerance=work.largest_entry,
                **extra,
            ),
            repeats,
        )
        counts = {key: float(np.mean(sols.stats[key])) for key in STEPS if key in sols.stats}
        steps = sum(counts.values())
        microseconds = [1e6 * taken / runs for taken in timing["seconds"]]
        rows.append(
            {
                "what": name,
                "runs": runs,
                "compile_seconds": timing["compile_seconds"],
                "microseconds_per_run": microseconds,
                "microseconds_per_step": float(np.median(microseconds)) / steps,
                **counts,
            }
        )
    return rows


# Rivals pay for the plain closed forms under autodiff, for the Hessian forward over reverse.
STAGES = {
    "gradient, plain autodiff": lambda work, y: timed(jax.vmap(work.plain.gradient), y),
    "gradient, any network": lambda work, y: timed(jax.vmap(gradient_of(work)), y),
    "gradient, in the loop": stage_gradient,
    "Hessian, plain autodiff": lambda work, y: timed(jax.vmap(work.plain.hessian), y),
    "Hessian, any network": lambda work, y: timed(jax.vmap(hessian_of(work)), y),
    "Hessian, in the loop": stage_hessian,
    "Cholesky factor": stage_factorisation,
    "eight solves": stage_solves,
    "eigenvalues (once a run)": stage_eigenvalues,
}


def main() -> None:
    made = common.parser(__doc__, "stages.json")
    made.add_argument("--work", choices=list(WORKS), default="B")
    made.add_argument("--slots", type=int, default=32)
    made.add_argument("--runs", type=int, default=256)
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument(
        "--along", type=float, default=0.5, help="where between start and end the stages are timed"
    )
    options = made.parse_args()
    common.pin(options.core)
    work = WORKS[options.work]
    # first, so that its first call compiles
    whole = whole_runs(work, options.runs, options.repeats, None)
    y = points(work, options.slots, options.along)
    rows = []
    for name, stage in STAGES.items():
        rows.append({"stage": name, **stage(work, y)})
        print(f"{name:26s} {rows[-1]['microseconds_per_slot']:10.2f} µs a slot", flush=True)
    for row in whole:
        print(
            f"{row['what']:26s} {row['microseconds_per_step']:10.2f} µs a step, "
            f"{row['steps']:.1f} steps, compile {row['compile_seconds']:.1f} s",
            flush=True,
        )
    common.write(
        options.out, {"work": work.name, "slots": options.slots, "stages": rows, "whole": whole}
    )


if __name__ == "__main__":
    main()
