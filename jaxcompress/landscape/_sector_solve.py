"""Critical points of the risk within a sector: Newton's method in a handful of numbers.

Letters: `x` the free numbers, `g`, `H` gradient and Hessian of the risk in them, `D = diag|H|^{−1/2}`,
`DHD = Q diag(λ) Qᵀ`, `μ ≥ 0` the damping.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.landscape._sector import Sector, SectorNumbers
from jaxcompress.landscape._sector_network import lifted
from jaxcompress.landscape._sector_risk import Partners, known_rests, sector_risk, steepest
from jaxcompress.landscape._sector_starts import default_start
from jaxcompress.networks import TwoLayer
from jaxcompress.special import precision

# Warm starts take 5 to 15 trials, starts by default up to 150 (ReLU, k = 10⁶).
_MAX_STEPS = 500
# Near the floor g wanders by rounding: so many trials in a row without real progress are the end.
_PATIENCE = 6
# After scaling by D, directions that neither order 0 nor order 1 feels have λ of 1/k and more; the flat ones of ReLU
# come out at 1e-16 of the largest.
_FLAT = 1e-14


class SectorPoint(eqx.Module):
    """A point of a sector.

    `readout (G,)`, `own (G,)`, `overlaps (G, H)`: its numbers (`SectorNumbers`). `risk`. `gradient_norm`: the largest
    entry of the gradient of the *full* risk, over all weights and readouts that are free. `converged`: whether that is
    at its floor. `eigenvalues`, ascending: of the Hessian in the free numbers, scaled to a diagonal of ±1; their signs
    are those of the Hessian.
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

        Target classes stand one after another, and so do student classes, their neurons in the order of their partners.
        Arguments: `dim`, `k` when left out. Raises `ValueError` for `dim < k` or more than 10⁸ weights.
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
    """Go down to a minimum of the risk within a sector, a critical point of the full risk.

    Damped Newton steps `−DQ(|λ| + μ)⁻¹QᵀDg`, flat directions left alone, until rounding hides all progress. Sizes are
    traced: one compilation serves all `k` of a structure (partners, and which classes have one neuron).
    Arguments: `activation`, erf or relu, also that of the target; `start`, numbers of the sector, or a point of another
    one of the same structure (`follow_sector`); `freeze`, `("readout",)` or nothing: the readout stays as in the start.
    Returns a `SectorPoint`. Which minimum it is depends on the start. `converged` is whether the gradient is within
    1e-10, or within the `4e-16 k` to which the means of `k` neurons add up.
    Raises `ValueError` for other activations, starts of other shapes, and where JAX has no float64: the numbers of a
    thousand neurons differ from a copy by less than float32 resolves.
    Reference: Arjevani & Field 2019, 2020 (the equations of a sector, and their expansion in `1/√k`).
    Where it fails: a point that is a saddle even within its sector is left again; put it in a larger group.
    """
    known_rests("solve_sector", activation)
    if set(freeze) - {"readout"}:
        raise ValueError(f"solve_sector: given freeze={freeze!r}; expected ('readout',) or (); weights always move")
    numbers = checked_start("solve_sector", sector, default_start(sector, activation) if start is None else start)
    places, targets = sector.places(tuple(freeze)), jnp.asarray(sector.targets, float)
    numbers, *found = _newton(activation, sector.partners, places, targets, numbers)
    return SectorPoint(*numbers, *found, sector=sector, activation=activation)


