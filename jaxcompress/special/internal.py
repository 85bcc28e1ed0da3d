"""What other subpackages may use of `special` beside its public names."""

from jaxcompress.special._faddeeva import scaled_normal_pdf, scaled_sign_mean
from jaxcompress.special._normal import Sides, from_tail, wedge_between
from jaxcompress.special._precision import Precision, precision
from jaxcompress.special._safe import divide, sqrt
from jaxcompress.special._sine import sine_minus_arc_cosine
from jaxcompress.special._unit import Unit, polar, unit

__all__ = [
    "Precision",
    "Sides",
    "Unit",
    "divide",
    "from_tail",
    "polar",
    "precision",
    "scaled_normal_pdf",
    "scaled_sign_mean",
    "sine_minus_arc_cosine",
    "sqrt",
    "unit",
    "wedge_between",
]
