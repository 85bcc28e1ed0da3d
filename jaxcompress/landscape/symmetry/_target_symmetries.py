"""The orthogonal maps that fix a target, found from its neurons: `Q` with `f(Qx) = f(x)`.

A target is reduced to distinct neurons first: equal ones are added up, and opposite ones where the
activation is odd or even up to an affine function; what is left of the affine function is one more
vector an output, `t`. Then `Q` fixes the target if and only if it permutes the vectors left, up to
sign where parity allows, and keeps biases, readouts and `t` (for polynomials of low degree, that is
a part of the maps only: `Σ_j (v_j·x)²` has all rotations). On the complement of the span, `Q` is
free.

Such permutations are those that keep the table of inner products: colours are refined by it, then
the maps are listed level by level. `u_j`, the rows of a Parseval frame of the span, `UᵀU =
projection`, are permuted like the vectors, so the coordinates `Wu_j` show every map as a signed
permutation of columns, and their norm is that of `W` in the span.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.checks import check_concrete, check_integer
from jaxcompress.kernels.internal import traits
from jaxcompress.landscape.symmetry._checks import check_one
from jaxcompress.landscape.symmetry._neurons import halves, rows_of
from jaxcompress.networks import TwoLayer

# 6!: six interchangeable neurons, compared in 1 to 20 ms; seven take 40 to 90 ms, the bound for
# eight 2 ms (one core).
LISTED = 720
# A level that would look at this many times the limit is taken to exceed it: 0.1 s, not 5 s, for
# 200 equal neurons.
_WORK = 32


class TargetSymmetries(NamedTuple):
    """The orthogonal maps that fix a target, as signed permutations of the columns of a table `W
    Uᵀ`.

    `frame (m, d)`, the rows `u_j`; `complement`, the dimension on which the maps are free; `points
    (g, m)`, every map as the images of the columns, a number `j` for `u_j` and `m + j` for `−u_j`,
    or `None` where there are more than `limit`; `colours (2m,)` of `u_j` and `−u_j`: what a map
    joins has the same colour (the converse may fail); `labels (2m, 2m)`, equal where inner products
    are.
    Example: that of `target_symmetries`.
    """

    frame: np.ndarray
    complement: int
    points: np.ndarray | None
    colours: np.ndarray
    labels: np.ndarray

    @property
    def order(self) -> int | None:
        """How many maps the span has."""
        return None if self.points is None else len(self.points)

    @property
    def doubled(self) -> bool:
        """Whether some map may turn a vector around."""
        m = len(self.frame)
        return bool(np.intersect1d(self.colours[:m], self.colours[m:]).size)

    def matrix(self, index: int) -> np.ndarray:
        """Map number `index` as an orthogonal matrix `Q (d, d)`, the identity on the complement."""
        if self.points is None:
            raise ValueError(
                "TargetSymmetries.matrix: given a target of more maps than were listed; expected a "
                "list; call target_symmetries with a larger limit"
            )
        d = self.frame.shape[1]
        return np.eye(d) + (self.moved(self.frame, self.points[index]) - self.frame).T @ self.frame

    @staticmethod
    def moved(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Rows (or columns, transposed) of a frame at the places of `points`, with their signs."""
        m = len(rows)
        return rows[points % m] * np.where(points < m, 1.0, -1.0)[:, None]


def target_symmetries(target: TwoLayer, limit: int = LISTED) -> TargetSymmetries:
    """The orthogonal maps that fix a target: listed on its span, free on the complement.

    Arguments: the target, one network; `limit`, how many maps to list at most.
    Returns `TargetSymmetries`, which may be passed in place of the target where many networks are
    compared.
    Raises `ValueError` for leading axes, no network, entries that are not finite, or a limit below
    one.
    Where it fails: inner products are equal when they agree to `ε^{3/4}` of the largest (2e-12 in
    float64), so that a target off a symmetry by less has it.

    >>> import jaxcompress as jc
    >>> target = jc.targets.orthonormal(3, 5, activation=jc.activations.gelu)
    >>> found = jc.landscape.target_symmetries(target)
    >>> found.order, found.complement
    (6, 2)
    """
    remedy = "raise it: the identity is one"
    check_integer("target_symmetries", "limit", limit, 1, remedy=remedy)
    return symmetries_in("target_symmetries", target, limit)


def symmetries_in(where: str, target: TwoLayer, limit: int = LISTED) -> TargetSymmetries:
    """`target_symmetries`, with errors in the name of the function `where`."""
    check_one(where, "a target", target)
    check_concrete(where, *target.parameters().values())
    tolerance = float(jnp.finfo(target.weights.dtype).eps) ** 0.75
    vectors, features, opposite = _distinct(target, tolerance)
    signed = np.concatenate([vectors, -vectors])
    gram = signed @ signed.T
    labels = _clustered(
        gram, tolerance * max(np.max(np.abs(gram), initial=0), np.finfo(float).tiny)
    )
    scale = max(np.max(np.abs(features), initial=0), 1e-300)
    colours = _rows(
        np.stack(
            [_clustered(column, tolerance * scale) for column in np.vstack([features, opposite]).T],
            1,
        )
    )
    colours = _refine(labels, colours)
    u, sizes, v = np.linalg.svd(vectors, full_matrices=False)
    rank = int(np.sum(sizes > tolerance * np.max(sizes, initial=0)))
    found = extend(labels, colours, limit)
    return TargetSymmetries(u[:, :rank] @ v[:rank], target.dim - rank, found, colours, labels)


