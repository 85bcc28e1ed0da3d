"""Distributions of the readouts of random targets, before the network's scaling by its width."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, is_concrete


def number(where: str, name: str, given) -> Float[Array, ""]:
    """A finite number as an array, so that it is traced. Raises `ValueError` for anything else."""
    array = as_array(f"ensembles.{where}", name, given)
    real = jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)
    if array.ndim or not real or (is_concrete(array) and not np.isfinite(array)):
        raise ValueError(
            f"ensembles.{where}: given {name}={given!r}; expected one finite real number; pass a "
            "float"
        )
    return (
        array.astype(jnp.result_type(float))
        if not jnp.issubdtype(array.dtype, jnp.floating)
        else array
    )


def check_range(where: str, name: str, given: Array, fine: bool, expected: str) -> None:
    """Raise `ValueError` unless a number, where it can be looked at, is in its range."""
    if not fine:
        raise ValueError(
            f"ensembles.{where}: given {name}={float(given):g}; expected {expected}; choose "
            "another number"
        )


class AbstractReadout(eqx.Module):
    """A distribution of i.i.d. readouts of order one."""

    @abc.abstractmethod
    def draw(self, key: Array, shape: tuple[int, ...], dtype) -> Float[Array, "*shape"]:
        """Draw readouts."""

    @property
    @abc.abstractmethod
    def expectation(self) -> Float[Array, ""]:
        """The mean of a readout."""


class ConstantReadout(AbstractReadout):
    """Every readout is `value`. Raises `ValueError` for what is no finite number."""

    value: Float[Array, ""]

    def __init__(self, value: Float[Array, ""] | float = 1.0):
        self.value = number("ConstantReadout", "value", value)

    def draw(self, key, shape, dtype):
        return jnp.broadcast_to(self.value.astype(dtype), shape)

    @property
    def expectation(self):
        return self.value


class GaussianReadout(AbstractReadout):
    """`N(mean, std²)`. Raises `ValueError` for what is no finite number, and for a negative
    `std`.
    """

    mean: Float[Array, ""]
    std: Float[Array, ""]

    def __init__(self, mean: Float[Array, ""] | float = 0.0, std: Float[Array, ""] | float = 1.0):
        self.mean, self.std = (
            number("GaussianReadout", "mean", mean),
            number("GaussianReadout", "std", std),
        )
        fine = not is_concrete(self.std) or bool(self.std >= 0)
        check_range("GaussianReadout", "std", self.std, fine, "a number that is not negative")

    def draw(self, key, shape, dtype):
        return self.mean.astype(dtype) + self.std.astype(dtype) * jax.random.normal(
            key, shape, dtype
        )

    @property
    def expectation(self):
        return self.mean


class UniformReadout(AbstractReadout):
    """Uniform on `[low, high)`.
    Raises `ValueError` for what is no finite number, and for `high < low`.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]

    def __init__(self, low: Float[Array, ""] | float = 0.0, high: Float[Array, ""] | float = 1.0):
        self.low, self.high = (
            number("UniformReadout", "low", low),
            number("UniformReadout", "high", high),
        )
        fine = not (is_concrete(self.low) and is_concrete(self.high)) or bool(self.low <= self.high)
        check_range("UniformReadout", "high", self.high, fine, f"at least low={self.low}")

    def draw(self, key, shape, dtype):
        return jax.random.uniform(
            key, shape, dtype, self.low.astype(dtype), self.high.astype(dtype)
        )

    @property
    def expectation(self):
        return 0.5 * (self.low + self.high)


class RademacherReadout(AbstractReadout):
    """Fair signs, ±1."""

    def draw(self, key, shape, dtype):
        return jax.random.rademacher(key, shape, dtype)

    @property
    def expectation(self):
        return jnp.zeros(())
