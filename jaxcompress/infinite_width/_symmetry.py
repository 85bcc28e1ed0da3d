"""Orthogonal maps that a flow should keep: who has them, and how well they are kept.

If `f* = f*∘Q` and the input law and the start are invariant under an orthogonal `Q`, so is the flow
at all times. Maps act on a particle as `(a, b) ↦ (a, Qb)`.
"""

import bisect
import itertools
from collections import deque
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int

from jaxcompress._internal.checks import as_array
from jaxcompress.infinite_width._flow import Path
from jaxcompress.infinite_width._laws import best_linear, check_law
from jaxcompress.infinite_width._particles import Particles
from jaxcompress.infinite_width._targets import (
    AbstractTarget,
    NetworkTarget,
    OddTarget,
    check_room,
    linear_target,
)
from jaxcompress.kernels import AbstractInputs, Gaussian
from jaxcompress.special.internal import divide

_TOLERANCE = {jnp.dtype("float64"): 1e-10, jnp.dtype("float32"): 1e-4}
# Entries of equal elements of a group differ by less, after words of a hundred generators; of
# different ones by ten times as much.
_EQUAL = {jnp.dtype("float64"): 1e-8, jnp.dtype("float32"): 1e-4}
# Directions at which the pulls of a target are compared.
_DIRECTIONS = 32


class Action(eqx.Module):
    """A group of orthogonal maps, by its generators.

    Arguments: `generators (g, d, d)`.
    Raises `ValueError` for shapes that do not fit or matrices that are not orthogonal.
    """

    generators: Float[Array, "g d d"]

    def __init__(self, generators):
        self.generators = as_array("Action", "generators", generators)
        shape = self.generators.shape
        if (
            self.generators.ndim != 3
            or shape[1] != shape[2]
            or self.generators.dtype not in _TOLERANCE
        ):
            raise ValueError(
                f"Action: given generators of shape {shape} and dtype {self.generators.dtype}; "
                "expected floats (g, d, d); stack one square matrix a generator"
            )
        maps = np.asarray(self.generators, np.float64)
        defect = np.abs(maps @ maps.transpose(0, 2, 1) - np.eye(shape[1])).max(initial=0)
        if not defect <= _TOLERANCE[self.generators.dtype]:
            raise ValueError(
                f"Action: given a matrix that is not orthogonal (|QQᵀ − I| is {defect:.1e}); "
                "expected QQᵀ = I; orthogonalise it, for example by numpy.linalg.qr"
            )

    @property
    def dim(self) -> int:
        """The dimension `d`."""
        return self.generators.shape[-1]

    def elements(self, limit: int = 10_000) -> Float[Array, "order d d"]:
        """All maps of a finite group, the identity first; by shortest words, in float64 for any
        dtype.

        Raises `ValueError` where there are more than `limit`, as in every group of rotations, or
        where two maps are too near to be told apart.
        """
        left, _, right = np.linalg.svd(np.asarray(self.generators, np.float64))
        found = _Elements(self.dim, _EQUAL[self.generators.dtype])
        found.add(np.eye(self.dim))
        waiting = deque(found.maps)
        while waiting:
            element = waiting.popleft()
            for generator in left @ right:
                new = generator @ element
                if found.add(new):
                    waiting.append(new)
                if len(found.maps) > limit:
                    raise ValueError(
                        f"Action.elements: given a group of more than {limit} maps; expected a "
                        "finite one; raise limit, or keep to its generators"
                    )
        return jnp.asarray(np.stack(found.maps), self.generators.dtype)


class _Elements:
    """Maps that differ, sorted by one number of each, so that only those of nearly the same number
    are compared.
    """

    def __init__(self, dim: int, equal: float):
        self.maps: list[np.ndarray] = []
        self.order: list[tuple[float, int]] = []
        self.equal = equal
        self.direction = np.random.default_rng(0).standard_normal((dim, dim))
        self.reach = 10 * equal * np.abs(self.direction).sum()

    def add(self, new: np.ndarray) -> bool:
        """Take a map in, unless it is there."""
        number = float(np.sum(self.direction * new))
        first = bisect.bisect_left(self.order, (number - self.reach, -1))
        for other, index in self.order[first:]:
            if other > number + self.reach:
                break
            apart = np.abs(self.maps[index] - new).max()
            if apart < self.equal:
                return False
            if apart < 10 * self.equal:
                raise ValueError(
                    f"Action.elements: given maps {apart:.1e} apart, neither equal nor different; "
                    "expected a finite group; pass generators with all their digits, or keep to "
                    "its generators"
                )
        bisect.insort(self.order, (number, len(self.maps)))
        self.maps.append(new)
        return True


