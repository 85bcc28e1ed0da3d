"""One look at every pair of neurons: by Hermite series where all kinks are smoothed, in the plane
of each pair otherwise.

Letters as in `_model`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.compression._pair_moments import (
    Matrices,
    Split,
    Vectors,
    angles,
    planes,
)
from jaxcompress.kernels.internal import (
    GRADIENT,
    HESSIAN_ORDERS,
    MIXED_DERIVATIVE,
    SECOND_DERIVATIVE,
    VALUE,
    First,
    Second,
    formulas,
    smoothed,
    tables,
)
from jaxcompress.networks.internal import Layer
from jaxcompress.special.internal import polar


class Pairs(NamedTuple):
    """Moments of all pairs of the student's neurons with these and the target's, the directions of
    all, and the norms of the student's.
    """

    norms: Float[Array, " n"]
    units: Float[Array, "nk r"]
    table: Float[Array, "n nk"]
    slopes: Vectors
    bend: Matrices
    cross: Matrices


def all_pairs(x: Layer, target: Layer) -> Pairs:
    """One look at every pair; both layers are of one activation."""
    f = x.activation
    return _pairs_by_series(x, target) if smoothed(f) else _pairs_by_planes(x, target)


def _pairs_by_series(x: Layer, target: Layer) -> Pairs:
    """By Stein's lemma, with `T_ab = E[f⁽ᵃ⁾ f⁽ᵇ⁾]`: `E[f′g z] = σ_x T_20 x̂ + σ_y T_11 ŷ`, and so
    on.
    """
    n, f = x.weights.shape[0], x.activation
    weights = jnp.concatenate([x.weights, target.weights])
    means = (
        None if x.mean is None or target.mean is None else jnp.concatenate([x.mean, target.mean])
    )
    some = tables(f, f, x.weights, x.mean, weights, means, HESSIAN_ORDERS, itself=True)
    t00, t10, t20, t11, t30, t21, t40, t31, t22 = some
    norms, units = polar(weights)
    s, t = norms[:n, None], norms[None]
    within = (slice(None), slice(0, n))
    t12, t13 = t21[within].T, t31[within].T
    square = t[:, :n]
    return Pairs(
        norms=norms[:n],
        units=units,
        table=t00,
        slopes=Vectors(t10, s * t20, t * t11),
        bend=Matrices(t20, s * t30, t * t21, s * s * t40, s * t * t31, t * t * t22),
        cross=Matrices(
            t11[within],
            s * t21[within],
            square * t12,
            s * s * t31[within],
            s * square * t22[within],
            square * square * t13,
        ),
    )


def _pairs_by_planes(x: Layer, target: Layer) -> Pairs:
    """In the plane of every pair."""
    n, f = x.weights.shape[0], x.activation
    norms_x, units_x = polar(x.weights)
    norms_y, units_y = polar(target.weights)
    units, norms = jnp.concatenate([units_x, units_y]), jnp.concatenate([norms_x, norms_y])
    means = (
        None if x.mean is None or target.mean is None else jnp.concatenate([x.mean, target.mean])
    )
    cos, sin = angles(units, n)
    pairs = planes(norms_x, x.mean, norms, means, cos, sin)
    parts = formulas(f, f).expect(pairs, (VALUE, GRADIENT, SECOND_DERIVATIVE, MIXED_DERIVATIVE))
    (table,), first, second, both = (
        tuple(jnp.broadcast_to(q, cos.shape) for q in moments) for moments in parts
    )
    split, square = Split(cos, sin), Split(cos[:, :n], sin[:, :n])
    return Pairs(
        norms=norms_x,
        units=units,
        table=table,
        slopes=split.vectors(First(*first)),
        bend=split.matrices(Second(*second)),
        cross=square.matrices(Second(*(moment[:, :n] for moment in both))),
    )
