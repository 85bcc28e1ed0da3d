"""Divisions and roots whose values and derivatives are finite everywhere."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def divide(
    x: Float[Array, "..."], y: Float[Array, "..."], at_zero: float = 0.0
) -> Float[Array, "..."]:
    """`x / y`, and the constant `at_zero` (of derivative zero) where `y = 0`."""
    fine = y != 0
    return jnp.where(fine, x / jnp.where(fine, y, 1), at_zero)


def sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`√x`, and zero (of derivative zero) where `x ≤ 0`."""
    fine = x > 0
    return jnp.where(fine, jnp.sqrt(jnp.where(fine, x, 1)), 0)
