"""The risk `E‖f_student(x) − f_target(x)‖²` as a number, with floor and Hessian: over all inputs,
or on samples.

What enters: a student and a target (a network, the moments of one, samples, or an `AbstractTarget`
of your own) and an input distribution. What leaves: a scalar that JAX may differentiate twice, a
bound on what rounding can have done to it, and the exact Hessian assembled from blocks in weight
space. Many evaluations against one target share its `AbstractProblem`, for networks a
`RiskProblem`, which measures the target once.
"""

from jaxcompress.risk._empirical import empirical_risk
from jaxcompress.risk._normal_equations import normal_equations
from jaxcompress.risk._population import RiskProblem
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._risks import population_risk, risk_hessian
from jaxcompress.risk._samples import EmpiricalProblem, Samples, minibatches
from jaxcompress.risk._simplified import simplified_risk, simplified_risk_bound
from jaxcompress.risk._target import AbstractTarget

__all__ = [
    "AbstractProblem",
    "AbstractTarget",
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
