"""A census: the distinct critical points that many starts reached, as a table."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels import AbstractActivation
from jaxcompress.landscape.censuses._census_rows import CensusRow, Comparison, gather
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries, symmetries_in
from jaxcompress.networks import TwoLayer


@dataclasses.dataclass(frozen=True, eq=False)
class Census:
    """The distinct critical points that starts of one problem ended at, lowest risk first.

    - `rows`, each a `CensusRow`;
    - `runs`: all starts, of which `unconverged` ended nowhere and are in no row;
    - `target`: the network that they were solved against;
    - `activation` and `shapes` (by name) of the students;
    - `freeze`: the parameters that were held;
    - `inputs`: the distribution of the inputs in words; where it is not standard normal, rotations
      are no symmetries and nothing is named;
    - `tolerance`: the distance within which ends were one point.

    `len(census)` and `census[i]` are those of the rows; `str(census)` is a table; `columns()` feeds
    `pandas.DataFrame`, `to_xarray()` labels all of it.
    Example: that of `census`.
    """

    rows: tuple[CensusRow, ...]
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

    def __getitem__(self, row: int) -> CensusRow:
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
        symmetries = known_symmetries("Census.merge", self.target, self.inputs)
        by = Comparison(self.target, symmetries, self.freeze, self.tolerance)
        rows = gather([*self.rows, *other.rows], by)
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


STANDARD = "standard normal"
_NAMED = ("kind", "isotropy", "distance", "threshold", "dead", "infinite", "repeated")
_DIMENSIONS = {
    "weights": ("neuron", "input"),
    "readout": ("neuron", "output"),
    "bias": ("neuron",),
    "output_bias": ("output",),
}


def known_symmetries(where: str, target: TwoLayer, inputs: str) -> TargetSymmetries | None:
    """Those of the target, where the inputs, in words, have them too."""
    return symmetries_in(where, target) if inputs == STANDARD else None


def stacked(rows: Iterable[CensusRow]) -> TwoLayer:
    """All representatives, with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(row.network for row in rows))


def _words(indices: tuple[int, ...]) -> str:
    return "|".join(map(str, indices))


def _same_network(one: TwoLayer, other: TwoLayer) -> bool:
    mine, its = one.parameters(), other.parameters()
    equal = bool(one.activation == other.activation) and list(mine) == list(its)
    equal = equal and one.weights.dtype == other.weights.dtype
    return equal and all(bool(np.array_equal(mine[name], its[name])) for name in mine)
