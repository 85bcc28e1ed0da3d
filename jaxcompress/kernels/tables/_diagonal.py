"""A neuron with itself, by one-dimensional integrals: `E[f⁽ᵃ⁾(X) f⁽ᵇ⁾(X)]`.

A series is longest where neurons coincide; there it is a sum over the nodes of the trapezoidal rule
`h Σ_m f⁽ᵃ⁾f⁽ᵇ⁾(μ + σ z_m) φ(z_m)`. The rule's error is what the Fourier transform of the integrand
has at `ω = 2π/h` and beyond (Poisson's sum). A kink that Gaussians of widths `ν` have smoothed
falls there as `exp(−ω²/2/(1 + 2σ²/ν²))`, with a power of `ω` for every derivative, so that what the
rule leaves is known from the widths. Reference: Trefethen & Weideman 2014."""

import functools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation
from jaxcompress.kernels.moments._quadrature import nth_derivative

# Nine standard deviations leave 2e-18. With 193 nodes tanh is done up to a norm of 2.
_REACH, _NODES = 9.0, 193


@functools.cache
def smoothed(f: AbstractActivation) -> bool:
    """Whether a function is made of smoothed kinks, and beside them at most of a line: then the
    rule resolves it, and its reach is enough."""
    terms = f.terms or ()
    kinks = [term for term in terms if term.kink is not None]
    flat = all(term.power <= 1 and not term.rate for term in terms)
    return bool(kinks) and flat and all(min(term.mixture.widths) > 0 for term in kinks)


def diagonal(
    f: AbstractActivation,
    mean: Float[Array, " n"] | None,
    std: Float[Array, " n"],
    orders: Sequence[tuple[int, int]],
) -> tuple[Float[Array, "orders n"], Float[Array, " n"]]:
    """The expectations for every pair of orders, and what the rule leaves of them, relative to `E
    f²` and in units of `σ^{−a−b}`.
    """
    mean = jnp.zeros_like(std) if mean is None else mean
    dtype, step = std.dtype, 2 * _REACH / (_NODES - 1)
    nodes = np.linspace(-_REACH, _REACH, _NODES)
    weights = np.exp(-0.5 * nodes**2) * step / math.sqrt(2 * math.pi)
    points = mean[:, None] + std[:, None] * jnp.asarray(nodes, dtype)[None]
    used = sorted({order for pair in orders for order in pair})
    values = {order: nth_derivative(f, order)(points) for order in used}
    weighted = {order: values[order] * jnp.asarray(weights, dtype)[None] for order in used}
    sums = jnp.stack([jnp.sum(weighted[a] * values[b], 1) for a, b in orders])
    steep = max(a + b for a, b in orders)
    left = _left(f, mean, std, 2 * math.pi / step, steep)
    scale = jnp.sum(f(points) ** 2 * jnp.asarray(weights, dtype)[None], 1)
    return sums, left / jnp.sqrt(jnp.where(scale > 0, scale, 1))


def _left(f: AbstractActivation, mean: Array, std: Array, frequency: float, steep: int) -> Array:
    """What the rule leaves of the integral, from the slowest of the products of two kinks."""
    left = jnp.zeros_like(std)
    for term in f.terms or ():
        for share, width in zip(*term.mixture, strict=True) if term.kink is not None else ():
            # a power beside the kink is at most that at the end of the reach
            far = (jnp.abs(mean) + _REACH * std) ** term.power / width**term.order
            size = abs(term.coefficient) * abs(share) * frequency**steep
            spread = 1 + 2 * (std / width) ** 2
            left += size * far * jnp.exp(-0.5 * frequency**2 / spread)
    return left
