"""Layers on standard normal inputs: what a network is once the input law has been absorbed into its weights.

Letters: weights `W`, readout `a` of one layer; `V`, `b` of another. Every scalar output has its axis of outputs here.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, AbstractInputs, Affine, table_gradient, table_in_blocks, table_times
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


class Orders(NamedTuple):
    """What the neurons of a layer have in the Hermite orders 0, 1, 2, with `m` the mean and primes by its argument:
    `E φ = m`, `E φ z = m′v`, `E φ (zzᵀ − I) = m″vvᵀ`."""

    mean: Float[Array, " n"]
    slope: Float[Array, " n"]
    bent: Float[Array, "n r"]  # m″v
    own: Float[Array, " n"]  # E φ²

    def beyond(self, weights: Float[Array, "n r"], order: int) -> Float[Array, " n"]:
        """`E φ²` without the orders up to this one, 1 or 2."""
        rest = self.own - self.mean**2 - self.slope**2 * jnp.sum(weights * weights, axis=1)
        if order == 2:
            rest -= 0.5 * jnp.sum(weights * self.bent, axis=1) ** 2
        return jnp.maximum(rest, 0)


def hermite_orders(x: Layer) -> Orders:
    """The lowest Hermite orders of every neuron, exact also at norm zero."""
    f = x.activation
    by_weights, by_mean, _, _ = table_gradient(f, ONE, x.weights, x.mean, still(x), None)

    def own(weights: Array, mean: Array | None) -> Array:
        shift = None if mean is None else mean[None]
        return table_in_blocks(f, f, weights[None], shift, weights[None], shift)[0, 0]

    return Orders(neuron_means(x), by_mean[:, 0], by_weights[:, 0], jax.vmap(own)(x.weights, x.mean))
