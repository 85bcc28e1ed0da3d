"""One network moved next to another by symmetries of the risk: the search whose bound `distance`
does not need.

Letters as in `_matching`. A move is a matching `P`, signs `s`, a map of the target on its span and
a rotation of its complement. With three of the four given, the best fourth is an assignment or a
Procrustes problem; they take turns.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels.internal import traits
from jaxcompress.landscape.symmetry._distance import Symmetric, list_matches, views
from jaxcompress.landscape.symmetry._lower_bounds import Relaxed, columns_of, relaxed
from jaxcompress.landscape.symmetry._matching import View, assign, matched, squares
from jaxcompress.landscape.symmetry._neurons import halves, rows_of
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries, extend
from jaxcompress.networks import TwoLayer
from jaxcompress.networks.internal import output_axis

# A search of turns ends after two to five of them; each makes the distance smaller.
_TURNS = 50
# Maps that are followed at a time where a list is built along the costs.
_BEAM = 64


class Move(NamedTuple):
    """`x(b) ↦ P s x(b) Q`: squared distance, neurons of `b` by place, their signs, the map of the
    columns.
    """

    square: float
    neurons: np.ndarray
    signs: np.ndarray
    points: np.ndarray


def align(a: TwoLayer, b: TwoLayer, target: Symmetric = None) -> TwoLayer:
    """The second network moved next to the first by a symmetry of the risk.

    `P s b Q`, neurons of homogeneous activations scaled like those of `a`. Arguments are those of
    `distance`, which bounds from below how near this can come: `distance(a, b, target) ≤
    distance(a, align(a, b, target))`.
    Returns a network like `b`, an image of it whatever the search found: the nearest one without a
    target, and with one whose maps are listed if a network lies in the span; else the best of
    several searches.
    Raises `ValueError` as `distance` does. Cost, one core: that of `distance` for images and where
    maps are listed; up to 0.2 s for others of n = k = 20.

    >>> import jax, jaxcompress as jc
    >>> a, b = (
    ...     jc.targets.random(jax.random.key(seed), 3, 4, activation=jc.activations.erf)
    ...     for seed in (0, 1))
    >>> jc.landscape.distance(a, jc.landscape.align(a, b)) <= jc.landscape.distance(a, b) + 1e-6
    True
    """
    x, y, symmetries = views("align", a, b, target)
    moves = _moves(x, y, symmetries)
    turned = [(move, *_rotated(x, y, symmetries, move)) for move in moves]
    best, rotation, _ = min(turned, key=lambda found: found[2])
    return _applied(a, b, best, rotation)


def _moves(x: View, y: View, symmetries: TargetSymmetries | None) -> list[Move]:
    """Moves worth a closer look, without the complement."""
    m = x.table.shape[1]
    if symmetries is None or symmetries.points is not None:
        maps = None if symmetries is None else symmetries.points
        maps = np.arange(m)[None] if maps is None else maps
        return [
            Move(each.square, each.neurons, each.signs, maps[each.map])
            for each in list_matches(x, y, symmetries)
        ]
    found = relaxed(x, y, symmetries)
    firsts = np.argsort(np.min(found.seen, axis=0)[0], kind="stable")
    best: Move | None = None
    for start in (None, *firsts):
        neurons, signs = _pinned(x, y, symmetries, found, start)
        move = _turns(x, y, symmetries, found, neurons, signs)
        if best is None or move.square < best.square:
            best = move
        if best.square <= found.square * (1 + 1e-9) + 1e-26 * float(np.sum(x.table**2)):
            break  # nothing is nearer than the bound
    assert best is not None
    return [best]


def _pinned(
    x: View, y: View, symmetries: TargetSymmetries, found: Relaxed, start: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """A matching of neurons, all by the costs of the bound, or one after another, each by what the
    earlier ones left.

    A neuron that has found its partner tells columns apart: `F_pq + Σ_pinned (M_lp − s_l
    M'_P(l)q)²`. That breaks the ties of symmetric networks consistently, which costs alone cannot.
    """
    n, options = len(x.table), np.array(y.rows.signs)
    if start is None:
        match = assign(np.min(found.seen, axis=0))[1]
        return match, options[np.argmin(found.seen, axis=0)[np.arange(n), match]]
    a, b, columns = columns_of(x, symmetries), columns_of(y, symmetries), found.columns
    neurons, signs = np.full(n, -1), np.ones(n)
    for i in range(n):
        free = np.array([start]) if i == 0 else np.setdiff1d(np.arange(n), neurons)
        costs = np.empty((len(options), len(free)))
        for s, sign in enumerate(options):
            for place, j in enumerate(free):
                table = (a[i][:, None] - sign * b[j][None]) ** 2 + columns
                costs[s, place] = found.own[s, i, j] + assign(table)[0]
        cheapest = int(np.argmin(costs))
        neurons[i], signs[i] = free[cheapest % len(free)], options[cheapest // len(free)]
        columns = columns + (a[i][:, None] - signs[i] * b[neurons[i]][None]) ** 2
    return neurons, signs


def _turns(
    x: View,
    y: View,
    symmetries: TargetSymmetries,
    found: Relaxed,
    neurons: np.ndarray,
    signs: np.ndarray,
) -> Move:
    """The best map for the matching, the best matching for the map, until nothing gets nearer."""
    best = Move(np.inf, neurons, signs, np.arange(x.table.shape[1]))
    for _ in range(_TURNS):
        points = _best_map(x.table, signs[:, None] * y.table[neurons], symmetries)
        match = matched(x, y, found.own, points)
        if match.square >= best.square:
            break
        neurons, signs = match.neurons, match.signs
        best = Move(match.square, neurons, signs, points)
    return best


def _best_map(mine: np.ndarray, other: np.ndarray, symmetries: TargetSymmetries) -> np.ndarray:
    """A map of the target that brings the columns of one table near those of another: the nearest,
    if it is a map.

    If it is none (colours are coarser than orbits), maps are built one vector after another along
    the costs.
    """
    m = mine.shape[1]
    costs = squares(mine.T, np.concatenate([other, -other], 1).T)
    costs = np.where(symmetries.colours[:m, None] == symmetries.colours[None], costs, np.inf)
    base = assign(np.minimum(costs[:, :m], costs[:, m:]))[1]
    points = np.where(costs[np.arange(m), base] <= costs[np.arange(m), base + m], base, base + m)
    if np.array_equal(symmetries.labels[np.ix_(points, points)], symmetries.labels[:m, :m]):
        return points
    built = extend(symmetries.labels, symmetries.colours, _BEAM, costs)
    if built is None:
        return np.arange(m)
    return min(built, key=lambda points: np.sum(costs[np.arange(m), points]))


def _rotated(
    x: View, y: View, symmetries: TargetSymmetries | None, move: Move
) -> tuple[np.ndarray | None, float]:
    """The orthogonal matrix of a move, with the best rotation of the complement, and the squared
    distance reached.
    """
    moved = move.signs[:, None] * y.rows.weights[move.neurons]
    flips = np.ones(y.rows.own.shape[1]) if y.rows.flips is None else np.asarray(y.rows.flips)
    own = y.rows.own[move.neurons] * np.where(move.signs[:, None] > 0, 1.0, flips[None])
    rest = float(np.sum((x.rows.own - own) ** 2))
    if symmetries is None:
        return None, rest + float(np.sum((x.rows.weights - moved) ** 2))
    frame = symmetries.frame
    q = TargetSymmetries.moved(np.eye(len(frame)), move.points)
    q = frame.T @ q.T @ frame
    if symmetries.complement:
        basis = np.linalg.svd(frame, full_matrices=True)[2][
            frame.shape[1] - symmetries.complement :
        ].T
        u, _, v = np.linalg.svd((moved @ basis).T @ (x.rows.weights @ basis))
        q = q + basis @ (u @ v) @ basis.T
    return q, rest + float(np.sum((x.rows.weights - moved @ q) ** 2))


def _applied(a: TwoLayer, b: TwoLayer, move: Move, rotation: np.ndarray | None) -> TwoLayer:
    """The second network under a move, in its own dtype, scaled like the first."""
    symmetry, n = traits(a.activation), a.width
    weights, readout = (np.asarray(array, float)[move.neurons] for array in (b.weights, b.readout))
    bias = None if b.bias is None else np.asarray(b.bias, float)[move.neurons]
    offset = None if b.output_bias is None else np.asarray(b.output_bias, float)
    readout = output_axis(readout, b.outputs)
    negative = move.signs < 0
    if symmetry.parity == -1:
        if offset is not None:
            offset = offset + 2 * symmetry.constant * np.sum(readout[negative], axis=0).reshape(
                offset.shape
            )
        readout = np.where(negative[:, None], -readout, readout)
    weights = np.where(negative[:, None], -weights, weights)
    bias = None if bias is None else np.where(negative, -bias, bias)
    if rotation is not None:
        weights = weights @ rotation
    if symmetry.degree is not None:
        first = weights if bias is None else np.concatenate([weights, bias[:, None]], 1)
        scales = _scale(a, symmetry.degree), _balance(first, readout, symmetry.degree)
        known = np.all([np.isfinite(scale) & (scale > 0) for scale in scales], axis=0)
        scale = np.divide(*scales, where=known, out=np.ones(n))
        weights, readout = weights * scale[:, None], readout / scale[:, None] ** symmetry.degree
        bias = None if bias is None else bias * scale
    readout = readout.reshape(b.readout.shape)
    new = {"weights": weights, "readout": readout, "bias": bias, "output_bias": offset}
    names = list(b.parameters())
    return eqx.tree_at(
        lambda net: [getattr(net, name) for name in names],
        b,
        [jnp.asarray(new[name], getattr(b, name).dtype) for name in names],
    )


def _scale(network: TwoLayer, degree: float) -> np.ndarray:
    return _balance(*rows_of(network), degree)


def _balance(first: np.ndarray, readout: np.ndarray, degree: float) -> np.ndarray:
    """`λ` of `(w, a) = (λw', λ^{−p}a')` with `‖w'‖ = ‖a'‖`; not a positive number for a neuron
    without either.
    """
    _, size, _, length = halves(first, readout)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (size / length) ** (1 / (degree + 1))
