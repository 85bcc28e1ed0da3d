"""Second-order polish: from the end of a flow to the rounding floor of the critical point beside it.

Letters: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `Δ` radius. A step is `−Q (g_Q / (|λ| + μ))` on curved modes, with
the smallest `μ ≥ 0` that keeps it within `Δ`. Modes with `|λ|` below a stated share of the largest are the symmetries
of the risk (or indistinguishable from them): the gradient has no part along them but rounding, and dividing it by their
eigenvalue is what breaks plain Newton. Accepted is what lowers the risk, or `|g|` where the risk is so near its
rounding floor that it can no longer tell.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._spectrum import eigenvalues
from jaxcompress.solve._vectors import length
from jaxcompress.special import precision

# A flow's end needs 2 to 10 steps; the end of an L-BFGS descent with a thousand unknowns up to 60.
MAX_STEPS = 80
# Near the floor |g| wanders by rounding: this many trials in a row without real progress are the end.
_PATIENCE = 6


class PolishState(NamedTuple):
    """A lane: the point with risk, floor, gradient and spectrum, the radius, the fruitless trials, the steps."""

    y: Array
    risk: Array
    floor: Array
    gradient: Array
    eigenvalues: Array
    radius: Array
    stalls: Array
    steps: Array
    own: Any


def polish_start(motions: AbstractMotions, y: Array, own: Any) -> PolishState:
    """Every lane at its point, the radius infinite."""
    risk, floor, gradient = motions.measure(y, own)
    count = jnp.zeros(risk.shape, jnp.int32)
    radius = jnp.full_like(risk, jnp.inf)
    return PolishState(y, risk, floor, gradient, jnp.zeros_like(y), radius, count, count, own)


def polish_step(motions: AbstractMotions, state: PolishState) -> PolishState:
    """One eigendecomposition and one step within the radius, accepted or not; what is not finite is rejected."""
    flat = precision(state.y.dtype).flat
    values, basis = jnp.linalg.eigh(motions.hessian(state.y, state.own), symmetrize_input=False)
    sizes = jnp.abs(values).T
    curved = sizes > flat * jnp.max(sizes, axis=0)[None]
    sizes = jnp.where(curved, sizes, 1)
    slope = jnp.where(curved, jnp.einsum("bij,ib->jb", basis, state.gradient), 0)
    step = slope / (sizes + damping(slope, sizes, state.radius)[None])
    point = state.y - jnp.einsum("bij,jb->ib", basis, step)
    risk, floor, gradient = motions.measure(point, state.own)
    old, new = length(state.gradient), length(gradient)
    lower = risk < state.risk - 4 * floor  # comparisons are false for NaN
    better = lower | ((risk <= state.risk + 4 * floor) & (new < old))
    progress = better & (lower | (new < 0.5 * old))
    size = length(step)
    return PolishState(
        y=jnp.where(better[None], point, state.y),
        risk=jnp.where(better, risk, state.risk),
        floor=jnp.where(better, floor, state.floor),
        gradient=jnp.where(better[None], gradient, state.gradient),
        eigenvalues=values.T,
        radius=jnp.where(better, jnp.maximum(state.radius, 2 * size), 0.25 * jnp.minimum(size, state.radius)),
        stalls=jnp.where(progress, 0, state.stalls + 1),
        steps=state.steps + 1,
        own=state.own,
    )


def spectrum_step(motions: AbstractMotions, state: PolishState) -> PolishState:
    """For lanes that are at their floor already: the eigenvalues alone."""
    values = eigenvalues(motions.hessian(state.y, state.own))
    return state._replace(eigenvalues=values.T, steps=state.steps + 1)


def polish_ended(motions: AbstractMotions, tolerance: Array, state: PolishState) -> Array:
    """Which lanes can do no better: one fruitless trial within the tolerance, several outside it. The spectrum is then
    that of the point, or of the one before its last step, which was one of rounding."""
    within = motions.largest(state.gradient) <= tolerance
    fruitless = state.stalls >= jnp.where(within, 1, _PATIENCE)
    still = jnp.all(state.gradient == 0, axis=0)
    return fruitless | still | (state.steps >= MAX_STEPS)


def damping(slope: Array, sizes: Array, radius: Array) -> Array:
    """The `μ ≥ 0` with `|slope/(sizes + μ)| = radius`, zero where the full step is within: Hebden's iteration, which
    converges from below."""

    def refine(_, mu):
        step = slope / (sizes + mu[None])
        size = length(step)
        bend = jnp.sum(step * step / (sizes + mu[None]), axis=0)
        better = mu + (size / radius - 1) * size * size / jnp.where(bend > 0, bend, 1)
        return jnp.where((size > radius) & jnp.isfinite(better), better, mu)

    return jax.lax.fori_loop(0, 12, refine, jnp.zeros_like(radius))
