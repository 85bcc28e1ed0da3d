"""Exact compression of two-layer networks under Gaussian inputs.

The names of daily use. Each is imported from its room when it is first asked for, so that `import jaxcompress.kernels`
pulls in the kernels and nothing else.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxcompress.compress import Compressed as Compressed
    from jaxcompress.compress import compress as compress
    from jaxcompress.kernels import Gaussian as Gaussian
    from jaxcompress.kernels import GaussianPair as GaussianPair
    from jaxcompress.kernels import StandardNormal as StandardNormal
    from jaxcompress.kernels import activations as activations
    from jaxcompress.networks import TargetMoments as TargetMoments
    from jaxcompress.networks import TwoLayer as TwoLayer
    from jaxcompress.networks import ensembles as ensembles
    from jaxcompress.networks import initialize as initialize
    from jaxcompress.networks import load as load
    from jaxcompress.networks import relu_moments as relu_moments
    from jaxcompress.networks import save as save
    from jaxcompress.networks import target_moments as target_moments
    from jaxcompress.networks import targets as targets
    from jaxcompress.programs import keep_programs as keep_programs
    from jaxcompress.risk import RiskProblem as RiskProblem
    from jaxcompress.risk import Samples as Samples
    from jaxcompress.risk import empirical_risk as empirical_risk
    from jaxcompress.risk import population_risk as population_risk
    from jaxcompress.risk import risk_hessian as risk_hessian
    from jaxcompress.risk import simplified_risk as simplified_risk
    from jaxcompress.risk import simplified_risk_bound as simplified_risk_bound
    from jaxcompress.solve import RESULTS as RESULTS
    from jaxcompress.solve import Solution as Solution
    from jaxcompress.solve import SolveError as SolveError
    from jaxcompress.solve import critical_points as critical_points
    from jaxcompress.solve import flow_many as flow_many
    from jaxcompress.solve import gradient_flow as gradient_flow
    from jaxcompress.solve import solve_many as solve_many

__version__ = "0.1.0"

# `compress` and `solve` are rooms that may be called (see `_rooms`): the name is the function's and the folder's.
_ROOM_OF = {
    "Compressed": "compress",
    "Gaussian": "kernels",
    "GaussianPair": "kernels",
    "RESULTS": "solve",
    "RiskProblem": "risk",
    "Samples": "risk",
    "Solution": "solve",
    "SolveError": "solve",
    "StandardNormal": "kernels",
    "TargetMoments": "networks",
    "TwoLayer": "networks",
    "activations": "kernels",
    "critical_points": "solve",
    "empirical_risk": "risk",
    "ensembles": "networks",
    "flow_many": "solve",
    "gradient_flow": "solve",
    "initialize": "networks",
    "keep_programs": "programs",
    "load": "networks",
    "population_risk": "risk",
    "relu_moments": "networks",
    "risk_hessian": "risk",
    "save": "networks",
    "simplified_risk": "risk",
    "simplified_risk_bound": "risk",
    "solve_many": "solve",
    "target_moments": "networks",
    "targets": "networks",
}
_ROOMS = (
    "compress",
    "infinite_width",
    "kernels",
    "landscape",
    "narrow",
    "networks",
    "plotting",
    "risk",
    "sectors",
    "solve",
    "special",
    "sweep",
    "theory",
)

__all__ = [
    *_ROOM_OF,
    "compress",
    "infinite_width",
    "kernels",
    "landscape",
    "narrow",
    "sectors",
    "solve",
    "sweep",
    "theory",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF, *_ROOMS})
