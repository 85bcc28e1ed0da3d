"""One block, from its number to the arrays that are stored: the only place of the subpackage where
anything is solved.

A block is a function of the plan and its number: same processor, versions and slots, same bits.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxcompress.networks import TwoLayer
from jaxcompress.solvers import Solution, flow_many, solve_many
from jaxcompress.sweep._blocks import Block, block_of, block_size
from jaxcompress.sweep._draw import inputs_of, students_of, targets_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._variables import variables_of

_SOLVERS = {"solve": solve_many, "flow": flow_many}


def precision_of(plan: Plan) -> Any:
    """A context in which arrays have the plan's precision, for this thread alone."""
    return jax.enable_x64(plan.precision == "float64")


def run_block(
    plan: Plan,
    number: int,
    *,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Solution:
    """Solve block `number` of a plan, exactly as the sweep does.

    Arguments: the plan; the number of a block; `slots` and `devices` as for `solve_many`. Returns
    the `Solution` of its runs, with a leading axis.
    Raises `ValueError` for a block that there is not.
    """
    block = block_of(plan, number)
    with precision_of(plan):
        # What the last block of a cell lacks is filled with its last run, so that every call has
        # the same shape.
        runs = block.first + np.minimum(np.arange(block_size(plan)), block.count - 1)
        solution = _SOLVERS[plan.solver.method](
            students_of(plan, block.cell, runs),
            targets_of(plan, block.cell, runs),
            inputs=inputs_of(plan, block.cell),
            freeze=plan.freeze,
            slots=slots,
            devices=devices,
            **plan.solver.options(),
        )
        return solution if block.count == block_size(plan) else solution[: block.count]


def arrays_of(plan: Plan, block: Block, solution: Solution) -> dict[str, np.ndarray]:
    """What is stored of a block: variable → values of its runs; `networks.weights` and so on for
    the end points.
    """
    given: dict[str, Any] = {
        "risk": solution.risk,
        "risk_floor": solution.risk_floor,
        "gradient_norm": solution.gradient_norm,
        "converged": solution.converged,
        "result": jax.tree.leaves(solution.result)[0],
        "time": solution.time,
        "index": solution.index,
        **solution.stats,
    }
    out = {}
    for variable in variables_of(plan):
        known = given.get(variable.name)
        missing = np.full(block.count, variable.fill, variable.dtype)
        out[variable.name] = missing if known is None else np.asarray(known).astype(variable.dtype)
    if plan.networks:
        out |= {f"networks.{name}": array for name, array in parameters(solution.network).items()}
    return out


def parameters(network: TwoLayer) -> dict[str, np.ndarray]:
    """The parameters of networks as arrays."""
    return {name: np.asarray(array) for name, array in network.parameters().items()}
