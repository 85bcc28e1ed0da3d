"""Second-order polish: from the end of a flow to the rounding floor of the critical point beside it.

Letters: `g` gradient, `H = Q diag(λ) Qᵀ` Hessian, `μ` damping. A step is `−Q (g_Q / (|λ| + μ))` on curved modes; modes
with `|λ|` below `FLAT` times the largest are the symmetries of the risk (or indistinguishable from them): the gradient
has no part along them but rounding, and dividing it by their eigenvalue is what breaks plain Newton.
Accepted is what lowers `‖g‖`: near its floor the risk can no longer tell.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.solve._flow import Motion

# Eigenvalues of an exact symmetry come out at up to 1e-12 of the largest (ReLU scaling, 1300 unknowns, float64). At a
# point where the gradient is γ they are off by O(γ), so a point that is not yet critical sees them larger.
FLAT = {jnp.dtype("float64"): 1e-10, jnp.dtype("float32"): 1e-5}


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
    damping: Array
    stalls: Array
    steps: Array


def polish(motion: Motion, start: Float[Array, " P"], max_steps: int = 40) -> Polished:
    """Newton with damping in the eigenbasis of the exact Hessian, until the gradient falls no further.

    One symmetric eigendecomposition a step. `index` counts eigenvalues below `−FLAT·max|λ|`. Fit for `vmap`; a
    non-finite trial is a rejected one, so it cannot stop its batch.
    """
    flat = FLAT[start.dtype]

    def trial(state: _State) -> _State:
        values, basis = jnp.linalg.eigh(motion.hessian(state.vector))
        largest = jnp.max(jnp.abs(values))
        curved = jnp.abs(values) > flat * largest
        damped = jnp.abs(values) + state.damping * largest
        step = basis @ jnp.where(curved, (basis.T @ state.gradient) / jnp.where(curved, damped, 1), 0)
        point = state.vector - step
        gradient = motion.gradient(point)
        old, new = jnp.linalg.norm(state.gradient), jnp.linalg.norm(gradient)
        better = new < old  # false for NaN
        # Near the floor ‖g‖ wanders by rounding: two steps in a row that do not halve it are the end.
        halved = better & (new < 0.5 * old)
        return _State(
            vector=jnp.where(better, point, state.vector),
            gradient=jnp.where(better, gradient, state.gradient),
            damping=jnp.where(better, 0.1 * state.damping, jnp.maximum(10 * state.damping, 1e-6)),
            stalls=jnp.where(halved, 0, state.stalls + 1),
            steps=state.steps + 1,
        )

    def going(state: _State) -> Bool[Array, ""]:
        return (state.steps < max_steps) & (state.stalls < 6) & jnp.any(state.gradient != 0)

    zero = jnp.zeros((), jnp.int32)
    first = _State(start, motion.gradient(start), jnp.zeros((), start.dtype), zero, zero)
    end = jax.lax.while_loop(going, trial, first)
    eigenvalues = jnp.linalg.eigvalsh(motion.hessian(end.vector))
    index = jnp.sum(eigenvalues < -flat * jnp.max(jnp.abs(eigenvalues)))
    return Polished(end.vector, jnp.max(jnp.abs(end.gradient)), eigenvalues, index, end.steps)
