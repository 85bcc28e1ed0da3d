"""Descent of the projected risk: trust-region steps on its model, conjugate gradients inside, one
evaluation a step.

A step minimises `g·v + ½ v·H v` within `|v| ≤ radius` by Steihaug's conjugate gradients, in the
norm in which a hidden parameter counts by what it moves of the output, with the share `t` of the
residual in `H` (`_model`). The outcome says how both go on: a risk that falls by much more than
foreseen wants a larger share, one that falls by less a smaller one.
References: Steihaug 1983 (conjugate gradients in a trust region); Levenberg 1944 (a scale between
two matrices).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.compression._model import (
    Aim,
    Model,
    curvature,
    hidden_of,
    model_at,
    sensitivity,
    with_hidden,
)
from jaxcompress.networks import TwoLayer

# All measured on sixteen starts of digits, 128 → 16, by the median risk over that of the end. With
# products until the residual of the step is a tenth, at most 40, and a step in the norm with a
# tenth of its mean added to every neuron, 20 steps leave 6 % and 40 leave 0.03 %. Where a tenth
# more than foreseen was enough to soften: 10 % and 0.15 %.
_PRODUCTS, _RESIDUAL, _LEVEL = 40, 0.1, 0.1
# falls, as shares of the one foreseen, that change the share of the residual
_MORE, _LESS = 1.4, 0.5
_SOFTER, _STIFFER, _NEWTON = 0.6, 2.0, 0.02  # factors of 1 − t; below the last it is zero
# falls as shares of the one foreseen: to go there, to shrink, to grow
_TAKEN, _POOR, _GOOD = 1e-4, 0.25, 0.75
_BLOCK = 5  # steps after which it is looked whether the risk still falls


class Walk(NamedTuple):
    """A student on its way: where it is, what is known there, `stiffness = 1 − t`, and whether it
    has arrived.
    """

    hidden: Float[Array, "n p"]
    model: Model
    radius: Float[Array, ""]
    stiffness: Float[Array, ""]
    over: Bool[Array, ""]


class Step(NamedTuple):
    """A step, the fall of the risk that it promises, its size, and whether the curvature along it
    was negative.
    """

    vector: Float[Array, "n p"]
    promise: Float[Array, ""]
    size: Float[Array, ""]
    bent: Bool[Array, ""]


class _Search(NamedTuple):
    """Conjugate gradients: step, gradient there, direction, and products of these in the norm of
    the step.
    """

    step: Array
    residual: Array
    direction: Array
    square: Array  # of the residual
    size: Array  # of the step, squared
    mixed: Array
    length: Array  # of the direction, squared
    turns: Array
    bent: Array
    over: Array


def blank(aim: Aim, student: TwoLayer) -> Walk:
    """A walk from a student of which nothing is known yet: its first step stays where it is and
    measures.
    """
    hidden = hidden_of(student)
    shapes = eqx.filter_eval_shape(model_at, aim, student)
    model = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    infinity: Any = np.asarray(np.inf, hidden.dtype)
    no: Any = np.zeros((), bool)
    return Walk(hidden, model._replace(risk=infinity), infinity, np.ones_like(infinity), no)


def advance(
    aim: Aim,
    student: TwoLayer,
    walk: Walk,
    steps: Int[Array, ""],
    share: Float[Array, ""],
    tolerance: Float[Array, ""],
) -> tuple[Walk, Int[Array, ""]]:
    """At most so many steps further, and how many it took; all numbers are traced, `student` gives
    the structure.

    Fewer where the risk falls by no more than a share of itself in a block of steps, where the
    largest entry of the gradient of the relative risk gets within the tolerance, or where no step
    lowers the risk any more.
    """

    def going(carry):
        walk, count, _, settled = carry
        return (count < steps) & ~walk.over & ~settled

    def step(carry):
        walk, count, mark, _ = carry
        walk, count = _step(aim, student, walk, tolerance), count + 1
        due = count % _BLOCK == 0
        settled = due & (mark - walk.model.risk <= share * walk.model.risk)
        return walk, count, jnp.where(due, walk.model.risk, mark), settled

    first = (
        walk,
        jnp.zeros((), jnp.int32),
        jnp.full_like(walk.radius, jnp.inf),
        jnp.zeros((), bool),
    )
    walk, count, _, _ = jax.lax.while_loop(going, step, first)
    return walk, count


def _step(aim: Aim, student: TwoLayer, walk: Walk, tolerance: Array) -> Walk:
    now = walk.model
    share = jnp.where(walk.stiffness < _NEWTON, 1, 1 - walk.stiffness)
    step = shortest(now, walk.radius, share)
    hidden = walk.hidden + step.vector
    then = model_at(aim, with_hidden(student, hidden, jnp.zeros_like(now.readout)))
    first, fell = jnp.isinf(now.risk), now.risk - then.risk
    ratio = fell / step.promise
    # where rounding is all that is seen of the risk the gradient decides
    noise = 100 * jnp.finfo(fell.dtype).eps * aim.second_moment
    unseen = (step.promise <= noise) & (jnp.abs(fell) <= noise)
    calmer = jnp.max(jnp.abs(then.gradient)) < jnp.max(jnp.abs(now.gradient))
    better = jnp.isfinite(then.risk) & (first | jnp.where(unseen, calmer, ratio > _TAKEN))
    poor = ~(ratio >= _POOR)  # also for NaN
    radius = jnp.where(ratio > _GOOD, jnp.maximum(walk.radius, 2 * step.size), walk.radius)
    radius = jnp.where(poor & ~unseen, _POOR * step.size, radius)
    fresh = jnp.sqrt(jnp.maximum(then.risk, 0))
    radius = jnp.where(first, jnp.where(jnp.isinf(walk.radius), fresh, walk.radius), radius)
    stiffer = jnp.minimum(1, _STIFFER * jnp.maximum(walk.stiffness, _NEWTON))
    softer = jnp.where(ratio > _MORE, _SOFTER * walk.stiffness, walk.stiffness)
    stiffness = jnp.where((~(ratio >= _LESS) & ~unseen) | step.bent, stiffer, softer)
    model = jax.tree.map(lambda new, old: jnp.where(better, new, old), then, now)
    within = jnp.max(jnp.abs(model.gradient)) <= tolerance * aim.second_moment
    return Walk(
        hidden=jnp.where(better, hidden, walk.hidden),
        model=model,
        radius=radius,
        stiffness=jnp.where(first, walk.stiffness, stiffness),
        over=within | (unseen & ~better),
    )


def shortest(model: Model, radius: Float[Array, ""], share: Float[Array, ""]) -> Step:
    """The step by conjugate gradients: to the minimum of the model, or to where they leave the
    radius, or to it along a direction of negative curvature."""
    weight = sensitivity(model)
    weight = (weight + _LEVEL * jnp.mean(weight))[:, None]
    weight = jnp.where(weight > 0, weight, 1)
    gradient = model.gradient
    square = jnp.sum(gradient * gradient / weight)
    zero, no = jnp.zeros_like(square), jnp.zeros((), bool)
    start = _Search(
        jnp.zeros_like(gradient),
        gradient,
        -gradient / weight,
        square,
        zero,
        zero,
        square,
        jnp.zeros((), jnp.int32),
        no,
        ~(square > 0),
    )

    def turn(at: _Search) -> _Search:
        product = curvature(model, at.direction, share)
        bend = jnp.sum(at.direction * product)
        room = jnp.maximum(at.mixed**2 + at.length * (radius * radius - at.size), 0)
        reach = (jnp.sqrt(room) - at.mixed) / at.length
        length = at.square / bend
        out = (bend <= 0) | ~(length < reach)
        length = jnp.where(out, reach, length)
        step, residual = at.step + length * at.direction, at.residual + length * product
        new = jnp.sum(residual * residual / weight)
        direction = new / at.square * at.direction - residual / weight
        return _Search(
            step,
            residual,
            direction,
            new,
            jnp.sum(weight * step * step),
            jnp.sum(weight * step * direction),
            jnp.sum(weight * direction * direction),
            at.turns + 1,
            at.bent | (bend <= 0),
            out | (new <= _RESIDUAL**2 * square),
        )

    end = jax.lax.while_loop(lambda at: ~at.over & (at.turns < _PRODUCTS), turn, start)
    promise = -0.5 * jnp.sum((gradient + end.residual) * end.step)
    return Step(end.step, promise, jnp.sqrt(end.size), end.bent)
