"""Critical points of the risk within a sector: Newton's method in a handful of numbers.

Letters: `x` the free numbers, `g`, `H` gradient and Hessian of the risk in them, `D =
diag|H|^{−1/2}`, `DHD = Q diag(λ) Qᵀ`, `μ ≥ 0` the damping.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import check_concrete
from jaxcompress.kernels import AbstractActivation
from jaxcompress.kernels.internal import traits
from jaxcompress.networks import TwoLayer
from jaxcompress.sectors._network import lifted
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

# Measured: 21 to 110 trials, of which the last 20 are patience.
_MAX_STEPS = 500
# So many trials in a row without real progress are the end. Damping that has fallen to 1e-14 needs
# 15 to be back at 1: with 6 of them, erf's perturbed copy of 10 neurons among 20 stopped at |g| =
# 4e-4.
_PATIENCE = 20
# Fresh damping leaves valleys in which it had run up: erf's average of 4999 beside a copy, ReLU's
# of 99 970 beside 30.
_ROUNDS = 2
# After scaling by D, directions that neither order 0 nor order 1 feels have λ of 1/k and more; the
# flat ones of ReLU come out at 1e-15 of the largest or less.
_FLAT = 1e-14
# Gradients that no number can lower are measured at up to 0.65 of ε|H||x|, for 2 to 10⁶ neurons.
_ROUNDING = 4.0


class SectorPoint(eqx.Module):
    """A point of a sector.

    `readout (G,)`, `own (G,)`, `overlaps (G, H)`: its numbers (`SectorNumbers`). `risk`.
    `gradient_norm`: the largest entry of the gradient of the *full* risk, over all weights and
    readouts that are free. `converged`: whether that is at its floor. `eigenvalues`, ascending: of
    the Hessian in the free numbers, scaled to a diagonal of ±1; their signs are those of the
    Hessian.
    """

    readout: Float[Array, " G"]
    own: Float[Array, " G"]
    overlaps: Float[Array, "G H"]
    risk: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    converged: Bool[Array, ""]
    eigenvalues: Float[Array, " P"]
    sector: Sector = eqx.field(static=True)
    activation: AbstractActivation = eqx.field(static=True)

    @property
    def numbers(self) -> SectorNumbers:
        """The numbers alone."""
        return SectorNumbers(self.readout, self.own, self.overlaps)

    def lift(self, dim: int | None = None, dtype=None) -> TwoLayer:
        """The network, against the target `v_i = e_i` of `targets.orthonormal(k, dim)`.

        Target classes stand one after another, and so do student classes, their neurons in the
        order of their partners.
        Arguments: `dim`, `k` when left out.
        Raises `ValueError` for `dim < k` or more than 10⁸ weights.
        """
        return lifted(self.sector, self.numbers, self.activation, dim, dtype or self.risk.dtype)


class _State(NamedTuple):
    """The free numbers with risk, gradient and Hessian there; damping; fruitless trials; trials."""

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
    """Go down to a minimum of the risk within a sector, a critical point of the full risk (an exact
    saddle is kept).

    Damped Newton steps `−DQ(|λ| + μ)⁻¹QᵀDg`, flat directions left alone, until rounding hides all
    progress. Sizes and partners are traced: one compilation serves all sectors with as many
    classes.
    Arguments: `activation`, erf or relu, also that of the target; `start`, numbers of the sector,
    or a point of another one of the same structure (`follow_sector`); `freeze`, `("readout",)` or
    nothing: the readout stays as in the start.
    Returns a `SectorPoint`, of ReLUs the one with `|w| = |a|` unless frozen. Which minimum it is
    depends on the start. `converged` says that the full gradient is within 1e-10 and the rounding
    `4ε|H||x|`, what the last bits of the numbers make of it.
    Raises `ValueError` for other activations, starts of other shapes, inside of jit, and where JAX
    has no float64: the numbers of a thousand neurons differ from a copy by less than float32
    resolves.
    Reference: Arjevani & Field 2019, 2020 (the equations of a sector, and their expansion in
    `1/√k`).
    Where it fails: a point that is a saddle even within its sector is left again; put it in a
    larger group. Erf neurons that average many thousands of targets hardly feel their norm: beside
    copies they may end unconverged, from the default start or followed (10 against 10⁶ at |g| =
    7e-6, where 2e-9 is rounding); `one_neuron` has them.
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
    for _ in range(_ROUNDS):
        found = _newton(activation, *known, numbers)
        check_concrete("solve_sector", found[1])
        if traits(activation).degree is not None and "readout" not in freeze:
            found = _newton(activation, *known, _balanced(known[0], found[0]))
        if bool(found[3]):
            break
        numbers = found[0]
    (a, e, c), risk, norm, converged, bent = found
    values = jnp.asarray(np.linalg.eigvalsh(np.asarray(bent)[np.ix_(places, places)]))
    # where all is copied rounding leaves −3e-18
    return SectorPoint(a, e, c, jnp.maximum(risk, 0), norm, converged, values, sector, activation)


