"""The points that a core may be: the target itself, copy–average, and the critical point of its own sector.

Each function takes a core near some point and returns that point, neuron by neuron in the order of the core, or `None`.
Letters: `M = WVᵀ (n, k)`, the overlaps with an orthonormal target, signed so that readouts are positive.
"""

from typing import NamedTuple

import equinox as eqx
import numpy as np

from jaxcompress.landscape._align import align
from jaxcompress.landscape._isotropy import Isotropy
from jaxcompress.landscape._neurons import student_parity
from jaxcompress.landscape._reduced import reduce_network, rows_of, with_rows
from jaxcompress.landscape._symmetries import TargetSymmetries
from jaxcompress.networks import TwoLayer
from jaxcompress.sectors import Sector, sector_coordinates, solve_sector
from jaxcompress.theory import copy_average

# A target neuron counts for a student neuron whose largest overlap it has half of, and a copy has no second one.
_COUNTS = 0.5
# Overlaps and readouts of an orthonormal target may be off by this: a QR decomposition in float64 leaves 1e-15.
_ORTHONORMAL = 1e-6


class Form(NamedTuple):
    """A known point: kind, name, partition of the target among the neurons (where it is one), and the network."""

    kind: str
    name: str
    partition: tuple[int, ...] | None
    point: TwoLayer


def target_itself(core: TwoLayer, target: TwoLayer, symmetries: TargetSymmetries) -> Form | None:
    """The target, or an image of it under a symmetry, where the core has as many neurons as that has distinct ones."""
    if core.activation != target.activation or set(core.parameters()) != set(target.parameters()):
        return None
    whole = reduce_network(target, 1e-9, (np.inf, np.inf)).core
    if whole is None or whole.width != core.width:
        return None
    moved = align(core, whole, symmetries)
    return Form("target", "the target", (1,) * core.width, moved)


def is_orthonormal(target: TwoLayer) -> bool:
    """Whether this is an orthonormal target of one output and readout one, without biases."""
    if target.bias is not None or target.output_bias is not None or target.outputs is not None:
        return False
    V, b = np.asarray(target.weights, float), np.asarray(target.readout, float)
    return bool(np.max(np.abs(V @ V.T - np.eye(len(V)))) < _ORTHONORMAL and np.max(np.abs(b - 1)) < _ORTHONORMAL)


def overlaps(core: TwoLayer, target: TwoLayer) -> tuple[np.ndarray, np.ndarray]:
    """`M (n, k)` and the signs `(n,)` that were taken out."""
    first, readout = rows_of(core)
    sign = np.where((readout[:, 0] < 0) & (student_parity(core) == -1), -1.0, 1.0)
    return sign[:, None] * first[:, : core.dim] @ np.asarray(target.weights, float).T, sign


def groups_of(M: np.ndarray) -> list[np.ndarray] | None:
    """For each neuron the target neurons that it stands for, if no two stand for the same."""
    largest = np.max(M, axis=1, keepdims=True)
    groups = [np.flatnonzero(row) for row in (_COUNTS * largest <= M) & (largest > 0)]
    every = np.concatenate(groups)
    if min(map(len, groups)) == 0 or len(np.unique(every)) < len(every):
        return None
    return groups


def copy_average_form(core: TwoLayer, target: TwoLayer) -> Form | None:
    """The copy–average network whose groups are those of the core, where it is critical."""
    M, sign = overlaps(core, target)
    groups = groups_of(M)
    if groups is None or sum(map(len, groups)) != target.width:
        return None
    order = np.concatenate(groups)
    sorted_target = eqx.tree_at(lambda net: net.weights, target, target.weights[order])
    try:
        point = copy_average(sorted_target, [len(group) for group in groups])
    except ValueError:  # groups that see each other are no critical point
        return None
    first, readout = rows_of(point)
    sizes = _partition(groups)
    name = f"copy–average {_sum(sizes)}"
    return Form("copy-average", name, sizes, with_rows(core, sign[:, None] * first, sign[:, None] * readout))


def sector_form(core: TwoLayer, target: TwoLayer, found: Isotropy, freeze: tuple[str, ...]) -> Form | None:
    """The critical point of the core's own sector, and what it is called."""
    placed = _sector_of(core, target, found)
    if placed is None:
        return None
    sector, target_order, neuron_order = placed
    M, sign = overlaps(core, target)
    sorted_core = with_rows(core, M[neuron_order][:, target_order], (sign[:, None] * rows_of(core)[1])[neuron_order])
    start = sector_coordinates(sector, _resized(sorted_core, sector.k))
    solved = solve_sector(sector, core.activation, start=start, freeze=freeze)
    if not bool(solved.converged):
        return None
    lifted_first, lifted_readout = rows_of(solved.lift())
    first, readout = np.zeros((core.width, core.dim)), np.zeros((core.width, 1))
    inputs = np.asarray(target.weights, float)[target_order]
    first[neuron_order] = lifted_first @ inputs
    readout[neuron_order] = lifted_readout
    point = with_rows(core, sign[:, None] * first, sign[:, None] * readout)
    groups = groups_of(overlaps(point, target)[0])
    if groups is None or found.trivial:
        return Form("symmetric", f"symmetric {found.group}", None, point)
    sizes = _partition(groups)
    if max(sizes) == 1:
        return Form("perturbed copy", f"perturbed copy {found.group}", None, point)
    if sum(sizes) == target.width:
        return Form("perturbed copy-average", f"perturbed copy–average {_sum(sizes)}", sizes, point)
    return Form("symmetric", f"symmetric {found.group}", None, point)


def _sector_of(core: TwoLayer, target: TwoLayer, found: Isotropy) -> tuple[Sector, np.ndarray, np.ndarray] | None:
    """The sector of an isotropy, with the orders of target neurons and of neurons that `lift` gives them."""
    M = np.abs(overlaps(core, target)[0])
    rows = [(each, _followers(each, found, M)) for each in found.classes if each[0] < target.width]
    # (what is left of the classes is the linear part of the target, which nothing joins)
    rows.sort(key=lambda pair: (-len(pair[1]), -len(pair[0])))  # one structure, one compilation
    order = [i for _, followers in rows for follower in followers for i in follower]
    single = [i for i in range(core.width) if i not in order]
    moved = {i for match in found.swaps.values() for i in np.flatnonzero(match.neurons != np.arange(core.width))}
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
    moved = [set(np.flatnonzero(match.neurons != np.arange(len(M)))) for match in swaps.values() if match is not None]
    # the one that every swap with p moves; of two that change places, the one that has more of p
    first = set.intersection(*moved) if len(each) > 2 else {i for i in moved[0] if M[i, p] >= M[i, each[1]]}
    return [[int(i), *(int(match.neurons[i]) for match in swaps.values() if match is not None)] for i in sorted(first)]


def _resized(network: TwoLayer, dim: int) -> TwoLayer:
    return eqx.tree_at(lambda net: net.weights, network, network.weights[:, :dim])


def _partition(groups: list[np.ndarray]) -> tuple[int, ...]:
    return tuple(sorted((len(group) for group in groups), reverse=True))


def _sum(sizes: tuple[int, ...]) -> str:
    """`3+1+1`, and `3+5×1` where ones are many."""
    ones = sum(size == 1 for size in sizes)
    if ones <= 3:
        return "+".join(map(str, sizes))
    return "+".join([*(str(size) for size in sizes if size > 1), f"{ones}×1"])
