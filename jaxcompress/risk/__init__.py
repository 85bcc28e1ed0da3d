"""The population risk `E‖f_student(x) − f_target(x)‖²` as a number, with its rounding floor and its Hessian.

What enters: two networks, or a network and the moments of one, and an input law. What leaves: a scalar that JAX may
differentiate twice, a bound on what rounding can have done to it, and the exact Hessian assembled from blocks in weight
space. Many evaluations against one target share a `RiskProblem`, which measures the target once.
"""

from jaxcompress.risk._centred import centred_hessian, centred_risk
from jaxcompress.risk._centred_target import AbstractCentredTarget, CentredPolynomial, CentredTarget
from jaxcompress.risk._curvature import hessian, parameter_mask, risk_hessian
from jaxcompress.risk._population import RiskProblem, check_compatible, normal_equations, population_risk
from jaxcompress.risk._simplified import simplified_risk, simplified_risk_bound

__all__ = [
    "AbstractCentredTarget",
    "CentredPolynomial",
    "CentredTarget",
    "RiskProblem",
    "centred_hessian",
    "centred_risk",
    "check_compatible",
    "hessian",
    "normal_equations",
    "parameter_mask",
    "population_risk",
    "risk_hessian",
    "simplified_risk",
    "simplified_risk_bound",
]
