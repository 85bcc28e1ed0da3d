"""The points that a core may be: the target itself, copy–average, and the critical point of its own
sector.

Each function takes a core near some point and returns that point, neuron by neuron in the order of
the core, or `None`. Letters: `M = WVᵀ (n, k)`, the overlaps with an orthonormal target.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels.internal import hermite_remainder
from jaxcompress.landscape.symmetry._align import align
from jaxcompress.landscape.symmetry._core import reduce_network
from jaxcompress.landscape.symmetry._isotropy import Isotropy
from jaxcompress.landscape.symmetry._neurons import rows_of, student_parity
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries
from jaxcompress.landscape.symmetry._units import Units, with_rows
from jaxcompress.networks import TwoLayer
from jaxcompress.sectors import Sector, sector_coordinates, solve_sector
from jaxcompress.theory import copy_average

# A target neuron counts for a student neuron whose largest overlap it has half of, and a copy has
# no second one.
_COUNTS = 0.5
# Overlaps and readouts of an orthonormal target may be off by this: a QR decomposition in float64
# leaves 1e-15.
_ORTHONORMAL = 1e-6


class NamedPoint(NamedTuple):
    """A known point: kind, name, partition of the target among the neurons (where it is one), and
    the network.
    """

    kind: str
    name: str
    partition: tuple[int, ...] | None
    point: TwoLayer


def target_itself(
    core: TwoLayer, target: TwoLayer, symmetries: TargetSymmetries, units: Units
) -> NamedPoint | None:
    """The target, or an image of it under a symmetry, where the core has as many neurons as that
    has distinct ones.
    """
    if core.activation != target.activation or set(core.parameters()) != set(target.parameters()):
        return None
    whole = reduce_network(target, 1e-9, np.inf, units).core
    if whole is None or whole.width != core.width:
        return None
    alike = jax.tree.map(lambda leaf: leaf.astype(core.weights.dtype), whole)
    return NamedPoint("target", "the target", (1,) * core.width, align(core, alike, symmetries))


class Orthonormal(NamedTuple):
    """A core against an orthonormal target of equal readouts, which are one here, as are both
    output biases.

    `core` with its readouts over the target's; `V (k, d)`, exactly orthonormal; `readout`, the
    target's; `M (n, k)`, the overlaps with the signs `(n,)` taken out, `outer` what these do to
    readouts.
    """

    core: TwoLayer
    V: np.ndarray
    readout: float
    M: np.ndarray
    sign: np.ndarray
    outer: np.ndarray

    @property
    def k(self) -> int:
        """Neurons of the target."""
        return len(self.V)

    def point(self, first: np.ndarray, readout: np.ndarray) -> TwoLayer:
        """The network with these rows, written with the core's signs, against the target as it
        is.
        """
        return with_rows(
            self.core, self.sign[:, None] * first, self.readout * self.outer[:, None] * readout
        )


def orthonormal(core: TwoLayer, target: TwoLayer) -> Orthonormal | None:
    """The core as `copy_average_point` and `sector_point` take it; `None` for other targets and
    students.

    These have one output, no biases but an output bias that the activation needs no help from, and
    the target's activation. Neurons of the target without a readout do not count.
    """
    plain = (
        target.bias is None
        and target.output_bias is None
        and target.outputs is None
        and core.bias is None
    )
    if not plain or core.outputs is not None or core.activation != target.activation:
        return None
    parity = student_parity(core)
    if core.output_bias is not None:
        if parity != -1:
            return None  # the bias has a part to play
        core = eqx.tree_at(lambda net: net.output_bias, core, jnp.zeros_like(core.output_bias))
    V, b = np.asarray(target.weights, float), np.asarray(target.readout, float)
    V, b = V[b != 0], b[b != 0]  # what has no readout is no neuron of the target
    even = len(b) > 0 and np.max(np.abs(b - b[0])) <= _ORTHONORMAL * abs(b[0])
    if not even or len(V) > V.shape[1] or np.max(np.abs(V @ V.T - np.eye(len(V)))) > _ORTHONORMAL:
        return None
    u, _, v = np.linalg.svd(V, full_matrices=False)
    first, readout = rows_of(core)
    readout = readout[:, 0] / b[0]
    M = first @ (u @ v).T
    if parity == 1:  # the readout keeps its sign: what a neuron overlaps with most decides
        sign = np.where(M[np.arange(len(M)), np.argmax(np.abs(M), axis=1)] < 0, -1.0, 1.0)
    else:
        sign = np.where((readout < 0) & (parity == -1), -1.0, 1.0)
    outer = sign if parity == -1 else np.ones_like(sign)
    unit = with_rows(core, sign[:, None] * first, (outer * readout)[:, None])
    return Orthonormal(unit, u @ v, float(b[0]), sign[:, None] * M, sign, outer)


def groups_of(M: np.ndarray) -> list[np.ndarray] | None:
    """For each neuron the target neurons that it stands for, if no two stand for the same."""
    largest = np.max(M, axis=1, keepdims=True)
    groups = [np.flatnonzero(row) for row in (_COUNTS * largest <= M) & (largest > 0)]
    every = np.concatenate(groups)
    if min(map(len, groups)) == 0 or len(np.unique(every)) < len(every):
        return None
    return groups


def copy_average_point(seen: Orthonormal) -> NamedPoint | None:
    """The copy–average network whose groups are those of the core, where it is critical."""
    groups = groups_of(seen.M)
    if groups is None or sum(map(len, groups)) != seen.k:
        return None
    sorted_target = with_rows(seen.core, seen.V[np.concatenate(groups)], np.ones((seen.k, 1)))
    sorted_target = eqx.tree_at(
        lambda net: net.output_bias, sorted_target, None, is_leaf=lambda leaf: leaf is None
    )
    try:
        point = copy_average(sorted_target, [len(group) for group in groups])
    except ValueError:  # groups that see each other are no critical point
        return None
    sizes = _partition(groups)
    return NamedPoint(
        "copy-average", f"copy–average {_sum(sizes)}", sizes, seen.point(*rows_of(point))
    )


def sector_point(seen: Orthonormal, found: Isotropy, freeze: tuple[str, ...]) -> NamedPoint | None:
    """The critical point of the core's own sector, and what it is called."""
    known = (
        hermite_remainder(seen.core.activation) is not None
        and jnp.result_type(float) == jnp.float64
    )
    # what is held at another readout is not in the units of the sector
    free = not freeze or (set(freeze) == {"readout"} and seen.readout == 1)
    placed = _sector_of(seen, found) if known and free and not found.trivial else None
    if placed is None:
        return None
    sector, target_order, neuron_order = placed
    _, readout = rows_of(seen.core)
    inside = TwoLayer(
        jnp.asarray(seen.M[neuron_order][:, target_order]),
        jnp.asarray(readout[neuron_order, 0]),
        activation=seen.core.activation,
    )
    start = sector_coordinates(sector, inside)
    solved = solve_sector(sector, seen.core.activation, start=start, freeze=freeze)
    if not bool(solved.converged):
        return None
    lifted = rows_of(solved.lift())
    first, readout = np.zeros((len(seen.M), seen.V.shape[1])), np.zeros((len(seen.M), 1))
    first[neuron_order], readout[neuron_order] = lifted[0] @ seen.V[target_order], lifted[1]
    return _named(found, groups_of(first @ seen.V.T), seen, seen.point(first, readout))


