"""The risk `E‖f_student(x) − f_target(x)‖²` as a number, with floor and Hessian: over all inputs, or on samples.

What enters: two networks, or a network and the moments of one, and an input law; or a network and samples. What leaves:
a scalar that JAX may differentiate twice, a bound on what rounding can have done to it, and the exact Hessian assembled
from blocks in weight space. Many evaluations against one target share a `RiskProblem`, which measures the target once.
"""

from jaxcompress.risk._centred import centred_hessian, centred_risk
from jaxcompress.risk._centred_target import AbstractCentredTarget, CentredPolynomial, CentredTarget
from jaxcompress.risk._curvature import hessian, parameter_mask, risk_hessian
from jaxcompress.risk._empirical import (
    EmpiricalProblem,
    Target,
    check_samples,
    curvature,
    empirical_risk,
    outgoing,
    preactivations,
    problem_of,
    squared_errors,
)
from jaxcompress.risk._population import RiskProblem, check_compatible, normal_equations, population_risk
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._samples import Samples, minibatches
from jaxcompress.risk._simplified import simplified_risk, simplified_risk_bound

__all__ = [
    "AbstractCentredTarget",
    "AbstractProblem",
    "CentredPolynomial",
    "CentredTarget",
    "EmpiricalProblem",
    "RiskProblem",
    "Samples",
    "Target",
    "centred_hessian",
    "centred_risk",
    "check_compatible",
    "check_samples",
    "curvature",
    "empirical_risk",
    "hessian",
    "minibatches",
    "normal_equations",
    "outgoing",
    "parameter_mask",
    "population_risk",
    "preactivations",
    "problem_of",
    "risk_hessian",
    "simplified_risk",
    "simplified_risk_bound",
    "squared_errors",
]
