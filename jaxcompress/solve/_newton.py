"""The hand-over from the flow to Newton's method, where Kantorovich's test says that it ends where the flow does.

With `δ = −H(y)⁻¹g(y)` and the simplified second correction `δ̄ = −H(y)⁻¹g(y + δ)`, the ratio `Θ = |δ̄|/|δ|` estimates
half of Kantorovich's `h₀ = ω|δ|`, `ω` the affine-invariant Lipschitz constant of the Hessian (Deuflhard 2004, *Newton
Methods for Nonlinear Problems*, section 2.1). With `H(y)` positive definite and `h₀ ≤ ½` there is a critical point
within the ball about `y` in which `H` stays positive definite: the risk is convex there, and the flow ends at that
point as Newton does. So the test is a Cholesky factor and `Θ ≤ 1/16`, four times stricter than the theorem asks of
exact quantities, for `Θ` is an estimate from one direction.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._lanes import spread
from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._rosenbrock import apply_inverse, factor
from jaxcompress.solve._vectors import length
from jaxcompress.special import precision

_CONTRACTION = 1 / 16
_MAX_STEPS = 12
# Corrections with one factor, as long as each is at most a quarter of the one before. ReLU, n = k = d = 20, where one
# costs an eighth of a Hessian and its factor, takes 2.2 factors; with two corrections each it took 3.8.
_CORRECTIONS, _USEFUL = 6, 1 / 4


class NewtonState(NamedTuple):
    """A lane: the point and its gradient, whether it was taken over, whether it has ended, how many steps it took."""

    y: Array
    gradient: Array
    taken: Array
    over: Array
    steps: Array
    own: Any


class Correction(NamedTuple):
    """Where a correction led and the gradient there, its size, and what share that is of the size of the one before."""

    point: Array
    gradient: Array
    size: Array
    ratio: Array


def newton_start(motions: AbstractMotions, y: Array, own: Any) -> NewtonState:
    """Every lane at its point, none taken over yet."""
    lanes = y.shape[-1:]
    no, count = jnp.zeros(lanes, bool), jnp.zeros(lanes, jnp.int32)
    return NewtonState(y, motions.gradient(y, own), no, no, count, own)


def newton_step(motions: AbstractMotions, state: NewtonState) -> NewtonState:
    """Corrections with one factor, two at least. The first step decides whether the lane is taken over; a lane ends
    when a further correction would be lost in the rounding of the point, when its gradient has stopped falling, or at
    once when it is not taken over."""
    hessian = motions.hessian(state.y, state.own)
    # Along exact symmetries the gradient has no part, and the curvature there, zero at the end, is replaced by the
    # largest; other zero modes (neurons at zero) are lifted by what counts as flat.
    size = jnp.max(jnp.abs(jnp.diagonal(hessian, axis1=1, axis2=2)), axis=1)
    symmetries = motions.symmetries(state.y, state.own)
    if symmetries is not None:
        hessian += size[:, None, None] * jnp.einsum("bmp,bmq->bpq", symmetries, symmetries)
    factored = factor(hessian, precision(state.y.dtype).flat * size)
    limits = jnp.finfo(state.y.dtype)

    def correct(point: Array, gradient: Array, before: Array) -> Correction:
        change = -apply_inverse(factored, gradient)
        size = length(change)
        point = point + change
        return Correction(point, motions.gradient(point, state.own), size, size / jnp.maximum(before, limits.tiny))

    def lost(now: Correction) -> Array:
        """Whether the next correction, as much smaller as this one was, would change no digit of the point."""
        return now.ratio * now.size <= limits.eps * length(now.point)

    def useful(now: Correction) -> Array:
        return wanted & (now.ratio <= _USEFUL) & ~lost(now)  # false for NaN

    def again(carry):
        count, now = carry
        then = correct(now.point, now.gradient, now.size)
        go = useful(now)  # a lane that needs no more stays, or it would depend on the others
        return count + 1, jax.tree.map(lambda new, old: jnp.where(spread(go, old), new, old), then, now)

    first = correct(state.y, state.gradient, jnp.ones(state.y.shape[1:], state.y.dtype))
    second = correct(first.point, first.gradient, first.size)
    wanted = state.taken | ((state.steps == 0) & (second.ratio <= _CONTRACTION))
    _, end = jax.lax.while_loop(
        lambda carry: (carry[0] < _CORRECTIONS) & jnp.any(useful(carry[1])), again, (jnp.asarray(2), second)
    )
    falling = length(end.gradient) < 0.5 * length(state.gradient)  # false for NaN
    taken = wanted & (falling | (state.steps > 0))
    go = wanted & falling
    return NewtonState(
        y=jnp.where(go[None], end.point, state.y),
        gradient=jnp.where(go[None], end.gradient, state.gradient),
        taken=taken,
        over=~go | lost(end) | (state.steps + 1 >= _MAX_STEPS),
        steps=state.steps + 1,
        own=state.own,
    )
