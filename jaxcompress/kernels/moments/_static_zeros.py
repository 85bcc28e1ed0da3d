"""Arithmetic that leaves out what is known to be zero when a program is traced.

A formula for two smoothed kinks with means is long; for sharp kinks, or without means, most of its
terms are zero. These zeros are Python's `0.0`, and a product or a sum with one costs nothing in the
compiled program.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.special.internal import divide

Number = Array | complex


def times(*factors: Number) -> Number:
    """A product, that of Python's numbers as one of them; a zero among these makes it one."""
    number: complex = 1.0
    out: Array | None = None
    for factor in factors:
        if isinstance(factor, float | int | complex):
            number = number * factor
        else:
            out = factor if out is None else out * factor
    if out is None or number == 0:
        return number if number else 0.0
    if isinstance(number, complex) or abs(number) != 1:
        return number * out
    return out if number > 0 else -out


def plus(*terms: Number) -> Number:
    """A sum that leaves out Python zeros."""
    out: Number = 0.0
    for term in terms:
        if isinstance(term, float | int) and term == 0:
            continue
        out = term if isinstance(out, float) and out == 0.0 else out + term
    return out


class Inverse:
    """Powers of `1/number`, zero where the number is zero; each is computed once."""

    def __init__(self, number: Array):
        self.number = number
        self._known: list[Number] = [1.0]

    def power(self, n: int) -> Number:
        """`number^−n`."""
        while len(self._known) <= n:
            first = (
                divide(jnp.ones_like(self.number), self.number)
                if len(self._known) == 1
                else self._known[1]
            )
            self._known.append(times(self._known[-1], first))
        return self._known[n]


def is_zero(number: Number) -> bool:
    """Whether this is the zero of Python, which is left out of products."""
    return isinstance(number, float) and number == 0.0


def widen(std: Array, width: Number) -> tuple[Array, Number, Number]:
    """The standard deviation with the noise, and the shares of both in it."""
    if is_zero(width):
        return std, 1.0, 0.0
    wide = jnp.sqrt(std * std + width * width)
    return wide, std / wide, width / wide
