"""Layers on standard normal inputs: what a network is once the input law has been absorbed into its weights.

Letters: weights `W`, readout `a` of one layer; `V`, `b` of another. Every scalar output has its axis of outputs here.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, AbstractInputs, Affine, table_in_blocks, table_times
from jaxcompress.networks._two_layer import TwoLayer

ONE = Affine(constant=1.0, slope=0.0)


class Layer(eqx.Module):
    """`Σ_i a_i φ(w_i·z + mean_i)` of standard normal `z`; a mean of `None` is exactly zero."""

    weights: Float[Array, "n r"]
    mean: Float[Array, " n"] | None
    readout: Float[Array, "n o"]
    activation: AbstractActivation = eqx.field(static=True)


class Sized(NamedTuple):
    """A sum and the sum of the sizes of what was added up in it."""

    value: Array
    size: Array


def as_layer(network: TwoLayer, inputs: AbstractInputs) -> Layer:
    """Absorb the input law into the weights and means, and give a scalar output its axis."""
    weights, mean = inputs.standardize(network.weights, network.bias)
    readout = network.readout[:, None] if network.outputs is None else network.readout
    return Layer(weights, mean, readout, network.activation)


def offset_of(network: TwoLayer) -> Float[Array, " o"] | None:
    """The output bias with its axis of outputs."""
    return None if network.output_bias is None else jnp.atleast_1d(network.output_bias)


def form(x: Layer, y: Layer) -> Sized:
    """`E x·y = Σ_o aᵀ G b`."""
    value, sizes = table_times(x.activation, y.activation, x.weights, x.mean, y.weights, y.mean, y.readout)
    return Sized(jnp.sum(x.readout * value), jnp.sum(jnp.abs(x.readout) * sizes))


def neuron_means(x: Layer) -> Float[Array, " n"]:
    """`E φ(X_i)` for every neuron."""
    return table_in_blocks(x.activation, ONE, x.weights, x.mean, still(x), None)[:, 0]


def still(x: Layer) -> Float[Array, "1 r"]:
    """The weights of a neuron that sees nothing of the inputs."""
    return jnp.zeros((1, x.weights.shape[1]), x.weights.dtype)


def layer_mean(x: Layer) -> Sized:
    """`E x`, one number an output."""
    means = neuron_means(x)
    return Sized(x.readout.T @ means, jnp.abs(x.readout).T @ jnp.abs(means))
