"""The list of distinct critical points that many starts reach, with how often they do."""

from collections.abc import Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.landscape._classify import name_tolerance
from jaxcompress.landscape._modes import symmetry_modes
from jaxcompress.landscape._rows import UNNAMED, Row, gather
from jaxcompress.networks import Starts, TwoLayer
from jaxcompress.solve import Solution, solve_many


class Census(eqx.Module):
    """The distinct critical points that starts of one problem ended at, lowest risk first.

    `rows`; `target`; `runs`, all starts, of which `unconverged` ended nowhere and are in no row; `freeze`, what was
    held; `isotropic`, whether inputs were standard normal (else rotations are no symmetries and nothing is named);
    `tolerance`, the distance
    within which ends were one point.
    `len(census)` and `census[i]` are those of the rows; `str(census)` is a table; `columns()` feeds
    `pandas.DataFrame`, `to_xarray()` labels all of it.
    """

    rows: tuple[Row, ...]
    target: TwoLayer
    runs: int
    unconverged: int
    freeze: tuple[str, ...]
    isotropic: bool
    tolerance: float

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Row:
        return self.rows[row]

    def frequency(self, row: int) -> tuple[float, float, float]:
        """The share of all starts that a row has, and Wilson's 95 % interval (Wilson 1927)."""
        found = binomtest(self.rows[row].count, self.runs).proportion_ci(0.95, method="wilson")
        return self.rows[row].count / self.runs, float(found.low), float(found.high)

    def columns(self) -> dict[str, list]:
        """The table: for every column its name and one plain value a row."""
        shares = [self.frequency(i) for i in range(len(self))]
        plain = ("risk", "risk_floor", "gradient_norm", "index", "zero_modes", "symmetry_modes", "count", "name")
        out: dict[str, list] = {name: [getattr(row, name) for row in self.rows] for name in plain}
        out |= {name: [share[i] for share in shares] for i, name in enumerate(("frequency", "low", "high"))}
        out |= {name: [getattr(row.classification, name) for row in self.rows] for name in _NAMED}
        return out

    def __str__(self) -> str:
        """Rows as text: risk, how often, index, zero modes (made by symmetries), distance, names."""
        lines = [f"{'risk':>17}  {'share':>7}  {'95 %':>15}  index  zero modes  distance  name"]
        for i, row in enumerate(self.rows):
            share, low, high = self.frequency(i)
            zero = f"{row.zero_modes} ({row.symmetry_modes})"
            lines.append(
                f"{row.risk:17.12f}  {share:7.2%}  {low:6.2%} – {high:6.2%}  {row.index:5d}  {zero:>10}  "
                f"{row.classification.distance:8.1e}  {row.name}"
            )
        return "\n".join([*lines, f"{self.runs} starts, {self.unconverged} not converged"])

    def merge(self, other: "Census") -> "Census":
        """The census of all starts of both. Raises `ValueError` unless they are of one problem."""
        mine, its = (_problem(census) for census in (self, other))
        if mine != its:
            raise ValueError(
                f"Census.merge: given censuses of {mine} and {its}; expected the same target, students, frozen "
                "parameters and inputs; take both censuses of one problem"
            )
        entries = [row for census in (self, other) for row in census.rows]
        known = self.target, self.freeze, self.isotropic, self.tolerance
        rows, unconverged = gather(entries, *known), self.unconverged + other.unconverged
        return Census(rows, self.target, self.runs + other.runs, unconverged, *known[1:])

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`: the columns by `row`, with spectra, weights and readouts. Needs xarray."""
        import xarray

        data: dict[str, Any] = {name: ("row", values) for name, values in self.columns().items()}
        if self.rows:
            data["eigenvalues"] = (("row", "mode"), np.stack([row.eigenvalues for row in self.rows]))
            for name, array in stacked(self.rows).parameters().items():
                data[name] = (("row", *_DIMENSIONS[name][: array.ndim - 1]), np.asarray(array))
        notes = {"runs": self.runs, "unconverged": self.unconverged, "freeze": list(self.freeze)}
        return xarray.Dataset(data, attrs={"activation": repr(self.target.activation), **notes})


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
    """Solve from many starts and list the distinct critical points, modulo symmetry, with how often each is reached.

    Arguments: `students` with a leading axis, or `Starts`; one target; `inputs`, `freeze` and further options as for
    `solve_many`; `tolerance`, the distance within which ends are one point, as for `classify`.
    Returns a `Census`. Ends that differ only in what became of neurons that do not count (dead, or repeated: there the
    critical points are whole families) are one row.
    Raises `ValueError` as `solve_many` and `classify`.
    Reference: Şimşek et al. 2023.
    Cost: that of `solve_many`, and 1 to 30 ms a start to tell the ends apart.
    """
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
    """The census of solutions that are at hand, of `solve_many` or `critical_points`; arguments as for `census`."""
    if solutions.eigenvalues is None or solutions.index is None or solutions.risk.ndim != 1:
        raise ValueError(
            f"census_of: given solutions with risk {solutions.risk.shape} and "
            f"{'no' if solutions.eigenvalues is None else 'a'} spectrum; expected those of solve_many, (runs,)"
        )
    arrays = {name: np.asarray(array) for name, array in solutions.network.parameters().items()}
    numbers = [np.asarray(x) for x in (solutions.risk, solutions.risk_floor, solutions.gradient_norm)]
    spectra, index = np.asarray(solutions.eigenvalues), np.asarray(solutions.index)
    flat, converged = np.asarray(solutions.stats["flat_modes"]), np.asarray(solutions.converged)
    entries = []
    for i in np.flatnonzero(converged):
        network = with_arrays(solutions.network, {name: array[i] for name, array in arrays.items()})
        measured = (float(numbers[0][i]), float(numbers[1][i]), float(numbers[2][i]))
        modes = symmetry_modes(network, target, tuple(freeze))
        entries.append(Row(network, *measured, spectra[i], int(index[i]), int(flat[i]), modes, 1, (), UNNAMED))
    isotropic = inputs is None or isinstance(inputs, StandardNormal)
    tolerance = name_tolerance(solutions.network.weights.dtype) if tolerance is None else tolerance
    known = tuple(freeze), isotropic, tolerance
    return Census(gather(entries, target, *known), target, len(converged), int(np.sum(~converged)), *known)


def with_arrays(network: TwoLayer, arrays: dict[str, np.ndarray]) -> TwoLayer:
    """A network like this one with other parameters."""
    names = list(arrays)
    return eqx.tree_at(
        lambda net: [getattr(net, name) for name in names], network, [jnp.asarray(arrays[name]) for name in names]
    )


def stacked(rows: Iterable[Row]) -> TwoLayer:
    """All representatives, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(row.network for row in rows))


def _problem(one: Census) -> tuple:
    """What two censuses must have in common."""
    target = tuple((name, array.tobytes()) for name, array in _arrays(one.target).items())
    student = tuple((name, array.shape) for row in one.rows[:1] for name, array in row.network.parameters().items())
    return repr(one.target.activation), target, student, one.freeze, one.isotropic, one.tolerance


def _arrays(network: TwoLayer) -> dict[str, np.ndarray]:
    return {name: np.asarray(array) for name, array in network.parameters().items()}
