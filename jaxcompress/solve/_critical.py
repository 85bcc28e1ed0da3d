"""Any critical point, saddles included: Levenberg–Marquardt on `½|g|²`, which falls towards every kind of them alike.

Letters as in `_polish`: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `Δ` radius. With residual `g` and Jacobian `H` a step
is `−Q (λ g_Q / (λ² + μ))`, with the smallest `μ ≥ 0` that keeps it within `Δ`: far out it descends on `|g|²`, near the
end `μ` is zero and it is Newton's method, which stops at the rounding floor of the gradient. Modes with `|λ|` below a
stated share of the largest are those of the symmetries, and get no step. Accepted is what lowers `|g|`. Where `g` lies
in the kernel of `H`, `½|g|²` is stationary without a critical point, and the search cannot go on. References:
Levenberg 1944, Marquardt 1963; Moré 1978 (the radius); Frye et al. 2021, *Critical Point-Finding Methods Reveal
Gradient-Flat Regions of Deep Network Losses* (where it gets stuck).
"""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._polish import PolishState, damping, polish_start
from jaxcompress.solve._vectors import length
from jaxcompress.special import precision

# The first radius, as a share of the size of the start.
_FIRST = 0.1
# Trials in a row that lower |g| by less than a thousandth before a search outside the tolerance is given up: a radius
# shrinks in them by 4^12.
_PATIENCE, _LITTLE = 12, 1e-3


def search_start(motions: AbstractMotions, y: Array, own: Any) -> PolishState:
    """Every lane at its point, the radius a share of its size."""
    state = polish_start(motions, y, own)
    return state._replace(radius=_FIRST * jnp.maximum(length(y), 1))


def search_step(motions: AbstractMotions, tolerance: Array, state: PolishState) -> PolishState:
    """One eigendecomposition and one step within the radius, accepted or not; what is not finite is rejected."""
    flat = precision(state.y.dtype).flat
    values, basis = jnp.linalg.eigh(motions.hessian(state.y, state.own), symmetrize_input=False)
    values = values.T
    largest = jnp.max(jnp.abs(values), axis=0)[None]
    curved = jnp.abs(values) > flat * largest
    # in units of the largest: squares of float32 do not underflow
    shares = jnp.where(curved, values / jnp.where(largest > 0, largest, 1), 0)
    slope = jnp.einsum("bij,ib->jb", basis, state.gradient)
    scaled = shares * slope / jnp.where(largest > 0, largest, 1)
    squares = jnp.where(curved, shares**2, 1)
    step = scaled / (squares + damping(scaled, squares, state.radius)[None])
    point = state.y - jnp.einsum("bij,jb->ib", basis, step)
    risk, floor, gradient = motions.measure(point, state.own)
    old, new, foreseen = length(state.gradient), length(gradient), length(slope - values * step)
    better = new < old  # false for NaN
    gain = (old - new) * (old + new) / jnp.maximum((old - foreseen) * (old + foreseen), jnp.finfo(old.dtype).tiny)
    size = length(step)
    small, grown = 0.25 * jnp.minimum(size, state.radius), jnp.maximum(state.radius, 2 * size)
    radius = jnp.where(gain > 0.75, grown, jnp.where(gain > 0.25, state.radius, small))
    within = motions.largest(state.gradient) <= tolerance
    progress = better & (new < jnp.where(within, 0.5, 1 - _LITTLE) * old)
    return PolishState(
        y=jnp.where(better[None], point, state.y),
        risk=jnp.where(better, risk, state.risk),
        floor=jnp.where(better, floor, state.floor),
        gradient=jnp.where(better[None], gradient, state.gradient),
        eigenvalues=values,
        radius=radius,
        stalls=jnp.where(progress, 0, state.stalls + 1),
        steps=state.steps + 1,
        own=state.own,
    )


def search_ended(motions: AbstractMotions, tolerance: Array, max_steps: Array, state: PolishState) -> Array:
    """Which lanes can do no better: one fruitless trial within the tolerance, several outside it, or the budget."""
    within = motions.largest(state.gradient) <= tolerance
    fruitless = state.stalls >= jnp.where(within, 1, _PATIENCE)
    still = jnp.all(state.gradient == 0, axis=0)
    return fruitless | still | (state.steps >= max_steps)
