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
from jaxcompress.networks._moments import check_order
from jaxcompress.networks._target_moments import orders_second_moment
from jaxcompress.networks._two_layer import output_axis

__all__ = [
    "ONE",
    "Layer",
    "Sized",
    "activation_name",
    "activation_named",
    "as_layer",
    "check_order",
    "form",
    "hermite_orders",
    "layer_mean",
    "mean_of",
    "neuron_means",
    "norms",
    "offset_of",
    "orders_second_moment",
    "output_axis",
    "read_arrays",
    "real_array",
    "still",
    "write_arrays",
]
