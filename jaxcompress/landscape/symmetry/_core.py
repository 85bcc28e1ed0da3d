"""The core of a network: the network that it amounts to, without dead neurons and with neurons of
one direction as one.

End points of flows lie on the boundary of the landscape of fewer neurons wherever a neuron dies
(readout or weights zero), runs to infinity, or shares its direction with another. What is left is
the *core*. Letters: `φ` the activation, `p` its degree where it has one, a neuron `(u, a)` with `u
= (w, β)`; all lengths are in units of the target's largest weights and largest readout.
"""

import enum
from typing import NamedTuple

import numpy as np

from jaxcompress.kernels.internal import traits
from jaxcompress.landscape.symmetry._neurons import halves, rows_of, student_parity
from jaxcompress.landscape.symmetry._units import (
    Units,
    rows_apart,
    scaled,
    with_offset,
    with_rows,
)
from jaxcompress.networks import TwoLayer

# A channel to infinity: two neurons so parallel, that cancel to this share of themselves, become
# one and its derivative. Flows climb it slowly: of 23 000 (erf) 50 were in one, with readouts of 17
# to 360 when they stopped.
_PAIR = 0.1
# Pairs count as infinite at norms that are smaller than those of single neurons by this.
CHANNEL = 5.0
# Readouts of a group that cancel to less than this share of themselves have a mean, but far outside
# of the group.
_EXTRAPOLATES = 10.0


class Fate(enum.IntEnum):
    """What became of a neuron when a network was reduced to its core."""

    IN_CORE = 0
    DEAD = 1
    INFINITE = 2
    CANCELLED = 3


class Reduced(NamedTuple):
    """A network, its core (`None` where nothing is left), and what became of every neuron.

    `fate (n,)`, each a `Fate`; `group (n,)`, the neuron of the core that one belongs to, or the
    group with which it cancels, and no more than that; `sign (n,)`, the sign that it has there.
    """

    network: TwoLayer
    core: TwoLayer | None
    fate: np.ndarray
    group: np.ndarray
    sign: np.ndarray
    units: Units

    @property
    def dead(self) -> int:
        """How many neurons are at zero, or cancel each other."""
        return int(np.sum((self.fate == Fate.DEAD) | (self.fate == Fate.CANCELLED)))

    @property
    def infinite(self) -> int:
        """How many neurons are at infinity."""
        return int(np.sum(self.fate == Fate.INFINITE))

    @property
    def repeated(self) -> int:
        """How many neurons share the direction of another one."""
        live = int(np.sum(self.fate == Fate.IN_CORE))
        return live - (0 if self.core is None else self.core.width)

    def place(self, core: TwoLayer | None) -> TwoLayer:
        """The whole network with another core: what is dead is zero, and neurons of one direction
        share it.

        Lengths of homogeneous neurons, shares of readouts and what is at infinity stay as they are.
        """
        first, readout = (half.copy() for half in rows_of(self.network))
        self._bury(first, readout)
        core_first, core_readout = (first[:0], readout[:0]) if core is None else rows_of(core)
        for j, (u, a) in enumerate(zip(core_first, core_readout, strict=True)):
            self._share(first, readout, self._members(Fate.IN_CORE, j), u, a)
        nothing = np.zeros(readout.shape[1])
        for j in np.unique(self.group[self.fate == Fate.CANCELLED]):
            members = self._members(Fate.CANCELLED, j)
            mean = np.mean(self.sign[members, None] * first[members], axis=0)
            self._share(first, readout, members, mean, nothing)
        placed = with_rows(self.network, first, readout)
        return placed if core is None else with_offset(placed, core.output_bias)

    def gap(self, placed: TwoLayer) -> float:
        """How far the network is from one that was placed, neuron by neuron; `1/norm` for one at
        infinity.
        """
        _, size, _, length = halves(*rows_of(self.network))
        norms = np.maximum(size / self.units.weights, length / self.units.readout)
        far = norms[self.fate == Fate.INFINITE]
        apart = rows_apart(self.network, placed, self.units)
        return float(np.hypot(apart, np.sqrt(np.sum(1 / far**2))))

    def _members(self, fate: Fate, group: int) -> np.ndarray:
        return np.flatnonzero((self.fate == fate) & (self.group == group))

    def _bury(self, first: np.ndarray, readout: np.ndarray) -> None:
        """Put dead neurons at zero, in place: the half of them that is the smaller, or both."""
        known = traits(self.network.activation)
        dead = self.fate == Fate.DEAD
        if known.degree is not None:
            first[dead], readout[dead] = 0, 0
            return
        small = np.zeros_like(dead)
        if known.vanishes:
            _, size, _, length = halves(first, readout)
            small = dead & (size / self.units.weights < length / self.units.readout)
        first[small] = 0
        readout[dead & ~small] = 0

    def _share(
        self,
        first: np.ndarray,
        readout: np.ndarray,
        members: np.ndarray,
        u: np.ndarray,
        a: np.ndarray,
    ) -> None:
        """Put the neurons of a group in the direction `u`, in place, with readouts that add up to
        `a`.
        """
        degree, parity = traits(self.network.activation).degree, student_parity(self.network)
        scale = np.ones(len(members))
        if degree is not None:
            norm = np.linalg.norm(u)
            u, a = u / norm, a * norm**degree
            scale = halves(first[members], readout[members])[1]
        power = scale[:, None] ** (degree or 0)
        sign = self.sign[members, None]
        outer = _outer(sign, parity)
        shares = outer * readout[members] * power
        shares = shares + (a - np.sum(shares, axis=0)) / len(members)
        first[members] = sign * scale[:, None] * u
        readout[members] = outer * shares / power


