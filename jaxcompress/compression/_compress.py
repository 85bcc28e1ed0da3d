"""The main job: many starts, a field that is halved, finalists and their crossings, a polish of the
winner.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_finite, check_integer
from jaxcompress.compression._coordinates import Coordinates, round_coordinates
from jaxcompress.compression._model import hidden_of, with_hidden
from jaxcompress.compression._report import Report
from jaxcompress.compression._search import Place, Search, equations_of
from jaxcompress.compression._starts import hidden_starts, start_name
from jaxcompress.compression._target import Measured, measure, stacked
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import Sized, output_axis
from jaxcompress.risk import RiskProblem
from jaxcompress.risk.internal import check_compatible
from jaxcompress.solvers import RESULTS, Solution, certify
from jaxcompress.special.internal import precision

Progress = Callable[[str, int, int], None]

# Beyond this many unknowns the Hessian, its factors and its eigenvalues take minutes and gigabytes:
# it is left out.
_MAX_POLISHED = 3000


class Compressed(eqx.Module):
    """The outcome of `compress`.

    `network`: the smaller network, in the coordinates and dtype of the target. `risk` and
    `relative_risk` (over `E‖f_target‖²`): exact, in those coordinates. `solutions`: the finalists,
    best first (as ranked before the polish), with a leading axis `runs`, in the same coordinates;
    the first is the certified one. `report`: everything else.
    """

    network: TwoLayer
    risk: Float[Array, ""]
    relative_risk: Float[Array, ""]
    solutions: Solution
    report: Report = eqx.field(static=True)


def compress(
    target: TwoLayer,
    width: int,
    *,
    key: Array,
    num_starts: int = 64,
    inputs: AbstractInputs | None = None,
    screening_steps: int = 4,
    refining_steps: int = 200,
    finalists: int | None = None,
    progress: Progress | None = None,
) -> Compressed:
    """Find a network of `width` neurons whose outputs are as close to the target's as possible, on
    average.

    All starts (the greedy choice of target neurons, the largest, random subsets, averaged groups,
    random ones) take `screening_steps` steps; the best `finalists` (an eighth of the starts when
    left out) descend until they hardly fall. Then neurons of several students at a time are
    crossed, and children that are better replace finalists. A step is one of Newton's method on the
    risk with the readout projected out, within a trust region; each of these descents takes at most
    `refining_steps` of them. The winner is polished by Newton's method on the full risk.

    Arguments: `target`, one network; `width`, from 1 to the target's width less one; `key`, start
    `i` draws from `fold_in(key, i)`; `inputs`, the law of the inputs (`StandardNormal()` when left
    out); `progress`, called as `progress(stage, done, total)`. Everything but shapes is traced:
    another key or count of starts compiles nothing.
    Returns a `Compressed`: the network has the target's structure (it has biases where the target
    has).
    Raises `ValueError` for a width that is no compression or input that does not fit.
    Where it fails: the law of the inputs is taken to be Gaussian; for other inputs measure on real
    ones.
    """
    inputs = StandardNormal() if inputs is None else inputs
    _check(
        target,
        width,
        num_starts,
        inputs,
        {"screening_steps": screening_steps, "refining_steps": refining_steps},
    )
    finalists = max(1, num_starts // 8) if finalists is None else min(max(1, finalists), num_starts)
    report = progress or (lambda stage, done, total: None)
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        coordinates = round_coordinates(target, inputs)
        inner = coordinates.inward(target)
        student = _structure(inner, width)
        measured = measure(inner, student, coordinates.inputs)
        _check_second_moment(measured.second_moment)
        starts = hidden_starts(inner, *measured.equations, width, key, num_starts)
        search = Search(measured.runner, starts, report)
    with _timed(seconds, "screen"):
        search.screen(screening_steps, finalists)
    with _timed(seconds, "refine"):
        search.refine(refining_steps)
        search.cross(refining_steps, np.asarray(jax.random.key_data(key)))
        search.finish(refining_steps)
    with _timed(seconds, "polish"):
        report("polish", 0, 1)
        ends = [_network(student, place) for place in search.field]
        certificate = certify(
            _problem(measured), ends[0], polish=_unknowns(student) <= _MAX_POLISHED
        )
        solutions = _solutions(measured, search.field, ends, certificate)
        report("polish", 1, 1)
    solutions = eqx.tree_at(
        lambda s: s.network, solutions, jax.vmap(coordinates.outward)(solutions.network)
    )
    network = jax.tree.map(lambda leaf: leaf[0], solutions.network)
    risk, floor = _risk_outside(measured, coordinates, network)
    second_moment = measured.second_moment
    pruned, refitted = _pruned(measured, _largest(target, width))
    spectrum, index = certificate.eigenvalues, certificate.index
    dtype = target.weights.dtype
    return Compressed(
        network,
        jnp.asarray(risk, dtype),
        jnp.asarray(risk / second_moment, dtype),
        solutions,
        Report(
            target_width=target.width,
            width=width,
            risk=risk,
            relative_risk=risk / second_moment,
            risk_floor=floor,
            second_moment=second_moment,
            pruned_risk=pruned,
            refitted_risk=refitted,
            gradient_norm=float(certificate.gradient_norm),
            converged=bool(certificate.converged),
            result=str(certificate.message),
            smallest_eigenvalue=None if spectrum is None else float(spectrum[0]),
            index=None if index is None else int(index),
            best_start=" and ".join(
                dict.fromkeys(start_name(i) for i in sorted(search.field[0].roots))
            ),
            start_risks=tuple((search.reached / second_moment).tolist()),
            seconds=seconds,
        ),
    )


def _check(
    target: TwoLayer,
    width: int,
    num_starts: int,
    inputs: AbstractInputs,
    budgets: Mapping[str, int],
) -> None:
    if target.weights.ndim != 2:
        raise ValueError(
            f"compress: given a target with weights of shape {target.weights.shape}; expected (k, "
            "d), one network; pick one with jax.tree.map(lambda leaf: leaf[i], targets)"
        )
    if inputs.dim not in (None, target.dim):
        raise ValueError(
            f"compress: given a target of input dimension {target.dim} and inputs of dimension "
            f"{inputs.dim}; expected the same; pass the mean and covariance of the inputs that "
            "this target reads"
        )
    check_finite("compress", **target.parameters())
    check_compatible(target, target, inputs)
    check_integer("compress", "width", width, remedy="round it")
    for name, number in budgets.items():
        check_integer("compress", name, number, 0, remedy="leave it out for the default")
    check_integer("compress", "num_starts", num_starts, 1, remedy="leave it out for 64")
    if not 1 <= width < target.width:
        raise ValueError(
            f"compress: given width {width} for a target of {target.width} neurons; expected 1 ≤ "
            f"width < {target.width}; choose a width below the target's"
        )


def _check_second_moment(second_moment: float) -> None:
    if not 0 < second_moment < np.inf:
        raise ValueError(
            f"compress: given a target whose mean square output is {second_moment:.3g}; expected a "
            "positive finite number; rescale weights that are huge, and check that readout and "
            "inputs are not all zero"
        )


@contextlib.contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin


def _structure(target: TwoLayer, width: int) -> TwoLayer:
    """A student of this width, all zero."""
    dtype = np.dtype(target.weights.dtype)

    def zeros(*shape: int) -> Array:
        return jnp.asarray(np.zeros(shape, dtype))

    return TwoLayer(
        zeros(width, target.dim),
        zeros(width, *target.readout.shape[1:]),
        None if target.bias is None else zeros(width),
        None if target.output_bias is None else zeros(*target.output_bias.shape),
        target.activation,
    )


def _unknowns(student: TwoLayer) -> int:
    return sum(parameter.size for parameter in student.parameters().values())


def _network(student: TwoLayer, place: Place) -> TwoLayer:
    return with_hidden(student, jnp.asarray(place.hidden), jnp.asarray(place.readout))


def _problem(measured: Measured) -> RiskProblem:
    """The same target for the polish."""
    aim = measured.runner.aim
    second_moment = jnp.asarray(aim.second_moment)
    magnitude = jnp.asarray(measured.magnitude, second_moment.dtype)
    size = jnp.asarray(measured.average_size, second_moment.dtype)
    average = Sized(jnp.asarray(aim.average), size)
    return RiskProblem((aim.layer,), aim.offset, aim.inputs, second_moment, magnitude, average)


def _floor(measured: Measured, place: Place, readout: np.ndarray, has_offset: bool) -> float:
    """What rounding may have done to the risk of a readout at a place."""
    size = equations_of(measured.runner.aim, place, has_offset).size(readout) + measured.magnitude
    return float(np.finfo(place.hidden.dtype).eps * size)


def _risk_outside(
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


def _largest(target: TwoLayer, width: int) -> np.ndarray:
    """The neurons that magnitude pruning keeps: those of largest `‖w‖·‖a‖`."""
    readout = output_axis(np.asarray(target.readout), target.outputs)
    size = np.linalg.norm(np.asarray(target.weights), axis=1) * np.linalg.norm(readout, axis=1)
    return np.sort(np.argsort(-size, kind="stable")[:width])


def _pruned(measured: Measured, kept: np.ndarray) -> tuple[float, float]:
    """Risks of the target with these neurons alone, with the old readout and with a refitted
    one.
    """
    has_offset = measured.runner.student.output_bias is not None
    some = measured.equations.of(kept, has_offset)
    rows = np.append(kept, len(measured.readout) - 1) if has_offset else kept
    return some.risk(measured.second_moment, measured.readout[rows]), some.risk(
        measured.second_moment, some.solve()
    )


def _solutions(
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
