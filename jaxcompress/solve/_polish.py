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
    """The point, its gradient's maximum norm, the spectrum (ascending), the index and the number of steps taken."""

    vector: Float[Array, " P"]
    gradient_norm: Float[Array, ""]
    eigenvalues: Float[Array, " P"]
    index: Int[Array, ""]
    steps: Int[Array, ""]


class _State(NamedTuple):
    vector: Array
    gradient: Array
    risk: Array
    damping: Array
    stalls: Array
    steps: Array


def polish(motion: Motion, start: Float[Array, " P"], max_steps: int = MAX_STEPS) -> Polished:
    """Newton with damping in the eigenbasis of the exact Hessian, until the gradient falls no further.

    One symmetric eigendecomposition a step. Where the Hessian is not finite, `index` is −1 and the eigenvalues are
    infinite. `index` counts eigenvalues below minus that share of `max|λ|`. Fit for `vmap`; a
    non-finite trial is a rejected one, so it cannot stop its batch.
    """
    flat = precision(start.dtype).flat
    noise = 4 * motion.problem.floor(motion.network(start))

    def trial(state: _State) -> _State:
        values, basis = jnp.linalg.eigh(motion.hessian(state.vector))
        largest = jnp.max(jnp.abs(values))
        curved = jnp.abs(values) > flat * largest
        damped = jnp.abs(values) + state.damping * largest
        step = basis @ jnp.where(curved, (basis.T @ state.gradient) / jnp.where(curved, damped, 1), 0)
        point = state.vector - step
        gradient, risk = motion.gradient(point), motion.risk(point)
        old, new = jnp.linalg.norm(state.gradient), jnp.linalg.norm(gradient)
        # Comparisons are false for NaN, so a broken trial is a rejected one.
        lower = risk < state.risk - noise
        better = lower | ((risk <= state.risk + noise) & (new < old))
        # Near the floor ‖g‖ wanders by rounding: six trials in a row without real progress are the end.
        progress = lower | (better & (new < 0.5 * old))
        return _State(
            vector=jnp.where(better, point, state.vector),
            gradient=jnp.where(better, gradient, state.gradient),
            risk=jnp.where(better, risk, state.risk),
            damping=jnp.where(better, 0.1 * state.damping, jnp.maximum(10 * state.damping, 1e-6)),
            stalls=jnp.where(progress, 0, state.stalls + 1),
            steps=state.steps + 1,
        )

    def going(state: _State) -> Bool[Array, ""]:
        return (state.steps < max_steps) & (state.stalls < 6) & jnp.any(state.gradient != 0)

    zero = jnp.zeros((), jnp.int32)
    first = _State(start, motion.gradient(start), motion.risk(start), jnp.zeros((), start.dtype), zero, zero)
    end = jax.lax.while_loop(going, trial, first)
    eigenvalues = jnp.linalg.eigvalsh(motion.hessian(end.vector))
    known = jnp.all(jnp.isfinite(eigenvalues))
    index = jnp.where(known, jnp.sum(eigenvalues < -flat * jnp.max(jnp.abs(eigenvalues))), -1)
    eigenvalues = jnp.where(known, eigenvalues, jnp.inf)
    return Polished(end.vector, jnp.max(jnp.abs(end.gradient)), eigenvalues, index, end.steps)
