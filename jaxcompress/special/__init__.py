"""Numbers in, numbers out: the scalar functions that the kernels are made of.

What enters is arrays of heights, angles and norms; what leaves is arrays of the same shape and
dtype. Nothing here knows what a network is. Every function is finite wherever its arguments are,
and so are its derivatives: at a point where a derivative does not exist it is stated to be zero.
"""

from jaxcompress.special._arcsine import arcsine
from jaxcompress.special._arctangent import arctangent
from jaxcompress.special._faddeeva import faddeeva
from jaxcompress.special._normal import (
    bivariate_normal_cdf,
    normal_cdf,
    normal_pdf,
    normal_tail,
    sign_mean,
    wedge_probabilities,
)

__all__ = [
    "arcsine",
    "arctangent",
    "bivariate_normal_cdf",
    "faddeeva",
    "normal_cdf",
    "normal_pdf",
    "normal_tail",
    "sign_mean",
    "wedge_probabilities",
]
