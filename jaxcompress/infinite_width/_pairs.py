"""The force of particles on each other: `E[f(x) 1(b·x > 0) x]` for a network `f`, on standard
normal inputs.

By homogeneity no other expectation is needed: `E[f(x) relu(b·x)] = b · E[f(x) 1(b·x > 0) x]`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import activations
from jaxcompress.kernels.internal import AbstractCentred, centred

_RELU: AbstractCentred = centred(activations.relu, activations.relu)  # type: ignore[assignment]
# Pairs in one block of rows: up to here a pair takes 8 ns; blocks four times as large do not fit
# the cache, and a pair takes 20 to 35 ns (one core, float64, 1024 particles).
_BLOCK = 2**16


def network_pull(
    at: Float[Array, "m d"],
    weights: Float[Array, "k d"],
    charges: Float[Array, " k"],
    turned: Float[Array, "k d"] | None = None,
) -> Float[Array, "m d"]:
    """`E[f(x) 1(b_i·x > 0) x]`, `f(x) = Σ_j charges_j relu(v_j·x)`.

    `turned` are the `v_j` where `weights` only have their norms (in the average over an angle). The
    pair's coefficients are those of `kernels.centred`; error 1e-16 of `Σ_j |charges_j| ‖v_j‖`, also
    where neurons coincide.
    """
    turned = weights if turned is None else turned
    sizes = jnp.sum(weights * weights, -1)
    carried = charges[:, None] * turned

    def rows(b: Float[Array, " d"]) -> Array:
        first = _RELU.first(jnp.sum(b * b), sizes, jnp.matmul(turned, b, precision="highest"))
        return b * jnp.dot(first.own, charges, precision="highest") + jnp.matmul(
            first.other, carried, precision="highest"
        )

    block = max(1, _BLOCK // max(1, weights.shape[0]))
    return jax.vmap(rows)(at) if at.shape[0] <= block else jax.lax.map(rows, at, batch_size=block)


def averaged_pull(
    at: Float[Array, "m p"],
    weights: Float[Array, "k p"],
    charges: Float[Array, " k"],
    cosines: Float[Array, " s"],
    shares: Float[Array, " s"],
) -> Float[Array, "m p"]:
    """`network_pull` between orbits `(b_H, r)`, averaged over the cosine between their orthogonal
    parts.
    """

    def add(total: Array, node: tuple[Array, Array]) -> tuple[Array, None]:
        cosine, share = node
        turned = weights.at[:, -1].multiply(cosine)
        return total + share * network_pull(at, weights, charges, turned), None

    return jax.lax.scan(add, jnp.zeros_like(at), (cosines, shares))[0]


def along(weights: Float[Array, "m d"], pull: Float[Array, "m d"]) -> Float[Array, " m"]:
    """`b·E[f 1(b·x>0) x] = E[f relu(b·x)]`."""
    return jnp.sum(weights * pull, -1)