def sign_flips(dim: int, axes=None, *, dtype=None) -> Action:
    """`x_i ↦ −x_i` for each of `axes` (all when left out)."""
    return reflections(np.eye(dim)[_axes("sign_flips", dim, axes, 1)], dtype=dtype)


def permutations(dim: int, axes=None, *, dtype=None) -> Action:
    """All orders of the coordinates `axes` (all when left out), generated by exchanges of
    neighbours.
    """
    axes = _axes("permutations", dim, axes, 2)
    return reflections(
        np.array([np.eye(dim)[i] - np.eye(dim)[j] for i, j in itertools.pairwise(axes)]),
        dtype=dtype,
    )


def _axes(where: str, dim: int, axes, least: int) -> list[int]:
    axes = list(range(dim) if axes is None else axes)
    if len(axes) < least or len({*axes}) < len(axes) or not all(i in range(dim) for i in axes):
        raise ValueError(
            f"{where}: given axes {axes} in {dim} dimensions; expected at least {least} different "
            f"ones from 0 to {dim - 1}; leave them out for all"
        )
    return axes


def reflections(roots, *, dtype=None) -> Action:
    """The group that the reflections `I − 2vvᵀ/‖v‖²` at `roots (g, d)` generate.

    Raises `ValueError` for a root that is zero.
    """
    roots = np.asarray(roots, np.float64)
    if roots.ndim != 2 or not np.all(np.any(roots != 0, axis=-1)):
        raise ValueError(
            f"reflections: given roots of shape {roots.shape}; expected vectors (g, d), none of "
            "them zero; drop what is zero"
        )
    unit = roots / np.linalg.norm(roots, axis=1, keepdims=True)
    maps = np.eye(roots.shape[1]) - 2 * unit[:, :, None] * unit[:, None, :]
    return Action(jnp.asarray(maps, dtype or jnp.result_type(float)))


def far_rotations(key: Array, near: int, dim: int, *, count: int = 3, dtype=None) -> Action:
    """`count` random maps (Haar) of H⊥, the coordinates from `near` on: two generate a dense set of
    its rotations.

    Raises `ValueError` unless `0 ≤ near < dim`.
    """
    if not 0 <= near < dim or count < 1:
        raise ValueError(
            f"far_rotations: given near={near} in dim {dim} and count={count}; expected 0 ≤ near < "
            "dim and count ≥ 1; H must be smaller than the space"
        )
    dtype = dtype or jnp.result_type(float)
    turns = jax.random.orthogonal(key, dim - near, (count,), dtype)
    maps = jnp.zeros((count, dim, dim), dtype).at[:, near:, near:].set(turns)
    return Action(maps.at[:, :near, :near].set(jnp.eye(near, dtype=dtype)[None]))


def target_defect(action: Action, target: AbstractTarget) -> Float[Array, " g"]:
    """How far `f*∘Q` is from `f*` for the flow: `max_b ‖pull(Qb) − Q pull(b)‖/√(E f*²)` over 32
    unit vectors.

    Zero up to rounding if and (but for an odd part of degree 3 or more, which no ReLU sees) only if
    Q keeps the target. Networks are compared on standard normal inputs, and odd targets by their
    best linear predictor `Σ⁺ E[f*(x) x]`, so that a law without the symmetry is not held against
    the target; of other targets on a `Gaussian` law it is, for then target and law are only known
    together.
    """
    check_room("target_defect", target, action.dim)
    if isinstance(target, NetworkTarget):
        target = NetworkTarget(target.network)
    elif isinstance(target, OddTarget) and isinstance(target.inputs, Gaussian):
        target = linear_target(best_linear(target.inputs, target.moment))
    drawn = np.random.default_rng(0).standard_normal((_DIRECTIONS, action.dim))
    rows = jnp.asarray(
        drawn / np.linalg.norm(drawn, axis=1, keepdims=True), action.generators.dtype
    )

    def one(turn: Array) -> Array:
        gap = target.pull(rows @ turn.T) - target.pull(rows) @ turn.T
        return divide(jnp.max(jnp.linalg.norm(gap, axis=-1)), jnp.sqrt(target.energy))

    return jax.lax.map(one, action.generators)


