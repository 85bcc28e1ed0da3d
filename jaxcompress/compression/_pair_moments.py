"""Moments of all pairs of neurons, in coefficients along the unit vectors of both.

Letters as in `_model`: in the plane of two neurons, with unit vectors `x̂`, `ŷ`, every moment is
`E[q z] = a x̂ + b ŷ` and `E[q zzᵀ] = m I + xx x̂x̂ᵀ + xy (x̂ŷᵀ + ŷx̂ᵀ) + yy ŷŷᵀ`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.internal import Angle, First, Plane, Second, formulas, plane
from jaxcompress.networks.internal import ONE, Layer


class Vectors(NamedTuple):
    """`E[q]` and the coefficients of `E[q z]` along both unit vectors, for every pair."""

    mean: Float[Array, "n m"]
    x: Float[Array, "n m"]
    y: Float[Array, "n m"]


class Matrices(NamedTuple):
    """The same and the coefficients of `E[q zzᵀ]`."""

    mean: Float[Array, "n m"]
    x: Float[Array, "n m"]
    y: Float[Array, "n m"]
    xx: Float[Array, "n m"]
    xy: Float[Array, "n m"]
    yy: Float[Array, "n m"]


class Alone(NamedTuple):
    """Moments of single neurons: `E[q]`, `E[q z]` along the neuron and, of second derivatives, `E[q
    zzᵀ] − E[q] I`.
    """

    mean: Float[Array, " n"]
    x: Float[Array, " n"]
    xx: Float[Array, " n"]


def angles(
    units: Float[Array, "nk r"], n: int
) -> tuple[Float[Array, "n nk"], Float[Array, "n nk"]]:
    """Cosine and sine of every pair, at a neuron with itself exactly one and zero, at a dead one
    zero and one.

    The sine is half the product of `|x̂ − ŷ|` and `|x̂ + ŷ|`: from a rounded cosine it is off by
    1e-8 next to coincident neurons, which the risk of functions that jump does feel (a step: 4e-10
    of 2.5e-3).
    """
    x, y = units[:n, None], units[None]
    gap, total = jnp.sum((x - y) ** 2, -1), jnp.sum((x + y) ** 2, -1)
    acute = gap <= total
    versine = 0.5 * jnp.where(acute, gap, total)  # 1 ∓ cos
    product = jnp.clip(units[:n] @ units.T, -1, 1)
    cos = jnp.where(versine > 0.5, product, jnp.where(acute, 1 - versine, versine - 1))
    squares = jnp.sum(units**2, 1)
    alive = (squares[:n, None] > 0.5) & (squares[None] > 0.5)
    return jnp.where(alive, cos, 0), jnp.where(alive, 0.5 * jnp.sqrt(gap * total), 1)


class Split:
    """From moments in the frame of the first neuron to coefficients along both."""

    def __init__(self, cos: Array, sin: Array):
        # below this sine nothing is left of the direction across: its part is left out
        least = 100 * jnp.finfo(cos.dtype).eps ** 0.5
        self.cos, self.inverse = cos, jnp.where(sin > least, 1 / jnp.where(sin > least, sin, 1), 0)

    def vectors(self, q: First) -> Vectors:
        y = q.across * self.inverse
        return Vectors(jnp.broadcast_to(q.mean, y.shape), q.along - self.cos * y, y)

    def matrices(self, q: Second) -> Matrices:
        yy = (q.across_across - q.mean) * self.inverse**2
        mixed = q.along_across * self.inverse
        xy = mixed - self.cos * yy
        xx = (q.along_along - q.mean) - self.cos * (mixed + xy)
        return Matrices(*self.vectors(First(q.mean, q.along, q.across)), xx, xy, yy)


def planes(
    norms_x, mean_x, norms_y, mean_y, cos: Float[Array, "n m"], sin: Float[Array, "n m"]
) -> Plane:
    """The planes of pairs that are known by norms, means and angle."""
    angle = Angle(cos, sin, jnp.arctan2(sin, cos), jnp.arctan2(sin, -cos))
    column = None if mean_x is None else mean_x[:, None]
    row = None if mean_y is None else mean_y[None]
    return plane(column, row, norms_x[:, None], norms_y[None], angle)


def alone_moments(norms: Float[Array, " n"], x: Layer) -> tuple[Float[Array, " n"], Alone, Alone]:
    """`E f`, and the moments of `f′` and `f″`: those of pairs with a neuron that is always one."""
    moments, none = formulas(x.activation, ONE), jnp.zeros((1,), norms.dtype)
    column = jnp.zeros_like(norms)[:, None]
    pairs = planes(norms, x.mean, none, None if x.mean is None else none, column, column + 1)
    first, second = moments.gradient(pairs), moments.second_derivative(pairs)

    def flat(moment: Array) -> Array:
        return jnp.broadcast_to(moment, column.shape)[:, 0]

    slopes = Alone(flat(first.mean), flat(first.along), flat(first.mean))
    bend = Alone(flat(second.mean), flat(second.along), flat(second.along_along - second.mean))
    return flat(moments.value(pairs)), slopes, bend
