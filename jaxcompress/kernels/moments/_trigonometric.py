"""Sines and cosines with each other, where exponentials of complex rates would cancel.

Let `S = e^{−(s+t)/2} sinh c`, and `C` the same with `cosh`. `E[sin X sin Y] = S cos μ_x cos μ_y + C
sin μ_x sin μ_y`, and likewise for the others. `(s + t)/2 − |c|` is half the squared distance of the
weights, or of one from the opposite of the other, and is computed as such.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels.moments._plane import Plane


def trigonometric(at: Plane, left: complex, right: complex) -> Array:
    """`E[Re(left·e^{iX}) Re(right·e^{iY})]`."""
    product = at.std_x * at.std_y
    size = product * jnp.abs(at.cos)
    gap = (at.std_x - at.std_y) ** 2 + 2 * product * at.sin * at.sin / (1 + jnp.abs(at.cos))
    near, decay = jnp.exp(-0.5 * gap), -jnp.expm1(-2 * size)
    odd, even = 0.5 * jnp.sign(at.cos) * near * decay, 0.5 * near * (2 - decay)
    cos_x, sin_x = jnp.cos(at.known_mean_x), jnp.sin(at.known_mean_x)
    cos_y, sin_y = jnp.cos(at.known_mean_y), jnp.sin(at.known_mean_y)
    # Re(left·e^{iμ + iξ}) = p cos ξ − q sin ξ with p + iq = left·e^{iμ}, and E[cos ξ sin η] = 0
    p_x, q_x = left.real * cos_x - left.imag * sin_x, left.real * sin_x + left.imag * cos_x
    p_y, q_y = right.real * cos_y - right.imag * sin_y, right.real * sin_y + right.imag * cos_y
    return even * p_x * p_y + odd * q_x * q_y
