"""Taking a census: from many starts, or from solutions found before."""

import hashlib
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.landscape.censuses._census import STANDARD, Census, known_symmetries
from jaxcompress.landscape.censuses._census_rows import (
    FLOORS,
    SAME_RISK,
    CensusRow,
    Comparison,
    gather,
)
from jaxcompress.landscape.symmetry._classification import UNNAMED
from jaxcompress.landscape.symmetry._classify import checked_freeze, name_tolerance
from jaxcompress.landscape.symmetry._modes import symmetry_modes
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.networks import Starts, TwoLayer
from jaxcompress.risk import population_risk
from jaxcompress.risk.internal import check_network
from jaxcompress.solvers import Solution, solve_many


def census(
    students: TwoLayer | Starts,
    target: TwoLayer,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    tolerance: float | None = None,
    **options: Any,
) -> Census:
    """Solve from many starts and list the distinct critical points, modulo symmetry, with how often
    each is reached.

    Arguments:

    - `students`: weights `(runs, n, d)` and the other parameters with the same leading axis, or
      `Starts`;
    - `target`: one network, weights `(k, d)`;
    - `inputs`, `freeze` and further options: as for `solve_many`;
    - `tolerance`: the distance within which ends are one point, as for `classify`.

    Returns a `Census`. Ends that differ only in what became of neurons that do not count (dead,
    repeated: there the critical points are whole families; or on their way to infinity) are one
    row. For saddles take `critical_points` instead of `solve_many` and give its solutions to
    `census_of`.
    Raises `ValueError` as `solve_many` and `classify`.
    Reference: Şimşek et al. 2023.
    Cost: that of `solve_many`, and to tell the ends apart and name them 1 to 260 ms a start, half
    of the sizes up to k = 14 less than 16 (two processes on two cores, compilation included).

    >>> import jax, jaxcompress as jc
    >>> target = jc.targets.orthonormal(4, 5, activation=jc.activations.erf)
    >>> starts = jc.initialize.glorot_normal(
    ...     jax.random.key(0), 2, 5, activation=jc.activations.erf, runs=16)
    >>> found = jc.landscape.census(starts, target)
    >>> found[0].name  # `print(found)` is the table of all of them
    'copy–average 3+1'
    """
    check_network("census", "target", target)
    solutions = solve_many(students, target, inputs=inputs, freeze=freeze, **options)
    return _taken("census", solutions, target, inputs, freeze, tolerance)


def census_of(
    solutions: Solution,
    target: TwoLayer,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    tolerance: float | None = None,
) -> Census:
    """The census of solutions that were found before.

    Arguments:

    - `solutions`: those of `solve_many` or `critical_points`, with a leading axis `runs`;
    - `target`, `inputs`, `freeze`, `tolerance`: as for `census`, and as the solutions were found
      with.

    Returns a `Census`. Example: that of `census`. Raises `ValueError` for other solutions, and for
    those of another target or distribution of inputs: the risk of one end is evaluated again.
    """
    return _taken("census_of", solutions, target, inputs, freeze, tolerance)


def _taken(
    where: str,
    solutions: Solution,
    target: TwoLayer,
    inputs: AbstractInputs | None,
    freeze: Sequence[str],
    tolerance: float | None,
) -> Census:
    """The census, with errors in the name of the function `where`."""
    check_network("census_of", "target", target)
    if not isinstance(solutions, Solution):
        raise ValueError(
            f"census_of: given solutions of type {type(solutions).__name__}; expected a Solution; "
            "solve with solve_many or critical_points"
        )
    if solutions.eigenvalues is None or solutions.index is None or solutions.risk.ndim != 1:
        raise ValueError(
            f"{where}: given solutions with risk {solutions.risk.shape} and "
            f"{'no' if solutions.eigenvalues is None else 'a'} spectrum; expected those of "
            "solve_many, (runs,)"
        )
    students = solutions.network
    _check_target(where, solutions, target, inputs)
    freeze = checked_freeze(where, students, freeze)
    tolerance = name_tolerance(students.weights.dtype) if tolerance is None else float(tolerance)
    words = _in_words(inputs)
    symmetries = known_symmetries(where, target, words)
    by = Comparison(target, symmetries, freeze, tolerance)
    return Census(
        rows=gather(_entries(solutions, symmetries, freeze), by),
        runs=len(solutions.risk),
        unconverged=int(np.sum(~np.asarray(solutions.converged))),
        target=target,
        activation=students.activation,
        shapes=tuple((name, array.shape[1:]) for name, array in students.parameters().items()),
        freeze=freeze,
        inputs=words,
        tolerance=tolerance,
    )


def _check_target(
    where: str, solutions: Solution, target: TwoLayer, inputs: AbstractInputs | None
) -> None:
    """Raise `ValueError` unless an end has the risk that it was solved to, within rounding."""
    done = np.flatnonzero(np.asarray(solutions.converged))
    if not isinstance(target, TwoLayer) or target.weights.ndim != 2 or not done.size:
        return  # what is no target is refused with its symmetries
    network = jax.tree.map(lambda leaf: leaf[done[0]], solutions.network)
    solved, floor = (float(part[done[0]]) for part in (solutions.risk, solutions.risk_floor))
    risk = float(population_risk(network, target, inputs=inputs))
    if not abs(risk - solved) <= FLOORS * floor + SAME_RISK * solved:
        raise ValueError(
            f"{where}: given ends of risk {solved:.6g} and a target that makes it {risk:.6g}; "
            "expected the target and inputs that they were solved for; pass these"
        )


def _entries(
    solutions: Solution, symmetries: TargetSymmetries | None, freeze: tuple[str, ...]
) -> list[CensusRow]:
    """A row for every end that converged."""
    arrays = {name: np.asarray(array) for name, array in solutions.network.parameters().items()}
    risks, floors, gradients, spectra, indices, flat = (
        np.asarray(each)
        for each in (
            solutions.risk,
            solutions.risk_floor,
            solutions.gradient_norm,
            solutions.eigenvalues,
            solutions.index,
            solutions.stats["flat_modes"],
        )
    )
    entries = []
    for i in np.flatnonzero(np.asarray(solutions.converged)):
        network = with_arrays(solutions.network, {name: array[i] for name, array in arrays.items()})
        index = int(indices[i])
        entries.append(
            CensusRow(
                network=network,
                risk=float(risks[i]),
                risk_floor=float(floors[i]),
                gradient_norm=float(gradients[i]),
                eigenvalues=spectra[i],
                index=index,
                zero_modes=int(flat[i]),
                symmetry_modes=symmetry_modes(network, symmetries, freeze),
                count=1,
                names=(),
                indices=(index,),
                classification=UNNAMED,
            )
        )
    return entries


def _in_words(inputs: AbstractInputs | None) -> str:
    """The distribution of the inputs in words, equal for equal distributions."""
    if inputs is None or isinstance(inputs, StandardNormal):
        return STANDARD
    digest = hashlib.sha256(
        b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(inputs))
    )
    return f"{type(inputs).__name__} {digest.hexdigest()[:16]}"


def with_arrays(network: TwoLayer, arrays: dict[str, np.ndarray]) -> TwoLayer:
    """A network like this one with other parameters."""
    names = list(arrays)
    return eqx.tree_at(
        lambda net: [getattr(net, name) for name in names],
        network,
        [jnp.asarray(arrays[name]) for name in names],
    )
