"""What other subpackages may use of `kernels` beside its public names."""

from jaxcompress.kernels._inputs import check_inputs
from jaxcompress.kernels.activations._activation import (
    Affine,
    Erf,
    Relu,
    check_activation,
    second_derivative,
)
from jaxcompress.kernels.activations._derivative import derivative_of
from jaxcompress.kernels.activations._traits import (
    Traits,
    derivative_bounds,
    has_closed_form,
    kink_order,
    kinked,
    traits,
)
from jaxcompress.kernels.moments._frames import Frames, frames, frames_within, one_pair
from jaxcompress.kernels.moments._moments import (
    GRADIENT,
    MIXED_DERIVATIVE,
    SECOND_DERIVATIVE,
    VALUE,
    AbstractMoments,
    First,
    Part,
    Second,
)
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._blocks import summed_blocks
from jaxcompress.kernels.tables._completed import (
    HESSIAN_ORDERS,
    for_open,
    open_tables,
    serves,
    tables,
)
from jaxcompress.kernels.tables._diagonal import smoothed
from jaxcompress.kernels.tables._gated_tables import gated_table
from jaxcompress.kernels.tables._gram import in_one_piece, table_in_blocks, table_times
from jaxcompress.kernels.tables._neurons import Neurons
from jaxcompress.kernels.tables._pairwise import table_gradient
from jaxcompress.kernels.tables._spectral import table_by_series
from jaxcompress.kernels.zero_mean._choice import centred, centred_means, has_rough_form
from jaxcompress.kernels.zero_mean._forms import AbstractCentred, CentredFirst, CentredSecond
from jaxcompress.kernels.zero_mean._hermite_remainder import (
    AbstractHermiteRemainder,
    hermite_remainder,
)

__all__ = [
    "GRADIENT",
    "HESSIAN_ORDERS",
    "MIXED_DERIVATIVE",
    "SECOND_DERIVATIVE",
    "VALUE",
    "AbstractCentred",
    "AbstractHermiteRemainder",
    "AbstractMoments",
    "Affine",
    "Angle",
    "CentredFirst",
    "CentredSecond",
    "Erf",
    "First",
    "Frames",
    "Neurons",
    "Part",
    "Plane",
    "Relu",
    "Second",
    "Traits",
    "centred",
    "centred_means",
    "check_activation",
    "check_inputs",
    "derivative_bounds",
    "derivative_of",
    "for_open",
    "formulas",
    "frames",
    "frames_within",
    "gated_table",
    "has_closed_form",
    "has_rough_form",
    "hermite_remainder",
    "in_one_piece",
    "kink_order",
    "kinked",
    "one_pair",
    "open_tables",
    "plane",
    "second_derivative",
    "serves",
    "smoothed",
    "summed_blocks",
    "table_by_series",
    "table_gradient",
    "table_in_blocks",
    "table_times",
    "tables",
    "traits",
]
