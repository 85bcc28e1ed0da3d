"""How a run ended: the record that every solver returns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.networks import TwoLayer


class RESULTS(eqx.Enumeration):  # pyright: ignore[reportGeneralTypeIssues]
    """Result codes. Comparing with one gives an array; `RESULTS[code]` is its message.

    >>> solution = jc.solve(student, target)
    >>> converged, message = solution.result == jc.RESULTS.converged, jc.RESULTS[solution.result]
    """

    converged = "The gradient is within the tolerance."
    time_reached = (
        "The end time was reached before the gradient was within the tolerance. Raise "
        "t1, or leave it at infinity."
    )
    max_steps_reached = (
        "The step budget was spent before the flow had arrived at its end. Raise max_steps, or "
        "loosen the tolerances. What solve returns then is where a polish got to from there, which "
        "need not be the flow's own end."
    )
    neuron_at_zero = (
        "The gradient is within the tolerance, with a homogeneous neuron at norm zero: it slid "
        "there, no direction was found in which it could leave and lower the risk, and the others "
        "went on to their end. Start again for a critical point that uses all neurons."
    )
    gradient_floor = (
        "The gradient cannot be brought within the tolerance: rounding, or a flat valley without a "
        "critical point nearby, stops it. Work in float64, loosen gradient_tolerance, or flow for "
        "longer."
    )
    nonfinite = (
        "A parameter or the gradient became infinite or NaN. Start from smaller weights or check "
        "the rates."
    )


def _words(code: Any) -> str:
    """The message of one code."""
    registry: Any = RESULTS
    return registry[code]


def _firsts(codes: np.ndarray) -> list[tuple[int, int]]:
    """Every code with the first run that has it."""
    known, places = np.unique(codes, return_index=True)
    return list(zip(known.tolist(), places.tolist(), strict=True))


def either(condition: Bool[Array, "..."], one: Any, other: Any) -> Any:
    """One code where the condition holds and the other elsewhere, for one run or for many."""
    if condition.ndim == 0:
        return RESULTS.where(condition, one, other)
    axes = tuple(0 if jax.tree.leaves(code)[0].ndim else None for code in (one, other))
    return jax.vmap(RESULTS.where, in_axes=(0, *axes))(condition, one, other)


class SolveError(RuntimeError):
    """A single run that did not converge, raised when `throw=True`; carries the code's message.

    >>> try:
    ...     solution = jc.solve(student, target, max_steps=3)
    ... except jc.SolveError as error:
    ...     message = str(error)
    """


class Solution(eqx.Module):
    """The end of one run, or of many when every array has a leading axis `runs`.

    >>> solutions = jc.solve_many(students, target)
    >>> message, first = solutions.best.message, solutions[0].network

    - `network`: the end point, a `GatedTwoLayer` where the student was one.
    - `risk`, `risk_floor`: its risk, and a bound of what rounding may have done to it.
    - `gradient_norm`: `max|∂R/∂θ|` over the parameters that move.
    - `converged`: whether that is within the tolerance, at an end that the flow had arrived at.
    - `time`: flow time at the end, or where Newton's method took over (units of `1/R`'s curvature;
      `dθ/dt = −rate·∇R`).
    - `result`: a code of `RESULTS`; `message` spells it out.
    - `stats`: counts of steps and what else the method reports, by name.
    - `trajectory`: networks with a leading axis of the times of `save_at`; times after the end hold
      the end point.
    - `eigenvalues (P,)`, ascending, and `index`, the number of negative ones beyond the flat modes:
      of the Hessian in the parameters that move (`solve`, `solve_many`, `critical_points`).
    """

    network: TwoLayer
    risk: Float[Array, "*runs"]
    risk_floor: Float[Array, "*runs"]
    gradient_norm: Float[Array, "*runs"]
    converged: Bool[Array, "*runs"]
    time: Float[Array, "*runs"]
    result: RESULTS
    stats: dict[str, Any]
    trajectory: TwoLayer | None = None
    eigenvalues: Float[Array, "*runs P"] | None = None
    index: Int[Array, "*runs"] | None = None

    @property
    def message(self) -> str | list[str]:
        """The result code in words: what happened and what to try; a list for many runs."""
        if self.risk.ndim == 0:
            return _words(self.result)
        codes = np.asarray(jax.tree.leaves(self.result)[0])
        words = {
            code: _words(jax.tree.map(lambda leaf, i=i: leaf[i], self.result))
            for code, i in _firsts(codes)
        }
        return [words[code] for code in codes.tolist()]

    def __getitem__(self, run) -> "Solution":
        """Run number `run` of many (or any index of the leading axis)."""
        return jax.tree.map(lambda leaf: leaf[run], self)

    @property
    def best(self) -> "Solution":
        """The run of lowest risk among many."""
        return self[int(jnp.argmin(jnp.where(jnp.isfinite(self.risk), self.risk, jnp.inf)))]