def _distinct(target: TwoLayer, tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors `(m, d)` that every map permutes, and what it must keep: features of each, and of its
    opposite.
    """
    symmetry, d = traits(target.activation), target.dim
    first, readout = rows_of(target)
    weights = first[:, :d]
    first = (
        first
        if target.bias is not None
        else np.concatenate([first, np.zeros((target.width, 1))], 1)
    )
    linear = symmetry.slope * readout.T @ weights
    sizes = abs(symmetry.slope) * np.abs(readout).T @ np.abs(weights)
    linear = linear[np.max(np.abs(linear), axis=1) > tolerance * np.max(sizes, axis=1)]
    if symmetry.degree is not None:
        first, size, _, _ = halves(first, readout)
        readout = readout * size[:, None] ** symmetry.degree
    merged, effects = _merged(first, readout, symmetry.parity, tolerance)
    seen = np.linalg.norm(merged[:, :d], axis=1) > tolerance * np.max(np.abs(merged), initial=0)
    felt = np.max(np.abs(effects), axis=1) > tolerance * np.max(np.abs(readout), initial=0)
    merged, effects = merged[seen & felt], effects[seen & felt]
    # a first feature tells neurons (0), the linear parts (1, 2, …) and opposites that no map may
    # reach (−1, −2, …)
    kind, extra = np.zeros((len(merged), 1)), 1.0 + np.arange(len(linear))[:, None]
    scale = np.max(np.abs(np.concatenate([merged[:, d:], effects], 1)), initial=0) or 1.0
    own = np.concatenate([merged[:, d:], effects], 1) / scale
    factors = np.array([-1.0] + [float(symmetry.parity)] * readout.shape[1])
    turned, turned_kind = (own * factors, kind) if symmetry.parity else (own, kind - 1)
    blank = np.zeros((len(linear), own.shape[1]))
    features = np.concatenate([np.hstack([kind, own]), np.hstack([extra, blank])])
    opposite = np.concatenate([np.hstack([turned_kind, turned]), np.hstack([-1 - extra, blank])])
    return np.concatenate([merged[:, :d], linear]), features, opposite


def _merged(
    first: np.ndarray, readout: np.ndarray, parity: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct neurons, with the readouts of equal ones added up (of opposite ones with their
    sign).
    """
    kept: list[int] = []
    effects: list[np.ndarray] = []
    near = tolerance * np.max(np.abs(first), initial=0)
    for i, row in enumerate(first):
        others = first[kept]
        same = np.flatnonzero(np.max(np.abs(others - row), axis=1) <= near)
        turned = (
            np.flatnonzero(np.max(np.abs(others + row), axis=1) <= near) if parity else same[:0]
        )
        if same.size:
            effects[same[0]] += readout[i]
        elif turned.size:
            effects[turned[0]] += parity * readout[i]
        else:
            kept.append(i)
            effects.append(readout[i].copy())
    return first[kept], np.array(effects)


def _clustered(values: np.ndarray, tolerance: float) -> np.ndarray:
    """Whole numbers that are equal where values are joined by steps of the tolerance."""
    order = np.argsort(values, axis=None)
    steps = np.diff(values.ravel()[order], prepend=-np.inf) > tolerance
    out = np.empty(values.size, int)
    out[order] = np.cumsum(steps)
    return out.reshape(values.shape)


def _rows(table: np.ndarray) -> np.ndarray:
    """Whole numbers that are equal where rows are."""
    return np.unique(table, axis=0, return_inverse=True)[1].ravel()


def _refine(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours split until those of a colour see the same labels of every colour."""
    while colours.size:
        pairs = np.sort(labels * (np.max(colours) + 1) + colours[None], axis=1)
        finer = _rows(np.concatenate([colours[:, None], pairs], 1))
        if np.max(finer) == np.max(colours):
            break
        colours = finer
    return colours


def extend(
    labels: np.ndarray, colours: np.ndarray, limit: int, costs: np.ndarray | None = None
) -> np.ndarray | None:
    """Signed permutations `(g, m)` that keep labels and colours, found by mapping one vector after
    another.

    Without costs all of them, or `None` as soon as a level holds more than `limit` (or would, by
    what it has to try). With `costs (m, 2m)` of mapping `j` to a point, at most `limit` that are
    cheap: a level keeps its cheapest; `None` when these lead nowhere.
    """
    m = len(labels) // 2
    counts = np.bincount(colours, minlength=1)[colours[:m]] if m else np.zeros(0, int)
    partial = np.tile(np.arange(m), (1, 1))
    price = np.zeros(1)
    free = np.flatnonzero(counts > 1)  # a vector of its own colour stays where it is
    order = free[np.argsort(counts[free], kind="stable")]
    for step, j in enumerate(order):
        points = np.flatnonzero(colours == colours[j])
        if costs is None and len(partial) * len(points) > _WORK * limit:
            return None
        which, image = (
            grid.ravel() for grid in np.meshgrid(np.arange(len(partial)), points, indexing="ij")
        )
        for before in order[:step]:
            there = partial[which, before]
            fits = (labels[image, there] == labels[j, before]) & (image % m != there % m)
            which, image = which[fits], image[fits]
        if costs is not None:
            total = price[which] + costs[j, image]
            best = np.argsort(total, kind="stable")[:limit]
            which, image, price = which[best], image[best], total[best]
        if len(which) == 0 or len(which) > limit:
            return None
        partial = partial[which]
        partial[:, j] = image
    return partial
