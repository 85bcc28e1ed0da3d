"""Distributions of the inputs: all they do to a neuron is give its pre-activation a mean and a
standard deviation.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, check_finite, is_concrete


class AbstractInputs(eqx.Module):
    """A Gaussian distribution of the inputs `x = mean + factor·z` with standard normal `z`.

    Example: that of `Gaussian`.
    """

    @abc.abstractmethod
    def standardize(
        self, weights: Float[Array, "n d"], bias: Float[Array, " n"] | None
    ) -> tuple[Float[Array, "n r"], Float[Array, " n"] | None]:
        """Weights `factorᵀw` on the standard normal `z` and means `w·mean + bias` of the
        pre-activations.

        A mean of `None` is exactly zero, known at trace time. Linear in `(weights, bias)`.
        """

    @property
    @abc.abstractmethod
    def dim(self) -> int | None:
        """The input dimension `d`, or `None` for one that fits every dimension."""

    @abc.abstractmethod
    def sample(
        self, key: Array, shape: tuple[int, ...], dim: int, dtype
    ) -> Float[Array, "*shape d"]:
        """Draw inputs; for checks against the closed forms only."""


class StandardNormal(AbstractInputs):
    """`x ~ N(0, I)` in whatever dimension the weights have.

    >>> from jaxcompress.kernels import StandardNormal
    >>> StandardNormal().dim is None
    True
    """

    def standardize(self, weights, bias):
        return weights, bias

    @property
    def dim(self) -> None:
        return None

    def sample(self, key, shape, dim, dtype):
        return jax.random.normal(key, (*shape, dim), dtype)


class Gaussian(AbstractInputs):
    """`x ~ N(mean, covariance)`; the covariance may be singular (constant pixels).

    Arguments: `mean (d,)`, or `None` for exactly zero, which selects the shorter centred formulas;
    `covariance (d, d)` symmetric positive semidefinite, of the same floating dtype. Eigenvalues
    below `d·ε·(the largest)` count as zero: the distribution then lives in `r < d` dimensions, and
    `factor (d, r)` with `factor factorᵀ = covariance` is what everything is computed from.
    Derivatives reach `mean` and `factor`; by `covariance` they are zero, for a factor of a singular
    matrix has none.
    Raises `ValueError` for shapes that do not fit, NaN, an asymmetric or an indefinite covariance
    (checked on concrete arrays; under a trace the covariance is not checked, and nothing is cut).

    >>> import jax.numpy as jnp
    >>> from jaxcompress.kernels import Gaussian
    >>> Gaussian(None, jnp.diag(jnp.array([1.0, 2.0, 0.0]))).factor.shape  # two dimensions
    (3, 2)
    """

    mean: Float[Array, " d"] | None
    covariance: Float[Array, "d d"]
    factor: Float[Array, "d r"]

    def __init__(self, mean: Float[Array, " d"] | None, covariance: Float[Array, "d d"]):
        covariance = as_array("Gaussian", "covariance", covariance)
        mean = None if mean is None else as_array("Gaussian", "mean", mean)
        shape = covariance.shape[:1] if mean is None else mean.shape
        if covariance.ndim != 2 or len(shape) != 1 or covariance.shape != shape * 2:
            raise ValueError(
                f"Gaussian: given mean of shape {shape} and covariance of shape "
                f"{covariance.shape}; expected (d,) and (d, d); pass one mean and one square "
                "covariance matrix"
            )
        dtype = covariance.dtype if mean is None else mean.dtype
        if dtype != covariance.dtype or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"Gaussian: given mean of dtype {dtype} and covariance of dtype "
                f"{covariance.dtype}; expected one floating dtype for both; cast one of them"
            )
        check_finite("Gaussian", mean=mean)
        self.mean, self.covariance = mean, covariance
        self.factor = _factor(covariance)

    def standardize(self, weights, bias):
        if self.mean is None:
            return weights @ self.factor, bias
        mean = weights @ self.mean
        return weights @ self.factor, mean if bias is None else mean + bias

    @property
    def dim(self) -> int:
        return self.covariance.shape[0]

    def sample(self, key, shape, dim, dtype):
        z = jax.random.normal(key, (*shape, self.factor.shape[1]), dtype)
        x = z @ self.factor.T
        return x if self.mean is None else x + jnp.broadcast_to(self.mean, x.shape)


def check_inputs(where: str, inputs: AbstractInputs, dim: int) -> None:
    """Raise `ValueError` unless this is a distribution of inputs that has as many dimensions as a
    target reads.
    """
    if not isinstance(inputs, AbstractInputs):
        raise ValueError(
            f"{where}: given inputs of type {type(inputs).__name__}; expected a distribution of "
            "inputs, such as StandardNormal()"
        )
    if inputs.dim not in (None, dim):
        raise ValueError(
            f"{where}: given a target of input dimension {dim} and inputs of dimension "
            f"{inputs.dim}; expected the same; pass the mean and covariance of the inputs that "
            "this target reads, or pad its weights with zeros"
        )


def _factor(covariance: Array) -> Array:
    """`L (d, r)` with `L Lᵀ = covariance`, from the eigenvalues that are not zero."""
    if not is_concrete(covariance):
        values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(covariance))
        return vectors * jnp.sqrt(jnp.maximum(values, 0))[None, :]
    check_finite("Gaussian", covariance=covariance)
    matrix = np.asarray(covariance, dtype=np.float64)
    size, epsilon = np.abs(matrix).max(initial=0.0), float(jnp.finfo(covariance.dtype).eps)
    skew = np.abs(matrix - matrix.T).max(initial=0.0)
    if skew > 1e3 * epsilon * size:
        raise ValueError(
            f"Gaussian: given a covariance that is not symmetric (largest |C − Cᵀ| is {skew:.3g}); "
            "expected a symmetric matrix; pass (C + C.T)/2 if the difference is noise"
        )
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    floor = len(matrix) * epsilon * values.max(initial=0.0)
    if values.min(initial=0.0) < -10 * floor - np.finfo(np.float64).tiny:
        raise ValueError(
            f"Gaussian: given an indefinite covariance (smallest eigenvalue {values.min():.3g}); "
            "expected a positive semidefinite matrix; estimate it with numpy.cov or clip its "
            "eigenvalues at zero"
        )
    kept = values > floor
    return jnp.asarray(vectors[:, kept] * np.sqrt(values[kept]), dtype=covariance.dtype)
