"""Expectations of functions of a random vector's norm, by the Laplace transform of its square.

Letters: a neuron `v`, `s = |v|²`, `L(u) = E e^{−us}`. Where components are independent, `L` is a
product, and under the distribution tilted by `e^{−us}` they are independent still, with means and
mean squares that have closed forms. From `√s = (1/2√π) ∫ (1 − e^{−us}) u^{−3/2} du` and `(c +
s)^{−1/2} = (1/√π) ∫ e^{−u(c+s)} u^{−1/2} du` follow `E|v|`, `E v/√(c + s)` and `E vvᵀ/|v|`, as
integrals over one variable of transforms that are bounded by one.
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.special.internal import divide

# The trapezoidal rule in `log u`. All transforms are bounded for `Re u ≥ 0`, that is in a strip of
# half-width π/2, so the rule is off by `exp(−π²/step) = 7e-18`; what lies beyond the ends is
# `exp(−reach/2) = 4e-18`. In units of the mean square; float32 reaches as far.
_STEP, _REACH = 0.25, 80.0
# Nodes that are transformed at a time, a divisor of 640: 32 of them with 32 points in 10⁴
# dimensions are 80 MB.
_AT_A_TIME = 32
# A uniform distribution is a sum over Gauss–Legendre nodes until `√u` times its half width is
# `_WIDE`, and error functions beyond, where they no longer cancel. With 32 nodes the sum is right
# to 2e-15 up to there.
_NODES, _WIDE = 32, 2.0


class Tilted(NamedTuple):
    """`log E e^{−uX²}` of every component, and `E X` and `E X²` under the distribution tilted by
    `e^{−uX²}`.
    """

    log: Float[Array, " d"]
    first: Float[Array, " d"]
    second: Float[Array, " d"]


class AbstractComponents(eqx.Module):
    """A random vector with independent components, in the basis in which they are independent."""

    @property
    @abc.abstractmethod
    def mean_square(self) -> Float[Array, ""]:
        """`E s`."""

    @abc.abstractmethod
    def scaled(self, factor: Float[Array, ""]) -> "AbstractComponents":
        """The distribution of `factor·v`."""

    @abc.abstractmethod
    def tilted(self, u: Float[Array, ""]) -> Tilted:
        """The distribution tilted by `e^{−us}`, for any `u ≥ 0`."""

    def rotated(self, vectors: Float[Array, "... d"]) -> Float[Array, "... d"]:
        """Vectors of the basis as vectors of the input space."""
        return vectors


class GaussianComponents(AbstractComponents):
    """`N(mean_j, std_j²)` along the columns of a basis (`None` for the axes)."""

    mean: Float[Array, " d"]
    std: Float[Array, " d"]
    basis: Float[Array, "d d"] | None = None

    @property
    def mean_square(self):
        return jnp.sum(self.mean**2 + self.std**2)

    def scaled(self, factor):
        return GaussianComponents(factor * self.mean, factor * self.std, self.basis)

    def tilted(self, u):
        variance = self.std**2
        spread = 1 + 2 * u * variance
        first = self.mean / spread
        return Tilted(
            -0.5 * jnp.log1p(2 * u * variance) - u * self.mean * first,
            first,
            variance / spread + first**2,
        )

    def rotated(self, vectors):
        return vectors if self.basis is None else vectors @ self.basis.T


class PointComponents(AbstractComponents):
    """Components that take the values `points[:, j]` with these probabilities."""

    points: Float[Array, "p d"]
    probabilities: Float[Array, " p"]

    @property
    def mean_square(self):
        return jnp.sum(self.probabilities @ self.points**2)

    def scaled(self, factor):
        return PointComponents(factor * self.points, self.probabilities)

    def tilted(self, u):
        squares, shares = u * self.points**2, self.probabilities[:, None]
        logits = jnp.log(shares) - squares
        # keeps its digits as `u` goes to zero
        little = jnp.sum(shares * jnp.expm1(-squares), axis=0)
        log = jnp.where(
            little > -0.5, jnp.log1p(jnp.maximum(little, -0.5)), jax.nn.logsumexp(logits, axis=0)
        )
        weights = jax.nn.softmax(logits, axis=0)
        return Tilted(
            log, jnp.sum(weights * self.points, axis=0), jnp.sum(weights * self.points**2, axis=0)
        )


class UniformComponents(AbstractComponents):
    """Components uniform on `mean_j ± half`."""

    mean: Float[Array, " d"]
    half: Float[Array, ""]

    @property
    def mean_square(self):
        return jnp.sum(self.mean**2 + self.half**2 / 3)

    def scaled(self, factor):
        return UniformComponents(factor * self.mean, factor * self.half)

    def tilted(self, u):
        nodes, weights = (
            jnp.asarray(part, self.mean.dtype) for part in np.polynomial.legendre.leggauss(_NODES)
        )
        summed = PointComponents(
            self.mean[None] + self.half * nodes[:, None], 0.5 * weights
        ).tilted(u)
        wide = jnp.sqrt(u) * self.half > _WIDE
        exact = self._by_error_functions(jnp.where(wide, u, 1), jnp.where(wide, self.half, 1))
        return Tilted(
            *(jnp.where(wide, one, other) for one, other in zip(exact, summed, strict=True))
        )

    def _by_error_functions(self, u: Array, half: Array) -> Tilted:
        """From `∫ e^{−ux²}` over `[low, high]`, its derivative and `∫ x e^{−ux²}`; zeros where all
        underflow.
        """
        root, low, high = jnp.sqrt(u), jnp.abs(self.mean) - half, jnp.abs(self.mean) + half
        left, right = root * low, root * high
        tails = jax.lax.erfc(left) - jax.lax.erfc(right)
        mass = (
            jnp.where(left > 0, tails, jax.lax.erf(right) - jax.lax.erf(left))
            * math.sqrt(math.pi)
            / (4 * root * half)
        )
        at_low, at_high = (
            jnp.exp(-(left**2)) / (4 * u * half),
            jnp.exp(-(right**2)) / (4 * u * half),
        )
        first = jnp.sign(self.mean) * divide(at_low - at_high, mass)
        second = 0.5 / u + divide(low * at_low - high * at_high, mass)
        return Tilted(jnp.log(jnp.maximum(mass, jnp.finfo(mass.dtype).tiny)), first, second)


class _Transform(NamedTuple):
    """Nodes `u`, weights of the rule for `∫ · u^{−1/2} du`, and the tilted distributions at the
    nodes, `log L` summed.
    """

    u: Float[Array, " q"]
    weights: Float[Array, " q"]
    log: Float[Array, " q"]
    first: Float[Array, "q d"]
    second: Float[Array, "q d"]


def _transform(components: AbstractComponents, dtype) -> _Transform:
    x = jnp.asarray(np.arange(-_REACH, _REACH, _STEP), dtype)

    def at(u: Array) -> Tilted:
        tilted = components.tilted(u)
        return tilted._replace(log=jnp.sum(tilted.log))

    u = jnp.exp(x)
    return _Transform(u, _STEP * jnp.exp(0.5 * x), *jax.lax.map(at, u, batch_size=_AT_A_TIME))


def mean_norm(components: AbstractComponents) -> Float[Array, ""]:
    """`E|v|`; good to 1e-15 of `√E|v|²`."""
    size = jnp.sqrt(components.mean_square)
    at = _transform(components.scaled(divide(jnp.ones_like(size), size)), size.dtype)
    return size * jnp.sum(at.weights / at.u * -jnp.expm1(at.log)) / (2 * math.sqrt(math.pi))


def mean_direction(components: AbstractComponents) -> Float[Array, " d"]:
    """`E v/√(1 + |v|²)`."""
    square = 1 + components.mean_square
    at = _transform(components.scaled(1 / jnp.sqrt(square)), square.dtype)
    out = (at.weights * jnp.exp(at.log - at.u / square)) @ at.first / math.sqrt(math.pi)
    return components.rotated(out)


def mean_outer(components: AbstractComponents) -> Float[Array, "d d"]:
    """`E vvᵀ/|v|`."""
    size = jnp.sqrt(components.mean_square)
    at = _transform(components.scaled(divide(jnp.ones_like(size), size)), size.dtype)
    weights = at.weights * jnp.exp(at.log)
    together = (weights[:, None] * at.first).T @ at.first
    out = together + jnp.diag(weights @ (at.second - at.first**2))
    rotated = components.rotated(components.rotated(out).T)
    return size * (0.5 / math.sqrt(math.pi)) * (rotated + rotated.T)
