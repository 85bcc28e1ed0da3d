"""Flow, then polish: for one run, and for many side by side."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels import AbstractInputs, StandardNormal, check_finite
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem
from jaxcompress.solve._flow import Motion, check_start, flow, flow_options, raise_unless
from jaxcompress.solve._polish import MAX_STEPS, polish
from jaxcompress.solve._solution import RESULTS, Solution, either
from jaxcompress.special import precision


def solve(
    student: TwoLayer,
    target: TwoLayer,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    flow_tolerance: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_steps: int = 4096,
    throw: bool = True,
) -> Solution:
    """Follow the gradient flow to the bottom of its basin, then polish to a critical point.

    Arguments as for `gradient_flow`; the flow stops at `max|∂R/∂θ| ≤ flow_tolerance`, and the polish goes on to the
    rounding floor. The run has converged when what is left is at most `gradient_tolerance` (left out: 1e-8 and 1e-10
    in float64, 1e-4 and 1e-5 in float32).
    Returns a `Solution` with `eigenvalues` (ascending) and `index`, the number of directions in which the risk
    falls: 0 at a minimum. Flat modes of the symmetries appear as eigenvalues near zero and count as neither.
    Raises `ValueError` for input that does not fit, `SolveError` when `throw` is true and the run did not converge.
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_start(student, target, inputs, freeze, rates)
    options = _options(student, rates, gradient_tolerance, flow_tolerance, rtol, atol)
    solution = _solve_once(student, target, inputs, tuple(freeze), options, max_steps)
    return raise_unless(solution) if throw else solution


def solve_many(
    students: TwoLayer,
    targets: TwoLayer,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    flow_tolerance: float | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_steps: int = 1024,
) -> Solution:
    """`solve` for a batch: every array of `students` has a leading axis `runs`, those of `targets` may have one.

    Arguments as for `solve`, the input law shared by all runs. Nothing is raised for a run that does not converge:
    its `result` says so, and the others are not disturbed.
    Returns a `Solution` whose arrays have a leading axis `runs`; `sols.best` is the run of lowest risk, `sols[i]` run
    number i. Raises `ValueError` for input that does not fit.
    """
    inputs = StandardNormal() if inputs is None else inputs
    one_student, one_target = _without_runs(students, targets)
    check_start(one_student, one_target, inputs, freeze, rates)
    check_finite("students", **students.parameters())
    check_finite("targets", **targets.parameters())
    options = _options(one_student, rates, gradient_tolerance, flow_tolerance, rtol, atol)
    return _solve_batch(students, targets, inputs, tuple(freeze), options, max_steps)


def _options(
    student: TwoLayer, rates, gradient_tolerance: float | None, flow_tolerance: float | None, rtol: float, atol: float
) -> dict:
    """The traced options; tolerances that were left out are those of the dtype."""
    dtype = student.weights.dtype
    known = precision(dtype)
    out = flow_options(student, rates, jnp.inf, known.flow if flow_tolerance is None else flow_tolerance, rtol, atol)
    final = known.critical if gradient_tolerance is None else gradient_tolerance
    return {**out, "final_tolerance": jnp.asarray(final, dtype)}


def _without_runs(students: TwoLayer, targets: TwoLayer) -> tuple[TwoLayer, TwoLayer]:
    """The first student and target. Raises `ValueError` unless the leading axes fit."""
    shapes = f"students' weights {students.weights.shape} and targets' weights {targets.weights.shape}"
    if students.weights.ndim != 3 or targets.weights.ndim not in (2, 3):
        raise ValueError(
            f"solve_many: given {shapes}; expected (runs, n, d) and (k, d) or (runs, k, d); "
            "draw starts with initialize.glorot_normal(..., runs=64), or call solve for one run"
        )
    if targets.weights.ndim == 3 and targets.weights.shape[0] != students.weights.shape[0]:
        raise ValueError(f"solve_many: given {shapes}; expected as many targets as students, or one for all")
    if students.weights.shape[0] == 0:
        raise ValueError(f"solve_many: given {shapes}; expected at least one run")
    first = jax.tree.map(lambda leaf: leaf[0], students)
    return first, jax.tree.map(lambda leaf: leaf[0], targets) if targets.weights.ndim == 3 else targets


@eqx.filter_jit
def _solve_once(student, target, inputs, freeze, options, max_steps) -> Solution:
    return _flow_and_polish(RiskProblem.of(target, inputs), student, freeze, options, max_steps)


@eqx.filter_jit
def _solve_batch(students, targets, inputs, freeze, options, max_steps) -> Solution:
    if targets.weights.ndim == 2:
        problem = RiskProblem.of(targets, inputs)
        return jax.vmap(lambda s: _flow_and_polish(problem, s, freeze, options, max_steps))(students)

    def one(student, target):
        return _flow_and_polish(RiskProblem.of(target, inputs), student, freeze, options, max_steps)

    return jax.vmap(one)(students, targets)


def _flow_and_polish(problem: RiskProblem, student: TwoLayer, freeze, options: dict, max_steps: int) -> Solution:
    flowed = flow(Motion.of(problem, student, freeze), options, None, max_steps)
    polished = polished_solution(problem, flowed.network, freeze, options["final_tolerance"])
    # Where the flow itself was cut short, that is the reason to report.
    result = either(polished.converged | flowed.converged, polished.result, flowed.result)
    stats = {**flowed.stats, **polished.stats, "flow_gradient_norm": flowed.gradient_norm}
    return eqx.tree_at(lambda s: (s.time, s.result, s.stats), polished, (flowed.time, result, stats))


def polished_solution(problem: RiskProblem, student: TwoLayer, freeze, tolerance: Array) -> Solution:
    """The critical point beside a student, with its spectrum; traceable."""
    motion = Motion.of(problem, student, freeze)
    polished = polish(motion, motion.vector())
    network = motion.network(polished.vector)
    converged = polished.gradient_norm <= tolerance
    stuck = either(polished.steps < MAX_STEPS - 1, RESULTS.gradient_floor, RESULTS.max_steps_reached)
    stuck = either(polished.index < 0, RESULTS.nonfinite, stuck)
    return Solution(
        network=network,
        risk=_or_infinite(polished.risk),
        risk_floor=_or_infinite(polished.floor),
        gradient_norm=_or_infinite(polished.gradient_norm),
        converged=converged,
        time=jnp.zeros((), tolerance.dtype),
        result=either(converged, RESULTS.converged, stuck),
        stats={"polish_steps": polished.steps},
        eigenvalues=polished.eigenvalues,
        index=polished.index,
    )


def _or_infinite(number: Array) -> Array:
    """The number, or infinity for NaN: a run that broke down ranks last and poisons no comparison."""
    return jnp.where(jnp.isnan(number), jnp.inf, number)
