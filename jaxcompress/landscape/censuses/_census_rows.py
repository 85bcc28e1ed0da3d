"""The rows of a census: which ends of many runs are one critical point."""

import dataclasses
from typing import NamedTuple

import numpy as np

from jaxcompress.landscape.symmetry._classification import UNNAMED, Classification
from jaxcompress.landscape.symmetry._classify import LOOSE, classify
from jaxcompress.landscape.symmetry._distance import distance
from jaxcompress.landscape.symmetry._fingerprint import fingerprint
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer

# Ends of one point differ by less than this in risk, in units of the largest of a census, and by a
# few times rounding; flat valleys of the target itself end at 1e-13 of what its neurons weigh,
# those to infinity at 1e-9.
SAME_RISK, FLOORS, _VALLEY, _FAR = 1e-8, 16.0, 1e-12, 1e-6
_SETTLES = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class CensusRow:
    """A critical point of a census.

    - `network`: a representative, whose own are `risk`, `risk_floor`, `gradient_norm`,
      `eigenvalues (P,)` and `index` (negative eigenvalues);
    - `zero_modes` of its Hessian, and `symmetry_modes`, how many of them the symmetries make;
    - `count`: the starts that ended there;
    - `names` by `classify`, and `indices`: all of them, where ends differ in what became of neurons
      that do not count (dead, repeated, at infinity): on a line of split neurons some are minima
      and others saddles;
    - `classification` of the representative.

    Example: that of `census`.
    """

    network: TwoLayer
    risk: float
    risk_floor: float
    gradient_norm: float
    eigenvalues: np.ndarray
    index: int
    zero_modes: int
    symmetry_modes: int
    count: int
    names: tuple[str, ...]
    indices: tuple[int, ...]
    classification: Classification

    @property
    def name(self) -> str:
        """All its names."""
        return " | ".join(self.names)


class Comparison(NamedTuple):
    """When ends are one point, and what that is called.

    `symmetries` of the target, or `None` where the inputs do not have them, and nothing is named;
    `freeze`, what was held; `tolerance`, the distance within which ends are one point.
    """

    target: TwoLayer
    symmetries: TargetSymmetries | None
    freeze: tuple[str, ...]
    tolerance: float

    def named(self, network: TwoLayer) -> Classification:
        """The name of an end."""
        if self.symmetries is None:
            return UNNAMED
        return classify(
            network,
            self.target,
            symmetries=self.symmetries,
            freeze=self.freeze,
            tolerance=self.tolerance,
            # what is one point within a wide tolerance is named within it
            loose=max(self.tolerance, LOOSE),
        )


def gather(entries: list[CensusRow], by: Comparison) -> tuple[CensusRow, ...]:
    """Entries that are one point become one row: first by distance, then by the cores of what they
    are.
    """
    if not entries:
        return ()
    slack = _slack(entries, by.target)
    named = []
    for group in _same_points(entries, by, slack):
        best = min(group, key=lambda row: row.gradient_norm)
        found = by.named(best.network)
        made = dataclasses.replace(best, names=(found.name,), classification=found)
        named.append(_counted(made, group, keep_names=by.symmetries is not None))
    rows = [_joined(family) for family in _families(named, by, slack)]
    return tuple(sorted(rows, key=lambda row: row.risk))


def _counted(made: CensusRow, group: list[CensusRow], keep_names: bool) -> CensusRow:
    """A row for a group: all its starts and indices, and the names that rows of another census had
    found.
    """
    names = dict.fromkeys(
        [*made.names, *(name for row in group for name in row.names if keep_names)]
    )
    indices = tuple(sorted({index for row in group for index in row.indices}))
    return dataclasses.replace(
        made, count=sum(row.count for row in group), names=tuple(names), indices=indices
    )


def _slack(entries: list[CensusRow], target: TwoLayer) -> float:
    """How much the risks of ends of one point may differ."""
    weighs = float(np.sum(np.abs(np.asarray(target.readout)))) ** 2
    floor = max(row.risk_floor for row in entries)
    return SAME_RISK * max(row.risk for row in entries) + FLOORS * floor + _VALLEY * weighs


def _same_points(entries: list[CensusRow], by: Comparison, slack: float) -> list[list[CensusRow]]:
    """Entries in groups of one point each; a fingerprint that differs spares the distance."""
    groups: list[tuple[np.ndarray, list[CensusRow]]] = []
    for row in sorted(entries, key=lambda row: row.risk):
        numbers = np.asarray(fingerprint(row.network, by.symmetries))
        for seen, group in reversed(groups):
            near = row.risk - group[0].risk <= slack
            near = near and np.linalg.norm(numbers - seen) <= by.tolerance
            if near and distance(group[0].network, row.network, by.symmetries) <= by.tolerance:
                group.append(row)
                break
        else:
            groups.append((numbers, [row]))
    return [group for _, group in groups]


def _families(rows: list[CensusRow], by: Comparison, slack: float) -> list[list[CensusRow]]:
    """Rows in families of one core each: what differs is only what became of neurons that do not
    count.
    """
    families: list[list[CensusRow]] = []
    far = slack + _FAR * max(row.risk for row in rows)
    for row in rows:
        for family in families:
            infinite = row.classification.kind == family[0].classification.kind == "infinite"
            near = abs(row.risk - family[0].risk) <= (far if infinite else slack)
            if near and _same_core(row, family[0], by):
                family.append(row)
                break
        else:
            families.append([row])
    return families


def _same_core(one: CensusRow, other: CensusRow, by: Comparison) -> bool:
    kinds = one.classification.kind, other.classification.kind
    mine, its = one.classification.core, other.classification.core
    if mine is None or its is None:
        return mine is its and kinds[0] == kinds[1] != "unknown"
    if mine.width != its.width or ("infinite" in kinds and kinds[0] != kinds[1]):
        return False
    exact = [row.classification.point is not None for row in (one, other)]
    reach = (
        by.tolerance
        if all(exact)
        else max(one.classification.threshold, other.classification.threshold)
    )
    if "infinite" in kinds:
        # what is left settles as the norm grows, each end at its own distance from infinity
        reach = _SETTLES * (one.classification.distance + other.classification.distance)
    return distance(mine, its, by.symmetries) <= reach


def _joined(family: list[CensusRow]) -> CensusRow:
    """One row of a family, with the representative of its commonest member."""
    first = max(family, key=lambda row: (row.count, -row.index))
    return _counted(first, family, keep_names=True)
