"""The rows of a census: which ends of many runs are one critical point."""

import dataclasses

import numpy as np

from jaxcompress.landscape._classify import LOOSE, Classification, classify
from jaxcompress.landscape._distance import distance
from jaxcompress.landscape._fingerprint import fingerprint
from jaxcompress.landscape._symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer

# Ends of one point differ by less than this in risk, in units of the largest of a census, and by a
# few times rounding; flat valleys of the target itself end at 1e-13 of what its neurons weigh,
# those to infinity at 1e-9.
SAME_RISK, FLOORS, _VALLEY, _FAR = 1e-8, 16.0, 1e-12, 1e-6
_SETTLES = 4.0

UNNAMED = Classification("unknown", "unknown", None, "1", np.inf, 0.0, 0, 0, 0, None, None)


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A critical point of a census.

    `network`, a representative; `risk`, `risk_floor`, `gradient_norm`, `eigenvalues (P,)` and
    `index` (negative eigenvalues) are its own. `zero_modes` of its Hessian, and how many the
    symmetries make: `symmetry_modes`. `count`, the starts that ended there. Where ends differ in
    what became of neurons that do not count (dead, repeated, at infinity), all their `names` by
    `classify` and all their `indices`: on a line of split neurons some are minima and others
    saddles. `classification` of the representative.
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


def gather(
    entries: list[Row],
    target: TwoLayer,
    symmetries: TargetSymmetries | None,
    freeze: tuple[str, ...],
    tolerance: float,
) -> tuple[Row, ...]:
    """Entries that are one point become one row: first by distance, then by the cores of what they
    are.
    """
    if not entries:
        return ()
    slack = _slack(entries, target)
    named = []
    for group in _same_points(entries, symmetries, tolerance, slack):
        best = min(group, key=lambda row: row.gradient_norm)
        found = UNNAMED
        if symmetries is not None:
            # what is one point within a wide tolerance is named within it
            loose = max(tolerance, LOOSE)
            found = classify(
                best.network,
                target,
                symmetries=symmetries,
                freeze=freeze,
                tolerance=tolerance,
                loose=loose,
            )
        made = dataclasses.replace(best, names=(found.name,), classification=found)
        named.append(_counted(made, group, keep_names=symmetries is not None))
    rows = [_joined(family) for family in _families(named, symmetries, tolerance, slack)]
    return tuple(sorted(rows, key=lambda row: row.risk))


def _counted(made: Row, group: list[Row], keep_names: bool) -> Row:
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


def _slack(entries: list[Row], target: TwoLayer) -> float:
    """How much the risks of ends of one point may differ."""
    weighs = float(np.sum(np.abs(np.asarray(target.readout)))) ** 2
    floor = max(row.risk_floor for row in entries)
    return SAME_RISK * max(row.risk for row in entries) + FLOORS * floor + _VALLEY * weighs


def _same_points(
    entries: list[Row], symmetries: TargetSymmetries | None, tolerance: float, slack: float
) -> list[list[Row]]:
    """Entries in groups of one point each; a fingerprint that differs spares the distance."""
    groups: list[tuple[np.ndarray, list[Row]]] = []
    for row in sorted(entries, key=lambda row: row.risk):
        mark = np.asarray(fingerprint(row.network, symmetries))
        for seen, group in reversed(groups):
            near = row.risk - group[0].risk <= slack and np.linalg.norm(mark - seen) <= tolerance
            if near and distance(group[0].network, row.network, symmetries) <= tolerance:
                group.append(row)
                break
        else:
            groups.append((mark, [row]))
    return [group for _, group in groups]


def _families(
    rows: list[Row], symmetries: TargetSymmetries | None, tolerance: float, slack: float
) -> list[list[Row]]:
    """Rows in families of one core each: what differs is only what became of neurons that do not
    count.
    """
    families: list[list[Row]] = []
    far = slack + _FAR * max(row.risk for row in rows)
    for row in rows:
        for family in families:
            infinite = row.classification.kind == family[0].classification.kind == "infinite"
            near = abs(row.risk - family[0].risk) <= (far if infinite else slack)
            if near and _same_core(row, family[0], symmetries, tolerance):
                family.append(row)
                break
        else:
            families.append([row])
    return families


def _same_core(one: Row, other: Row, symmetries: TargetSymmetries | None, tolerance: float) -> bool:
    kinds = one.classification.kind, other.classification.kind
    mine, its = one.classification.core, other.classification.core
    if mine is None or its is None:
        return mine is its and kinds[0] == kinds[1] != "unknown"
    if mine.width != its.width or ("infinite" in kinds and kinds[0] != kinds[1]):
        return False
    exact = [row.classification.point is not None for row in (one, other)]
    reach = (
        tolerance
        if all(exact)
        else max(one.classification.threshold, other.classification.threshold)
    )
    if (
        "infinite" in kinds
    ):  # what is left settles as the norm grows, each end at its own distance from infinity
        reach = _SETTLES * (one.classification.distance + other.classification.distance)
    return distance(mine, its, symmetries) <= reach


def _joined(family: list[Row]) -> Row:
    """One row of a family, with the representative of its commonest member."""
    first = max(family, key=lambda row: (row.count, -row.index))
    return _counted(first, family, keep_names=True)
