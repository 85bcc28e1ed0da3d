"""From a start to a certified critical point of the population risk.

What enters: students, targets, an input distribution and options. What leaves: a `Solution`, with
the network, its risk and rounding floor, the gradient that is left, a result code that says in
words how the run ended, and the spectrum of the Hessian. The flow decides the basin; the polish
takes the point in it to the rounding floor.

Inside, from the outside in: `_solve` (what users call) checks and compiles, for batches of few
sizes (`_sizes`); `_batch` turns networks into vectors and ends into a `Solution`, `_reduction`
takes superfluous input dimensions off; `_engine` sends the runs (their `_state`) through slots
(`_slots`), one phase after another: the flow (`_stepping`, whose methods are `_rosenbrock` and
`_chebyshev`, chosen in `_method`; `_vanishing` is its event), the hand-over (`_hand_over`), the
polish (`_polish`), or the search of saddles (`_saddle_search`). All phases are the same loop of
stages (`_phase`), and `_pass` is the one place of the program that evaluates the risk and the one
that evaluates the Hessian, of vectors that `_objective` supplies. `_flow` follows one run with its
trajectory by diffrax, for which `_diffrax` wraps both methods.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxcompress.solvers._certify import certify
from jaxcompress.solvers._flow import gradient_flow
from jaxcompress.solvers._method import METHODS
from jaxcompress.solvers._solution import RESULTS, Solution, SolveError
from jaxcompress.solvers._solve import critical_points, flow_many, solve, solve_many

if TYPE_CHECKING:
    from jaxcompress.solvers._diffrax import Chebyshev as Chebyshev
    from jaxcompress.solvers._diffrax import Rodas5P as Rodas5P

__all__ = [
    "METHODS",
    "RESULTS",
    "Chebyshev",
    "Rodas5P",
    "Solution",
    "SolveError",
    "certify",
    "critical_points",
    "flow_many",
    "gradient_flow",
    "solve",
    "solve_many",
]


def __getattr__(name: str) -> Any:
    if name in ("Chebyshev", "Rodas5P"):  # solvers of diffrax, which is loaded for them alone
        return getattr(importlib.import_module(f"{__name__}._diffrax"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
