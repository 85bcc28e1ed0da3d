"""Critical points of the risk within a sector: Newton's method in a handful of numbers.

Letters: `x` the free numbers, `g`, `H` gradient and Hessian of the risk in them, `D =
diag|H|^{−1/2}`, `DHD = Q diag(λ) Qᵀ`, `μ ≥ 0` the damping.
"""

import functools
from typing import NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress._internal.checks import check_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import traits
from jaxcompress.sectors._point import SectorPoint, checked_start
from jaxcompress.sectors._risk import (
    Classes,
    classes,
    known_remainder,
    sector_risk,
    squares,
    steepest,
)
from jaxcompress.sectors._sector import Sector, SectorNumbers
from jaxcompress.sectors._starts import default_start
from jaxcompress.special.internal import divide, precision

# Measured: a search takes 21 to 110 trials, of which the last 20 are patience.
_MAX_STEPS = 500
# The search ends after this number of trials in a row without real progress. Damping that has
# fallen to 1e-14 needs 15 of them to return to 1: with 6, erf's perturbed copy of 10 neurons among
# 20 stopped at |g| = 4e-4.
_PATIENCE = 20
# A second search starts with fresh damping and leaves valleys in which the damping had grown: erf's
# average of 4999 beside a copy, ReLU's of 99 970 beside 30.
_ROUNDS = 2
# After scaling by D, directions to which orders 0 and 1 are blind have λ of at least 1/k; the flat
# ones of ReLU have at most 1e-15 of the largest.
_FLAT = 1e-14
# Gradients that no change of the numbers lowers are at most 0.65 of ε|H||x|, for 2 to 10⁶ neurons.
_ROUNDING = 4.0


class _Found(NamedTuple):
    """Where a search has ended: the numbers, the risk and the norm of the full gradient there,
    whether that is zero up to rounding, `DHD`, and the number of trials.
    """

    numbers: SectorNumbers
    risk: Array
    gradient_norm: Array
    converged: Array
    scaled_hessian: Array
    steps: Array


class _State(NamedTuple):
    """The free numbers `x` with risk, gradient and Hessian there; the damping; how many trials in a
    row were fruitless, and how many there were in all.
    """

    x: Array
    risk: Array
    gradient: Array
    hessian: Array
    damping: Array
    stalls: Array
    steps: Array


def solve_sector(
    sector: Sector,
    activation: AbstractActivation,
    *,
    start: SectorNumbers | SectorPoint | None = None,
    freeze: tuple[str, ...] = (),
) -> SectorPoint:
    """Go down to a minimum of the risk within a sector: a critical point of the full risk.

    Damped Newton steps `−DQ(|λ| + μ)⁻¹QᵀDg`, without the flat directions, until rounding hides all
    progress. An exact saddle is kept.

    Arguments:

    - `sector`: its sizes and partners are traced, so that one compilation serves all sectors with
      as many classes
    - `activation`: erf or relu, also that of the target (static)
    - `start`: the initial point: numbers of the sector, or a point of another sector of the same
      structure (see `follow_sector`); a guess is made when left out
    - `freeze`: `("readout",)` keeps the readouts of the initial point (static)

    Returns a `SectorPoint`; of ReLU networks the one with `|w| = |a|` unless frozen. Which minimum
    it is depends on the initial point. `converged` says that the full gradient is within 1e-10 plus
    the rounding `4ε|H||x|`, the change that the last bits of the numbers cause.
    Raises `ValueError` for other activations, initial points of other shapes, inside of jit, and
    where JAX has no float64: the numbers of a thousand neurons differ from a copy by less than
    float32 resolves.
    Reference: Arjevani & Field 2019, 2020 (the equations of a sector, and their expansion in
    `1/√k`).
    Where it fails: it leaves a point that is a saddle within its sector too; put it into a larger
    group. Erf neurons that average many thousands of targets hardly depend on their norm: beside
    copies the search may end unconverged, from the default initial point or followed (10 against
    10⁶ at |g| = 7e-6, where rounding is 2e-9); `one_neuron` has them.

    Example: `solve_sector(perturbed_copy_sector(6, 8), activations.erf).lift()`.
    """
    known_remainder("solve_sector", activation)
    if set(freeze) - {"readout"}:
        raise ValueError(
            f"solve_sector: given freeze={freeze!r}; expected ('readout',) or (); weights always "
            "move"
        )
    numbers = checked_start(
        "solve_sector", sector, default_start(sector, activation) if start is None else start
    )
    places = np.array(sector.places(tuple(freeze)))
    free = np.isin(np.arange(sum(part.size for part in numbers)), places)
    known = classes(sector), jnp.asarray(free)
    steps = 0
    for _ in range(_ROUNDS):
        found = _newton(activation, *known, numbers)
        check_concrete("solve_sector", found.risk)
        steps += found.steps
        if traits(activation).degree is not None and "readout" not in freeze:
            found = _newton(activation, *known, _balanced(known[0], found.numbers))
            steps += found.steps
        if bool(found.converged):
            break
        numbers = found.numbers
    hessian = np.asarray(found.scaled_hessian)[np.ix_(places, places)]
    return SectorPoint(
        readout=found.numbers.readout,
        own=found.numbers.own,
        overlaps=found.numbers.overlaps,
        risk=jnp.maximum(found.risk, 0),  # where everything is copied, rounding leaves −3e-18
        gradient_norm=found.gradient_norm,
        converged=found.converged,
        eigenvalues=jnp.asarray(np.linalg.eigvalsh(hessian)),
        sector=sector,
        activation=activation,
        stats={"steps": jnp.asarray(steps)},
    )


