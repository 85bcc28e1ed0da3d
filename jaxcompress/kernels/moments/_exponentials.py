"""A polynomial times an exponential with anything: Gaussian tilting and Stein's lemma.

An exponential is absorbed by shifting means, `E[e^{λX} F(X, Y)] = e^{λμ_x + λ²s/2} E[F(X + λs, Y +
λc)]`, and a power is traded by parts, `E[X F] = μ_x E F + s E ∂_x F + c E ∂_y F`, until one kinked
function of one variable is left. Rates may be complex: terms with imaginary rates stand for their
real parts, so that the sine is `Re(−i e^{ix})`.

Letters: `s`, `t` variances, `c` covariance; `K` a kink (`_terms`); `k` the standardised mean of
what it sees.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels.activations._terms import SHARP, Kink, Term, Terms, falling
from jaxcompress.kernels.moments._plane import Plane
from jaxcompress.kernels.moments._scale_mixtures import over_pairs
from jaxcompress.kernels.moments._static_zeros import Inverse, Number, is_zero, plus, times, widen
from jaxcompress.special import normal_cdf, normal_pdf, sign_mean
from jaxcompress.special.internal import precision, scaled_normal_pdf, scaled_sign_mean

# Real exponents are cut here, in units of the largest exponent of the dtype: means and derivatives
# of what would overflow stay finite.
_CUT = 0.4


class Pair(NamedTuple):
    """Means, standard deviations and correlation of two pre-activations; what is exactly zero is a
    Python zero.
    """

    mean_x: Number
    mean_y: Number
    std_x: Number
    std_y: Array
    cos: Number


class Tilted:
    """`E[X^m e^{λX} · Y^n e^{κY} K⁽ʲ⁾(Ỹ)]` for one pair of rates and one kink (or none); each is
    computed once.
    """

    def __init__(
        self, pair: Pair, rate_x: complex, rate_y: complex, kink: Kink | None, width: Number
    ):
        self.kink, self.sharp = kink, is_zero(width)
        mean_x, mean_y, std_x, std_y, cos = pair
        s, t, c = times(std_x, std_x), times(std_y, std_y), times(std_x, std_y, cos)
        self.s, self.t, self.c = s, t, c
        exponent = plus(times(rate_x, mean_x), times(rate_y, mean_y), times(0.5 * rate_x**2, s))
        exponent = plus(exponent, times(rate_x * rate_y, c), times(0.5 * rate_y**2, t))
        self.tilted = bool(rate_x or rate_y)
        self.mean_x = plus(mean_x, times(rate_x, s), times(rate_y, c))
        self.mean_y = plus(mean_y, times(rate_x, c), times(rate_y, t))
        self.exponent = _cut(exponent)
        self.std, _, _ = widen(std_y, width)
        self.inverse = Inverse(self.std)
        self.height = self._standardised() if kink is not None else 0.0
        self._known: dict = {}

    def expect(self, m: int, n: int, j: int) -> Number:
        """The expectation for these powers and this order of the kink's derivative."""
        if min(m, n) < 0:
            return 0.0
        if (m, n, j) not in self._known:
            self._known[m, n, j] = self._by_parts(m, n, j)
        return self._known[m, n, j]

    def _by_parts(self, m: int, n: int, j: int) -> Number:
        if n and j and self.sharp:
            return times(float(falling(j - 1, n)), self.expect(m, 0, j - n)) if n < j else 0.0
        kinked = self.kink is not None
        if m:
            return plus(
                times(self.mean_x, self.expect(m - 1, n, j)),
                times(float(m - 1), self.s, self.expect(m - 2, n, j)),
                times(float(n), self.c, self.expect(m - 1, n - 1, j)),
                times(self.c, self.expect(m - 1, n, j + 1)) if kinked else 0.0,
            )
        if n:
            return plus(
                times(self.mean_y, self.expect(0, n - 1, j)),
                times(float(n - 1), self.t, self.expect(0, n - 2, j)),
                times(self.t, self.expect(0, n - 1, j + 1)) if kinked else 0.0,
            )
        return self._kink(j)

    def _kink(self, j: int) -> Number:
        """`E[e^… K⁽ʲ⁾]`: a normal distribution function, or its derivatives by Hermite
        polynomials.
        """
        scale = jnp.exp(self.exponent) if self.tilted else 1.0
        if self.kink is None:
            return scale
        alive, k = self.std > 0, self.height
        if j == 0:
            # a choice between two numbers of Python would be of the default dtype
            scale = scale if self.tilted else jnp.ones_like(self.std)
            return jnp.where(alive, self._level(scale), self._still(scale))
        peak = times(float(self.kink.value), _hermite(j - 1, times(-1.0, k)), self._density())
        return times(jnp.where(alive, peak, 0), self.inverse.power(j))

    def _standardised(self) -> Number:
        """The mean in standard deviations; real ones beyond reach of the dtype change nothing."""
        height = times(self.mean_y, self.inverse.power(1))
        if isinstance(height, float) or jnp.iscomplexobj(height):
            return height
        far = precision(self.std.dtype).far
        return jnp.clip(jnp.asarray(height), -far, far)

    def _level(self, scale: Number) -> Number:
        if isinstance(self.height, float):
            return 0.5 * scale if self.kink is Kink.STEP else 0.0 * scale
        k = jnp.asarray(self.height)
        if jnp.iscomplexobj(k):
            sign = scaled_sign_mean(k, jnp.asarray(self.exponent))
            return 0.5 * (scale + sign) if self.kink is Kink.STEP else sign
        return scale * (normal_cdf(k) if self.kink is Kink.STEP else sign_mean(k))

    def _still(self, scale: Number) -> Number:
        """Of a neuron without norm: what its mean says, zero where that is zero."""
        if is_zero(self.mean_y):
            return 0.0 * scale
        mean = jnp.real(jnp.asarray(self.mean_y))
        return scale * (jnp.where(mean > 0, 1, 0) if self.kink is Kink.STEP else jnp.sign(mean))

    def _density(self) -> Number:
        if isinstance(self.height, float):
            return (jnp.exp(self.exponent) if self.tilted else 1.0) / math.sqrt(2 * math.pi)
        if not self.tilted:
            return normal_pdf(jnp.asarray(self.height))
        k, exponent = jnp.asarray(self.height), jnp.asarray(self.exponent)
        if jnp.iscomplexobj(k):
            return scaled_normal_pdf(k, exponent)
        return jnp.exp(exponent - 0.5 * k * k) / math.sqrt(2 * math.pi)


