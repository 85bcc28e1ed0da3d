"""Which symmetries of a target a network keeps: its isotropy group, as far as swaps of target
neurons generate it.

A swap `τ` of two target neurons is kept by a network `x` if permuting (and signing) its neurons
undoes it. Kept swaps generate a product of symmetric groups, one for every class of target neurons
that they join; the points that such a group keeps are the "symmetric families" of Arjevani & Field.
Letters as in `_matching`.
"""

import math
from typing import NamedTuple

import numpy as np

from jaxcompress.landscape.symmetry._matching import Match, View, matched, own_costs, view
from jaxcompress.landscape.symmetry._neurons import neurons
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer

# Alternating projections onto what single swaps keep: S_19 takes 12 sweeps to stand still.
_SWEEPS = 200


class Isotropy(NamedTuple):
    """The swaps that a network keeps, within a tolerance.

    `classes`, arrays of target neurons that swaps join, largest first; `swaps`, for every kept pair
    `(p, q)` the matching of neurons that undoes it; `order`, how many maps of the target the
    network keeps, where they are listed; `distance` to the nearest network that keeps the swaps
    exactly.
    """

    classes: tuple[np.ndarray, ...]
    swaps: dict[tuple[int, int], Match]
    order: int | None
    distance: float

    @property
    def trivial(self) -> bool:
        """Whether no swap is kept."""
        return not self.swaps

    @property
    def group(self) -> str:
        """The group by name: `S5×S3`, or `1`; with its order where that is more than the swaps
        generate.
        """
        sizes = [len(each) for each in self.classes if len(each) > 1]
        generated = math.prod(math.factorial(size) for size in sizes)
        name = "×".join(f"S{size}" for size in sizes) or "1"
        return name if self.order in (None, generated) else f"{name}, order {self.order}"


def isotropy(network: TwoLayer, symmetries: TargetSymmetries, tolerance: float) -> Isotropy:
    """Find the swaps of target neurons that move a network by no more than `2 tolerance`, modulo
    its own symmetries.
    """
    x = view(neurons(network), symmetries)
    base, m = own_costs(x, x), len(symmetries.frame)
    swaps: dict[tuple[int, int], Match] = {}
    for p in range(m):
        for q in range(p + 1, m):
            points = np.arange(m)
            points[[p, q]] = q, p
            if symmetries.colours[p] == symmetries.colours[q] and _is_map(symmetries, points):
                match = matched(x, x, base, points)
                if np.sqrt(match.square) <= 2 * tolerance:
                    swaps[p, q] = match
    order = None
    if symmetries.points is not None:
        order = sum(
            np.sqrt(matched(x, x, base, points).square) <= 2 * tolerance
            for points in symmetries.points
        )
    return Isotropy(_classes(m, swaps), swaps, order, _distance(x, swaps))


def _is_map(symmetries: TargetSymmetries, points: np.ndarray) -> bool:
    m = len(points)
    return np.array_equal(symmetries.labels[np.ix_(points, points)], symmetries.labels[:m, :m])


def _classes(m: int, swaps: dict[tuple[int, int], Match]) -> tuple[np.ndarray, ...]:
    """What the swaps join."""
    name = np.arange(m)
    for p, q in swaps:
        name[name == name[q]] = name[p]
    found = [np.flatnonzero(name == each) for each in np.unique(name)]
    return tuple(sorted(found, key=lambda each: (-len(each), each[0])))


def _distance(x: View, swaps: dict[tuple[int, int], Match]) -> float:
    """How far the nearest network is that all swaps keep: projections on what each keeps, in
    turns.
    """
    rows = np.concatenate([x.table, x.rows.own, x.lengths[:, None]], 1)
    m, flips = (
        x.table.shape[1],
        np.ones(x.rows.own.shape[1]) if x.rows.flips is None else np.asarray(x.rows.flips),
    )
    start, factors = rows.copy(), np.concatenate([-np.ones(m), flips, [1.0]])
    for _ in range(_SWEEPS):
        before = rows
        for (p, q), match in swaps.items():
            image = rows[match.neurons] * np.where(match.signs[:, None] < 0, factors, 1.0)
            image[:, [p, q]] = image[:, [q, p]]
            rows = (rows + image) / 2
        if np.linalg.norm(rows - before) <= 1e-15 * np.linalg.norm(start):
            break
    return float(np.linalg.norm(rows - start))
