"""What other subpackages may use of `kernels` beside its public names."""

from jaxcompress.kernels.activations._activation import Affine, Erf, Relu
from jaxcompress.kernels.moments._frames import Frames, frames, frames_within
from jaxcompress.kernels.moments._moments import (
    BEND,
    CROSS,
    GRADIENT,
    VALUE,
    AbstractMoments,
    First,
    Part,
    Second,
)
from jaxcompress.kernels.moments._plane import Angle, Plane, plane
from jaxcompress.kernels.moments._selection import formulas
from jaxcompress.kernels.tables._blocks import summed_blocks
from jaxcompress.kernels.tables._dual import slope
from jaxcompress.kernels.tables._gram import in_one_piece, table_in_blocks, table_times
from jaxcompress.kernels.tables._pairwise import table_gradient
from jaxcompress.kernels.zero_mean._forms import (
    AbstractCentred,
    CentredSecond,
    centred,
    centred_means,
)
from jaxcompress.kernels.zero_mean._hermite_remainder import AbstractRests, rests

__all__ = [
    "BEND",
    "CROSS",
    "GRADIENT",
    "VALUE",
    "AbstractCentred",
    "AbstractMoments",
    "AbstractRests",
    "Affine",
    "Angle",
    "CentredSecond",
    "Erf",
    "First",
    "Frames",
    "Part",
    "Plane",
    "Relu",
    "Second",
    "centred",
    "centred_means",
    "formulas",
    "frames",
    "frames_within",
    "in_one_piece",
    "plane",
    "rests",
    "slope",
    "summed_blocks",
    "table_gradient",
    "table_in_blocks",
    "table_times",
]
