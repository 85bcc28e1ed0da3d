"""The columns of a store: what is kept of a run, in which type, and what it means to somebody who
sees it first.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from jaxcompress.solvers import RESULTS
from jaxcompress.sweep._plan import Plan

# The result code of a run that has not been done yet.
PENDING = -1


@dataclasses.dataclass(frozen=True)
class Variable:
    """A column: `fill` stands where a run has not been done."""

    name: str
    dtype: str
    fill: float | int | bool
    attributes: dict[str, Any]


@functools.cache
def result_codes() -> dict[str, int]:
    """The number of every result, by its name."""
    registry: Any = RESULTS  # Equinox offers no other list of the names
    return {
        name: int(np.asarray(jax.tree.leaves(code)[0]))
        for name, code in registry._name_to_item.items()
    }


@functools.lru_cache(maxsize=8)
def variables_of(plan: Plan) -> tuple[Variable, ...]:
    """The columns that the sweep of a plan fills."""
    floats = {"risk": _RISK[plan.risk], **_FLOATS}
    out = [
        Variable(name, plan.precision, float("nan"), _said(*words))
        for name, words in floats.items()
    ]
    codes = result_codes()
    flags = {
        "flag_values": [PENDING, *codes.values()],
        "flag_meanings": " ".join(("pending", *codes)),
        **{f"meaning_{name}": jax_words(name) for name in codes},
    }
    out.append(Variable("converged", "bool", False, _said(*_CONVERGED)))
    out.append(Variable("result", "int8", PENDING, {**_said("how the run ended", "1"), **flags}))
    counts = _COUNTS if plan.solver.method == "solve" else {"steps": _COUNTS["steps"]}
    out += [Variable(name, "int32", PENDING, _said(*words)) for name, words in counts.items()]
    return tuple(out)


@functools.cache
def jax_words(name: str) -> str:
    """The message of a result code."""
    registry: Any = RESULTS
    return registry[getattr(RESULTS, name)]


def _said(long_name: str, units: str, comment: str | None = None) -> dict[str, Any]:
    return {
        "long_name": long_name,
        "units": units,
        **({} if comment is None else {"comment": comment}),
    }


_RISK = {
    "population": (
        "population risk of the end point",
        "1",
        "E[(f_student(x) - f_target(x))^2] over the inputs' distribution, exact up to risk_floor",
    ),
    "simplified": (
        "simplified risk of the end point",
        "1",
        "Hermite orders 0 and 1 of the target only (Amani et al. 2022), exact up to risk_floor",
    ),
}
_FLOATS = {
    "risk_floor": ("what rounding may have done to the risk", "1"),
    "gradient_norm": ("largest absolute derivative of the risk by a parameter that moves", "1"),
    "time": (
        "flow time at the end, or where Newton's method took over",
        "1",
        "d(theta)/dt = -grad R(theta)",
    ),
}
_CONVERGED = (
    "whether the end is a critical point to the tolerance",
    "1",
    "only where result is 0 or more; else pending",
)
_COUNTS = {
    "steps": ("steps of the flow", "1", "-1: pending"),
    "newton_steps": ("steps of Newton's method from the hand-over", "1", "-1: pending"),
    "polish_steps": ("steps of the polish", "1", "-1: pending, or too many unknowns for a polish"),
    "index": ("directions in which the risk falls (0: a minimum)", "1", "-1: pending or unknown"),
    "flat_modes": ("Hessian eigenvalues that are zero to rounding", "1", "-1: pending or unknown"),
}
