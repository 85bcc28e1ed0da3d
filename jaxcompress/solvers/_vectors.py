"""Lengths and directions of vectors that run along one axis of an array."""

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.special.internal import divide


def length(x: Array, axis: int = 0) -> Array:
    """`|x|`, without the axis."""
    return jnp.sqrt(jnp.sum(x * x, axis=axis))


def direction(x: Array, axis: int = 0) -> Array:
    """`x/|x|`, and zero where `x` is."""
    return divide(x, jnp.expand_dims(length(x, axis), axis))
