"""A target, measured once by the program of the search: its normal equations, its second moment and
its mean.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxcompress.compression._measured import Equations, bordered
from jaxcompress.compression._model import Aim, hidden_of
from jaxcompress.compression._runner import Runner
from jaxcompress.kernels import AbstractInputs
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import as_layer, offset_of, output_axis


class Measured(NamedTuple):
    """The program that searches for students, which knows the target's second moment and mean by
    now; the normal equations of the target, whose solution is its own `readout`; and the sizes of
    what its second moment and its mean are summed from.
    """

    runner: Runner
    equations: Equations
    readout: Float[np.ndarray, "m o"]
    second_moment: float
    magnitude: float
    average_size: Float[np.ndarray, " o"]


def measure(target: TwoLayer, student: TwoLayer, inputs: AbstractInputs) -> Measured:
    """Measure a target for students of one structure: its neurons, so many at a time, are students
    themselves.
    """
    layer, offset, has_offset = (
        as_layer(target, inputs),
        offset_of(target),
        target.output_bias is not None,
    )
    dtype = np.dtype(target.weights.dtype)
    nothing = np.zeros(layer.readout.shape[1], dtype)
    unknown: Any = (np.zeros((), dtype), nothing)
    runner = Runner(Aim(layer, offset, inputs, *unknown), student)
    hidden, n, k = np.asarray(hidden_of(target)), student.width, target.width
    table, means = np.zeros((k, k), dtype), np.zeros(k, dtype)
    rows = [np.minimum(np.arange(i, i + n), k - 1) for i in range(0, k, n)]
    places = [runner.start(hidden[some], frozenset()) for some in rows]
    for i, place in runner.each(lambda place: runner.go(place, 0), places):
        table[rows[i]], means[rows[i]] = place.table[:, n:], place.means
    table = 0.5 * (table + table.T)
    matrix = bordered(table, means, has_offset)
    readout = stacked(target)
    right = matrix @ readout
    away = nothing if offset is None else np.asarray(offset)
    average = means @ np.asarray(layer.readout) + away
    average_size = np.abs(means) @ np.abs(np.asarray(layer.readout)) + np.abs(away)
    second_moment, magnitude = (
        np.sum(readout * right),
        np.sum(np.abs(readout) * (np.abs(matrix) @ np.abs(readout))),
    )
    known: dict[str, Any] = {
        "second_moment": np.asarray(second_moment, dtype),
        "average": average.astype(dtype),
    }
    runner.aim = runner.aim._replace(**known)
    return Measured(
        runner,
        Equations(matrix, right),
        readout,
        float(second_moment),
        float(magnitude),
        average_size,
    )


def stacked(network: TwoLayer) -> Float[np.ndarray, "m o"]:
    """The readout with its axis of outputs, the output bias as its last row where there is one."""
    readout = output_axis(np.asarray(network.readout), network.outputs)
    if network.output_bias is None:
        return readout
    offset = output_axis(np.asarray(network.output_bias), network.outputs)
    return np.concatenate([readout, offset[None]])
