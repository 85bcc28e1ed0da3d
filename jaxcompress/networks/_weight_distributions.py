"""Distributions of the neurons of random targets: how they are drawn, and what is known of their
norms in closed form.

Neurons are `v = mean + (a centred vector)`. But for `Correlated`, the centred part has covariance
`scale²/d · I`.
"""

import abc
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_finite, is_concrete
from jaxcompress.kernels import Gaussian
from jaxcompress.networks._laplace import (
    AbstractComponents,
    GaussianComponents,
    PointComponents,
    UniformComponents,
)
from jaxcompress.networks._radial import height_rule, norm_rule
from jaxcompress.networks._readout_distributions import check_range, number
from jaxcompress.special.internal import divide


class Polar(NamedTuple):
    """A neuron by its component along an axis and the length of the rest, whose directions are all
    alike.

    Without an axis nothing is along it, and `across` is the norm: given that, the neuron has mean
    zero and covariance `|v|²/d · I`.
    """

    probabilities: Float[Array, " q"]
    along: Float[Array, " q"]
    across: Float[Array, " q"]
    axis: Float[Array, " d"] | None


class AbstractWeights(eqx.Module):
    """A distribution of i.i.d. neurons `v` in `d` dimensions."""

    mean: eqx.AbstractVar[Float[Array, " d"] | None]

    @abc.abstractmethod
    def centred(self, key: Array, count: int, dim: int, dtype) -> Float[Array, "count d"]:
        """Draw neurons, without their mean."""

    def draw(self, key: Array, count: int, dim: int, dtype) -> Float[Array, "count d"]:
        """Draw neurons."""
        out = self.centred(key, count, dim, dtype)
        return out if self.mean is None else out + self.mean.astype(dtype)[None]

    @property
    def dim(self) -> int | None:
        """The dimension that the distribution is bound to, or `None` for one that fits every
        dimension.
        """
        return None if self.mean is None else self.mean.shape[0]

    def level(self, dim: int, dtype) -> Float[Array, " d"]:
        """`E v`."""
        return jnp.zeros(dim, dtype) if self.mean is None else self.mean.astype(dtype)

    def polar(self, dim: int, dtype) -> Polar | None:
        """A rule that is right to rounding, where norm and direction are independent; `None` where
        they are not.
        """
        return None

    def components(self, dim: int, dtype) -> AbstractComponents | None:
        """The distribution as one of independent components, or `None` where it is none."""
        return None


def _given(where: str, scale, mean) -> tuple[Array, Array | None]:
    """The two arguments that distributions of neurons share, as arrays.
    Raises `ValueError` for what they cannot be.
    """
    scale = number(where, "scale", scale)
    fine = not is_concrete(scale) or bool(scale >= 0)
    check_range(where, "scale", scale, fine, "a number that is not negative")
    return scale, _vector(where, mean)


def _vector(where: str, mean) -> Float[Array, " d"] | None:
    if mean is None:
        return None
    mean = as_array(f"ensembles.{where}", "mean", mean)
    if mean.ndim != 1 or not jnp.issubdtype(mean.dtype, jnp.floating):
        raise ValueError(
            f"ensembles.{where}: given a mean of shape {mean.shape} and dtype {mean.dtype}; "
            "expected floats (d,), added to every neuron; leave it out for neurons without mean"
        )
    check_finite(f"ensembles.{where}", mean=mean)
    return mean


def _unit(scale: Array, dim: int, dtype) -> Float[Array, ""]:
    """The standard deviation of an entry."""
    return scale.astype(dtype) / jnp.sqrt(jnp.asarray(dim, dtype))


def _all_alike(norms: Array, probabilities: Array) -> Polar:
    return Polar(probabilities, jnp.zeros_like(norms), norms, None)


class GaussianEntries(AbstractWeights):
    """I.i.d. entries `N(0, scale²/d)`.

    Arguments: `scale`, the neurons' norm in root mean square (traced); `mean (d,)`, added to every
    neuron, or `None`.
    Raises `ValueError` for a negative scale, NaN and wrong shapes.
    """

    scale: Float[Array, ""]
    mean: Float[Array, " d"] | None

    def __init__(
        self, scale: Float[Array, ""] | float = 1.0, mean: Float[Array, " d"] | None = None
    ):
        self.scale, self.mean = _given("GaussianEntries", scale, mean)

    def centred(self, key, count, dim, dtype):
        z = jax.random.normal(key, (count, dim), dtype) / jnp.sqrt(jnp.asarray(dim, dtype))
        return self.scale.astype(dtype) * z

    def polar(self, dim, dtype):
        if self.mean is not None:
            return None
        norms, probabilities = (jnp.asarray(part, dtype) for part in norm_rule(dim))
        return _all_alike(self.scale.astype(dtype) * norms, probabilities)

    def components(self, dim, dtype):
        return GaussianComponents(
            self.level(dim, dtype), jnp.full(dim, _unit(self.scale, dim, dtype))
        )


class RademacherEntries(AbstractWeights):
    """I.i.d. entries `±scale/√d` with fair signs. Arguments and errors as for `GaussianEntries`."""

    scale: Float[Array, ""]
    mean: Float[Array, " d"] | None

    def __init__(
        self, scale: Float[Array, ""] | float = 1.0, mean: Float[Array, " d"] | None = None
    ):
        self.scale, self.mean = _given("RademacherEntries", scale, mean)

    def centred(self, key, count, dim, dtype):
        return _unit(self.scale, dim, dtype) * jax.random.rademacher(key, (count, dim), dtype)

    def polar(self, dim, dtype):
        return (
            _all_alike(self.scale.astype(dtype)[None], jnp.ones(1, dtype))
            if self.mean is None
            else None
        )

    def components(self, dim, dtype):
        signs = _unit(self.scale, dim, dtype) * jnp.asarray([-1.0, 1.0], dtype)
        return PointComponents(
            self.level(dim, dtype)[None] + signs[:, None], jnp.full(2, 0.5, dtype)
        )


