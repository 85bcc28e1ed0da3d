"""The risk `E‖f_student(x) − f_target(x)‖²` as a number, with floor and Hessian: over all inputs,
or on samples.

What enters: two networks, or a network and the moments of one, and an input law; or a network and
samples. What leaves: a scalar that JAX may differentiate twice, a bound on what rounding can have
done to it, and the exact Hessian assembled from blocks in weight space. Many evaluations against
one target share a `RiskProblem`, which measures the target once.
"""

from jaxcompress.risk._curvature import risk_hessian
from jaxcompress.risk._empirical import EmpiricalProblem, empirical_risk
from jaxcompress.risk._population import RiskProblem, normal_equations, population_risk
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._samples import Samples, minibatches
from jaxcompress.risk._simplified import simplified_risk, simplified_risk_bound

__all__ = [
    "AbstractProblem",
    "EmpiricalProblem",
    "RiskProblem",
    "Samples",
    "empirical_risk",
    "minibatches",
    "normal_equations",
    "population_risk",
    "risk_hessian",
    "simplified_risk",
    "simplified_risk_bound",
]
