"""Networks as rows in the units of a target: the sizes against which neurons are small or large."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxcompress.landscape.symmetry._neurons import neurons, rows_of
from jaxcompress.networks import TwoLayer


class Units(NamedTuple):
    """The largest weights (with bias) of a target, its largest readout, and all its readouts
    together.
    """

    weights: float
    readout: float
    total: float


def units_of(target: TwoLayer) -> Units:
    """The units of a target; one where it has none."""
    first, readout = rows_of(target)
    lengths = np.linalg.norm(readout, axis=1)
    weights = np.max(np.linalg.norm(first, axis=1), initial=0)
    longest = np.max(lengths, initial=0)
    return Units(float(weights or 1), float(longest or 1), float(np.sum(lengths) or 1))


def rows_apart(one: TwoLayer, other: TwoLayer, units: Units) -> float:
    """The distance of two networks neuron by neuron, as they are ordered and signed, in units."""
    pairs = zip(neurons(scaled(one, units))[:3], neurons(scaled(other, units))[:3], strict=True)
    return float(np.sqrt(sum(float(np.sum((x - y) ** 2)) for x, y in pairs)))


def scaled(network: TwoLayer, units: Units) -> TwoLayer:
    """The network in units: weights, biases and readouts divided by theirs."""
    first, readout = rows_of(network)
    out = with_rows(network, first / units.weights, readout / units.readout)
    if network.output_bias is None:
        return out
    return with_offset(out, network.output_bias / units.readout)


def with_rows(network: TwoLayer, first: np.ndarray, readout: np.ndarray) -> TwoLayer:
    """A network like this one, of as many neurons as there are rows."""
    d, dtype = network.dim, network.weights.dtype
    readout = readout if network.outputs is not None else readout[:, 0]
    return eqx.tree_at(
        lambda net: (net.weights, net.readout, net.bias),
        network,
        (
            jnp.asarray(first[:, :d], dtype),
            jnp.asarray(readout, dtype),
            None if network.bias is None else jnp.asarray(first[:, d], dtype),
        ),
        is_leaf=lambda leaf: leaf is None,
    )


def with_offset(network: TwoLayer, output_bias) -> TwoLayer:
    """The network with another output bias, where it has one."""
    if network.output_bias is None:
        return network
    return eqx.tree_at(
        lambda net: net.output_bias, network, jnp.asarray(output_bias, network.weights.dtype)
    )
