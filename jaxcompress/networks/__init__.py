"""Networks as parameters: what they are, where they start, how they are stored, and what is left of wide ones.

What enters: arrays, keys, laws, files. What leaves: a `TwoLayer`, a PyTree whose leaves are its parameters, or the
`TargetMoments` to which a wide target is reduced. Nothing here compares two networks: that is the room `risk`.
"""

from jaxcompress.networks import ensembles, initialize, targets
from jaxcompress.networks._files import (
    activation_name,
    activation_named,
    check_writable,
    load,
    read_arrays,
    real_array,
    save,
    write_arrays,
)
from jaxcompress.networks._layer import (
    ONE,
    Layer,
    Sized,
    as_layer,
    form,
    hermite_orders,
    layer_mean,
    mean_of,
    neuron_means,
    norms,
    offset_of,
    still,
)
from jaxcompress.networks._moments import (
    TargetMoments,
    check_order,
    orders_energy,
    relu_moments,
    target_moments,
)
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.networks.initialize import Starts

__all__ = [
    "ONE",
    "Layer",
    "Sized",
    "Starts",
    "TargetMoments",
    "TwoLayer",
    "activation_name",
    "activation_named",
    "as_layer",
    "check_order",
    "check_writable",
    "ensembles",
    "form",
    "hermite_orders",
    "initialize",
    "layer_mean",
    "load",
    "mean_of",
    "neuron_means",
    "norms",
    "offset_of",
    "orders_energy",
    "read_arrays",
    "real_array",
    "relu_moments",
    "save",
    "still",
    "target_moments",
    "targets",
    "write_arrays",
]