class _Rows(NamedTuple):
    """The neurons of a network as they are compared, one a row.

    `rows (n, q)`, directions of homogeneous neurons, inner weights of others; `weights (n, o)`,
    readouts of such rows; `stretch (n,)`, how long a row counts; `height (n,)`, the distance from a
    dead neuron; `far (n,)`, whether it is at infinity.
    """

    rows: np.ndarray
    weights: np.ndarray
    stretch: np.ndarray
    height: np.ndarray
    far: np.ndarray


class _Groups(NamedTuple):
    """What became of neurons, and the signed rows and readouts of those that are in a group."""

    fate: np.ndarray
    group: np.ndarray
    sign: np.ndarray
    rows: np.ndarray
    weights: np.ndarray


def reduce_network(network: TwoLayer, tolerance: float, infinity: float, units: Units) -> Reduced:
    """Reduce a network, with distances up to a tolerance taken for none, and norms beyond
    `infinity` for infinite.

    Distances are those of `distance`: of a homogeneous neuron from zero `√2 (‖a‖ ‖u‖^p)^{1/(p+1)}`.
    At infinity are weights, readouts against all of the target's together, and pairs of neurons in
    a channel. Neurons become one only if that moves no more than a tolerance, by what they weigh:
    `Σ ‖a_i‖ ‖u_i − ū‖`.
    """
    known = _compared(network, infinity, units)
    groups = _grouped(known, student_parity(network), tolerance)
    return _with_core(network, groups, tolerance, units)


def _compared(network: TwoLayer, infinity: float, units: Units) -> _Rows:
    """The neurons in units, as `reduce_network` compares them."""
    symmetry = traits(network.activation)
    p, (first, readout) = symmetry.degree, rows_of(scaled(network, units))
    u, size, _, length = halves(first, readout)
    if p is not None:
        stretch = length ** (1 / (p + 1)) * size ** (p / (p + 1)) * (size > 0)
        weights = readout * size[:, None] ** p
        return _Rows(u, weights, stretch, np.sqrt(2) * stretch, stretch > infinity)
    far = (size > infinity) | (length > infinity * units.total / units.readout)
    far |= _channels(first, readout, student_parity(network), infinity / CHANNEL)
    height = np.minimum(size, length) if symmetry.vanishes else length
    return _Rows(first, readout, np.ones_like(size), height, far)


def _grouped(known: _Rows, parity: int, tolerance: float) -> _Groups:
    """Neurons of one direction in one group, from the highest down."""
    n = len(known.rows)
    fate, group, sign = np.full(n, Fate.DEAD), np.zeros(n, int), np.ones(n)
    mass, spread = np.linalg.norm(known.weights, axis=1), np.zeros(n)
    firsts: list[int] = []
    signs = (1, -1) if parity else (1,)
    for i in np.argsort(-known.height, kind="stable"):
        if known.height[i] <= tolerance:
            continue
        if known.far[i]:
            fate[i] = Fate.INFINITE
            continue
        fate[i] = Fate.IN_CORE
        rows, row = known.rows[firsts], known.rows[i]
        apart = np.array([np.linalg.norm(rows - s * row, axis=1) for s in signs])
        if firsts:
            s, j = np.unravel_index(np.argmin(apart), apart.shape)
            moved = spread[j] + mass[i] * apart[s, j]
            if known.stretch[i] * apart[s, j] <= tolerance and moved <= tolerance:
                group[i], sign[i], spread[j] = j, signs[s], moved
                continue
        group[i] = len(firsts)
        firsts.append(int(i))
    signed = sign[:, None]
    rows, weights = signed * known.rows, _outer(signed, parity) * known.weights
    return _Groups(fate, group, sign, rows, weights)


def _outer(sign: np.ndarray, parity: int) -> np.ndarray:
    """What the sign of a neuron does to its readout: odd functions pass it on."""
    return np.where(sign < 0, parity if parity == -1 else 1, 1)


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


def _with_core(network: TwoLayer, groups: _Groups, tolerance: float, units: Units) -> Reduced:
    """Add up the neurons of every group; a group that adds up to nothing cancels."""
    p = traits(network.activation).degree
    fate, group = groups.fate.copy(), groups.group.copy()
    core_rows: list[np.ndarray] = []
    core_weights: list[np.ndarray] = []
    cancelled = 0
    for j in range(int(np.max(groups.group, initial=0)) + 1):
        members = np.flatnonzero((groups.fate == Fate.IN_CORE) & (groups.group == j))
        weights, rows = groups.weights[members], groups.rows[members]
        sizes, total = np.linalg.norm(weights, axis=1), np.sum(weights, axis=0)
        mass = float(np.linalg.norm(total))
        if mass ** (1 if p is None else 1 / (p + 1)) <= tolerance:
            fate[members], group[members] = Fate.CANCELLED, cancelled
            cancelled += 1
            continue
        # Σ a_i (u_i − ū) = 0: the function of the group, to first order; or by what they weigh, not
        # to extrapolate
        shares = weights @ total / mass**2
        shares = shares if np.sum(np.abs(shares)) <= _EXTRAPOLATES else sizes / np.sum(sizes)
        mean = shares @ rows
        if p is not None:
            scale = mass ** (1 / (p + 1))
            mean, total = mean / np.linalg.norm(mean) * scale, total / scale**p
        group[members] = len(core_rows)
        core_rows.append(mean * units.weights)
        core_weights.append(total * units.readout)
    core = with_rows(network, np.array(core_rows), np.array(core_weights)) if core_rows else None
    return Reduced(network, core, fate, group, groups.sign, units)
