"""What other subpackages may use of `risk` beside its public names."""

from jaxcompress.risk._centred import centred_hessian, centred_risk
from jaxcompress.risk._centred_target import AbstractCentredTarget, CentredPolynomial, CentredTarget
from jaxcompress.risk._curvature import hessian, parameter_mask
from jaxcompress.risk._empirical import (
    Target,
    check_samples,
    curvature,
    preactivations,
    problem_of,
    squared_errors,
)
from jaxcompress.risk._population import check_compatible

__all__ = [
    "AbstractCentredTarget",
    "CentredPolynomial",
    "CentredTarget",
    "Target",
    "centred_hessian",
    "centred_risk",
    "check_compatible",
    "check_samples",
    "curvature",
    "hessian",
    "parameter_mask",
    "preactivations",
    "problem_of",
    "squared_errors",
]