def checked_start(where: str, sector: Sector, start: SectorNumbers | SectorPoint) -> SectorNumbers:
    """Numbers of the right shapes in float64, with one number where own part and overlap are the same."""
    if jnp.result_type(float) != jnp.float64:
        raise ValueError(
            f"{where}: JAX works in float32; expected float64, for what sets these points apart is lost in rounding; "
            "call jax.config.update('jax_enable_x64', True) first"
        )
    given = start.numbers if isinstance(start, SectorPoint) else SectorNumbers(*start)
    width, height = len(sector.partners), len(sector.targets)
    expected = ((width,), (width,), (width, height))
    a, e, c = (jnp.asarray(part, float) for part in given)
    if (a.shape, e.shape, c.shape) != expected:
        raise ValueError(
            f"{where}: given a start of shapes {a.shape}, {e.shape}, {c.shape} for {sector}; expected readouts, own "
            f"parts and overlaps of shapes {expected}; one row a class of the student, one column a class of the target"
        )
    for g, partner in enumerate(sector.partners):
        if partner is None:
            e = e.at[g].set(0)
        elif sector.targets[partner] == 1:
            e, c = e.at[g].add(c[g, partner]), c.at[g, partner].set(0)
    return SectorNumbers(a, e, c)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _newton(f: AbstractActivation, partners: Partners, places: tuple[int, ...], targets: Array, start: SectorNumbers):
    """Numbers, risk, gradient norm, whether that is at its floor, scaled eigenvalues."""
    at = jnp.array(places)

    def numbers(x: Array) -> SectorNumbers:
        flat = jnp.concatenate([jnp.ravel(part) for part in start]).at[at].set(x)
        a, e, c = jnp.split(flat, [len(partners), 2 * len(partners)])
        return SectorNumbers(a, e, c.reshape(start.overlaps.shape))

    def risk(x: Array) -> Array:
        return sector_risk(f, partners, targets, numbers(x))

    floor = 4 * jnp.finfo(targets.dtype).eps * jnp.sum(targets)

    def trial(state: _State) -> _State:
        return _trial(risk, floor, state)

    def busy(state: _State) -> Array:
        return (state.stalls < _PATIENCE) & (state.steps < _MAX_STEPS)

    first, count = jnp.concatenate([jnp.ravel(part) for part in start])[at], jnp.zeros((), jnp.int32)
    damping = jnp.full_like(floor, 1e-3)
    end = jax.lax.while_loop(busy, trial, _State(first, *_measure(risk, first), damping, count, count))
    slope = jnp.zeros(sum(part.size for part in start), first.dtype).at[at].set(end.gradient)
    a, e, c = jnp.split(slope, [len(partners), 2 * len(partners)])
    norm = steepest(partners, targets, SectorNumbers(a, e, c.reshape(start.overlaps.shape)))
    scale = _scale(end.hessian)
    values = jnp.linalg.eigvalsh(scale[:, None] * end.hessian * scale[None])
    converged = norm <= precision(targets.dtype).critical + floor / 2
    return numbers(end.x), end.risk, norm, converged, values


def _measure(risk, x: Array) -> tuple[Array, Array, Array]:
    """Risk, gradient and Hessian."""
    value, slope = jax.value_and_grad(risk)(x)
    return value, slope, jax.hessian(risk)(x)


def _scale(hessian: Array) -> Array:
    """`D`; a number that nothing feels keeps its scale."""
    diagonal = jnp.abs(jnp.diagonal(hessian))
    return jnp.where(diagonal > 0, jax.lax.rsqrt(jnp.where(diagonal > 0, diagonal, 1)), 1)


def _trial(risk, floor: Array, state: _State) -> _State:
    """One step, taken if it lowers the risk, or the scaled gradient where the risk no longer tells."""
    scale = _scale(state.hessian)
    values, basis = jnp.linalg.eigh(scale[:, None] * state.hessian * scale[None])
    sizes, slope = jnp.abs(values), basis.T @ (scale * state.gradient)
    curved = sizes > _FLAT * jnp.max(sizes)
    step = jnp.where(curved, slope, 0) / (jnp.where(curved, sizes, 1) + state.damping * jnp.max(sizes))
    x = state.x - scale * (basis @ step)
    value, gradient, hessian = _measure(risk, x)
    old, new = jnp.linalg.norm(slope), jnp.linalg.norm(scale * gradient)
    lower = value < state.risk - floor  # comparisons are false for NaN
    better = lower | ((value <= state.risk + floor) & (new < old))
    progress = better & (lower | (new < 0.5 * old))
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
        damping=jnp.maximum(8 * state.damping, 1e-12), stalls=state.stalls + 1, steps=state.steps + 1
    )
    return jax.tree.map(lambda yes, no: jnp.where(better, yes, no), after, before)
