"""What every solver refuses, and how a single run raises."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress._internal.checks import is_concrete
from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples
from jaxcompress.risk.internal import Target, check_compatible, check_samples, parameter_mask
from jaxcompress.solvers._solution import Solution, SolveError


def check_start(
    student: TwoLayer,
    target: Target,
    inputs: AbstractInputs,
    freeze: Sequence[str],
    rates: Mapping[str, float] | None,
) -> None:
    """Raise `ValueError` for whatever cannot be solved. Leading axes have been taken off."""
    if isinstance(target, Samples):
        check_samples(student, target, inputs)
    else:
        check_compatible(student, target, inputs)
    if not parameter_mask(student, freeze).any():
        raise ValueError(
            f"solve: given freeze={tuple(freeze)!r}, which leaves nothing to move; expected a "
            "parameter that moves; free at least one parameter"
        )
    names = tuple(student.parameters())
    unknown = [name for name in rates or () if name not in names]
    bad = {name: rate for name, rate in (rates or {}).items() if is_concrete(rate) and not rate > 0}
    if unknown or bad:
        raise ValueError(
            f"solve: given rates {dict(rates or {})}; expected positive numbers for names among "
            f"{names}; use freeze to stop a parameter"
        )


def checked_rates(student: TwoLayer, rates: Mapping[str, float] | None) -> dict[str, Array]:
    """The rate of every parameter by name; all of them, whichever were given: another set compiles
    nothing.
    """
    dtype = student.weights.dtype
    return {name: jnp.asarray((rates or {}).get(name, 1.0), dtype) for name in student.parameters()}


def raise_unless(solution: Solution, allowed: Any = None) -> Solution:
    """The solution, or a `SolveError` with the message of its code."""
    if not bool(solution.converged) and (allowed is None or not bool(solution.result == allowed)):
        raise SolveError(f"{solution.message} (max|∂R/∂θ| = {float(solution.gradient_norm):.3g})")
    return solution
