"""One run again, alone: from its number to its end point, with the whole way there."""

import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.risk import RiskProblem
from jaxcompress.solve import Solution, gradient_flow, solve
from jaxcompress.sweep._blocks import block_with
from jaxcompress.sweep._draw import inputs_of, students_of, targets_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._solving import precision_of
from jaxcompress.sweep._store import open_store

# Times of a trajectory when none are asked for, and how much further than Newton's hand-over it is followed.
_TIMES, _FURTHER = 128, 10.0


def problem_of(source: Plan | str | os.PathLike, run: int) -> tuple[TwoLayer, TwoLayer | TargetMoments]:
    """Start and target of run `run` of a plan, or of the sweep in a folder.

    Raises `ValueError` when there is no such run or no such sweep.
    """
    plan = _plan(source)
    cell = block_with(plan, run).cell
    with precision_of(plan):
        student = jax.tree.map(lambda leaf: leaf[0], students_of(plan, cell, np.array([run])))
        target = targets_of(plan, cell, np.array([run]))
        return student, jax.tree.map(lambda leaf: leaf[0], target) if cell.own_targets else target


def replay(source: Plan | str | os.PathLike, run: int, *, save_at: Sequence[float] | None = None) -> Solution:
    """Do run `run` of a plan, or of the sweep in a folder, alone and with its trajectory.

    Arguments: a `Plan` or a folder; the run's number; `save_at`, ascending times at which to keep the network (left
    out: 128 in geometric progression, to ten times the time at which Newton's method takes over).
    Returns a `Solution`: its end is that of the sweep up to the tolerance of the solver (alone, a run is compiled
    otherwise than in a block; `run_block` repeats a block bit for bit). `trajectory` follows the flow at the tolerances
    of `gradient_flow`, which are tighter than a sweep's: `stats["trajectory_gap"]` is the risk of its last network
    minus that of the end, large where the loose steps of the sweep left the basin (0 to 3 starts in a thousand) or
    where `save_at` ends too early.
    Raises `ValueError` when there is no such run or no such sweep.
    """
    plan = _plan(source)
    cell = block_with(plan, run).cell
    student, target = problem_of(plan, run)
    with precision_of(plan):
        known: dict[str, Any] = {"inputs": inputs_of(plan, cell), "freeze": plan.freeze, "throw": False}
        options = plan.solver.options()
        if plan.solver.method == "solve":
            end = solve(student, target, **known, **options)
        else:
            end = gradient_flow(student, target, **known, **options)
        times = _times(float(end.time)) if save_at is None else save_at
        way = gradient_flow(student, target, save_at=times, **known)
        assert way.trajectory is not None  # times were given
        last = jax.tree.map(lambda leaf: leaf[-1], way.trajectory)
        gap = RiskProblem.of(target, known["inputs"]).risk(last) - end.risk
        return eqx.tree_at(
            lambda s: (s.trajectory, s.stats),
            end,
            (way.trajectory, {**end.stats, "trajectory_gap": gap}),
            is_leaf=lambda leaf: leaf is None,
        )


def _times(end: float) -> jax.Array:
    return jnp.geomspace(1e-2, max(1.0, _FURTHER * end), _TIMES)


def _plan(source: Plan | str | os.PathLike) -> Plan:
    return source if isinstance(source, Plan) else open_store(source).plan
