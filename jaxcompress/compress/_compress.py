"""The main job: many starts, a short descent of each, a long one of the best, a polish of the winner."""

import concurrent.futures
import contextlib
import numbers
import os
import time
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress.compress._coordinates import Coordinates, round_coordinates
from jaxcompress.compress._descent import descend
from jaxcompress.compress._readout import best_readout
from jaxcompress.compress._report import Report
from jaxcompress.compress._starts import hidden_starts, start_name
from jaxcompress.kernels import AbstractInputs, StandardNormal, check_finite
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem, check_compatible
from jaxcompress.solve import Solution, certify
from jaxcompress.special import precision

Progress = Callable[[str, int, int], None]

# Starts in one compiled call: few enough for a lively progress bar, enough to hide the cost of a call.
_CHUNK = 4
# Beyond this many unknowns one eigendecomposition takes seconds on two cores and a polish many minutes: it is left out.
_MAX_POLISHED = 1500


class Compressed(eqx.Module):
    """The outcome of `compress`.

    `network`: the smaller network, in the coordinates and dtype of the target. `risk` and `relative_risk`
    (over `E‖f_target‖²`): exact, in those coordinates. `solutions`: the finalists, best first, with a leading axis
    `runs`, in the same coordinates; the first is the certified one. `report`: everything else.
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
    screening_steps: int = 100,
    refining_steps: int = 1000,
    finalists: int | None = None,
    progress: Progress | None = None,
) -> Compressed:
    """Find a network of `width` neurons whose outputs are as close to the target's as possible, on average.

    All starts (the greedy choice of target neurons, the largest, random subsets, averaged groups, random ones) go
    through `screening_steps` of L-BFGS on the risk with the readout projected out; the best `finalists` (an eighth of
    the starts when left out) through `refining_steps` more; the winner is polished by Newton's method on the full risk.

    Arguments: `target`, one network; `width`, from 1 to the target's width less one; `key`, start `i` draws from
    `fold_in(key, i)`; `inputs`, the law of the inputs (`StandardNormal()` when left out); `progress`, called as
    `progress(stage, done, total)`. Sizes and counts are static, the step budgets are not.
    Returns a `Compressed`: the network has the target's structure (it has biases where the target has).
    Raises `ValueError` for a width that is no compression or input that does not fit.
    Where it fails: the law of the inputs is taken to be Gaussian; for other inputs measure on real ones.
    """
    inputs = StandardNormal() if inputs is None else inputs
    _check(target, width, num_starts, inputs)
    finalists = max(1, num_starts // 8) if finalists is None else min(max(1, finalists), num_starts)
    report = progress or (lambda stage, done, total: None)
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        coordinates = round_coordinates(target, inputs)
        inner = coordinates.inward(target)
        problem = _measure(inner, coordinates.inputs)
        _check_energy(float(problem.energy))
        starts = hidden_starts(problem, inner, width, key, num_starts)
        baselines = _pruned(problem, inner, _largest(target, width))
    dtype = target.weights.dtype
    tolerance = jnp.asarray(precision(dtype).descent, dtype)
    with _timed(seconds, "screen"):
        screened, risks = _descend_all(problem, starts, screening_steps, tolerance, "screen", report)
        start_risks = np.array(risks / problem.energy, np.float64)
    order = np.argsort(np.where(np.isfinite(start_risks), start_risks, np.inf), kind="stable")[:finalists]
    with _timed(seconds, "refine"):
        best = jax.tree.map(lambda leaf: leaf[order], screened)
        refined, risks = _descend_all(problem, best, refining_steps, tolerance, "refine", report)
        ranking = np.argsort(np.where(np.isfinite(risks), risks, np.inf), kind="stable")
        start_risks[order] = np.asarray(risks / problem.energy)
        refined = jax.tree.map(lambda leaf: leaf[ranking], refined)
    with _timed(seconds, "polish"):
        report("polish", 0, 1)
        winner = jax.tree.map(lambda leaf: leaf[0], refined)
        certificate = certify(problem, winner, polish=sum(p.size for p in jax.tree.leaves(winner)) <= _MAX_POLISHED)
        report("polish", 1, 1)
    network = coordinates.outward(certificate.network)
    solutions = _outward(coordinates, problem, refined, certificate)
    final = _measure(target, inputs)
    risk, floor = _risk_and_floor(final, network)
    relative = risk / final.energy
    spectrum, index = certificate.eigenvalues, certificate.index
    return Compressed(
        network,
        risk,
        relative,
        solutions,
        Report(
            target_width=target.width,
            width=width,
            risk=float(risk),
            relative_risk=float(relative),
            risk_floor=float(floor),
            energy=float(final.energy),
            pruned_risk=float(baselines[0]),
            refitted_risk=float(baselines[1]),
            gradient_norm=float(certificate.gradient_norm),
            converged=bool(certificate.converged),
            result=str(certificate.message),
            smallest_eigenvalue=None if spectrum is None else float(spectrum[0]),
            index=None if index is None else int(index),
            best_start=start_name(int(order[ranking[0]])),
            start_risks=tuple(start_risks.tolist()),
            seconds=seconds,
        ),
    )


def _check(target: TwoLayer, width: int, num_starts: int, inputs: AbstractInputs) -> None:
    if target.weights.ndim != 2:
        raise ValueError(
            f"compress: given a target with weights of shape {target.weights.shape}; expected (k, d), one network; "
            "pick one with jax.tree.map(lambda leaf: leaf[i], targets)"
        )
    if inputs.dim not in (None, target.dim):
        raise ValueError(
            f"compress: given a target of input dimension {target.dim} and inputs of dimension {inputs.dim}; expected "
            "the same; pass the mean and covariance of the inputs that this target reads"
        )
    check_finite("compress", **target.parameters())
    check_compatible(target, target, inputs)
    for name, number in (("width", width), ("num_starts", num_starts)):
        if not isinstance(number, numbers.Integral):
            raise ValueError(f"compress: given {name} {number!r}; expected a whole number; round it")
    if not 1 <= width < target.width:
        raise ValueError(
            f"compress: given width {width} for a target of {target.width} neurons; expected 1 ≤ width < "
            f"{target.width}; choose a width below the target's"
        )
    if num_starts < 1:
        raise ValueError(f"compress: given num_starts {num_starts}; expected at least 1; leave it out for 64")


def _check_energy(energy: float) -> None:
    if not 0 < energy < np.inf:
        raise ValueError(
            f"compress: given a target whose mean square output is {energy:.3g}; expected a positive finite number; "
            "rescale weights that are huge, and check that readout and inputs are not all zero"
        )


@contextlib.contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - begin


_measure = eqx.filter_jit(RiskProblem.of)


@eqx.filter_jit
def _risk_and_floor(problem: RiskProblem, network: TwoLayer) -> tuple[Array, Array]:
    return problem.risk_and_floor(network)


@eqx.filter_jit
def _refit(problem: RiskProblem, network: TwoLayer) -> Array:
    return problem.risk(best_readout(problem, network))


def _largest(target: TwoLayer, width: int) -> np.ndarray:
    """The neurons that magnitude pruning keeps: those of largest `‖w‖·‖a‖`."""
    readout = np.asarray(target.readout).reshape(target.width, -1)
    size = np.linalg.norm(np.asarray(target.weights), axis=1) * np.linalg.norm(readout, axis=1)
    return np.sort(np.argsort(-size, kind="stable")[:width])


def _pruned(problem: RiskProblem, target: TwoLayer, kept: np.ndarray) -> tuple[Array, Array]:
    """Risks of the target with these neurons alone, with the old readout and with a refitted one."""
    bias = None if target.bias is None else target.bias[kept]
    pruned = TwoLayer(target.weights[kept], target.readout[kept], bias, target.output_bias, target.activation)
    return _risk_and_floor(problem, pruned)[0], _refit(problem, pruned)


def _descend_all(
    problem: RiskProblem, starts: TwoLayer, steps: int, tolerance: Array, stage: str, report: Progress
) -> tuple[TwoLayer, np.ndarray]:
    """`descend` for all starts, in chunks, as many at a time as there are processors to run them."""
    count = starts.weights.shape[0]
    chunks = [np.minimum(np.arange(i, i + _CHUNK), count - 1) for i in range(0, count, _CHUNK)]
    budget = jnp.asarray(steps)
    done = 0
    report(stage, done, count)

    def run(chunk: np.ndarray):
        part = jax.tree.map(lambda leaf: jnp.asarray(leaf)[chunk], starts)
        return jax.block_until_ready(descend(problem, part, budget, tolerance))

    workers = min(len(chunks), os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, chunk) for chunk in chunks]
        for future in concurrent.futures.as_completed(futures):
            future.result()
            done = min(done + _CHUNK, count)
            report(stage, done, count)
    ends, risks = zip(*(future.result() for future in futures), strict=True)
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:count], *ends)
    return joined, np.concatenate([np.asarray(risk) for risk in risks])[:count]


def _outward(coordinates: Coordinates, problem: RiskProblem, refined: TwoLayer, certificate: Solution) -> Solution:
    """The finalists in the target's coordinates, the first replaced by its certified self."""

    @eqx.filter_jit
    def record(network: TwoLayer) -> Solution:
        return jax.vmap(lambda one: certify(problem, one, polish=False))(network)

    others = record(refined)
    spectrum_free = eqx.tree_at(
        lambda s: (s.eigenvalues, s.index), certificate, (None, None), is_leaf=lambda leaf: leaf is None
    )
    joined = jax.tree.map(lambda many, one: many.at[0].set(one), others, spectrum_free)
    networks = jax.vmap(coordinates.outward)(joined.network)
    return eqx.tree_at(lambda s: s.network, joined, networks)
