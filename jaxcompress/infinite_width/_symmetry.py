"""Symmetries of a flow: which orthogonal maps target, inputs and initial point have in common, and
how well a computed flow keeps them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcompress._internal.matching import cheapest_matching
from jaxcompress.infinite_width._flow import Path
from jaxcompress.infinite_width._groups import TOLERANCE, Action
from jaxcompress.infinite_width._inputs import best_linear, check_inputs
from jaxcompress.infinite_width._particles import Particles
from jaxcompress.infinite_width._targets import (
    AbstractFlowTarget,
    NetworkTarget,
    OddTarget,
    check_fits,
    linear_target,
)
from jaxcompress.kernels import AbstractInputs, Gaussian
from jaxcompress.special.internal import divide

# Directions in which the pulls of a target are compared.
_DIRECTIONS = 32


def target_defect(action: Action, target: AbstractFlowTarget) -> Float[Array, " g"]:
    """`max_b ‖pull(Qb) − Q pull(b)‖/√(E f*²)` over 32 unit vectors: how far `Q` is from a symmetry.

    Zero up to rounding if `Q` keeps the target, and only then, except for an odd part of degree 3
    or more, which no ReLU sees. Networks are compared on standard normal inputs, and odd targets by
    their best linear predictor `Σ⁺ E[f*(x) x]`, so that a distribution without the symmetry does
    not count against the target. For other targets on `Gaussian` inputs it does count, because
    target and distribution are then only known together.
    Returns one number for each generator.

    Example: `target_defect(sign_flips(3), NetworkTarget(teacher))`.
    """
    check_fits("target_defect", target, action.dim)
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
    """`max |QΣQᵀ − Σ|/max |Σ|` for each generator, zero where `Σ = 0`.

    Example: `inputs_defect(permutations(2), Gaussian(None, covariance))`.
    """
    check_inputs("inputs_defect", inputs, action.dim)
    if not isinstance(inputs, Gaussian):
        return jnp.zeros(len(action.generators), action.generators.dtype)
    turned = action.generators @ inputs.covariance @ action.generators.transpose(0, 2, 1)
    gap = jnp.max(jnp.abs(turned - inputs.covariance[None]), axis=(1, 2))
    return divide(gap, jnp.max(jnp.abs(inputs.covariance)))


class Matching(NamedTuple):
    """The best matching of a set of particles with its image, for each generator.

    - `partner (g, m)`: the particle to which the map takes each particle
    - `defect (g,)`: the largest distance between an image and its partner

    Example: `match_start(sign_flips(3), start).defect`.
    """

    partner: Int[Array, "g m"]
    defect: Float[Array, " g"]


def match_start(action: Action, start: Particles) -> Matching:
    """The best matching of the images `(a, Qb)` with the particles themselves, for every generator.

    Shares count too, in units of their mean. Cost: `O(m³)` at worst.
    Returns a `Matching`.
    Raises `ValueError` for leading axes, and for a group of another dimension.

    Example: `match_start(sign_flips(3), start).partner`.
    """
    return _matched("match_start", action, start)


def _matched(where: str, action: Action, start: Particles) -> Matching:
    _check_dim(where, action, start)
    a, b, p = (np.asarray(x, np.float64) for x in (start.readout, start.weights, start.shares))
    here = np.concatenate([a[:, None], b, p[:, None] / p.mean()], 1)
    partners, defects = [], []
    for turn in np.asarray(action.generators, np.float64):
        there = np.concatenate([a[:, None], b @ turn.T, p[:, None] / p.mean()], 1)
        squares = (there**2).sum(1)[:, None] + (here**2).sum(1)[None] - 2 * there @ here.T
        partner = cheapest_matching(squares)
        partners.append(partner)
        defects.append(np.linalg.norm(there - here[partner], axis=1).max())
    return Matching(jnp.asarray(np.stack(partners)), jnp.asarray(defects, start.weights.dtype))


class SymmetryReport(NamedTuple):
    """How well every generator is kept by the target, the inputs, the initial point and the flow.

    - `target (g,)`: see `target_defect`, also for inputs without the symmetry
    - `inputs (g,)`: see `inputs_defect`
    - `start (g,)`: see `match_start`
    - `flow (times, g)`: the largest distance between the image of a particle and the particle that
      was its partner at time zero

    Example: `symmetry_report(sign_flips(3), target, start, path).shared`.
    """

    target: Float[Array, " g"]
    inputs: Float[Array, " g"]
    start: Float[Array, " g"]
    flow: Float[Array, "times g"]

    @property
    def shared(self) -> bool:
        """Whether target, inputs and initial point have the symmetry, up to rounding."""
        most = TOLERANCE[self.target.dtype]
        return all(bool(jnp.all(each <= most)) for each in (self.target, self.inputs, self.start))


def symmetry_report(
    action: Action, target: AbstractFlowTarget, start: Particles, path: Path
) -> SymmetryReport:
    """How well the target, the inputs, the initial point and a computed flow keep a symmetry.

    If `f* = f*∘Q` and `Q` leaves the input distribution and the initial point invariant, it leaves
    the flow invariant at all times.

    Arguments:

    - `action`: the maps `Q`
    - `target`: the target of the flow
    - `start`: its initial point, without leading axes
    - `path`: the flow of one run

    Returns a `SymmetryReport`.
    Raises `ValueError` for a path of several runs, of a reduced flow, or of another width than the
    initial point.

    Example: `symmetry_report(sign_flips(3), target, start, flow(system, start, times))`.
    """
    match = _matched("symmetry_report", action, start)
    states = path.states
    if not isinstance(states, Particles) or states.weights.shape[1:] != start.weights.shape:
        given = states.weights.shape if isinstance(states, Particles) else type(states).__name__
        raise ValueError(
            f"symmetry_report: given a path of {given}; expected Particles (times, {start.width}, "
            f"{start.dim}) of one run from this initial point; lift orbits to particles, and use "
            "flow for one run"
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
    """The initial point averaged over a finite group: every particle becomes its orbit.

    The share of a particle is divided among its orbit.
    Arguments: `action`; `start (m particles)`; `limit`, the most maps that the group may have.
    Returns `Particles` of width `m·order`.
    Raises `ValueError` where the group has more than `limit` maps.

    Example: `average_start(sign_flips(3), doubled_start(key, 6, 3))`.
    """
    _check_dim("average_start", action, start)
    maps = action.elements_for("average_start", limit)
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
