"""Pairs without means in the coordinates of the weights themselves: the short formulas of hot
loops.

`_moments` measures a pair in its own orthonormal frame, exact to the last digits of every corner. A
solver evaluates millions of pairs whose absolute error is all that counts, and here a pair is three
numbers: `s = |w|²`, `t = |u|²` and `q = w·u`. Letters: `s̃ = s + ν²` with `ν` the width of its
smoothing; `Δ = s̃t̃ − q²`; `p = u − (q/s̃) w`.

- `E[f′(X) g(Y) x] = own·w + other·u`;
- `E[f″(X) g(Y) xxᵀ]` and `E[f′(X) g′(Y) xxᵀ]` are `identity·I + pp·ppᵀ + pw·(pwᵀ + wpᵀ) + ww·wwᵀ`.

Next to coincident neurons `√Δ` is good to an absolute 1e-8 only, but value and gradient do not feel
it (their derivative by the angle is the angle itself); the second derivatives of ReLU do, and take
`Δ = s|p|²`.
"""

import abc
import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.special import arctangent
from jaxcompress.special.internal import divide, sqrt

_TWO_OVER_PI = 2 / math.pi
_CIRCLE = 2 * math.pi
_DENSITY = 1 / math.sqrt(_CIRCLE)


class CentredFirst(NamedTuple):
    """`E[f g]` and the coefficients of `E[f′ g x]`."""

    value: Float[Array, "..."]
    own: Float[Array, "..."]
    other: Float[Array, "..."]


class CentredSecond(NamedTuple):
    """The coefficients of `E[q xxᵀ]`."""

    identity: Float[Array, "..."]
    pp: Float[Array, "..."]
    pw: Float[Array, "..."]
    ww: Float[Array, "..."]


class AbstractCentred(abc.ABC):
    """The formulas of one pair of activations; all arrays broadcast against `q`, whose shape the
    results have.

    `smoothing` is the `ν²` that the frame `p` needs. `exact` says whether what has a rougher form
    takes the full one, as it does without an answer.
    """

    smoothing: float

    @abc.abstractmethod
    def first(
        self, s: Array, t: Array, q: Array, exact: Bool[Array, ""] | None = None
    ) -> CentredFirst:
        """Value and gradient."""

    @abc.abstractmethod
    def both(
        self, s: Array, t: Array, q: Array, rest: Array, exact: Bool[Array, ""] | None = None
    ) -> tuple[CentredFirst, CentredSecond, CentredSecond]:
        """`first`, and the coefficients of `E[f″ g xxᵀ]` and of `E[f′ g′ xxᵀ]`; `rest = |p|²`."""


class CentredErf(AbstractCentred):
    """Saad & Solla 1995: `E[f g] = (2/π) arcsin(q/√(s̃t̃))`."""

    smoothing = 1.0

    def first(self, s, t, q, exact=None):
        s, t = s + 1, t + 1
        gap = s * t - q * q
        root = jnp.sqrt(gap)
        first = _TWO_OVER_PI / root
        return CentredFirst(_TWO_OVER_PI * arctangent(q, root), -first * q / s, first)

    def both(self, s, t, q, rest, exact=None):
        first = self.first(s, t, q)
        s, t = s + 1, t + 1
        gap = s * t - q * q
        inverse = _TWO_OVER_PI / jnp.sqrt(gap)
        third, share = inverse / gap, inverse / s
        second = CentredSecond(-q * share, q * third, -share, q * share / s)
        cross = CentredSecond(inverse, -s * third, jnp.zeros_like(inverse), -share)
        return first, second, cross


class CentredRelu(AbstractCentred):
    """Cho & Saul 2009 and, for the second derivatives, Safran & Shamir 2018; a neuron at zero has
    none.
    """

    smoothing = 0.0

    def first(self, s, t, q, exact=None):
        root = sqrt(s * t - q * q)
        open_angle = _open_angle(s, t, q, root)
        return CentredFirst(
            (root + open_angle * q) / _CIRCLE, divide(root, s) / _CIRCLE, open_angle / _CIRCLE
        )

    def both(self, s, t, q, rest, exact=None):
        root = sqrt(s * rest)
        inverse, share, cos = (
            divide(jnp.ones_like(root), root) / _CIRCLE,
            divide(root, s) / _CIRCLE,
            divide(q, s),
        )
        second = CentredSecond(share, inverse, jnp.zeros_like(share), -divide(share, s))
        tilt = divide(share, t)
        angle = _open_angle(s, t, q, root) / _CIRCLE
        cross = CentredSecond(angle, -inverse * divide(q, t), tilt, cos * tilt)
        return self.first(s, t, q), second, cross


def _open_angle(s: Array, t: Array, q: Array, root: Array) -> Array:
    """`π − θ`, zero for dead neurons."""
    return jnp.where((s > 0) & (t > 0), math.pi / 2 + arctangent(q, root), 0)


def erf_means(s: Array) -> tuple[Array, ...]:
    none, inverse = jnp.zeros_like(s), 1 / (s + 1)
    first = 2 * _DENSITY * jnp.sqrt(inverse)
    return none, first, none, -first * inverse, none, 3 * first * inverse**2, none


def relu_means(s: Array) -> tuple[Array, ...]:
    none, norm = jnp.zeros_like(s), sqrt(s)
    open_half = jnp.where(s > 0, jnp.full_like(s, 0.5), 0)
    second = divide(jnp.full_like(s, _DENSITY), norm)
    third = divide(second, s)
    return _DENSITY * norm, open_half, second, none, -third, none, 3 * divide(third, s)
