"""Which way to step, and why: decided by counting, before anything runs."""

from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp

from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.solvers._objective import NARROW

# Unknowns beyond which a factorisation a step is out of question, and beyond which one Hessian is.
IMPLICIT_MOST, MATRIX_MOST = 2000, 4000
# Stages of the explicit method where it works alone.
_ALONE = 250


class METHODS(eqx.Enumeration):  # pyright: ignore[reportGeneralTypeIssues]
    """How the flow was stepped, and why unless `solver` said so; `METHODS[code]` is its message.

    Example: `jc.solvers.METHODS[jc.solve(student, target).stats["method"]]`.
    """

    rosenbrock = (
        "Rodas5P: stiff, and so few unknowns that a factorisation costs less than a handful of "
        "gradients, or the solver that was asked for."
    )
    mixed = (
        "Chebyshev's stages as long as the steps that accuracy allows are short ones, Rodas5P "
        "beyond: for hundreds of unknowns a factorisation costs as much as a hundred gradients."
    )
    chebyshev = (
        "Chebyshev's stages, without a matrix: a factorisation of thousands of unknowns "
        "costs more than any step, or the solver that was asked for."
    )


class Method(NamedTuple):
    """The code for the record; the most stages of an explicit step (0: none), and whether implicit
    steps are taken.
    """

    code: Any
    stages: int
    implicit: bool


class FlowSolver(Protocol):
    """What `solver` may be: `Rodas5P()` or `Chebyshev()`. They are solvers of diffrax, which is not
    loaded for those who leave the choice open; so this is all that is known of them here.
    """

    def batched(self) -> Method:
        """The same method for the batched solvers."""


def check_solver(where: str, solver: FlowSolver | None, unknowns: int) -> None:
    """Raise `ValueError` unless the flow can be stepped by this."""
    if solver is None:
        return
    if isinstance(solver, type) or not hasattr(solver, "batched"):
        raise ValueError(
            f"{where}: given solver={solver!r}; expected solvers.Rodas5P(), solvers.Chebyshev() or "
            "None; leave it out for the one that suits the number of unknowns"
        )
    if solver.batched().implicit and unknowns > MATRIX_MOST:
        raise ValueError(
            f"{where}: given solver={solver!r} for {unknowns} unknowns; expected at most "
            f"{MATRIX_MOST}, whose Hessian can be held; take solvers.Chebyshev(), or leave it out"
        )


def choose(unknowns: int, student: AbstractNetwork, target_width: int, slots: int) -> Method:
    """Compare the operations of one implicit step with those of one gradient.

    An implicit step factors `P³/3`, solves sixteen triangles of `P²` (at the speed of memory, a
    fifth of that of arithmetic) and assembles a Hessian, some twenty operations an entry; a
    gradient is `n(n + k)` pairs of `4d + 60`. Slots in lockstep would all wait for the one with the
    most stages: several slots never mix.
    """
    if unknowns > IMPLICIT_MOST:
        return Method(METHODS.chebyshev, _ALONE, False)
    if unknowns <= NARROW or slots > 1:
        return Method(METHODS.rosenbrock, 0, True)
    step = unknowns**3 / 3 + (16 * 5 + 20) * unknowns**2
    gradient = student.width * (student.width + target_width) * (4 * student.dim + 60)
    # the explicit method takes 2.3 times as many steps (erf, n = 8, k = 10, rtol 1e-3, a third of
    # the error allowed)
    stages = min(_ALONE, int(step / gradient / 2.3))
    return (
        Method(METHODS.mixed, stages, True) if stages >= 50 else Method(METHODS.rosenbrock, 0, True)
    )


def for_runs(code: Any, runs: int) -> Any:
    """A code for every run."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (runs,)), code)
