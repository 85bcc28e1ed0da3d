"""What a search hands out: its ends as networks, their risks, and those of pruning beside them."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.compression._coordinates import Coordinates
from jaxcompress.compression._model import hidden_of, with_hidden
from jaxcompress.compression._runner import Place, equations_of
from jaxcompress.compression._target import Measured, stacked
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Sized
from jaxcompress.risk import RiskProblem
from jaxcompress.solvers import RESULTS, Solution
from jaxcompress.special.internal import precision


def network_at(student: TwoLayer, place: Place) -> TwoLayer:
    return with_hidden(student, jnp.asarray(place.hidden), jnp.asarray(place.readout))


def problem_of(measured: Measured) -> RiskProblem:
    """The same target for the polish."""
    aim = measured.runner.aim
    second_moment, magnitude = (
        jnp.asarray(aim.second_moment),
        jnp.asarray(measured.magnitude, aim.second_moment.dtype),
    )
    average = Sized(
        jnp.asarray(aim.average), jnp.asarray(measured.average_size, aim.second_moment.dtype)
    )
    return RiskProblem(
        layers=(aim.layer,),
        offset=aim.offset,
        inputs=aim.inputs,
        second_moment=second_moment,
        magnitude=magnitude,
        average=average,
    )


def _floor(measured: Measured, place: Place, readout: np.ndarray, has_offset: bool) -> float:
    """What rounding may have done to the risk of a readout at a place."""
    size = equations_of(measured.runner.aim, place, has_offset).size(readout) + measured.magnitude
    return float(np.finfo(place.hidden.dtype).eps * size)


def risk_outside(
    measured: Measured, coordinates: Coordinates, network: TwoLayer
) -> tuple[float, float]:
    """Risk and rounding floor of the network that is handed out: taken back inside, with what that
    rounds.
    """
    inside = coordinates.inward(network)
    runner = measured.runner
    has_offset, readout = inside.output_bias is not None, stacked(inside)
    place = runner.go(runner.start(np.asarray(hidden_of(inside)), frozenset()), 0)
    risk = equations_of(runner.aim, place, has_offset).risk(measured.second_moment, readout)
    return risk, _floor(measured, place, readout, has_offset)


def largest(target: TwoLayer, width: int) -> np.ndarray:
    """The neurons that magnitude pruning keeps: those of largest `‖w‖·‖a‖`."""
    readout = np.asarray(target.readout).reshape(target.width, -1)
    size = np.linalg.norm(np.asarray(target.weights), axis=1) * np.linalg.norm(readout, axis=1)
    return np.sort(np.argsort(-size, kind="stable")[:width])


def pruned_risks(measured: Measured, kept: np.ndarray) -> tuple[float, float]:
    """Risks of the target with these neurons alone, with the old readout and with a refitted
    one.
    """
    has_offset = measured.runner.student.output_bias is not None
    some = measured.equations.of(kept, has_offset)
    rows = np.append(kept, len(measured.readout) - 1) if has_offset else kept
    return some.risk(measured.second_moment, measured.readout[rows]), some.risk(
        measured.second_moment, some.solve()
    )


def solutions_of(
    measured: Measured, field: Sequence[Place], ends: Sequence[TwoLayer], certificate: Solution
) -> Solution:
    """The finalists as they stand, the first replaced by its certified self."""
    dtype = certificate.risk.dtype
    tolerance = precision(dtype).critical * max(measured.second_moment, 1)
    has_offset = measured.runner.student.output_bias is not None
    runs = [
        eqx.tree_at(
            lambda s: (s.eigenvalues, s.index),
            certificate,
            (None, None),
            is_leaf=lambda x: x is None,
        )
    ]
    for place, network in zip(field[1:], ends[1:], strict=True):
        converged = place.gradient_norm <= tolerance
        code: Any = RESULTS.converged if converged else RESULTS.max_steps_reached
        runs.append(
            Solution(
                network=network,
                risk=jnp.asarray(place.risk, dtype),
                risk_floor=jnp.asarray(_floor(measured, place, place.readout, has_offset), dtype),
                gradient_norm=jnp.asarray(place.gradient_norm, dtype),
                converged=jnp.asarray(converged),
                time=jnp.asarray(0, dtype),
                result=code,
                stats={"polish_steps": np.zeros((), np.int32), "flat_modes": np.asarray(-1)},
            )
        )
    return jax.tree.map(
        lambda *leaves: jnp.asarray(np.stack([np.asarray(leaf) for leaf in leaves])), *runs
    )
