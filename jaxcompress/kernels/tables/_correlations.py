"""Correlations of all pairs of two families by matrix products, fast or to twice the working
precision.

Letters: `x_i = w_i/√(|w_i|² + ν²)` with `ν` the noise of the activation, `y_j` the same for the
other family, and `ρ = x_i·y_j`. One product of matrices knows `ρ` to an absolute ε, and therefore
`1 − |ρ|` too: the angle of an almost coincident pair is off by `ε/θ`, at worst 1e-8. Where that
matters, `ρ` is summed exactly from slices of few bits (Ozaki, Ogita, Oishi & Rump 2012), and
everything is still products of matrices: no vector per pair is ever formed.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.special.internal import divide, sqrt, unit


class Correlation(NamedTuple):
    """`ρ`, `1 − ρ` and `1 + ρ`; the last two may be `−ε` where rounding made them so."""

    rho: Float[Array, "n k"]
    below: Float[Array, "n k"]
    above: Float[Array, "n k"]

    @property
    def sine(self) -> Float[Array, "n k"]:
        """`√(1 − ρ²)`, zero (of derivative zero) where rounding left nothing."""
        return sqrt(self.below * self.above)

    @property
    def rest(self) -> Float[Array, "n k"]:
        """`1 − |ρ|`."""
        return jnp.minimum(self.below, self.above)


def product(x: Float[Array, "n d"], right: Float[Array, "d k"]) -> Float[Array, "n k"]:
    """`x_i·y_j` for `right = yᵀ`, in the dtype given: accelerators would round float32 to fewer
    bits unless told.
    """
    return jnp.matmul(x, right, precision=jax.lax.Precision.HIGHEST)


def moved(x, right, dx: Array | None, d_right: Array | None) -> Float[Array, "n k"]:
    """The derivative of `product`; `None` is zero.

    What reverse mode makes of the second term is `xᵀC`. A CPU takes twice as long for a product
    whose first factor lies transposed (3.9 against 2.1 ms for 1000 × 1000 × 100), so `xᵀ`, the
    smaller of the two, is laid out anew.
    """
    out = jnp.zeros((x.shape[0], right.shape[1]), x.dtype)
    if dx is not None:
        out = out + product(dx, right)
    if d_right is not None:
        flat = jax.lax.optimization_barrier(x.T)
        dims = (((0,), (0,)), ((), ()))
        out = out + jax.lax.dot_general(flat, d_right, dims, precision=jax.lax.Precision.HIGHEST)
    return out


def normalised(
    weights: Float[Array, "n d"], noise: float
) -> tuple[Float[Array, "n d"], Float[Array, " n"]]:
    """`w/√(|w|² + ν²)` and that root; a row of norm zero without noise is zero, and so are its
    derivatives.

    Squares must neither overflow nor underflow: norms between 1e-150 and 1e150 (float32: 1e-18 and
    1e18).
    """
    size = sqrt(jnp.sum(weights * weights, -1) + noise * noise)
    return weights * divide(jnp.ones_like(size), size)[:, None], size


def fast(x: Float[Array, "n d"], right: Float[Array, "d k"]) -> Correlation:
    """One product; absolute error ε."""
    rho = product(x, right)
    return Correlation(rho, 1 - rho, 1 + rho)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def precise(
    noise: tuple[float, float],
    x: Float[Array, "n d"],
    right: Float[Array, "d k"],
    W: Float[Array, "n d"],
    V: Float[Array, "k d"],
) -> Correlation:
    """Six products; `1 − ρ` and `1 + ρ` to an absolute 1e-23 (float32: 1e-10).

    Everything is computed from the weights `W` and `V` and the noise of their activations, which is
    two dimensions that one family sees each; `x` and `right` carry the derivatives.
    """
    del x, right
    first, second, rest = zip(_slices(W, (noise[0], 0.0)), _slices(V, (0.0, noise[1])), strict=True)
    # Exact, then exact, then what is left: sums of products of slices are whole multiples of
    # 4^-bits and 8^-bits.
    high = product(first[0], first[1].T)
    middle = product(first[0], second[1].T) + product(second[0], first[1].T)
    left = jnp.concatenate([first[0], second[0], rest[0]], -1)
    other = jnp.concatenate([rest[1], second[1] + rest[1], first[1] + second[1] + rest[1]], -1)
    low = product(left, other.T)
    return Correlation(
        (high + middle) + low, ((1 - high) - middle) - low, ((1 + high) + middle) + low
    )


@precise.defjvp
def _precise_jvp(noise, primals, tangents):
    change = moved(*primals[:2], *tangents[:2])
    return precise(noise, *primals), Correlation(change, -change, change)


def _slices(weights: Float[Array, "n d"], noise: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Unit rows as sums of three: multiples of 2^-bits, multiples of 4^-bits, and what remains."""
    if any(noise):
        extra = jnp.broadcast_to(jnp.asarray(noise, weights.dtype), (*weights.shape[:-1], 2))
        weights = jnp.concatenate([weights, extra], -1)
    rows = unit(weights)
    dim = max(1, weights.shape[-1])
    bits = (jnp.finfo(weights.dtype).nmant - math.ceil(math.log2(dim))) // 2
    first = _rounded(rows.head, bits)
    remainder = rows.head - first
    second = _rounded(remainder, 2 * bits)
    return first, second, (remainder - second) + rows.tail


def _rounded(x: Array, bits: int) -> Array:
    return jnp.round(x * 2.0**bits) * 2.0**-bits
