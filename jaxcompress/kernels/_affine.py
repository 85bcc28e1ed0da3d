"""An affine function with anything: one-dimensional moments of the other activation are enough."""

import abc
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels._activation import Affine
from jaxcompress.kernels._moments import AbstractMoments, First, Second
from jaxcompress.kernels._plane import Plane, line
from jaxcompress.special import divide, sign_mean


class LineMoments(NamedTuple):
    """`E[f]`, `E[f′ z^j]` for `j ≤ 2` and `E[f″ z^j]` for `j ≤ 3`, where `X = μ + σz`."""

    value: Float[Array, "..."]
    slope: tuple[Array, Array, Array]
    bend: tuple[Array, Array, Array, Array]


def level(mean: Array | None) -> Array | float:
    """The mean, or the zero that `None` stands for."""
    return 0.0 if mean is None else mean


class AbstractLine(abc.ABC):
    """One activation by itself, as its product with an affine function needs it."""

    @abc.abstractmethod
    def moments(self, mean: Array | None, std: Array) -> LineMoments:
        """The moments for a pre-activation of this mean (`None`: zero) and standard deviation."""


class ReluLine(AbstractLine):
    """ReLU: `f′ = 1(X > 0)`, `f″ = δ(X)`."""

    def moments(self, mean: Array | None, std: Array) -> LineMoments:
        h, density, positive = line(mean, std)
        spike = divide(density, std)
        return LineMoments(
            level(mean) * positive + std * density,
            (positive, density, positive - h * density),
            (spike, -h * spike, h**2 * spike, -(h**3) * spike),
        )


class SignLine(AbstractLine):
    """The sign function: `f′ = 2δ(X)`, `f″ = 2δ′(X)`."""

    def moments(self, mean: Array | None, std: Array) -> LineMoments:
        h, density, _ = line(mean, std)
        spike = divide(2 * density, std)
        turn = -divide(spike, std)
        return LineMoments(
            sign_mean(h),
            (spike, -h * spike, h * h * spike),
            (turn * h, turn * (1 - h**2), turn * (h**3 - 2 * h), turn * (3 * h**2 - h**4)),
        )


class AffineLine(AbstractLine):
    """An affine function: `f′` is its slope, `f″` zero."""

    def __init__(self, activation: Affine):
        self.activation = activation

    def moments(self, mean: Array | None, std: Array) -> LineMoments:
        slope, zero = jnp.full_like(std, self.activation.slope), jnp.zeros_like(std)
        value = self.activation.constant + self.activation.slope * level(mean)
        return LineMoments(value + zero, (slope, zero, slope), (zero, zero, zero, zero))


class AffineAny(AbstractMoments):
    """`E[(constant + slope·X) g(Y)]`, by Stein's lemma."""

    def __init__(self, affine: Affine, other: AbstractLine):
        self.affine, self.other = affine, other

    def _of_y(self, plane: Plane) -> LineMoments:
        return self.other.moments(plane.mean_y, plane.std_y)

    def value(self, plane: Plane) -> Float[Array, "..."]:
        y = self._of_y(plane)
        level = self.affine.constant + self.affine.slope * plane.level_x
        return level * y.value + self.affine.slope * (plane.std_x * plane.std_y * plane.cos) * y.slope[0]

    def gradient(self, plane: Plane) -> First:
        y = self._of_y(plane)
        pull = self.affine.slope * plane.std_y * y.slope[0]
        return First(self.affine.slope * y.value, pull * plane.cos, pull * plane.sin)

    def bend(self, plane: Plane) -> Second:
        zero = jnp.zeros_like(plane.cos)
        return Second(zero, zero, zero, zero, zero, zero)

    def cross(self, plane: Plane) -> Second:
        slope = [self.affine.slope * m for m in self._of_y(plane).slope]
        zero = jnp.zeros_like(slope[0])
        return Second(slope[0], slope[1], zero, slope[2], zero, slope[0]).reflected(plane)


class AnyAffine(AbstractMoments):
    """`E[f(X) (constant + slope·Y)]`: what `AffineAny` leaves to be asked of its second activation."""

    def __init__(self, other: AbstractLine, affine: Affine):
        self.affine, self.other = affine, other

    def _levels(self, plane: Plane) -> tuple[Array, Array, Array]:
        """`constant + slope·Y = level + tilt·z₁ + lean·z₂`."""
        step = self.affine.slope * plane.std_y
        level = self.affine.constant + self.affine.slope * plane.level_y
        return level + jnp.zeros_like(step), step * plane.cos, step * plane.sin

    def value(self, plane: Plane) -> Float[Array, "..."]:
        return AffineAny(self.affine, self.other).value(plane.swapped)

    def gradient(self, plane: Plane) -> First:
        level, tilt, lean = self._levels(plane)
        m = self.other.moments(plane.mean_x, plane.std_x).slope
        return First(level * m[0] + tilt * m[1], level * m[1] + tilt * m[2], lean * m[0])

    def bend(self, plane: Plane) -> Second:
        level, tilt, lean = self._levels(plane)
        m = self.other.moments(plane.mean_x, plane.std_x).bend
        mean, along, along_along = (level * m[j] + tilt * m[j + 1] for j in range(3))
        return Second(mean, along, lean * m[0], along_along, lean * m[1], mean)

    def cross(self, plane: Plane) -> Second:
        return AffineAny(self.affine, self.other).cross(plane.swapped).reflected(plane)
