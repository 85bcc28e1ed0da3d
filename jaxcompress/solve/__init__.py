"""From a start to a certified critical point of the population risk.

What enters: students, targets, an input law and options. What leaves: a `Solution`, with the network, its risk and
rounding floor, the gradient that is left, a result code that says in words how the run ended, and the spectrum of
the Hessian. The flow decides the basin; the polish takes the point in it to the rounding floor.
"""

from jaxcompress._rooms import make_callable
from jaxcompress.solve._certify import certify
from jaxcompress.solve._flow import gradient_flow
from jaxcompress.solve._rosenbrock import Rodas5P
from jaxcompress.solve._solution import RESULTS, Solution, SolveError
from jaxcompress.solve._solve import flow_many, solve, solve_many

__all__ = [
    "RESULTS",
    "Rodas5P",
    "Solution",
    "SolveError",
    "certify",
    "flow_many",
    "gradient_flow",
    "solve",
    "solve_many",
]

make_callable(__name__, solve)