def _named(
    found: Isotropy, groups: list[np.ndarray] | None, seen: Orthonormal, point: TwoLayer
) -> NamedPoint:
    """What the critical point of a sector is called, by what its neurons stand for."""
    sizes = None if groups is None else _partition(groups)
    if sizes is not None and max(sizes) == 1:
        return NamedPoint("perturbed copy", f"perturbed copy {found.group}", None, point)
    if sizes is not None and sum(sizes) == seen.k:
        return NamedPoint(
            "perturbed copy-average", f"perturbed copy–average {_sum(sizes)}", sizes, point
        )
    return NamedPoint("symmetric", f"symmetric {found.group}", None, point)


def _sector_of(seen: Orthonormal, found: Isotropy) -> tuple[Sector, np.ndarray, np.ndarray] | None:
    """The sector of an isotropy, with the orders of target neurons and of neurons that `lift` gives
    them.
    """
    M = np.abs(seen.M)
    rows = [(each, _followers(each, found, M)) for each in found.classes if each[0] < seen.k]
    # (what is left of the classes is the linear part of the target, which nothing joins)
    rows.sort(key=lambda pair: (-len(pair[1]), -len(pair[0])))  # one structure, one compilation
    order = [i for _, followers in rows for follower in followers for i in follower]
    single = [i for i in range(len(M)) if i not in order]
    moved = {
        i
        for match in found.swaps.values()
        for i in np.flatnonzero(match.neurons != np.arange(len(M)))
    }
    fits = all(len(follower) == len(each) for each, followers in rows for follower in followers)
    if not fits or len(set(order)) < len(order) or moved & set(single):
        return None  # neurons that follow pairs of target neurons, or two classes
    partners = [number for number, (_, followers) in enumerate(rows) for _ in followers]
    sector = Sector(tuple(len(each) for each, _ in rows), (*partners, *[None] * len(single)))
    return sector, np.concatenate([each for each, _ in rows]), np.array(order + single)


def _followers(each: np.ndarray, found: Isotropy, M: np.ndarray) -> list[list[int]]:
    """Rows of neurons that move along with the target neurons of a class, in their order."""
    if len(each) == 1:
        return []
    p = each[0]
    swaps = {q: found.swaps.get((p, q)) for q in each[1:]}
    if any(match is None for match in swaps.values()):
        return []
    moved = [
        set(np.flatnonzero(match.neurons != np.arange(len(M))))
        for match in swaps.values()
        if match is not None
    ]
    # the one that every swap with p moves; of two that change places, the one that has more of p
    first = (
        set.intersection(*moved)
        if len(each) > 2
        else {i for i in moved[0] if M[i, p] >= M[i, each[1]]}
    )
    return [
        [int(i), *(int(match.neurons[i]) for match in swaps.values() if match is not None)]
        for i in sorted(first)
    ]


def _partition(groups: list[np.ndarray]) -> tuple[int, ...]:
    return tuple(sorted((len(group) for group in groups), reverse=True))


def _sum(sizes: tuple[int, ...]) -> str:
    """`3+1+1`, and `3+5×1` where ones are many."""
    ones = sum(size == 1 for size in sizes)
    if ones <= 3:
        return "+".join(map(str, sizes))
    return "+".join([*(str(size) for size in sizes if size > 1), f"{ones}×1"])
