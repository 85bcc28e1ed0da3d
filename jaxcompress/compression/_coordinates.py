"""Input coordinates in which the law is as round as it can be: there the descent is well
conditioned.

`x = mean + factor·z` with standard normal `z`. A layer with hidden biases absorbs the mean into
them; one without keeps a law with a mean, and a coordinate that never varies where the mean leaves
the range of the covariance.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, Gaussian, StandardNormal
from jaxcompress.networks import TwoLayer


class Coordinates(eqx.Module):
    """A change of input coordinates `x = shift + matrix·z` and the law of `z`.

    `inverse` is the pseudo-inverse of `matrix`: directions in which the inputs never vary get
    weight zero.
    """

    matrix: Float[Array, "d r"]
    inverse: Float[Array, "r d"]
    shift: Float[Array, " d"] | None
    inputs: AbstractInputs

    def inward(self, network: TwoLayer) -> TwoLayer:
        """The same function of the inputs, as a network of `z`."""
        bias = network.bias
        if self.shift is not None and bias is not None:
            bias = bias + network.weights @ self.shift
        return TwoLayer(
            network.weights @ self.matrix,
            network.readout,
            bias,
            network.output_bias,
            network.activation,
        )

    def outward(self, network: TwoLayer) -> TwoLayer:
        """A network of `z` as a network of the inputs, equal to it on every input that can
        occur.
        """
        weights = network.weights @ self.inverse
        bias = network.bias
        if self.shift is not None and bias is not None:
            bias = bias - weights @ self.shift
        return TwoLayer(weights, network.readout, bias, network.output_bias, network.activation)


def round_coordinates(target: TwoLayer, inputs: AbstractInputs) -> Coordinates:
    """Coordinates that make the distribution of the inputs standard normal, as far as the target's
    parameters allow.
    """
    dtype = target.weights.dtype
    if not isinstance(inputs, Gaussian):
        eye = jnp.eye(target.dim, dtype=dtype)
        return Coordinates(eye, eye, None, inputs)
    factor = np.asarray(inputs.factor, np.float64)
    inverse = np.linalg.pinv(factor)
    if target.bias is not None or inputs.mean is None:
        return Coordinates(
            jnp.asarray(factor, dtype), jnp.asarray(inverse, dtype), inputs.mean, StandardNormal()
        )
    mean = np.asarray(inputs.mean, np.float64)
    inside = inverse @ mean
    outside = mean - factor @ inside
    rank = factor.shape[1]
    law_mean, spread = inside, np.ones(rank)
    if np.linalg.norm(outside) > 1e-12 * np.linalg.norm(mean):
        factor = np.concatenate([factor, outside[:, None]], axis=1)
        inverse = np.linalg.pinv(factor)
        law_mean, spread = np.append(inside, 1.0), np.append(spread, 0.0)
    law = Gaussian(jnp.asarray(law_mean, dtype), jnp.asarray(np.diag(spread), dtype))
    return Coordinates(jnp.asarray(factor, dtype), jnp.asarray(inverse, dtype), None, law)
