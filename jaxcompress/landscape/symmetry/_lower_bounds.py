"""Where a target has too many maps to try: what can be said for certain of the nearest one, row by
row.

Every neuron is compared by what it sees: its own numbers, the targets as an unordered set (of
colours), each target by the set of neurons that it sees in turn, and the other neurons. Each
comparison is an optimal matching of sets, so all of them are pseudometrics, and each is cheaper
than the joint matching that it relaxes.

Letters as in `_matching`; columns `p` are `u_j`, and `−u_j` too where maps may turn them (weight `ω
= ½`, else 1).
"""

from typing import NamedTuple

import numpy as np

from jaxcompress.landscape.symmetry._matching import View, assign, own_costs, root, totals
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries


class Relaxed(NamedTuple):
    """A lower bound of the squared distance, and the costs it came from.

    `square`; `own (signs, n, n)` and `seen (signs, n, n)`, costs of pairs of neurons; `columns (p,
    p)`, of columns.
    """

    square: float
    own: np.ndarray
    seen: np.ndarray
    columns: np.ndarray


def column_points(symmetries: TargetSymmetries) -> np.ndarray:
    """The points that stand for columns: those of one sign, or of both."""
    m = len(symmetries.frame)
    return np.arange(2 * m if symmetries.doubled else m)


def columns_of(x: View, symmetries: TargetSymmetries) -> np.ndarray:
    """The table with a column for every point."""
    return np.concatenate([x.table, -x.table], 1) if symmetries.doubled else x.table


def relaxed(x: View, y: View, symmetries: TargetSymmetries) -> Relaxed:
    """The larger of two lower bounds of `min_{P, s, τ, O}` of the squared distance.

    The first sorts rows: `E_ij = own_ij + ω Σ_colours ‖sort M_i − sort sM'_j‖²`. The second lets
    rows see columns that see rows, `F_pq = min_P Σ_l min_s ½ (M_lp − sM'_P(l)q)² + E_lP(l)/2p`, and
    other rows through `R = (WWᵀ)^{1/2}`: `E²_ij = ¼ own_ij + ¼ min_τ Σ_p ω ((M_ip − sM'_jτ(p))² +
    F_pτ(p)/n) + ¼ min_P Σ_l min_t ((R_il − stR'_jP(l))²/2 + E_lP(l)/n)`. The weights are such that
    the sum over a joint matching is at most what that matching costs.
    """
    own, signs = own_costs(x, y), y.rows.signs
    a, b = columns_of(x, symmetries), columns_of(y, symmetries)
    colours, weight = (
        symmetries.colours[column_points(symmetries)],
        0.5 if symmetries.doubled else 1.0,
    )
    first = own + weight * _sorted_rows(a, b, colours, signs)
    square, _ = assign(np.min(first, axis=0))
    columns = _seen_columns(a, b, colours, first, signs)
    n = len(a)
    r, q = root(x.rows.weights), root(y.rows.weights)
    seen = np.empty_like(own)
    for s, sign in enumerate(signs):
        for i in range(n):
            table = weight * ((a[i][None, :, None] - sign * b[:, None, :]) ** 2 + columns[None] / n)
            turned = [
                (r[i][None, :, None] - sign * t * q[:, None, :]) ** 2 / 2 + first[None, k] / n
                for k, t in enumerate(signs)
            ]
            seen[s, i] = totals(table) + totals(np.min(turned, axis=0))
    seen = (own + seen) / 4
    return Relaxed(max(square, assign(np.min(seen, axis=0))[0]), own, seen, columns)


def _sorted_rows(
    a: np.ndarray, b: np.ndarray, colours: np.ndarray, signs: tuple[int, ...]
) -> np.ndarray:
    """`Σ_colours ‖sort M_i − sort sM'_j‖²`, `(signs, n, n)`."""
    total = np.zeros((len(signs), len(a), len(b)))
    for colour in np.unique(colours):
        mine, other = np.sort(a[:, colours == colour], axis=1), b[:, colours == colour]
        for s, sign in enumerate(signs):
            total[s] += np.sum((mine[:, None] - np.sort(sign * other, axis=1)[None]) ** 2, axis=-1)
    return total


def _seen_columns(
    a: np.ndarray, b: np.ndarray, colours: np.ndarray, first: np.ndarray, signs: tuple[int, ...]
) -> np.ndarray:
    """`F`, the costs of pairs of columns; `inf` for pairs of two colours."""
    p = len(colours)
    out = np.full((p, p), np.inf)
    for i in range(p):
        like = np.flatnonzero(colours == colours[i])
        costs = [
            (a[None, :, i, None] - sign * b.T[like, None, :]) ** 2 + first[None, s] / p
            for s, sign in enumerate(signs)
        ]
        out[i, like] = totals(np.min(costs, axis=0)) / 2
    return out
