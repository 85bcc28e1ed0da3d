"""The network that a network amounts to: without dead neurons, with neurons of one direction as one.

End points of flows lie on the boundary of the landscape of fewer neurons wherever a neuron dies (readout or weights
zero), runs to infinity, or shares its direction with another. What is left is the *core*. Letters: `φ` the activation,
`p` its degree where it has one, a neuron `(u, a)` with `u = (w, β)`.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxcompress.landscape._neurons import activation_symmetry, halves, neurons, student_parity
from jaxcompress.networks import TwoLayer

_DEAD, _INFINITE, _CANCELLED = -1, -2, -3


class Reduced(NamedTuple):
    """A network, its core (`None` where nothing is left), and what became of every neuron.

    `member (n,)`: the neuron of the core that each belongs to, −1 for a dead one, −2 for one at infinity, −3 for one
    of a group that cancels; `sign (n,)`, the sign that it has there.
    """

    network: TwoLayer
    core: TwoLayer | None
    member: np.ndarray
    sign: np.ndarray

    @property
    def dead(self) -> int:
        """How many neurons are at zero, or cancel each other."""
        return int(np.sum((self.member == _DEAD) | (self.member == _CANCELLED)))

    @property
    def infinite(self) -> int:
        """How many neurons are at infinity."""
        return int(np.sum(self.member == _INFINITE))

    @property
    def repeated(self) -> int:
        """How many neurons share the direction of another one."""
        return int(np.sum(self.member >= 0)) - (0 if self.core is None else self.core.width)

    def place(self, core: TwoLayer | None) -> TwoLayer:
        """The whole network with another core: what is dead is zero, and neurons of one direction share it.

        Lengths of homogeneous neurons, shares of readouts and what is at infinity stay as they are.
        """
        symmetry, parity = activation_symmetry(self.network.activation), student_parity(self.network)
        first, readout = rows_of(self.network)
        _, size, _, length = halves(first, readout)
        outer = np.where(self.sign < 0, parity if parity == -1 else 1, 1)[:, None]
        scale = np.ones(len(first)) if symmetry.degree is None else size
        power = scale[:, None] ** (symmetry.degree or 0)
        new_first, new_readout = first.copy(), readout.copy()
        dead = self.member == _DEAD
        new_readout[dead] = 0
        if symmetry.degree is not None:
            new_first[dead] = 0
        elif _through_zero(symmetry):
            small = dead & (size < length)
            new_first[small], new_readout[small] = 0, readout[small]
        core_first, core_readout = (first[:0], readout[:0]) if core is None else rows_of(core)
        for j, (u, a) in enumerate(zip(core_first, core_readout, strict=True)):
            group = np.flatnonzero(self.member == j)
            if symmetry.degree is not None:
                norm = np.linalg.norm(u)
                u, a = u / norm, a * norm**symmetry.degree
            shares = outer[group] * readout[group] * power[group]
            shares = shares + (a - np.sum(shares, axis=0)) / len(group)
            new_first[group] = self.sign[group, None] * scale[group, None] * u
            new_readout[group] = outer[group] * shares / power[group]
        return with_rows(self.network, new_first, new_readout)

    def gap(self, placed: TwoLayer) -> float:
        """How far the network is from one that was placed, neuron by neuron; `1/norm` for one at infinity."""
        one, other = neurons(self.network), neurons(placed)
        square = sum(float(np.sum((x - y) ** 2)) for x, y in zip(one[:3], other[:3], strict=True))
        _, size, _, length = halves(*rows_of(self.network))
        far = np.maximum(size, length)[self.member == _INFINITE]
        return float(np.sqrt(square + np.sum(1 / far**2)))


def reduce_network(network: TwoLayer, tolerance: float, infinity: tuple[float, float]) -> Reduced:
    """Reduce a network, with distances up to a tolerance taken for none.

    Distances are those of `distance`: of a homogeneous neuron from zero `√2 (‖a‖ ‖u‖^p)^{1/(p+1)}`. Norms of `u` and of
    `a` beyond those of `infinity` are infinite; for a homogeneous activation, balanced ones beyond the larger.
    """
    symmetry, parity = activation_symmetry(network.activation), student_parity(network)
    p, (first, readout) = symmetry.degree, rows_of(network)
    u, size, _, length = halves(first, readout)
    if p is None:
        far = (size > infinity[0]) | (length > infinity[1])
        height = np.minimum(size, length) if _through_zero(symmetry) else length
        rows, weights, stretch = first, readout, np.ones_like(size)
    else:
        stretch = length ** (1 / (p + 1)) * size ** (p / (p + 1)) * (size > 0)
        far, height = stretch > max(infinity), np.sqrt(2) * stretch
        rows, weights = u, readout * size[:, None] ** p
    member, sign = np.full(len(first), _DEAD), np.ones(len(first))
    kept: list[int] = []
    signs = (1, -1) if parity else (1,)
    for i in np.argsort(-height, kind="stable"):
        if far[i]:
            member[i] = _INFINITE
        elif height[i] > tolerance:
            apart = [stretch[i] * np.linalg.norm(rows[kept] - s * rows[i], axis=1) for s in signs]
            nearest = np.unravel_index(np.argmin(apart), np.shape(apart)) if kept else (0, 0)
            if kept and apart[nearest[0]][nearest[1]] <= tolerance:
                member[i], sign[i] = nearest[1], 1 - 2 * nearest[0]
            else:
                member[i] = len(kept)
                kept.append(int(i))
    outer = np.where(sign < 0, parity if parity == -1 else 1, 1)[:, None]
    return _with_core(network, member, sign, sign[:, None] * rows, outer * weights, tolerance)


def _with_core(network: TwoLayer, member, sign, rows, weights, tolerance: float) -> Reduced:
    """Add up the neurons of every group; groups that add up to nothing are none."""
    p = activation_symmetry(network.activation).degree
    member = member.copy()
    core_rows: list[np.ndarray] = []
    core_weights: list[np.ndarray] = []
    for j in range(int(np.max(member, initial=-1)) + 1):
        group = np.flatnonzero(member == j)
        sizes, total = np.linalg.norm(weights[group], axis=1), np.sum(weights[group], axis=0)
        mass = float(np.linalg.norm(total))
        if mass ** (1 if p is None else 1 / (p + 1)) <= tolerance:
            member[group] = _CANCELLED
            continue
        # each by what it weighs: the directions of small ones are not known as well
        mean = sizes @ rows[group] / np.sum(sizes)
        if p is not None:
            scale = mass ** (1 / (p + 1))
            mean, total = mean / np.linalg.norm(mean) * scale, total / scale**p
        member[group] = len(core_rows)
        core_rows.append(mean)
        core_weights.append(total)
    core = with_rows(network, np.array(core_rows), np.array(core_weights)) if core_rows else None
    return Reduced(network, core, member, sign)


def _through_zero(symmetry) -> bool:
    """Whether a neuron without weights is none."""
    return symmetry.parity == -1 and symmetry.constant == 0


def rows_of(network: TwoLayer) -> tuple[np.ndarray, np.ndarray]:
    """`(w, β) (n, p)` and readouts `(n, o)` of a network, in float64 NumPy."""
    weights = np.asarray(network.weights, float)
    bias = [] if network.bias is None else [np.asarray(network.bias, float)[:, None]]
    return np.concatenate([weights, *bias], 1), np.asarray(network.readout, float).reshape(network.width, -1)


def with_rows(network: TwoLayer, first: np.ndarray, readout: np.ndarray) -> TwoLayer:
    """A network like this one, of as many neurons as there are rows."""
    d, dtype = network.dim, network.weights.dtype
    readout = readout if network.outputs is not None else readout[:, 0]
    return eqx.tree_at(
        lambda net: (net.weights, net.readout, net.bias),
        network,
        (
            jnp.asarray(first[:, :d], dtype),
            jnp.asarray(readout, dtype),
            None if network.bias is None else jnp.asarray(first[:, d], dtype),
        ),
        is_leaf=lambda leaf: leaf is None,
    )
