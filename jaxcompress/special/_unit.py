"""Unit vectors to twice the working precision, so that tiny angles keep all their digits."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcompress.special._safe import divide


class Unit(NamedTuple):
    """Rows of unit length as an unevaluated sum `head + tail`, and the norms they had before.

    A row of norm zero has head, tail and norm zero.
    """

    head: Float[Array, "*rows d"]
    tail: Float[Array, "*rows d"]
    norm: Float[Array, "*rows"]

    @property
    def direction(self) -> Float[Array, "*rows d"]:
        """The rows of unit length in working precision."""
        return self.head + self.tail


def _half(x: Array) -> Array:
    """`x` to half of its significant bits: the product of two such numbers is exact."""
    finfo = jnp.finfo(x.dtype)
    return lax.reduce_precision(x, exponent_bits=finfo.nexp, mantissa_bits=finfo.nmant // 2 - 1)


def unit(x: Float[Array, "*rows d"]) -> Unit:
    """Divide each row by its norm, keeping the remainder of the division.

    `head` has half of the bits and the norm is split in two halves, so both products of the remainder
    `x − head·norm` are exact, with or without fused multiply–add. The norm itself carries a rounding
    error: it lengthens the row by an ulp and does not turn it. The norm is scaled by the largest entry,
    so that it neither overflows nor underflows before its entries do.
    """
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0)
    scaled = divide(x, largest)
    square = jnp.sum(scaled * scaled, axis=-1, keepdims=True)
    length = jnp.sqrt(jnp.where(largest > 0, square, 1))
    head = _half(scaled / length)
    front = _half(length)
    tail = ((scaled - head * front) - head * (length - front)) / length
    return Unit(head, tail, (largest * length)[..., 0])
