"""The gradient flow of many runs: Rodas5P in lanes, every lane with its own step length, clock and end."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._rosenbrock import rosenbrock_stages
from jaxcompress.solve._slide import Slide, follow, frozen_unknowns, small_neurons

# A step is at most ten times longer than the one before, and aims at an error of 0.9⁵ of what is allowed.
_GROWTH, _SHRINK, _SAFETY = 10.0, 0.2, 0.9


class Course(NamedTuple):
    """A flow under way: the point, its clock, its next step, the counts of steps."""

    y: Array
    time: Array
    length: Array
    steps: Array
    accepted: Array
    slide: Slide | None


class FlowState(NamedTuple):
    """One course a lane, with the gradient at the point and what is the run's own."""

    course: Course
    gradient: Array
    own: Any


class FlowOptions(eqx.Module):
    """When to end and how carefully to step; all traced."""

    t1: Array
    gradient_tolerance: Array
    rtol: Array
    atol: Array
    max_steps: Array


def first_length(options: FlowOptions, y: Array, gradient: Array) -> Array:
    """A tenth of the time in which the point would move by its size."""
    scale = options.atol + options.rtol * jnp.abs(y)
    length = 0.1 * _norm(y / scale) / jnp.maximum(_norm(gradient / scale), jnp.finfo(y.dtype).tiny)
    return jnp.where((length > 0) & jnp.isfinite(length), length, 1e-3)


def begin(motions: AbstractMotions, options: FlowOptions, course: Course, own: Any) -> FlowState:
    """Every lane where its course stands; a step length of zero stands for one to be chosen."""
    gradient = _moving(motions, course, motions.gradient(course.y, own))
    length = jnp.where(course.length > 0, course.length, first_length(options, course.y, gradient))
    return FlowState(course._replace(length=length), gradient, own)


def advance(motions: AbstractMotions, options: FlowOptions, state: FlowState) -> FlowState:
    """One step of every lane, accepted or not. A step that is not finite is rejected."""
    course, own = state.course, state.own
    y, length = course.y, jnp.minimum(course.length, options.t1 - course.time)
    hessian = motions.hessian(y, own)
    if course.slide is not None:
        still = frozen_unknowns(motions, course.slide).T
        hessian = jnp.where(still[:, :, None] | still[:, None], 0, hessian)
    point, k = rosenbrock_stages(
        lambda y: _moving(motions, course, motions.gradient(y, own)), hessian, y, state.gradient, length
    )
    atol = options.atol if course.slide is None else small_neurons(motions, y, own, options.atol)
    scale = atol + options.rtol * jnp.maximum(jnp.abs(y), jnp.abs(point))
    error = _norm(k[7] / scale)
    fine = error <= 1  # false for NaN
    factor = jnp.clip(_SAFETY * jnp.maximum(error, 1e-10) ** -0.2, _SHRINK, _GROWTH)
    factor = jnp.where(jnp.isfinite(error), factor, _SHRINK)
    course = Course(
        y=jnp.where(fine[None], point, y),
        time=jnp.where(fine, course.time + length, course.time),
        length=length * factor,
        steps=course.steps + 1,
        accepted=course.accepted + fine,
        slide=course.slide,
    )
    gradient = motions.gradient(course.y, own)
    if course.slide is not None:
        y, slide, changed = follow(motions, course.y, gradient, own, course.slide, options.rtol)
        short = jnp.minimum(course.length, first_length(options, y, gradient))
        course = course._replace(y=y, slide=slide, length=jnp.where(changed, short, course.length))
        gradient = motions.gradient(y, own)
    return FlowState(course, _moving(motions, course, gradient), own)


def _moving(motions: AbstractMotions, course: Course, gradient: Array) -> Array:
    """The gradient of what is not frozen."""
    if course.slide is None:
        return gradient
    return jnp.where(frozen_unknowns(motions, course.slide), 0, gradient)


def ended(motions: AbstractMotions, options: FlowOptions, state: FlowState) -> Array:
    """Which lanes are at an end: the gradient gone, the time up, the budget spent, or nothing finite left."""
    gone = ~(motions.largest(state.gradient) > options.gradient_tolerance)
    return gone | (state.course.time >= options.t1) | (state.course.steps >= options.max_steps)


def _norm(x: Array) -> Array:
    """Root mean square over the unknowns."""
    return jnp.sqrt(jnp.mean(x * x, axis=0))
