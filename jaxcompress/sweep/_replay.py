"""One run again, alone: from its number to its end point, with the whole way there, and what to
draw of it.
"""

import json
import os
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.risk import RiskProblem
from jaxcompress.solvers import Solution, gradient_flow, solve
from jaxcompress.sweep._blocks import block_with
from jaxcompress.sweep._draw import inputs_of, students_of, targets_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._reading import xarray_of
from jaxcompress.sweep._solving import precision_of, run_block
from jaxcompress.sweep._store import open_store

# Times of a trajectory when none are asked for, and how much further than Newton's hand-over it is
# followed.
_TIMES, _FURTHER = 128, 10.0


def problem_of(
    source: Plan | str | os.PathLike, run: int
) -> tuple[TwoLayer, TwoLayer | TargetMoments]:
    """Start and target of run `run` of a plan, or of the sweep in a folder.

    Raises `ValueError` when there is no such run or no such sweep.
    Example: `start, target = jc.sweep.problem_of(folder, 3)`.
    """
    plan = _plan(source)
    cell = block_with(plan, run).cell
    with precision_of(plan):
        student = students_of(plan, cell, np.array([run]))[0]
        target = targets_of(plan, cell, np.array([run]))
        return student, target[0] if cell.own_targets else target


def replay(
    source: Plan | str | os.PathLike, run: int, *, save_at: Sequence[float] | None = None
) -> Solution:
    """Do run `run` of a plan, or of the sweep in a folder, alone and with its trajectory.

    Arguments: a `Plan` or a folder; the run's number; `save_at`, ascending times at which to keep
    the network (left out: 0 and 127 in geometric progression, to ten times the time at which
    Newton's method takes over).
    Returns a `Solution`: its end is that of the sweep up to the tolerance of the solver (alone, a
    run is compiled otherwise than in a block; `replay_block` repeats the block of a run bit for
    bit). `trajectory` follows the flow at the tolerances of `gradient_flow`, which are tighter than
    a sweep's: `stats["trajectory_gap"]` is the risk of its last network minus that of the end,
    large where the loose steps of the sweep left the basin (0 to 3 starts in a thousand) or where
    `save_at` ends too early.
    Raises `ValueError` when there is no such run or no such sweep.
    Example: `jc.sweep.replay(folder, 3, save_at=[0.0, 1.0, 10.0]).trajectory`.
    """
    return _replay(_plan(source), run, save_at)[0]


def _replay(
    plan: Plan, run: int, save_at: Sequence[float] | None
) -> tuple[Solution, RiskProblem, Any]:
    """The solution, its problem, and the times of its trajectory."""
    cell = block_with(plan, run).cell
    student, target = problem_of(plan, run)
    with precision_of(plan):
        known: dict[str, Any] = {
            "inputs": inputs_of(plan, cell),
            "freeze": plan.freeze,
            "throw": False,
        }
        options = plan.solver.options()
        if plan.solver.method == "solve":
            end = solve(student, target, **known, **options)
        # times are not needed here, but with as many as below there is one program to compile
        else:
            end = gradient_flow(
                student,
                target,
                save_at=_times(1.0) if save_at is None else save_at,
                **known,
                **options,
            )
        times = _times(float(end.time)) if save_at is None else save_at
        way = gradient_flow(student, target, save_at=times, **known)
        assert way.trajectory is not None  # times were given
        last = way.trajectory[-1]
        problem = RiskProblem.of(target, known["inputs"])
        gap = problem.risk(last) - end.risk
        solution = eqx.tree_at(
            lambda s: (s.trajectory, s.stats),
            end,
            (way.trajectory, {**end.stats, "trajectory_gap": gap}),
            is_leaf=lambda leaf: leaf is None,
        )
        return solution, problem, times


@renamed_arguments(lanes="slots")
def replay_block(
    source: Plan | str | os.PathLike,
    run: int,
    *,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> tuple[range, Solution]:
    """Do the whole block of run `run` again, bit for bit as the sweep did it on such a processor.

    Arguments:

    - `source`: a `Plan` or a folder;
    - `run`: the run's number;
    - `slots`, `devices`: those that the sweep was given (noted in `sweep/log`).

    Returns the numbers of the block's runs and their `Solution`, with a leading axis.
    Raises `ValueError` when there is no such run or no such sweep.
    Example: `runs, solutions = jc.sweep.replay_block(folder, 3)`.
    """
    plan = _plan(source)
    block = block_with(plan, run)
    solution = run_block(plan, block.number, slots=slots, devices=devices)
    return range(block.first, block.first + block.count), solution


def trajectory(
    source: Plan | str | os.PathLike, run: int, *, save_at: Sequence[float] | None = None
) -> Any:
    """Do run `run` again, as `replay` does, and return its way in numbers to store and to draw.

    Returns an `xarray.Dataset` along `time`: `risk` and its `risk_floor`, `readout (time, neuron)`,
    the overlaps `w_j·w_i` (`own_overlaps`) and, where the target is a network, `w_j·v_i`
    (`overlaps`); `attrs` name the run.
    Raises `ValueError` as `replay`, and when xarray is not installed.
    Example: `jc.sweep.trajectory(folder, 3).risk`.
    """
    plan = _plan(source)
    xarray = xarray_of()
    solution, problem, times = _replay(plan, run, save_at)
    _, target = problem_of(plan, run)
    cell = block_with(plan, run).cell
    with precision_of(plan):
        way: Any = solution.trajectory
        risk, floor = _risks(problem, way)
        values: dict[str, tuple[tuple[str, ...], Any, str]] = {
            "risk": (("time",), risk, f"{plan.risk} risk"),
            "risk_floor": (("time",), floor, "what rounding may have done to the risk"),
            "readout": (("time", "neuron"), way.readout, "readouts"),
            "own_overlaps": (
                ("time", "neuron", "other"),
                way.weights @ way.weights.mT,
                "overlaps w_j . w_i",
            ),
        }
        if isinstance(target, TwoLayer):
            overlaps = jnp.einsum("tnd,kd->tnk", way.weights, target.weights)
            values["overlaps"] = (
                ("time", "neuron", "target_neuron"),
                overlaps,
                "overlaps w_j . v_i with the target",
            )
    values["time"] = (("time",), times, "time of d(theta)/dt = -grad R(theta)")
    return xarray.Dataset(
        {
            name: (axes, np.asarray(array), {"long_name": words, "units": "1"})
            for name, (axes, array, words) in values.items()
        },
        attrs={
            "title": "one run of a jaxcompress sweep",
            "run": int(run),
            **{name: getattr(cell, name) for name in ("activation", "n", "k", "d")},
            "target": cell.target.label,
            "end_risk": float(solution.risk),
            "converged": int(solution.converged),
            "trajectory_gap": float(solution.stats["trajectory_gap"]),
            "plan": json.dumps(plan.to_dict()),
        },
    )


@eqx.filter_jit
def _risks(problem: RiskProblem, way: TwoLayer) -> tuple[jax.Array, jax.Array]:
    """Risk and floor of every network along a way."""
    return jax.vmap(problem.risk_and_floor)(way)


def _times(end: float) -> jax.Array:
    return jnp.concatenate(
        [jnp.zeros(1), jnp.geomspace(1e-2, max(1.0, _FURTHER * end), _TIMES - 1)]
    )


def _plan(source: Plan | str | os.PathLike) -> Plan:
    return source if isinstance(source, Plan) else open_store(source).plan
