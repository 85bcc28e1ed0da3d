"""The list of distinct critical points that many starts reach, with how often they do."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractActivation, AbstractInputs, StandardNormal
from jaxcompress.landscape._classify import checked_freeze, name_tolerance
from jaxcompress.landscape._modes import symmetry_modes
from jaxcompress.landscape._rows import FLOORS, SAME_RISK, UNNAMED, Row, gather
from jaxcompress.landscape._symmetries import TargetSymmetries, target_symmetries
from jaxcompress.networks import Starts, TwoLayer
from jaxcompress.risk import population_risk
from jaxcompress.risk.internal import check_network
from jaxcompress.solvers import Solution, solve_many


@dataclasses.dataclass(frozen=True, eq=False)
class Census:
    """The distinct critical points that starts of one problem ended at, lowest risk first.

    `rows`; `runs`, all starts, of which `unconverged` ended nowhere and are in no row. The problem:
    `target`; the students' `activation` and `shapes` by name; `freeze`, what was held; `inputs`,
    the law in words (where it is not standard normal, rotations are no symmetries and nothing is
    named); `tolerance`, the distance within which ends were one point. `len(census)` and
    `census[i]` are those of the rows; `str(census)` is a table; `columns()` feeds
    `pandas.DataFrame`, `to_xarray()` labels all of it.
    """

    rows: tuple[Row, ...]
    runs: int
    unconverged: int
    target: TwoLayer
    activation: AbstractActivation
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    freeze: tuple[str, ...]
    inputs: str
    tolerance: float

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Row:
        return self.rows[row]

    def frequency(self, row: int) -> tuple[float, float, float]:
        """The share of all starts that a row has, and Wilson's 95 % interval (Wilson 1927)."""
        from scipy.stats import binomtest  # 0.7 s to load, half of what naming this folder cost

        found = binomtest(self.rows[row].count, self.runs).proportion_ci(0.95, method="wilson")
        return self.rows[row].count / self.runs, float(found.low), float(found.high)

    def columns(self) -> dict[str, list]:
        """The table: for every column its name and one plain value a row."""
        shares = [self.frequency(i) for i in range(len(self))]
        plain = (
            "risk",
            "risk_floor",
            "gradient_norm",
            "index",
            "zero_modes",
            "symmetry_modes",
            "count",
            "name",
        )
        out: dict[str, list] = {name: [getattr(row, name) for row in self.rows] for name in plain}
        out["indices"] = [_words(row.indices) for row in self.rows]
        out |= {
            name: [share[i] for share in shares]
            for i, name in enumerate(("frequency", "low", "high"))
        }
        out |= {name: [getattr(row.classification, name) for row in self.rows] for name in _NAMED}
        return out

    def __str__(self) -> str:
        """Rows as text: risk, how often, indices, zero modes (made by symmetries), distance,
        names.
        """
        lines = [f"{'risk':>17}  {'share':>7}  {'95 %':>15}  index  zero modes  distance  name"]
        for i, row in enumerate(self.rows):
            share, low, high = self.frequency(i)
            zero = f"{row.zero_modes} ({row.symmetry_modes})"
            lines.append(
                f"{row.risk:17.12f}  {share:7.2%}  {low:6.2%} – {high:6.2%}  "
                f"{_words(row.indices):>5}  {zero:>10}  {row.classification.distance:8.1e}  "
                f"{row.name}"
            )
        return "\n".join([*lines, f"{self.runs} starts, {self.unconverged} not converged"])

    def merge(self, other: "Census") -> "Census":
        """The census of all starts of both.
        Raises `ValueError`, which says what differs, unless the problem is one.
        """
        if not isinstance(other, Census):
            raise ValueError(
                f"Census.merge: given {type(other).__name__}; expected a Census; make one with "
                "census_of"
            )
        for name in ("activation", "shapes", "freeze", "inputs", "tolerance"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                raise ValueError(
                    f"Census.merge: given censuses with {name} {mine!r} and {its!r}; expected "
                    "those of one problem; take the same target, students and options for both"
                )
        if not _same_network(self.target, other.target):
            raise ValueError(
                f"Census.merge: given censuses of two targets, {self.target.weights.dtype} "
                f"{self.target.weights.shape} and {other.target.weights.dtype} "
                f"{other.target.weights.shape}; expected one target, entry for entry, in one "
                "dtype; take the same for both"
            )
        rows = gather(
            [*self.rows, *other.rows], self.target, _symmetries(self), self.freeze, self.tolerance
        )
        runs, unconverged = self.runs + other.runs, self.unconverged + other.unconverged
        return dataclasses.replace(self, rows=rows, runs=runs, unconverged=unconverged)

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`: the columns by `row`, with spectra, weights and readouts. Needs
        xarray.
        """
        import xarray

        data: dict[str, Any] = {name: ("row", values) for name, values in self.columns().items()}
        if self.rows:
            data["eigenvalues"] = (
                ("row", "mode"),
                np.stack([row.eigenvalues for row in self.rows]),
            )
            for name, array in stacked(self.rows).parameters().items():
                data[name] = (("row", *_DIMENSIONS[name][: array.ndim - 1]), np.asarray(array))
        notes = {"runs": self.runs, "unconverged": self.unconverged, "freeze": list(self.freeze)}
        return xarray.Dataset(data, attrs={"activation": repr(self.target.activation), **notes})


_STANDARD = "standard normal"
_NAMED = ("kind", "isotropy", "distance", "threshold", "dead", "infinite", "repeated")
_DIMENSIONS = {
    "weights": ("neuron", "input"),
    "readout": ("neuron", "output"),
    "bias": ("neuron",),
    "output_bias": ("output",),
}


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

    Arguments: `students` with a leading axis, or `Starts`; one target; `inputs`, `freeze` and
    further options as for `solve_many`; `tolerance`, the distance within which ends are one point,
    as for `classify`. For saddles take `critical_points` instead of `solve_many` and give its
    solutions to `census_of`.
    Returns a `Census`. Ends that differ only in what became of neurons that do not count (dead,
    repeated: there the critical points are whole families; or on their way to infinity) are one
    row.
    Raises `ValueError` as `solve_many` and `classify`.
    Reference: Şimşek et al. 2023.
    Cost: that of `solve_many`, and to tell the ends apart and name them 1 to 260 ms a start, half
    of the sizes up to k = 14 less than 16 (two processes on two cores, what is compiled for it
    included).
    """
    check_network("census", "target", target)
    solutions = solve_many(students, target, inputs=inputs, freeze=freeze, **options)
    return census_of(solutions, target, inputs=inputs, freeze=freeze, tolerance=tolerance)


def census_of(
    solutions: Solution,
    target: TwoLayer,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    tolerance: float | None = None,
) -> Census:
    """The census of solutions that are at hand, of `solve_many` or `critical_points`; arguments as
    for `census`.

    Raises `ValueError` for other solutions, and for those of another target or law of inputs: the
    risk of one end is evaluated anew.
    """
    check_network("census_of", "target", target)
    if not isinstance(solutions, Solution):
        raise ValueError(
            f"census_of: given solutions of type {type(solutions).__name__}; expected a Solution; "
            "solve with solve_many or critical_points"
        )
    if solutions.eigenvalues is None or solutions.index is None or solutions.risk.ndim != 1:
        raise ValueError(
            f"census_of: given solutions with risk {solutions.risk.shape} and "
            f"{'no' if solutions.eigenvalues is None else 'a'} spectrum; expected those of "
            "solve_many, (runs,)"
        )
    students = solutions.network
    _check_target(solutions, target, inputs)
    made = Census(
        (),
        len(solutions.risk),
        int(np.sum(~np.asarray(solutions.converged))),
        target,
        students.activation,
        tuple((name, array.shape[1:]) for name, array in students.parameters().items()),
        checked_freeze("census_of", students, freeze),
        _law(inputs),
        name_tolerance(students.weights.dtype) if tolerance is None else float(tolerance),
    )
    symmetries = _symmetries(made)
    rows = gather(
        _entries(solutions, symmetries, made.freeze),
        target,
        symmetries,
        made.freeze,
        made.tolerance,
    )
    return dataclasses.replace(made, rows=rows)


def _check_target(solutions: Solution, target: TwoLayer, inputs: AbstractInputs | None) -> None:
    """Raise `ValueError` unless an end has the risk that it was solved to, within rounding."""
    done = np.flatnonzero(np.asarray(solutions.converged))
    if not isinstance(target, TwoLayer) or target.weights.ndim != 2 or not done.size:
        return  # what is no target is refused with its symmetries
    network = jax.tree.map(lambda leaf: leaf[done[0]], solutions.network)
    solved, floor = (float(part[done[0]]) for part in (solutions.risk, solutions.risk_floor))
    risk = float(population_risk(network, target, inputs=inputs))
    if not abs(risk - solved) <= FLOORS * floor + SAME_RISK * solved:
        raise ValueError(
            f"census_of: given ends of risk {solved:.6g} and a target that makes it {risk:.6g}; "
            "expected the target and inputs that they were solved for; pass these"
        )


def _entries(
    solutions: Solution, symmetries: TargetSymmetries | None, freeze: tuple[str, ...]
) -> list[Row]:
    """A row for every end that converged."""
    arrays = {name: np.asarray(array) for name, array in solutions.network.parameters().items()}
    numbers = [
        np.asarray(x) for x in (solutions.risk, solutions.risk_floor, solutions.gradient_norm)
    ]
    spectra, indices = np.asarray(solutions.eigenvalues), np.asarray(solutions.index)
    flat = np.asarray(solutions.stats["flat_modes"])
    entries = []
    for i in np.flatnonzero(np.asarray(solutions.converged)):
        network = with_arrays(solutions.network, {name: array[i] for name, array in arrays.items()})
        measured = (float(numbers[0][i]), float(numbers[1][i]), float(numbers[2][i]))
        index, zero, modes = (
            int(indices[i]),
            int(flat[i]),
            symmetry_modes(network, symmetries, freeze),
        )
        entries.append(
            Row(network, *measured, spectra[i], index, zero, modes, 1, (), (index,), UNNAMED)
        )
    return entries


def _symmetries(one: Census) -> TargetSymmetries | None:
    """Those of the target, where inputs have them too."""
    return target_symmetries(one.target) if one.inputs == _STANDARD else None


def _law(inputs: AbstractInputs | None) -> str:
    """The law of the inputs in words, equal for equal laws."""
    if inputs is None or isinstance(inputs, StandardNormal):
        return _STANDARD
    digest = hashlib.sha256(
        b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(inputs))
    )
    return f"{type(inputs).__name__} {digest.hexdigest()[:16]}"


def _words(indices: tuple[int, ...]) -> str:
    return "|".join(map(str, indices))


def _same_network(one: TwoLayer, other: TwoLayer) -> bool:
    mine, its = one.parameters(), other.parameters()
    equal = bool(one.activation == other.activation) and list(mine) == list(its)
    equal = equal and one.weights.dtype == other.weights.dtype
    return equal and all(bool(np.array_equal(mine[name], its[name])) for name in mine)


def with_arrays(network: TwoLayer, arrays: dict[str, np.ndarray]) -> TwoLayer:
    """A network like this one with other parameters."""
    names = list(arrays)
    return eqx.tree_at(
        lambda net: [getattr(net, name) for name in names],
        network,
        [jnp.asarray(arrays[name]) for name in names],
    )


def stacked(rows: Iterable[Row]) -> TwoLayer:
    """All representatives, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(row.network for row in rows))
