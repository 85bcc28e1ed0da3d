"""The main job: many starts, a field that is halved, finalists and their crossings, a polish of the
winner.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxcompress._internal.checks import check_finite, check_integer
from jaxcompress.compression._coordinates import Coordinates, round_coordinates
from jaxcompress.compression._ends import (
    largest,
    network_at,
    problem_of,
    pruned_risks,
    risk_outside,
    solutions_of,
)
from jaxcompress.compression._report import Report
from jaxcompress.compression._search import Search
from jaxcompress.compression._starts import hidden_starts, start_name
from jaxcompress.compression._target import Measured, measure
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.kernels.internal import check_inputs
from jaxcompress.networks import TwoLayer
from jaxcompress.risk.internal import check_compatible, check_network
from jaxcompress.solvers import RESULTS, Solution, certify

Progress = Callable[[str, int, int], None]

# Beyond this many unknowns the Hessian, its factors and its eigenvalues take minutes and gigabytes:
# it is left out.
_MAX_POLISHED = 3000


class Compressed(eqx.Module):
    """The outcome of `compress`.

    - `network`: the smaller network, in the coordinates and dtype of the target.
    - `risk`, `relative_risk` (over `E‖f_target‖²`): exact, in those coordinates.
    - `solutions`: the finalists, best first (as ranked before the polish), with a leading axis
      `runs`, in the same coordinates; the first is the certified one, and `converged`, `result` and
      `stats` are its.
    - `report`: everything else.
    Example: that of `compress`.
    """

    network: TwoLayer
    risk: Float[Array, ""]
    relative_risk: Float[Array, ""]
    solutions: Solution
    report: Report = eqx.field(static=True)

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the network is at a critical point, within the tolerance."""
        return self.solutions[0].converged

    @property
    def result(self) -> RESULTS:
        """How the last polish ended, a code of `RESULTS`; `report.result` spells it out."""
        return self.solutions[0].result

    @property
    def stats(self) -> dict[str, Any]:
        """The counts of the last polish."""
        return self.solutions[0].stats


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

    >>> small = jc.compress(target, 16, key=jax.random.key(0))
    >>> network, error, report = small.network, small.relative_risk, small.report

    Arguments:

    - `target`: one network, weights `(k, d)`;
    - `width`: from 1 to the target's width less one;
    - `key`: start `i` draws from `fold_in(key, i)`;
    - `num_starts`: how many starts there are;
    - `inputs`: the distribution of the inputs, `StandardNormal()` when left out;
    - `screening_steps`, `refining_steps`, `finalists`: the budgets above;
    - `progress`: called as `progress(stage, done, total)`.

    Everything but shapes is traced: another key or count of starts compiles nothing. Returns a
    `Compressed`: the network has the target's structure (it has biases where the target has).
    Raises `ValueError` for a width that is no compression or input that does not fit. Where it
    fails: the distribution of the inputs is taken to be Gaussian; for other inputs measure on real
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
        _check_energy(measured.second_moment)
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
        ends = [network_at(student, place) for place in search.field]
        certificate = certify(
            problem_of(measured), ends[0], polish=_unknowns(student) <= _MAX_POLISHED
        )
        solutions = solutions_of(measured, search.field, ends, certificate)
        report("polish", 1, 1)
    solutions = eqx.tree_at(
        lambda s: s.network, solutions, jax.vmap(coordinates.outward)(solutions.network)
    )
    return _compressed(target, measured, coordinates, search, solutions, certificate, seconds)


def _compressed(
    target: TwoLayer,
    measured: Measured,
    coordinates: Coordinates,
    search: Search,
    solutions: Solution,
    certificate: Solution,
    seconds: dict[str, float],
) -> Compressed:
    """The outcome, with its report."""
    network = jax.tree.map(lambda leaf: leaf[0], solutions.network)
    risk, floor = risk_outside(measured, coordinates, network)
    second_moment = measured.second_moment
    pruned, refitted = pruned_risks(measured, largest(target, network.width))
    spectrum, index = certificate.eigenvalues, certificate.index
    roots = sorted(search.field[0].roots)
    report = Report(
        target_width=target.width,
        width=network.width,
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
        best_start=" and ".join(dict.fromkeys(start_name(i) for i in roots)),
        start_risks=tuple((search.reached / second_moment).tolist()),
        seconds=seconds,
    )
    return Compressed(
        network=network,
        risk=jnp.asarray(risk, target.weights.dtype),
        relative_risk=jnp.asarray(risk / second_moment, target.weights.dtype),
        solutions=solutions,
        report=report,
    )


def _check(
    target: TwoLayer,
    width: int,
    num_starts: int,
    inputs: AbstractInputs,
    budgets: Mapping[str, int],
) -> None:
    check_network("compress", "target", target)
    if target.weights.ndim != 2:
        raise ValueError(
            f"compress: given a target with weights of shape {target.weights.shape}; expected (k, "
            "d), one network; pick one with jax.tree.map(lambda leaf: leaf[i], targets)"
        )
    check_inputs("compress", inputs, target.dim)
    check_finite("compress", **target.parameters())
    check_compatible("compress", target, target, inputs)
    check_integer("compress", "width", width, remedy="round it")
    for name, number in budgets.items():
        check_integer("compress", name, number, 0, remedy="leave it out for the default")
    check_integer("compress", "num_starts", num_starts, 1, remedy="leave it out for 64")
    if not 1 <= width < target.width:
        raise ValueError(
            f"compress: given width {width} for a target of {target.width} neurons; expected 1 ≤ "
            f"width < {target.width}; choose a width below the target's"
        )


def _check_energy(second_moment: float) -> None:
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