class UniformEntries(AbstractWeights):
    """I.i.d. entries uniform on `±scale √(3/d)`. Arguments and errors as for `GaussianEntries`."""

    scale: Float[Array, ""]
    mean: Float[Array, " d"] | None

    def __init__(
        self, scale: Float[Array, ""] | float = 1.0, mean: Float[Array, " d"] | None = None
    ):
        self.scale, self.mean = _given("UniformEntries", scale, mean)

    def centred(self, key, count, dim, dtype):
        half = _unit(self.scale, dim, dtype) * math.sqrt(3)
        return half * jax.random.uniform(key, (count, dim), dtype, -1, 1)

    def components(self, dim, dtype):
        return UniformComponents(
            self.level(dim, dtype), _unit(self.scale, dim, dtype) * math.sqrt(3)
        )


class SparseEntries(AbstractWeights):
    """I.i.d. entries that are zero but with this probability, and then `±scale/√(d·probability)`.

    Arguments: `probability` in (0, 1], that of an entry to be there (traced); the others as for
    `GaussianEntries`.
    Raises `ValueError` as that, and for a probability out of its range.
    """

    probability: Float[Array, ""]
    scale: Float[Array, ""]
    mean: Float[Array, " d"] | None

    def __init__(
        self,
        probability: Float[Array, ""] | float,
        scale: Float[Array, ""] | float = 1.0,
        mean: Float[Array, " d"] | None = None,
    ):
        self.probability = number("SparseEntries", "probability", probability)
        fine = not is_concrete(self.probability) or bool(0 < self.probability <= 1)
        check_range(
            "SparseEntries", "probability", self.probability, fine, "a number above 0 and up to 1"
        )
        self.scale, self.mean = _given("SparseEntries", scale, mean)

    def _size(self, dim: int, dtype) -> Float[Array, ""]:
        return _unit(self.scale, dim, dtype) / jnp.sqrt(self.probability.astype(dtype))

    def centred(self, key, count, dim, dtype):
        # One uniform number decides both: below `p/2` minus, below `p` plus.
        u, p = jax.random.uniform(key, (count, dim), dtype), self.probability.astype(dtype)
        return jnp.where(u < p, jnp.where(u < 0.5 * p, -1, 1), 0) * self._size(dim, dtype)

    def components(self, dim, dtype):
        values = self._size(dim, dtype) * jnp.asarray([-1.0, 0.0, 1.0], dtype)
        p = self.probability.astype(dtype)
        return PointComponents(
            self.level(dim, dtype)[None] + values[:, None], jnp.stack([0.5 * p, 1 - p, 0.5 * p])
        )


class Sphere(AbstractWeights):
    """Uniform on the sphere of radius `scale`, around `mean`. Arguments and errors as for
    `GaussianEntries`.
    """

    scale: Float[Array, ""]
    mean: Float[Array, " d"] | None

    def __init__(
        self, scale: Float[Array, ""] | float = 1.0, mean: Float[Array, " d"] | None = None
    ):
        self.scale, self.mean = _given("Sphere", scale, mean)

    def centred(self, key, count, dim, dtype):
        z = jax.random.normal(key, (count, dim), dtype)
        return self.scale.astype(dtype) * (z / jnp.linalg.norm(z, axis=1, keepdims=True))

    def polar(self, dim, dtype):
        scale = self.scale.astype(dtype)
        if self.mean is None:
            return _all_alike(scale[None], jnp.ones(1, dtype))
        mean = self.mean.astype(dtype)
        heights, rests, probabilities = (jnp.asarray(part, dtype) for part in height_rule(dim))
        length = jnp.linalg.norm(mean)
        # any will do for no mean
        axis = jnp.where(length > 0, divide(mean, length), jnp.eye(1, dim, dtype=dtype)[0])
        return Polar(probabilities, length + scale * heights, scale * rests, axis)


class Correlated(AbstractWeights):
    """Neurons `N(mean, covariance)`, which decides their norms as well: `E|v|² = |mean|² + tr
    covariance`.

    Arguments: `covariance (d, d)` symmetric positive semidefinite; `mean (d,)`, or `None`.
    Raises `ValueError` as `jaxcompress.Gaussian`, which checks both.
    """

    covariance: Float[Array, "d d"]
    factor: Float[Array, "d r"]
    mean: Float[Array, " d"] | None

    def __init__(self, covariance: Float[Array, "d d"], mean: Float[Array, " d"] | None = None):
        law = Gaussian(_vector("Correlated", mean), covariance)
        self.covariance, self.factor, self.mean = law.covariance, law.factor, law.mean

    @property
    def dim(self) -> int:
        return self.covariance.shape[0]

    def centred(self, key, count, dim, dtype):
        factor = self.factor.astype(dtype)
        return jax.random.normal(key, (count, factor.shape[1]), dtype) @ factor.T

    def components(self, dim, dtype):
        values, basis = jnp.linalg.eigh(self.covariance.astype(dtype))
        return GaussianComponents(
            self.level(dim, dtype) @ basis, jnp.sqrt(jnp.maximum(values, 0)), basis
        )
