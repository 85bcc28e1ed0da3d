"""The network that a network amounts to: without dead neurons, with neurons of one direction as
one.

End points of flows lie on the boundary of the landscape of fewer neurons wherever a neuron dies
(readout or weights zero), runs to infinity, or shares its direction with another. What is left is
the *core*. Letters: `φ` the activation, `p` its degree where it has one, a neuron `(u, a)` with `u
= (w, β)`; all lengths are in units of the target's largest weights and largest readout.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from jaxcompress.kernels.internal import traits
from jaxcompress.landscape._neurons import (
    halves,
    neurons,
    rows_of,
    student_parity,
)
from jaxcompress.networks import TwoLayer

_DEAD, _INFINITE = -1, -2
# A channel to infinity: two neurons so parallel, that cancel to this share of themselves, become
# one and its derivative. Flows climb it slowly: of 23 000 (erf) 50 were in one, with readouts of 17
# to 360 when they stopped.
_PAIR = 0.1
# Pairs count as infinite at norms that are smaller than those of single neurons by this.
CHANNEL = 5.0
# Readouts of a group that cancel to less than this share of themselves have a mean, but far outside
# of the group.
_EXTRAPOLATES = 10.0


class Units(NamedTuple):
    """The sizes against which neurons are small or large: of weights, of a readout, of all readouts
    together.
    """

    weights: float
    readout: float
    total: float


def units_of(target: TwoLayer) -> Units:
    """Of a target; one where it has none."""
    first, readout = rows_of(target)
    lengths = np.linalg.norm(readout, axis=1)
    sizes = np.max(np.linalg.norm(first, axis=1), initial=0), np.max(lengths, initial=0)
    return Units(float(sizes[0] or 1), float(sizes[1] or 1), float(np.sum(lengths) or 1))


class Reduced(NamedTuple):
    """A network, its core (`None` where nothing is left), and what became of every neuron.

    `member (n,)`: the neuron of the core that each belongs to, −1 for a dead one, −2 for one at
    infinity, −3, −4, … for those of groups that cancel; `sign (n,)`, the sign that it has there.
    """

    network: TwoLayer
    core: TwoLayer | None
    member: np.ndarray
    sign: np.ndarray
    units: Units

    @property
    def dead(self) -> int:
        """How many neurons are at zero, or cancel each other."""
        return int(np.sum((self.member == _DEAD) | (self.member < _INFINITE)))

    @property
    def infinite(self) -> int:
        """How many neurons are at infinity."""
        return int(np.sum(self.member == _INFINITE))

    @property
    def repeated(self) -> int:
        """How many neurons share the direction of another one."""
        return int(np.sum(self.member >= 0)) - (0 if self.core is None else self.core.width)

    def place(self, core: TwoLayer | None) -> TwoLayer:
        """The whole network with another core: what is dead is zero, and neurons of one direction
        share it.

        Lengths of homogeneous neurons, shares of readouts and what is at infinity stay as they are.
        """
        symmetry, parity = (
            traits(self.network.activation),
            student_parity(self.network),
        )
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
        elif traits(self.network.activation).vanishes:
            small = dead & (size / self.units.weights < length / self.units.readout)
            new_first[small], new_readout[small] = 0, readout[small]
        core_first, core_readout = (first[:0], readout[:0]) if core is None else rows_of(core)
        targets = [(j, u, a) for j, (u, a) in enumerate(zip(core_first, core_readout, strict=True))]
        for j in range(_INFINITE - 1, int(np.min(self.member, initial=0)) - 1, -1):
            group = np.flatnonzero(self.member == j)
            targets.append(
                (
                    j,
                    np.mean(self.sign[group, None] * first[group], axis=0),
                    np.zeros(readout.shape[1]),
                )
            )
        for j, u, a in targets:
            group = np.flatnonzero(self.member == j)
            if symmetry.degree is not None:
                norm = np.linalg.norm(u)
                u, a = u / norm, a * norm**symmetry.degree
            shares = outer[group] * readout[group] * power[group]
            shares = shares + (a - np.sum(shares, axis=0)) / len(group)
            new_first[group] = self.sign[group, None] * scale[group, None] * u
            new_readout[group] = outer[group] * shares / power[group]
        placed = with_rows(self.network, new_first, new_readout)
        return placed if core is None else _with_offset(placed, core.output_bias)

    def gap(self, placed: TwoLayer) -> float:
        """How far the network is from one that was placed, neuron by neuron; `1/norm` for one at
        infinity.
        """
        _, size, _, length = halves(*rows_of(self.network))
        far = np.maximum(size / self.units.weights, length / self.units.readout)[
            self.member == _INFINITE
        ]
        return float(
            np.hypot(rows_apart(self.network, placed, self.units), np.sqrt(np.sum(1 / far**2)))
        )


def rows_apart(one: TwoLayer, other: TwoLayer, units: Units) -> float:
    """The distance of two networks neuron by neuron, as they are ordered and signed, in units."""
    pairs = zip(neurons(scaled(one, units))[:3], neurons(scaled(other, units))[:3], strict=True)
    return float(np.sqrt(sum(float(np.sum((x - y) ** 2)) for x, y in pairs)))


def scaled(network: TwoLayer, units: Units) -> TwoLayer:
    """The network in units: weights, biases and readouts divided by theirs."""
    first, readout = rows_of(network)
    out = with_rows(network, first / units.weights, readout / units.readout)
    return (
        out
        if network.output_bias is None
        else _with_offset(out, network.output_bias / units.readout)
    )


def reduce_network(network: TwoLayer, tolerance: float, infinity: float, units: Units) -> Reduced:
    """Reduce a network, with distances up to a tolerance taken for none, and norms beyond
    `infinity` for infinite.

    Distances are those of `distance`: of a homogeneous neuron from zero `√2 (‖a‖ ‖u‖^p)^{1/(p+1)}`.
    At infinity are weights, readouts against all of the target's together, and pairs of neurons in
    a channel. Neurons become one only if that moves no more than a tolerance, by what they weigh:
    `Σ ‖a_i‖ ‖u_i − ū‖`.
    """
    symmetry, parity = traits(network.activation), student_parity(network)
    p, (first, readout) = symmetry.degree, rows_of(scaled(network, units))
    u, size, _, length = halves(first, readout)
    if p is None:
        far = (size > infinity) | (length > infinity * units.total / units.readout)
        far |= _channels(first, readout, parity, infinity / CHANNEL)
        height = np.minimum(size, length) if traits(network.activation).vanishes else length
        rows, weights, stretch = first, readout, np.ones_like(size)
    else:
        stretch = length ** (1 / (p + 1)) * size ** (p / (p + 1)) * (size > 0)
        far, height = stretch > infinity, np.sqrt(2) * stretch
        rows, weights = u, readout * size[:, None] ** p
    member, sign = np.full(len(first), _DEAD), np.ones(len(first))
    mass, spread = np.linalg.norm(weights, axis=1), np.zeros(len(first))
    kept: list[int] = []
    signs = (1, -1) if parity else (1,)
    for i in np.argsort(-height, kind="stable"):
        if height[i] > tolerance and far[i]:
            member[i] = _INFINITE
        elif height[i] > tolerance:
            apart = (
                np.array([np.linalg.norm(rows[kept] - s * rows[i], axis=1) for s in signs])
                if kept
                else np.ones((1, 1))
            )
            s, j = np.unravel_index(np.argmin(apart), np.shape(apart))
            moved = spread[j] + mass[i] * apart[s, j]
            if kept and stretch[i] * apart[s, j] <= tolerance and moved <= tolerance:
                member[i], sign[i], spread[j] = j, signs[s], moved
            else:
                member[i] = len(kept)
                kept.append(int(i))
    outer = np.where(sign < 0, parity if parity == -1 else 1, 1)[:, None]
    return _with_core(
        network, member, sign, sign[:, None] * rows, outer * weights, tolerance, units
    )


def _channels(first: np.ndarray, readout: np.ndarray, parity: int, infinity: float) -> np.ndarray:
    """Neurons of large readout that another one, nearly parallel, all but cancels."""
    out = np.zeros(len(first), bool)
    size, length = np.linalg.norm(first, axis=1), np.linalg.norm(readout, axis=1)
    for i in np.flatnonzero(length > infinity):
        for s in (1, -1) if parity else (1,):
            near = np.linalg.norm(first - s * first[i], axis=1) <= _PAIR * size[i]
            outer = parity if s == -1 and parity == -1 else 1
            cancel = np.linalg.norm(readout + outer * readout[i], axis=1) <= _PAIR * length[i]
            out[i] |= bool(np.any(near & cancel))
    return out


def _with_core(
    network: TwoLayer, member, sign, rows, weights, tolerance: float, units: Units
) -> Reduced:
    """Add up the neurons of every group; groups that add up to nothing are none."""
    p = traits(network.activation).degree
    member = member.copy()
    core_rows: list[np.ndarray] = []
    core_weights: list[np.ndarray] = []
    cancelled = _INFINITE
    for j in range(int(np.max(member, initial=-1)) + 1):
        group = np.flatnonzero(member == j)
        sizes, total = np.linalg.norm(weights[group], axis=1), np.sum(weights[group], axis=0)
        mass = float(np.linalg.norm(total))
        if mass ** (1 if p is None else 1 / (p + 1)) <= tolerance:
            cancelled -= 1
            member[group] = cancelled
            continue
        # Σ a_i (u_i − ū) = 0: the function of the group, to first order; or by what they weigh, not
        # to extrapolate
        shares = weights[group] @ total / mass**2
        shares = shares if np.sum(np.abs(shares)) <= _EXTRAPOLATES else sizes / np.sum(sizes)
        mean = shares @ rows[group]
        if p is not None:
            scale = mass ** (1 / (p + 1))
            mean, total = mean / np.linalg.norm(mean) * scale, total / scale**p
        member[group] = len(core_rows)
        core_rows.append(mean * units.weights)
        core_weights.append(total * units.readout)
    core = with_rows(network, np.array(core_rows), np.array(core_weights)) if core_rows else None
    return Reduced(network, core, member, sign, units)


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


def _with_offset(network: TwoLayer, output_bias) -> TwoLayer:
    if network.output_bias is None:
        return network
    return eqx.tree_at(
        lambda net: net.output_bias, network, jnp.asarray(output_bias, network.weights.dtype)
    )
