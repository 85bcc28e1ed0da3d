"""What an activation is, and the three whose kernels have closed forms here."""

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class AbstractActivation(eqx.Module):
    """A real function of one real variable, applied to pre-activations entry by entry.

    Two instances that compare equal have the same kernels; an activation is static (hashable, holds no
    arrays), so it may be closed over, passed as a static argument and compared at trace time.

    `noise` is the standard deviation of the Gaussian that smooths a kinked function into this one:
    `f(x) = E f₀(x + noise·Z)`. Then `E[f(X) g(Y)]` is the kernel of the kinked functions for a pair whose
    variances have grown by `noise²`, and one set of formulas serves both families.
    """

    @property
    @abc.abstractmethod
    def noise(self) -> float:
        """Standard deviation of the smoothing Gaussian, in units of the pre-activation; zero for none."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply the function to every entry of `x`, keeping shape and dtype."""


class Relu(AbstractActivation):
    """`x ↦ max(x, 0)`. Its derivative at 0 is stated to be 0."""

    noise: ClassVar[float] = 0.0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.relu(x)


class Erf(AbstractActivation):
    """`x ↦ erf(x/√2)`, the convention of Saad & Solla 1995: the sign function smoothed by a unit Gaussian."""

    noise: ClassVar[float] = 1.0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.lax.erf(x / math.sqrt(2))


class Affine(AbstractActivation):
    """`x ↦ constant + slope·x`. `identity` is (0, 1); (1, 0) is the neuron behind an output bias."""

    constant: float = eqx.field(static=True, default=0.0)
    slope: float = eqx.field(static=True, default=1.0)
    noise: ClassVar[float] = 0.0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.asarray(self.constant + self.slope * x, dtype=jnp.result_type(x))
