"""What other subpackages may use of `risk` beside its public names."""

from jaxcompress.risk._assembly import parameter_mask
from jaxcompress.risk._centred import centred_hessian, centred_risk
from jaxcompress.risk._centred_target import AbstractCentredTarget, CentredPolynomial, CentredTarget
from jaxcompress.risk._checks import (
    check_freeze,
    check_measured,
    check_network,
    check_pair,
    check_student,
)
from jaxcompress.risk._empirical import check_samples, squared_errors
from jaxcompress.risk._empirical_terms import preactivations
from jaxcompress.risk._population import as_target, check_compatible
from jaxcompress.risk._risks import Target

__all__ = [
    "AbstractCentredTarget",
    "CentredPolynomial",
    "CentredTarget",
    "Target",
    "as_target",
    "centred_hessian",
    "centred_risk",
    "check_compatible",
    "check_freeze",
    "check_measured",
    "check_network",
    "check_pair",
    "check_samples",
    "check_student",
    "parameter_mask",
    "preactivations",
    "squared_errors",
]
