"""Centred input distributions: the only ones that `infinite_width` accepts."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, Gaussian, StandardNormal


def check_inputs(where: str, inputs: AbstractInputs, dim: int | None = None) -> None:
    """Raise `ValueError` unless the inputs are a centred Gaussian (of `dim` dimensions, where
    given).
    """
    if not isinstance(inputs, StandardNormal) and (
        not isinstance(inputs, Gaussian) or inputs.mean is not None
    ):
        raise ValueError(
            f"{where}: given inputs {type(inputs).__name__} with a mean; expected StandardNormal() "
            "or Gaussian(None, covariance); subtract the mean, because a neuron without bias "
            "cannot represent it"
        )
    if dim is not None and inputs.dim not in (None, dim):
        raise ValueError(
            f"{where}: given inputs of dimension {inputs.dim} for {dim} coordinates; expected the "
            "same; pass the covariance of all coordinates"
        )


def whitened(inputs: AbstractInputs, weights: Float[Array, "m d"]) -> Float[Array, "m r"]:
    """The weights of the same neurons on standard normal inputs."""
    return inputs.standardize(weights, None)[0]


def coloured(inputs: AbstractInputs, pull: Float[Array, "m r"]) -> Float[Array, "m d"]:
    """`E[… x]` from `E[… z]`, where `x = factor·z`."""
    return pull @ inputs.factor.T if isinstance(inputs, Gaussian) else pull


def times_covariance(inputs: AbstractInputs, vector: Float[Array, " d"]) -> Float[Array, " d"]:
    """`Σ v`."""
    return inputs.covariance @ vector if isinstance(inputs, Gaussian) else vector


def best_linear(inputs: AbstractInputs, moment: Float[Array, " d"]) -> Float[Array, " d"]:
    """`Σ⁺ E[f x]`, the best linear predictor of `f`."""
    return (
        jnp.linalg.pinv(inputs.covariance, hermitian=True) @ moment
        if isinstance(inputs, Gaussian)
        else moment
    )
