"""From two families of weight vectors to planes: norms, angles and the frames of every pair."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.moments._moments import First, Second
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.special.internal import Unit, divide, sqrt, unit


class Frames(NamedTuple):
    """All pairs of `n` by `k` neurons, with the unit vectors that span each pair's plane.

    `along_x` is the direction of the first neuron and `across_x` the unit vector of the plane at a
    right angle to it, on the side of the second neuron; `along_y`, `across_y` the same for the
    second. The across vectors are zero where the two directions are equal or opposite.
    """

    plane: Plane
    along_x: Float[Array, "n 1 d"]
    across_x: Float[Array, "n k d"]
    along_y: Float[Array, "1 k d"]
    across_y: Float[Array, "n k d"]


def frames(
    weights_x: Float[Array, "n d"],
    mean_x: Float[Array, " n"] | None,
    weights_y: Float[Array, "k d"],
    mean_y: Float[Array, " k"] | None,
) -> Frames:
    """Measure every pair, for inputs that are standard normal.

    The angle is `2·atan2(|ŵ−v̂|, |ŵ+v̂|)` with both lengths good to an ulp: `arccos` of the inner
    product is good to 1e-8 only.
    """
    return _frames(unit(weights_x), mean_x, unit(weights_y), mean_y)


def frames_within(
    weights: Float[Array, "k d"], mean: Float[Array, " k"] | None, rows: int
) -> Frames:
    """`frames` of the first `rows` neurons of a family with all of it."""
    y = unit(weights)
    x = Unit(*(part[:rows] for part in y))
    return _frames(x, None if mean is None else mean[:rows], y, mean)


def one_pair(
    w: Float[Array, " d"], mean_x: Array | None, v: Float[Array, " d"], mean_y: Array | None
) -> Frames:
    """`frames` of two neurons alone, to be mapped over pairs: `n` and `k` are one."""
    shifts = (None if mean is None else mean[None] for mean in (mean_x, mean_y))
    return frames(w[None], next(shifts), v[None], next(shifts))


def _frames(x: Unit, mean_x: Array | None, y: Unit, mean_y: Array | None) -> Frames:
    along_x, along_y = x.direction[:, None, :], y.direction[None, :, :]
    gap = (x.head[:, None] - y.head[None]) + (x.tail[:, None] - y.tail[None])
    total = (x.head[:, None] + y.head[None]) + (x.tail[:, None] + y.tail[None])
    chord, co_chord = sqrt(jnp.sum(gap * gap, -1)), sqrt(jnp.sum(total * total, -1))
    alive = (x.norm[:, None] > 0) & (y.norm[None, :] > 0)
    acute = chord <= co_chord
    versine = 0.5 * jnp.where(acute, chord, co_chord) ** 2  # 1 ∓ cos
    # Next to a right angle chord and co-chord are of order one, and their difference keeps an
    # absolute 1e-16 only: there the inner product does better.
    product, upright = jnp.sum(along_x * along_y, -1), versine > 0.5
    cos = jnp.where(upright, product, jnp.where(acute, 1 - versine, versine - 1))
    angle = Angle(
        cos=jnp.where(alive, cos, 0),
        sin=jnp.where(alive, 0.5 * chord * co_chord, 1),
        angle=jnp.where(alive, 2 * jnp.arctan2(chord, co_chord), math.pi / 2),
        supplement=jnp.where(alive, 2 * jnp.arctan2(co_chord, chord), math.pi / 2),
    )
    # what is left of the other direction, or of gap and total, without the part along the own one
    inverse = divide(jnp.ones_like(angle.sin), angle.sin)[..., None]
    versine = jnp.where(alive, versine, 1)
    part = jnp.where(upright, angle.cos, jnp.where(acute, -versine, versine))[..., None]
    upright, acute = upright[..., None], acute[..., None]
    across_x = (
        jnp.where(upright, along_y, jnp.where(acute, -gap, total)) - part * along_x
    ) * inverse
    across_y = (
        jnp.where(upright, along_x, jnp.where(acute, gap, total)) - part * along_y
    ) * inverse
    column = None if mean_x is None else mean_x[:, None]
    row = None if mean_y is None else mean_y[None, :]
    return Frames(
        plane(column, row, x.norm[:, None], y.norm[None, :], angle),
        along_x,
        across_x,
        along_y,
        across_y,
    )


def as_vectors(first: First, along: Array, across: Array) -> Float[Array, "n k d"]:
    """`E[q x]` from the in-plane moments of `q`."""
    return first.along[..., None] * along + first.across[..., None] * across


def apply_second(
    second: Second, along: Array, across: Array, vectors: Array | None, shifts: Array | None
) -> tuple[Array, Array]:
    """`E[q x xᵀ] u + E[q x] η` and `E[q xᵀ] u + E[q] η` for every pair.

    `vectors` `u` and `shifts` `η` are tangents of weights and means, broadcast over the table;
    `None` is zero.
    """
    m, a, c, aa, ac, cc = second
    eta = jnp.zeros_like(m) if shifts is None else shifts
    if vectors is None:
        return ((a * eta)[..., None] * along + (c * eta)[..., None] * across), m * eta
    p, q = jnp.sum(along * vectors, -1), jnp.sum(across * vectors, -1)
    on_along = (aa - m) * p + ac * q + a * eta
    on_across = ac * p + (cc - m) * q + c * eta
    out = m[..., None] * vectors + on_along[..., None] * along + on_across[..., None] * across
    return out, m * eta + a * p + c * q
