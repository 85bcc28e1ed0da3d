"""The angle of a point in the right half plane, without branches: what hot loops spend their time
in.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

# arctan(x)/x as a ratio of polynomials in x² on [0, 1], fitted with 50 digits: the ratio itself is
# within 6e-18.
_ABOVE = (
    1.0,
    2.5056466289183716,
    2.283096290542051,
    0.9210986461703846,
    0.1592251775296955,
    0.009362030825174766,
    8.073417313704847e-05,
)
_BELOW = (
    1.0,
    2.838979962251702,
    3.0294229446261682,
    1.505967444779261,
    0.34978719189590174,
    0.03300585071480112,
    0.0008269203567822751,
)


def arctangent(y: Float[Array, "..."], x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`arctan(y/x)` in `[−π/2, π/2]` for `x ≥ 0`; zero at the origin.

    At most 4 ulp (float64), and a tenth of the time of XLA's `arctan2` on a CPU, whose loops it
    does not break: everything is multiplications, two divisions and selections.

    >>> from jaxcompress import special
    >>> round(float(special.arctangent(1.0, 0.0)), 4)  # π/2
    1.5708
    """
    size = jnp.abs(y)
    steep = size > x
    large = jnp.where(steep, size, x)
    ratio = jnp.where(steep, x, size) / jnp.where(large > 0, large, 1)
    square = ratio * ratio
    flat = ratio * (_polynomial(_ABOVE, square) / _polynomial(_BELOW, square))
    angle = jnp.where(steep, math.pi / 2 - flat, flat)
    return jnp.where(y < 0, -angle, angle)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    out = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        out = out * x + coefficient
    return out