def inputs_defect(action: Action, inputs: AbstractInputs) -> Float[Array, " g"]:
    """`max |QΣQᵀ − Σ|/max |Σ|`; zero for a law of zero."""
    check_law("inputs_defect", inputs, action.dim)
    if not isinstance(inputs, Gaussian):
        return jnp.zeros(len(action.generators), action.generators.dtype)
    turned = action.generators @ inputs.covariance @ action.generators.transpose(0, 2, 1)
    gap = jnp.max(jnp.abs(turned - inputs.covariance[None]), axis=(1, 2))
    return divide(gap, jnp.max(jnp.abs(inputs.covariance)))


class Match(NamedTuple):
    """`partner (g, m)`: to which particle a map takes each; `defect (g,)`: the farthest that one is
    off.
    """

    partner: Int[Array, "g m"]
    defect: Float[Array, " g"]


def match_start(action: Action, start: Particles) -> Match:
    """The best matching of `(a, Qb)` with the particles themselves, for every generator (SciPy's
    linear assignment).

    Shares count too, in units of their mean. Cost: `O(m³)` at worst.
    """
    _check_dim("match_start", action, start)
    a, b, p = (np.asarray(x, np.float64) for x in (start.readout, start.weights, start.shares))
    here = np.concatenate([a[:, None], b, p[:, None] / p.mean()], 1)
    partners, defects = [], []
    for turn in np.asarray(action.generators, np.float64):
        there = np.concatenate([a[:, None], b @ turn.T, p[:, None] / p.mean()], 1)
        squares = (there**2).sum(1)[:, None] + (here**2).sum(1)[None] - 2 * there @ here.T
        _, partner = scipy.optimize.linear_sum_assignment(squares)
        partners.append(partner)
        defects.append(np.linalg.norm(there - here[partner], axis=1).max())
    return Match(jnp.asarray(np.stack(partners)), jnp.asarray(defects, start.weights.dtype))


class SymmetryReport(NamedTuple):
    """Defects of every generator: of target, inputs and start `(g,)`, and of the flow `(times, g)`,
    which follows the partners of the start and gives the farthest that one is off. What `target`
    says under a law without the symmetry is said in `target_defect`."""

    target: Float[Array, " g"]
    inputs: Float[Array, " g"]
    start: Float[Array, " g"]
    flow: Float[Array, "times g"]

    @property
    def shared(self) -> bool:
        """Whether target, inputs and start have the symmetry, up to rounding."""
        most = _TOLERANCE[self.target.dtype]
        return all(bool(jnp.all(each <= most)) for each in (self.target, self.inputs, self.start))


def symmetry_report(
    action: Action, target: AbstractTarget, start: Particles, path: Path
) -> SymmetryReport:
    """Who has a symmetry, and how well a computed flow (of one run) keeps it.

    Raises `ValueError` for a path of several runs, of a reduced flow, or of another width than the
    start.
    """
    match = match_start(action, start)
    states = path.states
    if not isinstance(states, Particles) or states.weights.shape[1:] != start.weights.shape:
        given = states.weights.shape if isinstance(states, Particles) else type(states).__name__
        raise ValueError(
            f"symmetry_report: given a path of {given}; expected Particles (times, {start.width}, "
            f"{start.dim}) of one run from this start; lift a reduced start, and use flow for one "
            "run"
        )

    def one(turn: Array, partner: Array) -> Array:
        gap = states.weights @ turn.T - states.weights[:, partner]
        other = states.readout - states.readout[:, partner]
        return jnp.max(jnp.sqrt(jnp.sum(gap**2, -1) + other**2), -1)

    flow = jnp.stack(
        [one(*each) for each in zip(action.generators, match.partner, strict=True)], -1
    )
    return SymmetryReport(
        target_defect(action, target), inputs_defect(action, target.inputs), match.defect, flow
    )


def average_start(action: Action, start: Particles, *, limit: int = 10_000) -> Particles:
    """The start averaged over a finite group: every particle becomes its orbit, with its share
    divided among it.

    Returns `Particles` of width `m·order`.
    Raises `ValueError` where the group has more than `limit` maps.
    """
    _check_dim("average_start", action, start)
    maps = action.elements(limit)
    weights = jnp.einsum("gij,mj->mgi", maps, start.weights, precision="highest").reshape(
        -1, start.dim
    )
    readout, shares = (jnp.repeat(x, len(maps)) for x in (start.readout, start.shares / len(maps)))
    return Particles(readout, weights, shares)


def _check_dim(where: str, action: Action, start: Particles) -> None:
    if start.weights.ndim != 2 or start.dim != action.dim:
        raise ValueError(
            f"{where}: given weights {start.weights.shape} for maps of {action.dim} dimensions; "
            f"expected (m, {action.dim}); pass one run, in the dimension of the group"
        )
