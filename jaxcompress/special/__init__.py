"""Numbers in, numbers out: the scalar functions that the kernels are made of.

What enters is arrays of heights, angles and norms; what leaves is arrays of the same shape and dtype. Nothing
here knows what a network is. Every function is finite wherever its arguments are, and so are its derivatives:
at a point where a derivative does not exist it is stated to be zero.
"""

from jaxcompress.special._arcsine import arcsine
from jaxcompress.special._arctangent import arctangent
from jaxcompress.special._faddeeva import faddeeva, scaled_normal_pdf, scaled_sign_mean
from jaxcompress.special._normal import (
    Sides,
    bivariate_normal_cdf,
    from_tail,
    normal_cdf,
    normal_pdf,
    normal_tail,
    sign_mean,
    wedge_probabilities,
)
from jaxcompress.special._precision import Precision, precision
from jaxcompress.special._safe import divide, sqrt
from jaxcompress.special._sine import sine_minus_arc_cosine
from jaxcompress.special._unit import Unit, unit

__all__ = [
    "Precision",
    "Sides",
    "Unit",
    "arcsine",
    "arctangent",
    "bivariate_normal_cdf",
    "divide",
    "faddeeva",
    "from_tail",
    "normal_cdf",
    "normal_pdf",
    "normal_tail",
    "precision",
    "scaled_normal_pdf",
    "scaled_sign_mean",
    "sign_mean",
    "sine_minus_arc_cosine",
    "sqrt",
    "unit",
    "wedge_probabilities",
]
