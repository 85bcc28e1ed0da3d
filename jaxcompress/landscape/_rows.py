"""The rows of a census: which ends of many runs are one critical point."""

import dataclasses

import numpy as np

from jaxcompress.landscape._classify import Classification, classify
from jaxcompress.landscape._distance import distance
from jaxcompress.landscape._fingerprint import fingerprint
from jaxcompress.landscape._symmetries import TargetSymmetries, target_symmetries
from jaxcompress.networks import TwoLayer

# Ends of one point differ by less than this in risk, in units of the largest of a census; flat valleys end at 1e-13.
_SAME_RISK = 1e-8

UNNAMED = Classification("unknown", "unknown", None, "1", np.inf, 0.0, 0, 0, 0, None, None)


@dataclasses.dataclass(frozen=True)
class Row:
    """A critical point of a census.

    `network`, a representative; `risk`, `risk_floor`, `gradient_norm`, `eigenvalues (P,)` and `index` (negative
    eigenvalues) are its own. `zero_modes` of its Hessian, and how many the symmetries make: `symmetry_modes`. `count`,
    the starts that ended there; `names`, what `classify` calls them, more than one where degenerate ends differ in
    what became of the neurons that are not counted; `classification` of the representative.
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
    classification: Classification

    @property
    def name(self) -> str:
        """All its names."""
        return " | ".join(self.names)


def gather(
    entries: list[Row], target: TwoLayer, freeze: tuple[str, ...], isotropic: bool, tolerance: float
) -> tuple[Row, ...]:
    """Entries that are one point become one row: first by distance, then by the cores of what they are."""
    if not entries:
        return ()
    symmetries = target_symmetries(target) if isotropic else None
    groups = _same_points(entries, symmetries, tolerance)
    named = []
    for group in groups:
        best = min(group, key=lambda row: row.gradient_norm)
        found = UNNAMED
        if symmetries is not None:
            found = classify(best.network, target, symmetries=symmetries, freeze=freeze, tolerance=tolerance)
        names = tuple(dict.fromkeys(name for row in group for name in (row.names or (found.name,))))
        count = sum(row.count for row in group)
        named.append(dataclasses.replace(best, count=count, names=names, classification=found))
    rows = [_joined(family) for family in _families(named, symmetries, tolerance)]
    return tuple(sorted(rows, key=lambda row: row.risk))


def _same_points(entries: list[Row], symmetries: TargetSymmetries | None, tolerance: float) -> list[list[Row]]:
    """Entries in groups of one point each; a fingerprint that differs spares the distance."""
    groups: list[tuple[np.ndarray, list[Row]]] = []
    slack = _SAME_RISK * max(1e-300, *(row.risk for row in entries))
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


def _families(rows: list[Row], symmetries: TargetSymmetries | None, tolerance: float) -> list[list[Row]]:
    """Rows in families of one core each: what differs is only what became of neurons that do not count."""
    families: list[list[Row]] = []
    slack = _SAME_RISK * max(row.risk for row in rows)
    for row in rows:
        for family in families:
            if abs(row.risk - family[0].risk) <= slack and _same_core(row, family[0], symmetries, tolerance):
                family.append(row)
                break
        else:
            families.append([row])
    return families


def _same_core(one: Row, other: Row, symmetries: TargetSymmetries | None, tolerance: float) -> bool:
    mine, its = one.classification.core, other.classification.core
    if mine is None or its is None:
        return one.classification.kind == other.classification.kind == "nothing"
    if mine.width != its.width:
        return False
    exact = [row.classification.point is not None for row in (one, other)]
    reach = tolerance if all(exact) else max(one.classification.threshold, other.classification.threshold)
    return distance(mine, its, symmetries) <= reach


def _joined(family: list[Row]) -> Row:
    """One row of a family, with the representative of its commonest member."""
    first = max(family, key=lambda row: (row.count, -row.index))
    names = tuple(dict.fromkeys(name for row in family for name in row.names))
    return dataclasses.replace(first, count=sum(row.count for row in family), names=names)
