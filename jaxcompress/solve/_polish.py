"""Second-order polish: from the end of a flow to the rounding floor of the critical point beside it.

Letters: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `μ` damping. A step is `−Q (g_Q / (|λ| + μ))` on curved modes; modes
with `|λ|` below a stated share of the largest are the symmetries of the risk (or indistinguishable from them): the
gradient has no part along them but rounding, and dividing it by their eigenvalue is what breaks plain Newton.
Accepted is what lowers the risk, or `‖g‖` where the risk is so near its rounding floor that it can no longer tell.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.solve._flow import Motion
from jaxcompress.special import precision

# A flow's end needs 5 to 15 steps; the end of an L-BFGS descent with a thousand unknowns up to 60.
MAX_STEPS = 80


class Polished(eqx.Module):
    """The point with its risk, rounding floor, gradient's maximum norm, spectrum (ascending), index; steps taken."""

    vector: Float[Array, " P"]
    risk: Float[Array, ""]
    floor: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    eigenvalues: Float[Array, " P"]
    index: Int[Array, ""]
    steps: Int[Array, ""]


class _State(NamedTuple):
    vector: Array
    gradient: Array
    risk: Array
    floor: Array
    eigenvalues: Array
    damping: Array
    stalls: Array
    steps: Array


def polish(motion: Motion, start: Float[Array, " P"], max_steps: int = MAX_STEPS) -> Polished:
    """Newton with damping in the eigenbasis of the exact Hessian, until the gradient falls no further.

    One symmetric eigendecomposition a step. `index` counts eigenvalues below minus the flat share of `max|λ|`; where
    the Hessian is not finite it is −1 and the eigenvalues are infinite. The spectrum is that of the last point but one
    step, which at the rounding floor is the same. Fit for `vmap`; a trial that is not finite is a rejected one, so it
    cannot stop its batch.
    """
    flat = precision(start.dtype).flat

    def trial(state: _State) -> _State:
        values, basis = jnp.linalg.eigh(motion.hessian(state.vector))
        largest = jnp.max(jnp.abs(values))
        curved = jnp.abs(values) > flat * largest
        damped = jnp.abs(values) + state.damping * largest
        step = basis @ jnp.where(curved, (basis.T @ state.gradient) / jnp.where(curved, damped, 1), 0)
        first = state.steps == 0
        point = jnp.where(first, state.vector, state.vector - step)
        (risk, floor), gradient = motion.value_and_gradient(point)
        old, new = jnp.linalg.norm(state.gradient), jnp.linalg.norm(gradient)
        # Comparisons are false for NaN, so a broken trial is a rejected one.
        lower = risk < state.risk - 4 * floor
        better = first | lower | ((risk <= state.risk + 4 * floor) & (new < old))
        # Near the floor ‖g‖ wanders by rounding: six trials in a row without real progress are the end.
        progress = first | lower | (better & (new < 0.5 * old))
        return _State(
            vector=jnp.where(better, point, state.vector),
            gradient=jnp.where(better, gradient, state.gradient),
            risk=jnp.where(better, risk, state.risk),
            floor=jnp.where(better, floor, state.floor),
            eigenvalues=values,
            damping=jnp.where(better, 0.1 * state.damping, jnp.maximum(10 * state.damping, 1e-6)),
            stalls=jnp.where(progress, 0, state.stalls + 1),
            steps=state.steps + 1,
        )

    def going(state: _State) -> Bool[Array, ""]:
        # the first pass measures the start, the second has its spectrum
        return (state.steps < 2) | ((state.steps < max_steps) & (state.stalls < 6) & jnp.any(state.gradient != 0))

    zero, count = jnp.zeros((), start.dtype), jnp.zeros((), jnp.int32)
    blank = jnp.zeros_like(start)
    end = jax.lax.while_loop(going, trial, _State(start, blank, zero, zero, blank, zero, count, count))
    known = jnp.all(jnp.isfinite(end.eigenvalues))
    index = jnp.sum(end.eigenvalues < -flat * jnp.max(jnp.abs(end.eigenvalues)))
    return Polished(
        vector=end.vector,
        risk=end.risk,
        floor=end.floor,
        gradient_norm=jnp.max(jnp.abs(end.gradient)),
        eigenvalues=jnp.where(known, end.eigenvalues, jnp.inf),
        index=jnp.where(known, index, -1),
        steps=end.steps - 1,
    )