@jax.jit
def _balanced(classes: Classes, numbers: SectorNumbers) -> SectorNumbers:
    """The same ReLU neurons with `|w| = |a|`: on a long way, scales drift by factors of 1000."""
    a, e, c = numbers
    ratio = jnp.sqrt(
        divide(jnp.abs(a), jnp.sqrt(squares(classes.targets, classes.paired, numbers)), 1.0)
    )
    ratio = jnp.where(ratio > 0, ratio, 1)
    return SectorNumbers(a / ratio, e * ratio, c * ratio[:, None])


@functools.partial(jax.jit, static_argnums=0)
def _newton(f: AbstractActivation, classes: Classes, free: Array, start: SectorNumbers) -> _Found:
    """Damped Newton steps in the numbers that are `free`; the others keep their values, and have
    derivatives of zero.
    """
    first, unravel = jax.flatten_util.ravel_pytree(start)
    eps, k = jnp.finfo(first.dtype).eps, jnp.sum(classes.targets)
    held = jnp.diag(jnp.where(free, 0, 1).astype(first.dtype))

    def measure(x: Array) -> tuple[Array, Array, Array]:
        """Risk, gradient and Hessian in one pass: a second one would double the time to compile."""

        def gradient_of(x):
            value, gradient = jax.value_and_grad(lambda x: sector_risk(f, classes, unravel(x)))(x)
            return jnp.where(free, gradient, 0), (value, gradient)

        hessian, (value, gradient) = jax.jacfwd(gradient_of, has_aux=True)(x)
        return value, jnp.where(free, gradient, 0), jnp.where(free[None], hessian, 0) + held

    def busy(state: _State) -> Array:
        return (state.stalls < _PATIENCE) & (state.steps < _MAX_STEPS)

    end = jax.lax.while_loop(busy, lambda state: _trial(measure, 4 * eps * k, state), _begin(first))
    norm, scale = steepest(classes, unravel(end.gradient)), _scale(end.hessian)
    noise = unravel(jnp.where(free, jnp.abs(end.hessian) @ jnp.abs(end.x), 0))
    # without the sign of `own`, `steepest` would subtract
    rounding = _ROUNDING * eps * steepest(classes, noise._replace(own=-noise.own))
    converged = norm <= precision(first.dtype).critical + rounding
    scaled = scale[:, None] * end.hessian * scale[None]
    return _Found(unravel(end.x), end.risk, norm, converged, scaled, end.steps)


def _begin(x: Array) -> _State:
    """The state before the first trial, whose step is zero and is accepted: in this way the risk
    and its derivatives are compiled once.
    """
    count, zero = jnp.zeros((), jnp.int32), jnp.zeros_like(x)
    return _State(
        x=x,
        risk=jnp.full((), jnp.inf, x.dtype),
        gradient=zero,
        hessian=jnp.diag(zero + 1),
        damping=jnp.full((), 1e-2, x.dtype),
        stalls=count,
        steps=count,
    )


def _scale(hessian: Array) -> Array:
    """`D`; a number on which the risk does not depend keeps its scale."""
    diagonal = jnp.abs(jnp.diagonal(hessian))
    return jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1)), 1)


def _trial(measure, floor: Array, state: _State) -> _State:
    """One step, accepted if it lowers the risk, or the gradient where rounding hides the risk.

    The gradient is measured by the decrease that it promises, `gᵀ|H|⁻¹g`: along a flat valley (erf
    averages of 1000 neurons, λ = 5e-8) a step adds a larger gradient across the valley than it
    removes along it.
    """
    scale = _scale(state.hessian)
    values, basis = jnp.linalg.eigh(scale[:, None] * state.hessian * scale[None])
    sizes = jnp.abs(values)
    curved = sizes > _FLAT * jnp.max(sizes)
    slope = jnp.where(curved, basis.T @ (scale * state.gradient), 0)
    sizes = jnp.where(curved, sizes, 1)
    step = slope / (sizes + state.damping * jnp.max(jnp.abs(values)))
    x = state.x - scale * (basis @ step)
    value, gradient, hessian = measure(x)
    old = jnp.sum(slope**2 / sizes)
    new = jnp.sum(jnp.where(curved, basis.T @ (scale * gradient), 0) ** 2 / sizes)
    noise = floor + 4 * jnp.finfo(x.dtype).eps * jnp.abs(value)
    lower = value < state.risk - noise  # comparisons are false for NaN
    better = lower | ((value <= state.risk + noise) & (new < old))
    progress = better & (lower | (new < 0.25 * old))
    after = _State(
        x=x,
        risk=value,
        gradient=gradient,
        hessian=hessian,
        damping=0.1 * state.damping,
        stalls=jnp.where(progress, 0, state.stalls + 1),
        steps=state.steps + 1,
    )
    before = state._replace(
        damping=jnp.maximum(8 * state.damping, 1e-12),
        stalls=state.stalls + 1,
        steps=state.steps + 1,
    )
    return jax.tree.map(lambda yes, no: jnp.where(better, yes, no), after, before)
