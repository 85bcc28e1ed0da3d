"""The hand-over from the flow to Newton's method, where Kantorovich's test says that it ends where
the flow does.

With `δ = −H(y)⁻¹g(y)` and the simplified second correction `δ̄ = −H(y)⁻¹g(y + δ)`, the ratio `Θ =
|δ̄|/|δ|` estimates half of Kantorovich's `h₀ = ω|δ|`, `ω` the affine-invariant Lipschitz constant
of the Hessian (Deuflhard 2004, *Newton Methods for Nonlinear Problems*, section 2.1). With `H(y)`
positive definite and `h₀ ≤ ½` there is a critical point within the ball about `y` in which `H`
stays positive definite: the risk is convex there, and the flow ends at that point as Newton does.
So the test is a Cholesky factor and `Θ ≤ 1/16`, four times stricter than the theorem asks of exact
quantities, for `Θ` is an estimate from one direction.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress.solvers._phase import KEPT, AbstractPhase, Track, blank_work, kept_where, solved
from jaxcompress.solvers._rosenbrock import factor
from jaxcompress.solvers._vectors import length
from jaxcompress.special.internal import precision

_CONTRACTION = 1 / 16
_MAX_STEPS = 12
# Corrections with one factor, as long as each is at most a quarter of the one before. ReLU, n = k =
# d = 20, where one costs an eighth of a Hessian and its factor, takes 2.2 factors; with two
# corrections each it took 3.8.
_CORRECTIONS, _USEFUL = 6, 1 / 4


class HandOver(AbstractPhase):
    """Corrections with one factor a pass, two at least. The first pass decides whether a slot is
    taken over; a slot ends when a further correction would be lost in the rounding of the point,
    when its gradient has stopped falling, or at once when it is not taken over."""

    table = np.tril(np.ones((KEPT + 1, KEPT + 1)), -1)

    def needs_factor(self, slot):
        return jnp.any(slot.point.known)

    def factored(self, hessian, slot, own):
        # Along exact symmetries the gradient has no part, and the curvature there, zero at the end,
        # is replaced by the largest; other zero modes (neurons at zero) are lifted by what counts
        # as flat.
        y = slot.point.y
        size = jnp.max(jnp.abs(jnp.diagonal(hessian, axis1=1, axis2=2)), axis=1)
        symmetries = self.objective.symmetries(y, own)
        if symmetries is not None:
            hessian += size[:, None, None] * jnp.einsum("bmp,bmq->bpq", symmetries, symmetries)
        return factor(hessian, precision(y.dtype).flat * size)

    def prepare(self, matrices, slot, own):
        gradient = slot.point.gradient
        work = blank_work(slot)._replace(length=jnp.ones_like(slot.point.risk))
        return work._replace(first=-solved(matrices.factored, gradient))

    def absorb(self, stage, pulled, factored, work, slot):
        now, newton = stage.track, slot.newton
        first = stage.number == 1  # the second correction is always made: its size decides
        may = newton.taken | ((newton.steps == 0) & (now.ratio <= _CONTRACTION))
        wanted = jnp.where(stage.number == 2, may, now.wanted)
        useful = wanted & (now.ratio <= _USEFUL) & ~_lost(now, stage.found.y)  # false for NaN
        on = (first | useful) & slot.point.known
        going = jnp.any(on) & (stage.number < _CORRECTIONS)
        vector = jax.lax.cond(
            going,
            lambda: jnp.where(on[None], -solved(factored, stage.found.gradient), 0),
            lambda: jnp.zeros_like(pulled),
        )
        size = length(vector)
        then = Track(size, size / jnp.maximum(now.size, jnp.finfo(size.dtype).tiny), wanted)
        go = on & going  # a slot that needs no more stays, or it would depend on the others
        track = jax.tree.map(
            lambda new, old: jnp.where(go, new, old), then, now._replace(wanted=wanted)
        )
        return vector, track, stage.displacement, going

    def finish(self, work, stages, slot, own):
        point, newton, found = slot.point, slot.newton, stages.found
        falling = length(found.gradient) < 0.5 * length(point.gradient)  # false for NaN
        wanted = stages.track.wanted
        go = wanted & falling
        after = kept_where(go, found, point)
        newton = newton._replace(
            taken=wanted & (falling | (newton.steps > 0)),
            over=~go | _lost(stages.track, found.y) | (newton.steps + 1 >= _MAX_STEPS),
            steps=newton.steps + 1,
            total=newton.total + 1,
        )
        return slot._replace(point=after, newton=newton)

    def ended(self, slot):
        return slot.newton.over


def _lost(now: Track, y: Array) -> Array:
    """Whether the next correction, as much smaller as this one was, would change no digit of the
    point.
    """
    return now.ratio * now.size <= jnp.finfo(y.dtype).eps * length(y)
