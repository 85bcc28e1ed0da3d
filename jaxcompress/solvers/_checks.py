"""What every solver refuses, and how a single run raises."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress._internal.checks import is_concrete
from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import Starts
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractTarget
from jaxcompress.risk.internal import check_freeze, check_network, check_pair, parameter_mask
from jaxcompress.solvers._solution import Solution, SolveError


def check_start(
    where: str,
    student: AbstractNetwork,
    target: AbstractTarget,
    inputs: AbstractInputs,
    freeze: Sequence[str],
    rates: Mapping[str, float] | None,
) -> None:
    """Raise `ValueError`, in the name of the function `where`, for whatever cannot be solved.
    Leading axes have been taken off.
    """
    check_pair(where, student, target, inputs)
    check_freeze(where, student, freeze)
    if not parameter_mask(student, freeze).any():
        raise ValueError(
            f"{where}: given freeze={tuple(freeze)!r}, which leaves nothing to move; expected a "
            "parameter that moves; free at least one parameter"
        )
    names = tuple(student.parameters())
    unknown = [name for name in rates or () if name not in names]
    bad = {name: rate for name, rate in (rates or {}).items() if is_concrete(rate) and not rate > 0}
    if unknown or bad:
        raise ValueError(
            f"{where}: given rates {dict(rates or {})}; expected positive numbers for names among "
            f"{names}; use freeze to stop a parameter"
        )


class Pair(NamedTuple):
    """A student and its target."""

    student: AbstractNetwork
    target: AbstractTarget


def without_runs(
    where: str, students: AbstractNetwork | Starts, targets: AbstractTarget
) -> tuple[Pair, int]:
    """The first student with its target, and the number of runs. Raises `ValueError`, in the name
    of the function `where`, unless the leading axes fit.
    """
    axes = targets.runs
    target = _first_of(targets) if len(axes) == 1 else targets
    arrays = ", ".join(f"{name} {array.shape}" for name, array in targets.parameters().items())
    given_targets = f"targets' {arrays} with leading axes {axes}"
    if isinstance(students, Starts):
        if axes not in ((), (students.runs,)):
            raise ValueError(
                f"{where}: given {students.runs} starts to draw and {given_targets}; expected as "
                "many targets as starts, or one for all"
            )
        shapes = jax.eval_shape(students.draw, 0)
        student = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return Pair(student, target), students.runs
    check_network(where, "students", students, targets.students)
    given = f"students' weights {students.weights.shape} and {given_targets}"
    if students.weights.ndim != 3 or len(axes) > 1:
        raise ValueError(
            f"{where}: given {given}; expected (runs, n, d) and (k, d) or (runs, k, d); draw "
            "starts with initialize.glorot_normal(..., runs=64), or call solve for one run"
        )
    if axes not in ((), students.weights.shape[:1]):
        raise ValueError(
            f"{where}: given {given}; expected as many targets as students, or one for all"
        )
    if students.weights.shape[0] == 0:
        raise ValueError(f"{where}: given {given}; expected at least one run; draw some")
    return Pair(_first_of(students), target), students.weights.shape[0]


def _first_of(batch: Any) -> Any:
    """The first of a batch. By NumPy, where that can be: JAX would compile it for every size."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0] if is_concrete(leaf) else leaf[0], batch)


def unknowns_of(student: AbstractNetwork, freeze: Sequence[str]) -> int:
    """Parameters that move."""
    return sum(p.size for name, p in student.parameters().items() if name not in freeze)


def checked_rates(student: AbstractNetwork, rates: Mapping[str, float] | None) -> dict[str, Array]:
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
