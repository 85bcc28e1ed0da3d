"""What other subpackages may use of `networks` beside its public names."""

from jaxcompress.networks._files import (
    activation_name,
    activation_named,
    read_arrays,
    real_array,
    write_arrays,
)
from jaxcompress.networks._layer import (
    ONE,
    GatedLayer,
    Layer,
    Sized,
    against,
    as_layer,
    form,
    forms,
    hermite_orders,
    layer_mean,
    layer_of,
    mean_of,
    neuron_means,
    neuron_table,
    norms,
    offset_of,
    still,
)
from jaxcompress.networks._moments import check_order
from jaxcompress.networks._network import AbstractNetwork, output_axis
from jaxcompress.networks._target_moments import orders_second_moment

__all__ = [
    "ONE",
    "AbstractNetwork",
    "GatedLayer",
    "Layer",
    "Sized",
    "activation_name",
    "activation_named",
    "against",
    "as_layer",
    "check_order",
    "form",
    "forms",
    "hermite_orders",
    "layer_mean",
    "layer_of",
    "mean_of",
    "neuron_means",
    "neuron_table",
    "norms",
    "offset_of",
    "orders_second_moment",
    "output_axis",
    "read_arrays",
    "real_array",
    "still",
    "write_arrays",
]
