"""Spectra of terms without kinks: powers, exponentials and waves.

`c_k[x^p] = σ^k p!/(p−k)! E[Y^{p−k}]/√k!`, none beyond `p`; `c_k[e^{λx}] = (λσ)^k/√k! ·
e^{λμ + λ²σ²/2}`, the real part for waves.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels.activations._terms import Term
from jaxcompress.kernels.moments._exponentials import line_mean
from jaxcompress.kernels.spectra._part import AbstractPart


class Polynomial(AbstractPart):
    """A polynomial: its coefficients are known from the start."""

    def __init__(self, terms: Sequence[Term]):
        self.terms = tuple(terms)
        self.degree = max(term.power for term in terms)

    def start(self, mean, std):
        mean = jnp.zeros_like(std) if mean is None else mean
        rows = []
        for k in range(self.degree + 1):
            some = [
                Term(term.coefficient * math.perm(term.power, k), power=term.power - k)
                for term in self.terms
                if term.power >= k
            ]
            rows.append(line_mean(tuple(some), mean, std) * std**k / math.sqrt(math.factorial(k)))
        return jnp.stack(rows)

    def step(self, state, k):
        return state, jnp.take(state, k, axis=0, mode="fill", fill_value=0)

    def rest(self, state, k):
        later = jnp.arange(self.degree + 1)[:, None] >= k
        return jnp.sqrt(jnp.sum(jnp.where(later, state * state, 0), 0))


class _Wave(NamedTuple):
    """Real and imaginary part of `c_k`; the standard deviations; `Σ |c_k|²` over all degrees."""

    real: Float[Array, " n"]
    imag: Float[Array, " n"]
    std: Float[Array, " n"]
    total: Float[Array, " n"]


class Exponential(AbstractPart):
    """`coefficient · e^{λx}`, the real part of it where the rate is complex."""

    def __init__(self, term: Term):
        self.rate, self.coefficient = complex(term.rate), complex(term.coefficient)

    def start(self, mean, std):
        mean = jnp.zeros_like(std) if mean is None else mean
        whole = Term(self.coefficient, rate=self.rate)
        turned = Term(-1j * self.coefficient, rate=self.rate)
        real = line_mean((whole,), mean, std)
        imag = line_mean((turned,), mean, std) if self.rate.imag else jnp.zeros_like(real)
        growth = Term(abs(self.coefficient) ** 2, rate=2 * self.rate.real)
        return _Wave(real, imag, std, line_mean((growth,), mean, std))

    def step(self, state, k):
        factor = state.std / jnp.sqrt(k.astype(state.std.dtype) + 1)
        p, q = factor * self.rate.real, factor * self.rate.imag
        real, imag = p * state.real - q * state.imag, p * state.imag + q * state.real
        return state._replace(real=real, imag=imag), state.real

    def rest(self, state, k):
        """`|c_k|² Σ_j r^{2j} k!/(k+j)!` with `r = |λσ|`: a geometric series, or all there is."""
        square = (abs(self.rate) * state.std) ** 2
        ratio = square / (k.astype(square.dtype) + 1)
        series = (state.real**2 + state.imag**2) / (1 - jnp.minimum(ratio, 0.5))
        total = jnp.where(state.total < _most(square.dtype), state.total, jnp.inf)
        return jnp.sqrt(jnp.where(ratio < 0.5, jnp.where(total < jnp.inf, series, total), total))


def _most(dtype) -> float:
    """What `line_mean` cuts exponentials at, less a little."""
    return 0.5 * float(jnp.finfo(dtype).max) ** 0.4
