"""Two networks on top of each other: squared distances minimised over the matching of neurons and
the maps of a target.

Letters: `M (n, m)` the table `W Uᵀ` of a network in the frame of the target, `o_i` what rotations
leave alone (bias and readout), `C_i` the part of `w_i` outside the span, `s_i` the sign a neuron is
written with, `P` the matching of neurons, `τ` the map of columns. All are sums of squares of
differences: where two networks are the same, what is left is the square of a rounding error.
"""

from typing import NamedTuple

import numpy as np

from jaxcompress.landscape.symmetry._neurons import Neurons
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries

# Entries of the largest array that is held while maps are compared: 16 MB.
_ENTRIES = 2_000_000


class View(NamedTuple):
    """A network as a target sees it: the table, what no map turns, and the lengths of what
    lies outside.
    """

    rows: Neurons
    table: np.ndarray
    outside: np.ndarray
    lengths: np.ndarray


def view(rows: Neurons, symmetries: TargetSymmetries | None) -> View:
    """Split the weights into span and complement; without a target all is table."""
    if symmetries is None:
        return View(rows, rows.weights, np.zeros_like(rows.weights), np.zeros(len(rows.weights)))
    table = rows.weights @ symmetries.frame.T
    outside = (
        rows.weights - table @ symmetries.frame
        if symmetries.complement
        else np.zeros_like(rows.weights)
    )
    return View(rows, table, outside, np.linalg.norm(outside, axis=1))


class Match(NamedTuple):
    """A matching: squared distance, partner (and its sign) of each neuron of the first network,
    number of the map.
    """

    square: float
    neurons: np.ndarray
    signs: np.ndarray
    map: int


def assign(costs: np.ndarray) -> tuple[float, np.ndarray]:
    """The cheapest perfect matching of a table `(n, n)` of costs ≥ 0; `inf` forbids a pair."""
    match = _partners(costs)
    return float(np.sum(costs[np.arange(len(costs)), match])), match


def _partners(costs: np.ndarray) -> np.ndarray:
    """The column that each row gets in the cheapest perfect matching."""
    # 0.3 s to load, which importing this folder should not cost
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(costs)[1]


def totals(costs: np.ndarray) -> np.ndarray:
    """What the cheapest matchings of many tables `(many, n, n)` cost."""
    match = np.array([_partners(table) for table in costs])
    return np.sum(np.take_along_axis(costs, match[:, :, None], 2)[:, :, 0], axis=1)


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`‖x_i − y_j‖²` of rows."""
    return np.sum((x[:, None] - y[None]) ** 2, axis=-1)


def own_costs(x: View, y: View) -> np.ndarray:
    """What pairs of neurons cost apart from the table: `‖o_i − s o'_j‖² + (‖C_i‖ − ‖C'_j‖)²`,
    `(signs, n, n)`.
    """
    lengths = (x.lengths[:, None] - y.lengths[None]) ** 2
    return np.stack([squares(x.rows.own, y.rows.own_with(sign)) for sign in y.rows.signs]) + lengths


def relation_costs(x: View, y: View) -> np.ndarray:
    """The same with the complement seen by its inner products: `R = (CCᵀ)^{1/2}`, every neuron by
    its row.

    `½ ((R_ii − R'_jj)² + ‖sort R_i· − sort R'_j·‖²)` in place of the lengths, of sizes where
    neurons have signs; as `‖R − R'‖ ≤ √2 min_O ‖C − C'O‖` (Araki & Yamagami 1981), a lower bound of
    what the complement costs.
    """
    diagonals, sorts = [], []
    for each in (x, y):
        r = root(each.outside)
        others = r[~np.eye(len(r), dtype=bool)].reshape(len(r), -1)
        diagonals.append(np.diag(r))
        sorts.append(np.sort(np.abs(others) if len(x.rows.signs) > 1 else others, axis=1))
    related = (diagonals[0][:, None] - diagonals[1][None]) ** 2 + squares(*sorts)
    return (
        np.stack([squares(x.rows.own, y.rows.own_with(sign)) for sign in y.rows.signs])
        + related / 2
    )


def root(rows: np.ndarray) -> np.ndarray:
    """`(CCᵀ)^{1/2}`, from the singular values of `C`: the root of the product would round at
    `√ε`.
    """
    u, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    return (u * sizes) @ u.T


def listed(x: View, y: View, base: np.ndarray, points: np.ndarray) -> Match:
    """The best of all maps, each with its best matching: exact.

    `min_τ min_{P, s} Σ_i base_{iP(i)} + ‖M_i − s_i (M'τ)_{P(i)}‖²`. A map whose rows cannot be
    matched for less than what is known already, even one by one, is not matched.
    """
    best = Match(np.inf, np.arange(len(x.table)), np.ones(len(x.table)), 0)
    bounds = _bounds(x, y, base, points)
    slack = 1e-13 * float(np.sum(x.table**2) + np.sum(y.table**2) + np.max(base, initial=0))
    for index in np.argsort(bounds, kind="stable"):
        if bounds[index] - slack >= best.square:
            break
        best = min(
            best,
            matched(x, y, base, points[index])._replace(map=int(index)),
            key=lambda match: match.square,
        )
    return best


def matched(x: View, y: View, base: np.ndarray, points: np.ndarray) -> Match:
    """The best matching under one map."""
    moved = TargetSymmetries.moved(y.table.T, points).T if y.table.shape[1] else y.table
    costs = base + np.stack([squares(x.table, sign * moved) for sign in y.rows.signs])
    which = np.argmin(costs, axis=0)
    square, match = assign(np.min(costs, axis=0))
    return Match(square, match, np.array(y.rows.signs)[which[np.arange(len(match)), match]], 0)


def _bounds(x: View, y: View, base: np.ndarray, points: np.ndarray) -> np.ndarray:
    """For every map, the sum over rows of their cheapest partners; by products, good to `ε` of the
    norms.
    """
    n, m = y.table.shape
    both = np.concatenate([y.table, -y.table], 1)
    fixed = base + (np.sum(x.table**2, 1)[:, None] + np.sum(y.table**2, 1)[None])
    chunk = max(1, _ENTRIES // (n * max(n, m) * len(base)))
    out = []
    for start in range(0, len(points), chunk):
        moved = np.moveaxis(both[:, points[start : start + chunk]], 1, 0)
        crossed = np.einsum("im,gjm->gij", x.table, moved, optimize=True)
        costs = np.min(
            [fixed[None, s] - 2 * sign * crossed for s, sign in enumerate(y.rows.signs)], axis=0
        )
        out.append(
            np.maximum(np.sum(np.min(costs, axis=2), axis=1), np.sum(np.min(costs, axis=1), axis=1))
        )
    return np.concatenate(out)