def checked_start(where: str, sector: Sector, start: SectorNumbers | SectorPoint) -> SectorNumbers:
    """Numbers of the right shapes in float64, with one number where own part and overlap are the
    same.
    """
    if jnp.result_type(float) != jnp.float64:
        raise ValueError(
            f"{where}: JAX works in float32; expected float64, for what sets these points apart is "
            "lost in rounding; call jax.config.update('jax_enable_x64', True) first"
        )
    given = start.numbers if isinstance(start, SectorPoint) else start
    if not isinstance(given, tuple) or len(given) != len(SectorNumbers._fields):
        raise ValueError(
            f"{where}: given a start of type {type(start).__name__}; expected SectorNumbers or a "
            "SectorPoint; sector_coordinates makes them of a network"
        )
    width, height = len(sector.partners), len(sector.targets)
    expected = ((width,), (width,), (width, height))
    a, e, c = (jnp.asarray(part, float) for part in given)
    if (a.shape, e.shape, c.shape) != expected:
        raise ValueError(
            f"{where}: given a start of shapes {a.shape}, {e.shape}, {c.shape} for {sector}; "
            f"expected readouts, own parts and overlaps of shapes {expected}; one row a class of "
            "the student, one column a class of the target"
        )
    for g, partner in enumerate(sector.partners):
        if partner is None:
            e = e.at[g].set(0)
        elif sector.targets[partner] == 1:
            e, c = e.at[g].add(c[g, partner]), c.at[g, partner].set(0)
    return SectorNumbers(a, e, c)


@jax.jit
def _balanced(classes: Classes, numbers: SectorNumbers) -> SectorNumbers:
    """The same ReLUs with `|w| = |a|`: on the way down from far, scales drift by factors of
    1000.
    """
    a, e, c = numbers
    ratio = jnp.sqrt(
        divide(jnp.abs(a), jnp.sqrt(squares(classes.targets, classes.paired, numbers)), 1.0)
    )
    ratio = jnp.where(ratio > 0, ratio, 1)
    return SectorNumbers(a / ratio, e * ratio, c * ratio[:, None])


@functools.partial(jax.jit, static_argnums=0)
def _newton(f: AbstractActivation, classes: Classes, free: Array, start: SectorNumbers):
    """Numbers, risk, gradient norm, whether that is at its floor, and `DHD`; the risk is one of all
    numbers, of which those that are not `free` neither slope nor bend."""
    first, unravel = jax.flatten_util.ravel_pytree(start)
    eps, k = jnp.finfo(first.dtype).eps, jnp.sum(classes.targets)
    held = jnp.diag(jnp.where(free, 0, 1).astype(first.dtype))

    def measure(x: Array) -> tuple[Array, Array, Array]:
        """Risk, gradient and Hessian in one pass: a second one would double the time to compile."""

        def slope(x):
            value, gradient = jax.value_and_grad(lambda x: sector_risk(f, classes, unravel(x)))(x)
            return jnp.where(free, gradient, 0), (value, gradient)

        hessian, (value, gradient) = jax.jacfwd(slope, has_aux=True)(x)
        return value, jnp.where(free, gradient, 0), jnp.where(free[None], hessian, 0) + held

    def busy(state: _State) -> Array:
        return (state.stalls < _PATIENCE) & (state.steps < _MAX_STEPS)

    end = jax.lax.while_loop(busy, lambda state: _trial(measure, 4 * eps * k, state), _begin(first))
    norm, scale = steepest(classes, unravel(end.gradient)), _scale(end.hessian)
    noise = unravel(jnp.where(free, jnp.abs(end.hessian) @ jnp.abs(end.x), 0))
    # so that nothing is taken away
    rounding = _ROUNDING * eps * steepest(classes, noise._replace(own=-noise.own))
    converged = norm <= precision(first.dtype).critical + rounding
    return unravel(end.x), end.risk, norm, converged, scale[:, None] * end.hessian * scale[None]


def _begin(x: Array) -> _State:
    """Before the first trial, whose step is none and is taken: so that what measures is compiled
    once.
    """
    count, zero = jnp.zeros((), jnp.int32), jnp.zeros_like(x)
    return _State(
        x,
        jnp.full((), jnp.inf, x.dtype),
        zero,
        jnp.diag(zero + 1),
        jnp.full((), 1e-2, x.dtype),
        count,
        count,
    )


def _scale(hessian: Array) -> Array:
    """`D`; a number that nothing feels keeps its scale."""
    diagonal = jnp.abs(jnp.diagonal(hessian))
    return jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1)), 1)


def _trial(measure, floor: Array, state: _State) -> _State:
    """One step, taken if it lowers the risk, or the gradient where the risk no longer tells.

    The gradient counts by what it could gain, `gᵀ|H|⁻¹g`: along a flat valley (erf averages of 1000
    neurons, λ = 5e-8) a step leaves a larger one across it than it takes away along it.
    """
    scale = _scale(state.hessian)
    values, basis = jnp.linalg.eigh(scale[:, None] * state.hessian * scale[None])
    sizes, slope = jnp.abs(values), basis.T @ (scale * state.gradient)
    curved = sizes > _FLAT * jnp.max(sizes)
    slope, sizes = jnp.where(curved, slope, 0), jnp.where(curved, sizes, 1)
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
        x,
        value,
        gradient,
        hessian,
        0.1 * state.damping,
        jnp.where(progress, 0, state.stalls + 1),
        state.steps + 1,
    )
    before = state._replace(
        damping=jnp.maximum(8 * state.damping, 1e-12),
        stalls=state.stalls + 1,
        steps=state.steps + 1,
    )
    return jax.tree.map(lambda yes, no: jnp.where(better, yes, no), after, before)
