"""The hand-over from the flow to Newton's method, where Kantorovich's test says that it ends where the flow does.

With `δ = −H(y)⁻¹g(y)` and the simplified second correction `δ̄ = −H(y)⁻¹g(y + δ)`, the ratio `Θ = |δ̄|/|δ|` estimates
half of Kantorovich's `h₀ = ω|δ|`, `ω` the affine-invariant Lipschitz constant of the Hessian (Deuflhard 2004, *Newton
Methods for Nonlinear Problems*, section 2.1). With `H(y)` positive definite and `h₀ ≤ ½` there is a critical point
within the ball about `y` in which `H` stays positive definite: the risk is convex there, and the flow ends at that
point as Newton does. So the test is a Cholesky factor and `Θ ≤ 1/16`, four times stricter than the theorem asks of
exact quantities, for `Θ` is an estimate from one direction.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._rosenbrock import apply_inverse, factor
from jaxcompress.solve._vectors import length
from jaxcompress.special import precision

_CONTRACTION = 1 / 16
_MAX_STEPS = 12


class NewtonState(NamedTuple):
    """A lane: the point and its gradient, whether it was taken over, whether it has ended, how many steps it took."""

    y: Array
    gradient: Array
    taken: Array
    over: Array
    steps: Array
    own: Any


def newton_start(motions: AbstractMotions, y: Array, own: Any) -> NewtonState:
    """Every lane at its point, none taken over yet."""
    lanes = y.shape[-1:]
    no, count = jnp.zeros(lanes, bool), jnp.zeros(lanes, jnp.int32)
    return NewtonState(y, motions.gradient(y, own), no, no, count, own)


def newton_step(motions: AbstractMotions, state: NewtonState) -> NewtonState:
    """Two corrections with one factor. The first one decides whether the lane is taken over; a lane ends when its
    gradient has stopped falling, or at once when it is not taken over."""
    hessian = motions.hessian(state.y, state.own)
    # Along exact symmetries the gradient has no part, and the curvature there, zero at the end, is replaced by the
    # largest; other zero modes (neurons at zero) are lifted by what counts as flat.
    size = jnp.max(jnp.abs(jnp.diagonal(hessian, axis1=1, axis2=2)), axis=1)
    symmetries = motions.symmetries(state.y, state.own)
    if symmetries is not None:
        hessian += size[:, None, None] * jnp.einsum("bmp,bmq->bpq", symmetries, symmetries)
    factored = factor(hessian, precision(state.y.dtype).flat * size)
    first = -apply_inverse(factored, state.gradient)
    second = -apply_inverse(factored, motions.gradient(state.y + first, state.own))
    ratio = length(second) / jnp.maximum(length(first), jnp.finfo(first.dtype).tiny)
    point = state.y + first + second
    gradient = motions.gradient(point, state.own)
    falling = length(gradient) < 0.5 * length(state.gradient)  # false for NaN
    taken = jnp.where(state.steps == 0, (ratio <= _CONTRACTION) & falling, state.taken)
    go = taken & falling
    return NewtonState(
        y=jnp.where(go[None], point, state.y),
        gradient=jnp.where(go[None], gradient, state.gradient),
        taken=taken,
        over=~go | (state.steps + 1 >= _MAX_STEPS),
        steps=state.steps + 1,
        own=state.own,
    )