def _cut(exponent: Number) -> Number:
    if isinstance(exponent, float | complex):
        return exponent
    most = _CUT * math.log(float(jnp.finfo(exponent.dtype).max))
    if jnp.iscomplexobj(exponent):
        return jnp.minimum(jnp.real(exponent), most) + 1j * jnp.imag(exponent)
    return jnp.minimum(exponent, most)


def _hermite(n: int, x: Number) -> Number:
    """The probabilists' polynomial `He_n(x)`."""
    before: Number = 0.0
    now: Number = 1.0
    for i in range(n):
        before, now = now, plus(times(x, now), times(-float(i), before))
    return now


def tilted(at: Plane, left: Term, right: Term, width: Number) -> Array:
    """`E[left(X) right(Y)]` without the mixture of `right`, whose kink has this width; `left` is
    smooth.
    """
    central = at.mean_x is None and at.mean_y is None
    mean_x, mean_y = (0.0, 0.0) if central else (at.known_mean_x, at.known_mean_y)
    numbers = Pair(mean_x, mean_y, at.std_x, at.std_y, at.cos)
    pair = Tilted(numbers, left.rate, right.rate, right.kink, width)
    number = pair.expect(left.power, right.power, right.order)
    return _real_part(left.coefficient * right.coefficient, number, at.cos.dtype)


def _real_part(coefficient: complex, number: Number, dtype) -> Array:
    """`Re(coefficient · number)`, where an infinite part of the number does not meet a zero of the
    coefficient.

    A number known at trace time is one of Python, which JAX would make one of the default dtype.
    """
    if not isinstance(number, Array):
        return jnp.asarray(complex(coefficient * number).real, dtype)
    whole = number
    parts = times(coefficient.real, jnp.real(whole)), times(-coefficient.imag, jnp.imag(whole))
    return jnp.asarray(plus(*parts), jnp.real(whole).dtype)


def line_mean(terms: Terms, mean: Number, std: Array) -> Array:
    """`E[f(Y)]` for a pre-activation of this mean (the float 0.0 for exactly zero) and standard
    deviation.
    """

    def of(term: Term) -> Number:
        def at_width(_, width: Number) -> list[Number]:
            line = Tilted(Pair(0.0, mean, 0.0, std, 0.0), 0.0, term.rate, term.kink, width)
            return [_real_part(term.coefficient, line.expect(0, term.power, term.order), std.dtype)]

        return over_pairs(std.dtype, SHARP, term.mixture, at_width)[0]

    return jnp.broadcast_to(
        jnp.asarray(plus(*map(of, terms)), std.dtype),
        jnp.broadcast_shapes(std.shape, jnp.shape(mean)),
    )
