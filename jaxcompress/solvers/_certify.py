"""A certificate for a point that came from elsewhere: its risk, its gradient and, after a polish,
its spectrum.

The polish is Newton's method with a shifted Hessian, `(H + μ I) δ = −g`, by Cholesky factors: with
1226 unknowns one takes a thirtieth of the eigendecomposition that `_polish` makes at every step.
The eigenvalues are needed only at the end, without their vectors. The shift keeps steps along
symmetries, where `H` is zero and `g` is rounding, at the size of rounding over `μ`; along a
curvature `λ` a step leaves the share `μ/(λ + μ)`. Where `H + μ I` is not positive definite, or a
step does not do what it should, `μ` grows; where it does, `μ` falls back. A step is accepted, as in
`_polish`, when it lowers the risk, or lowers `|g|` where the risk is so near its rounding-error
bound that it can no longer tell.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.networks import GatedTwoLayer, TwoLayer
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractProblem
from jaxcompress.risk.internal import check_measured, check_student
from jaxcompress.solvers._batch import or_infinite
from jaxcompress.solvers._solution import RESULTS, Solution, either
from jaxcompress.solvers._spectrum import eigenvalues
from jaxcompress.solvers._vector_risk import VectorRisk
from jaxcompress.special.internal import precision

_MAX_STEPS = 80
# Trials in a row without real progress that end a polish outside the tolerance.
_PATIENCE = 12
# The smallest shift, in units of what counts as a flat mode (1e-8 of the largest diagonal entry in
# float64): steps along symmetries are then about 1e-7, and what they bend is below rounding.
_LEAST = 100
_RISE, _FALL = 8, 1 / 64
# A gradient that is this share of what counts as none is rounding.
_ENOUGH = 1e-3


class _State(NamedTuple):
    """The point with what is known there, the trial, the shift in units of the Hessian's size, and
    two counts.
    """

    y: Array
    risk: Array
    floor: Array
    gradient: Array
    hessian: Array
    trial: Array
    shift: Array
    stalls: Array
    steps: Array


def certify(
    problem: AbstractProblem,
    student: TwoLayer | GatedTwoLayer,
    *,
    polish: bool = True,
    gradient_tolerance: float | None = None,
) -> Solution:
    """Take a student to the critical point beside it and certify that, or just measure it where it
    stands.

    >>> certificate = jc.solvers.certify(jc.RiskProblem.of(target), student)
    >>> converged, index = certificate.converged, certificate.index

    Arguments:

    - `problem`: a target that has been measured, `RiskProblem.of(target)` or another
      `AbstractProblem`;
    - `student`: one network, weights `(n, d)`;
    - `polish`: whether to polish (static); without it `eigenvalues` and `index` are `None`;
    - `gradient_tolerance`: the gradient that counts as none, relative to `max(1,
      E‖f_target‖²)`; 1e-10 in float64 and 1e-5 in float32 when left out.

    Returns a `Solution` whose `time` is zero, for no flow was run.
    Raises `ValueError` for what is no measured target or no network.
    """
    check_measured("certify", problem)
    check_student("certify", student, AbstractNetwork)
    return _certify_once(problem, student, polish, gradient_tolerance)


@eqx.filter_jit
def _certify_once(
    problem: AbstractProblem, student: Any, polish: bool, gradient_tolerance: float | None
) -> Solution:
    if gradient_tolerance is None:
        gradient_tolerance = precision(problem.second_moment.dtype).critical
    tolerance = gradient_tolerance * jnp.maximum(problem.second_moment, 1)
    function = VectorRisk.of(problem, student, ())
    if polish:
        return _certified(function, _polished(function, tolerance), tolerance)
    (risk, floor), gradient = function.value_and_gradient(function.vector())
    gradient_norm = jnp.max(jnp.abs(gradient))
    converged = gradient_norm <= tolerance
    return Solution(
        network=student,
        risk=risk,
        risk_floor=floor,
        gradient_norm=gradient_norm,
        converged=converged,
        time=jnp.zeros((), tolerance.dtype),
        result=either(converged, RESULTS.converged, RESULTS.max_steps_reached),
        stats={"polish_steps": jnp.zeros((), jnp.int32), "flat_modes": jnp.asarray(-1)},
    )


def _polished(function: VectorRisk, tolerance: Array) -> _State:
    """Trial after trial; the first is the point itself, of which nothing is known yet."""
    y = function.vector()
    infinity, count = jnp.full((), jnp.inf, y.dtype), jnp.zeros((), jnp.int32)
    none = jnp.zeros((y.size, y.size), y.dtype)
    least = _LEAST * jnp.asarray(precision(y.dtype).flat, y.dtype)
    start = _State(y, infinity, infinity, jnp.full_like(y, jnp.inf), none, y, least, count, count)
    return jax.lax.while_loop(
        lambda state: ~_ended(state, tolerance), lambda state: _try(function, least, state), start
    )


def _try(function: VectorRisk, least: Array, state: _State) -> _State:
    """Measure the trial, keep it or not, and take the next step from what is kept."""
    (risk, floor), gradient = function.value_and_gradient(state.trial)
    old, new = jnp.linalg.norm(state.gradient), jnp.linalg.norm(gradient)
    first = state.steps == 0
    lower = risk < state.risk - 4 * floor  # comparisons are false for NaN
    better = first | lower | ((risk <= state.risk + 4 * floor) & (new < old))
    progress = better & (lower | (new < 0.5 * old))
    y = jnp.where(better, state.trial, state.y)
    risk, floor = jnp.where(better, risk, state.risk), jnp.where(better, floor, state.floor)
    gradient = jnp.where(better, gradient, state.gradient)
    hessian = jax.lax.cond(better, lambda: function.hessian(y), lambda: state.hessian)
    shift = jnp.where(better, jnp.maximum(least, _FALL * state.shift), _RISE * state.shift)
    shift = jnp.where(first, least, shift)
    size = jnp.max(jnp.abs(jnp.diagonal(hessian)))
    factor = jnp.linalg.cholesky(hessian + shift * size * jnp.eye(y.size, dtype=y.dtype))
    step = jax.scipy.linalg.cho_solve((factor, True), gradient)
    definite = jnp.all(jnp.isfinite(step))
    return _State(
        y=y,
        risk=risk,
        floor=floor,
        gradient=gradient,
        hessian=hessian,
        trial=jnp.where(definite, y - step, y),
        shift=shift,
        stalls=jnp.where(progress, 0, state.stalls + 1),
        steps=state.steps + 1,
    )


def _ended(state: _State, tolerance: Array) -> Array:
    """Whether it can do no better: one fruitless trial within the tolerance, several outside it, or
    NaN.
    """
    largest = jnp.max(jnp.abs(state.gradient))
    within = largest <= tolerance
    fruitless = state.stalls >= jnp.where(within, 1, _PATIENCE)
    broken = (state.steps > 0) & ~(jnp.isfinite(state.risk) & jnp.all(jnp.isfinite(state.gradient)))
    return fruitless | broken | (largest <= _ENOUGH * tolerance) | (state.steps >= _MAX_STEPS)


def _certified(function: VectorRisk, end: _State, tolerance: Array) -> Solution:
    flat = precision(end.risk.dtype).flat
    spectrum = eigenvalues(end.hessian)
    known = jnp.all(jnp.isfinite(spectrum))
    largest = jnp.max(jnp.abs(spectrum))
    gradient_norm = jnp.max(jnp.abs(end.gradient))
    converged = gradient_norm <= tolerance  # false for NaN
    stuck = either(end.steps < _MAX_STEPS, RESULTS.gradient_floor, RESULTS.max_steps_reached)
    stuck = either(known, stuck, RESULTS.nonfinite)
    return Solution(
        network=function.network(end.y),
        risk=or_infinite(end.risk),
        risk_floor=or_infinite(end.floor),
        gradient_norm=or_infinite(gradient_norm),
        converged=converged,
        time=jnp.zeros((), tolerance.dtype),
        result=either(converged, RESULTS.converged, stuck),
        stats={
            "polish_steps": end.steps,
            "flat_modes": jnp.where(known, jnp.sum(jnp.abs(spectrum) <= flat * largest), -1),
        },
        eigenvalues=jnp.where(known, spectrum, jnp.inf),
        index=jnp.where(known, jnp.sum(spectrum < -flat * largest), -1),
    )
