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
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._activation import AbstractActivation, Erf, Relu
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

    `smoothing` is `ν²` of the first activation, which the frame `p` needs.
    """

    smoothing: float

    @abc.abstractmethod
    def first(self, s: Array, t: Array, q: Array) -> CentredFirst:
        """Value and gradient."""

    @abc.abstractmethod
    def second(
        self, s: Array, t: Array, q: Array, rest: Array
    ) -> tuple[CentredSecond, CentredSecond]:
        """Coefficients of `E[f″ g xxᵀ]` and of `E[f′ g′ xxᵀ]`; `rest = |p|²`."""


class CentredErf(AbstractCentred):
    """Saad & Solla 1995: `E[f g] = (2/π) arcsin(q/√(s̃t̃))`."""

    smoothing = 1.0

    def first(self, s, t, q):
        s, t = s + 1, t + 1
        gap = s * t - q * q
        root = jnp.sqrt(gap)
        first = _TWO_OVER_PI / root
        return CentredFirst(_TWO_OVER_PI * arctangent(q, root), -first * q / s, first)

    def second(self, s, t, q, rest):
        s, t = s + 1, t + 1
        gap = s * t - q * q
        inverse = _TWO_OVER_PI / jnp.sqrt(gap)
        third, share = inverse / gap, inverse / s
        second = CentredSecond(-q * share, q * third, -share, q * share / s)
        return second, CentredSecond(inverse, -s * third, jnp.zeros_like(inverse), -share)


class CentredRelu(AbstractCentred):
    """Cho & Saul 2009 and, for the second derivatives, Safran & Shamir 2018; a neuron at zero has
    none.
    """

    smoothing = 0.0

    def first(self, s, t, q):
        root = sqrt(s * t - q * q)
        open_angle = _open_angle(s, t, q, root)
        return CentredFirst(
            (root + open_angle * q) / _CIRCLE, divide(root, s) / _CIRCLE, open_angle / _CIRCLE
        )

    def second(self, s, t, q, rest):
        root = sqrt(s * rest)
        inverse, share, cos = (
            divide(jnp.ones_like(root), root) / _CIRCLE,
            divide(root, s) / _CIRCLE,
            divide(q, s),
        )
        second = CentredSecond(share, inverse, jnp.zeros_like(share), -divide(share, s))
        tilt = divide(share, t)
        return second, CentredSecond(
            _open_angle(s, t, q, root) / _CIRCLE, -inverse * divide(q, t), tilt, cos * tilt
        )


def _open_angle(s: Array, t: Array, q: Array, root: Array) -> Array:
    """`π − θ`, zero for dead neurons."""
    return jnp.where((s > 0) & (t > 0), math.pi / 2 + arctangent(q, root), 0)


@functools.cache
def centred(f: AbstractActivation, g: AbstractActivation) -> AbstractCentred | None:
    """The short formulas of a pair of activations, or `None` for a pair that has none."""
    match f, g:
        case Erf(), Erf():
            return CentredErf()
        case Relu(), Relu():
            return CentredRelu()
        case _:
            return None


@functools.cache
def centred_means(f: AbstractActivation) -> Callable[[Array], tuple[Array, ...]] | None:
    """For activations that have short formulas: from `s = |w|²` to `E f⁽ᵖ⁾(w·x)`, `p = 0 … 6`; of
    ReLU they are zero at `s = 0`, as all its derivatives there."""
    match f:
        case Erf():
            return _erf_means
        case Relu():
            return _relu_means
        case _:
            return None


def _erf_means(s: Array) -> tuple[Array, ...]:
    none, inverse = jnp.zeros_like(s), 1 / (s + 1)
    first = 2 * _DENSITY * jnp.sqrt(inverse)
    return none, first, none, -first * inverse, none, 3 * first * inverse**2, none


def _relu_means(s: Array) -> tuple[Array, ...]:
    none, norm = jnp.zeros_like(s), sqrt(s)
    open_half = jnp.where(s > 0, jnp.full_like(s, 0.5), 0)
    second = divide(jnp.full_like(s, _DENSITY), norm)
    third = divide(second, s)
    return _DENSITY * norm, open_half, second, none, -third, none, 3 * divide(third, s)
