"""Homogeneous neurons that slide to norm zero: an event of the flow.

A ReLU neuron's weights may reach zero in finite time while its readout does not (`a² − |w|²` is
conserved). At a small norm `ρ` the risk is `R₀ + ρ F(û) + O(ρ²)` in the direction `û = w/ρ`; where
the radial slope `F` is positive in every direction, `w = 0` attracts: a sliding state, around which
the Hessian is of order `1/ρ` and steps shrink without end.

So a neuron of small norm that is pulled straight inward is frozen, and its direction goes on
following the least `F` (one step of `û ← unit(Lû − ∇F)`, `L` a bound of the curvature of `F`: a
descent). When the least `F` turns negative the neuron is released along that direction. Before a
flow with frozen neurons counts as ended, `F` is minimised from the directions of all neurons,
student and target, and their opposites (`release`).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.kernels import AbstractActivation
from jaxcompress.risk.internal import AbstractCentredTarget, CentredTarget
from jaxcompress.solvers._objective import AbstractObjective, CentredObjective, is_homogeneous
from jaxcompress.solvers._vectors import direction, length

# A neuron may be frozen below `rtol` times the largest norm at the start: it reaches zero from
# there before the others have moved by more than the flow's own error. It is held at `_FROZEN`, out
# of which others see nothing of it, and released at a tenth of where it could be caught.
_RELEASED, _FROZEN = 0.1, 1e-12
# A tangential slope of at most this share of the radial one is straight inward: the direction
# relaxes at the rate 1/ρ. Where it never is, because steps of the flow throw the direction about,
# the neuron is caught at a smaller norm.
_STRAIGHT, _ANYHOW = 0.1, 0.01
# Steps of a tenth of the norm throw the direction about, and the neuron never comes to rest (2 runs
# of 400).
_RESOLVED = 0.02
_DESCENTS = 30


class Slide(NamedTuple):
    """Which neurons of a slot are frozen, the largest norm at the start, and the point from which
    frozen ones would be released, where they have been set to zero."""

    frozen: Bool[Array, "n slots"]
    size: Float[Array, " slots"]
    before: Float[Array, "P slots"]


def may_slide(objective: AbstractObjective) -> bool:
    """Whether the problem has neurons that can: known where the short formulas serve."""
    return isinstance(objective, CentredObjective) and is_homogeneous(objective.f)


def no_slide(objective: Any, y: Float[Array, "P slots"], own) -> Slide:
    """Nothing frozen yet."""
    weights, _ = objective.parts(y, own)
    norms = length(weights, 1)
    return Slide(jnp.zeros(norms.shape, bool), jnp.max(norms, 0), y)


def frozen_unknowns(objective: Any, slide: Slide) -> Bool[Array, "P slots"]:
    """Which unknowns stand still: the weights of frozen neurons."""
    n, slots = slide.frozen.shape
    wide = jnp.broadcast_to(slide.frozen[:, None], (n, objective.neuron, slots))
    is_weight = jnp.arange(objective.neuron) < objective.template.dim
    return (wide & is_weight[None, :, None]).reshape(n * objective.neuron, slots)


def small_neurons(
    objective: Any, y: Float[Array, "P slots"], own, atol: Array
) -> Float[Array, "P slots"]:
    """The absolute error allowed: for weights at most a share of their neuron's norm, or steps
    would cross zero.
    """
    weights, _ = objective.parts(y, own)
    norms = length(weights, 1)
    # of the weights' rate
    root = objective.root.reshape(objective.template.width, objective.neuron)[:, :1]
    allowed = jnp.minimum(atol, _RESOLVED * norms / root)
    is_weight = jnp.arange(objective.neuron) < objective.template.dim
    wide = jnp.where(is_weight[None, :, None], allowed[:, None], atol)
    return jnp.maximum(wide.reshape(y.shape), jnp.finfo(y.dtype).tiny)


def follow(
    objective: Any,
    y: Float[Array, "P slots"],
    gradient: Float[Array, "P slots"],
    own,
    slide: Slide,
    rtol: Array,
) -> tuple[Float[Array, "P slots"], Slide, Bool[Array, " slots"]]:
    """Freeze, turn or release the neurons of each slot.
    Returns the points, the slides and where something changed.
    """
    weights, readout = objective.parts(y, own)
    slope = objective.slopes(gradient)
    norm, unit = length(weights, 1), direction(weights, 1)
    radial = jnp.sum(slope * unit, 1)
    across = slope - radial[:, None] * unit
    straight = length(across, 1) <= _STRAIGHT * radial
    near = rtol * slide.size[None]
    caught = ~slide.frozen & (radial > 0) & (norm < jnp.where(straight, near, _ANYHOW * near))
    released = slide.frozen & (radial < 0)
    frozen = (slide.frozen & ~released) | caught
    turned = _turn(unit, slope, objective.pull(readout, weights, own))
    place = jnp.where(frozen, _FROZEN, _RELEASED * rtol) * slide.size[None]
    moved = frozen | released
    weights = jnp.where(
        moved[:, None], place[:, None] * jnp.where(frozen[:, None], turned, unit), weights
    )
    return (
        objective.with_weights(y, weights),
        slide._replace(frozen=frozen),
        jnp.any(caught | released, 0),
    )


def _turn(unit: Array, slope: Array, pull: Array) -> Array:
    """A descent of `F` on the sphere."""
    return _direction_or(unit, pull[:, None] * unit - slope, 1)


def _direction_or(before: Array, x: Array, axis: int) -> Array:
    """The direction of `x`, or the one before where `x` has none."""
    # false for NaN
    return jnp.where(jnp.expand_dims(length(x, axis), axis) > 0, direction(x, axis), before)


def release(
    objective: Any, y: Float[Array, " P"], own, frozen: Bool[Array, " n"], norm: Float[Array, ""]
) -> tuple[Float[Array, " P"], Bool[Array, " n"]]:
    """One run at its end: release the frozen neuron whose least `F` is most negative, if any is, at
    a norm.
    """
    weights, readout = objective.parts(y, own)
    alive = jnp.where(frozen[:, None], 0, weights)
    target = objective.target_of(own)
    against = _against(objective.f, target, alive, readout)
    units = direction(jnp.concatenate([alive, target.directions()]), 1)
    candidates = jnp.concatenate([units, -units])
    n, c, d = weights.shape[0], *candidates.shape
    bound = 2 * jnp.abs(readout) @ sum(part.pull() for part, _ in against)
    bound = jnp.maximum(bound, jnp.finfo(y.dtype).tiny)
    each = jnp.repeat(readout, c, axis=0)

    def descend(_, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """One step from `directions`, which are returned behind the next ones, with `F` there."""
        directions, _, _ = carry
        rows = directions.reshape(n * c, d)
        pulls = [sign * part.cross(objective.f, rows, each).by_weights for part, sign in against]
        gradient = 2 * functools.reduce(jnp.add, pulls).reshape(n, c, d)
        following = _direction_or(directions, bound[:, None, None] * directions - gradient, 2)
        return following, directions, jnp.sum(gradient * directions, 2)

    first = jnp.broadcast_to(candidates, (n, c, d))
    _, ends, slopes = jax.lax.fori_loop(
        0, _DESCENTS + 1, descend, (first, first, jnp.zeros((n, c), y.dtype))
    )
    known = jnp.sum(ends * ends, 2) > 0.5
    least = jnp.where(known & frozen[:, None], slopes / bound[:, None], jnp.inf)
    best = jnp.argmin(least, 1)
    worth = jnp.take_along_axis(least, best[:, None], 1)[:, 0]
    falls = (worth < -jnp.sqrt(jnp.finfo(y.dtype).eps)) & (worth <= jnp.min(worth)) & frozen
    chosen = jnp.take_along_axis(ends, best[:, None, None], 1)[:, 0]
    weights = jnp.where(falls[:, None], norm * chosen, weights)
    return objective.with_weights(y[:, None], weights[..., None])[:, 0], frozen & ~falls


def _against(
    f: AbstractActivation,
    target: AbstractCentredTarget,
    weights: Float[Array, "n d"],
    readout: Float[Array, "n o"],
) -> list[tuple[AbstractCentredTarget, float]]:
    """What pulls at a neuron of norm zero, each with its sign: the student's own neurons and the
    target. Neurons of one activation are one table."""
    zero = jnp.zeros((), weights.dtype)

    def neurons(weights: Array, readout: Array) -> CentredTarget:
        return CentredTarget(
            weights=weights, readout=readout, second_moment=zero, magnitude=zero, activation=f
        )

    if isinstance(target, CentredTarget) and target.activation == f:
        both = (
            jnp.concatenate([weights, target.weights]),
            jnp.concatenate([readout, -target.readout]),
        )
        return [(neurons(*both), 1.0)]
    return [(neurons(weights, readout), 1.0), (target, -1.0)]


def released_norm(size: Array, rtol: Array) -> Array:
    """The norm at which a neuron is released."""
    return _RELEASED * rtol * size
