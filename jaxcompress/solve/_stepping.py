"""The gradient flow of many runs: Rodas5P in lanes, every lane with its own step length, clock and end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solve._chebyshev import chebyshev_step, spectral_radius, stage_count
from jaxcompress.solve._lanes import spread
from jaxcompress.solve._method import Method
from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._rosenbrock import rosenbrock_stages
from jaxcompress.solve._slide import Slide, follow, frozen_unknowns, small_neurons

# A step is at most ten times longer than the one before, and aims at an error of 0.9⁵ of what is allowed.
_GROWTH, _SHRINK, _SAFETY = 10.0, 0.2, 0.9
# Explicit steps get a third of the error: with all of it 993 of 1000 runs of erf, n = 8, k = 10, end where flows at
# rtol 1e-7 do, with a third 999, as many as Rodas5P at the full tolerance.
_CARE = 3.0
# Steps for which a measured curvature serves, unless one is rejected (Sommeijer, Shampine & Verwer 1998). ReLU, n = k =
# d = 20: measured at every step it costs two fifths of one, and no more steps are rejected where it is not.
_SERVES = 25


class Curvature(NamedTuple):
    """The direction of the largest curvature, a bound of it, and the steps for which it still serves."""

    direction: Array
    radius: Array
    serves: Array


class Course(NamedTuple):
    """A flow under way: the point, its clock, its next step, the counts of steps, of accepted and of explicit ones, the
    sliding neurons, and the largest curvature, where they are followed."""

    y: Array
    time: Array
    length: Array
    steps: Array
    accepted: Array
    explicit: Array
    slide: Slide | None
    curvature: Curvature | None


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
    known = course.length > 0
    length = jnp.where(known, course.length, first_length(options, course.y, gradient))
    return FlowState(_with_curvature(course._replace(length=length), known), gradient, own)


def _with_curvature(course: Course, still: Array) -> Course:
    """The course with the curvature of the lanes where that `still` holds; the others measure it anew."""
    if course.curvature is None:
        return course
    serves = jnp.where(still, course.curvature.serves, 0)
    return course._replace(curvature=course.curvature._replace(serves=serves))


def advance(motions: AbstractMotions, method: Method, options: FlowOptions, state: FlowState) -> FlowState:
    """One step of every lane, accepted or not. A step that is not finite is rejected."""
    course, own = state.course, state.own
    length = jnp.minimum(course.length, options.t1 - course.time)
    trial = _trial(motions, method, options, state, length)
    fine = trial.error <= 1  # false for NaN
    factor = jnp.clip(_SAFETY * jnp.maximum(trial.error, 1e-10) ** (-1 / trial.order), _SHRINK, _GROWTH)
    factor = jnp.where(jnp.isfinite(trial.error), factor, _SHRINK)
    course = course._replace(
        y=jnp.where(fine[None], trial.point, course.y),
        time=jnp.where(fine, course.time + length, course.time),
        length=length * factor,
        steps=course.steps + 1,
        accepted=course.accepted + fine,
        explicit=course.explicit + trial.explicit,
        curvature=trial.curvature,
    )
    gradient = jnp.where(fine[None], trial.gradient, state.gradient)
    return _slid(motions, options, FlowState(_with_curvature(course, fine), gradient, own))


def _slid(motions: AbstractMotions, options: FlowOptions, state: FlowState) -> FlowState:
    """What neurons that slide to norm zero change. Most steps meet none, and evaluate nothing for them."""
    course, own = state.course, state.own
    if course.slide is None:
        return state

    def anew(lanes: Array, course: Course, masked: Callable[[Course, Array], Array]) -> Array:
        """The gradient anew in some lanes; by lanes, or it would depend on the others."""
        return jax.lax.cond(
            jnp.any(lanes),
            lambda: jnp.where(lanes[None], masked(course, motions.gradient(course.y, own)), state.gradient),
            lambda: state.gradient,
        )

    held = jnp.any(course.slide.frozen, 0)
    whole = anew(held, course, lambda course, gradient: gradient)
    y, slide, changed = follow(motions, course.y, whole, own, course.slide, options.rtol)
    touched = held | changed
    short = jnp.minimum(course.length, first_length(options, y, whole))
    course = course._replace(
        y=jnp.where(touched[None], y, course.y), slide=slide, length=jnp.where(changed, short, course.length)
    )
    gradient = anew(touched, course, lambda course, gradient: _moving(motions, course, gradient))
    return FlowState(_with_curvature(course, ~changed), gradient, own)


class Trial(NamedTuple):
    """A step's end and the gradient there, its error in units of what is allowed, the power of the length that the
    error goes by, whether the step was explicit, and the largest curvature, where that is followed."""

    point: Array
    gradient: Array
    error: Array
    order: Array
    explicit: Array
    curvature: Curvature | None


def _trial(motions: AbstractMotions, method: Method, options: FlowOptions, state: FlowState, length: Array) -> Trial:
    course = state.course
    if course.curvature is None:
        return _implicit(motions, options, state, length, None)

    def field(y: Array) -> Array:
        return -_moving(motions, course, motions.gradient(y, state.own))

    curvature = _measured(field, state, course.curvature)
    if not method.implicit:
        return _explicit(field, method, motions, options, state, length, curvature)
    # At a tighter tolerance the method of lower order loses: steps shrink by the cube root there, by the fifth here.
    # The radius itself costs about five gradients.
    stages = stage_count(length, curvature.radius, method.stages)[0]
    worth = method.stages * jnp.minimum(options.rtol / 1e-3, 1) ** (1 / 3 - 1 / 5) - 5
    return jax.lax.cond(
        (stages > 0) & (stages <= worth),
        lambda: _explicit(field, method, motions, options, state, length, curvature),
        lambda: _implicit(motions, options, state, length, curvature),
    )


def _measured(field: Callable[[Array], Array], state: FlowState, old: Curvature) -> Curvature:
    """The curvature of the lanes, measured anew where the old one no longer serves."""
    due = old.serves <= 0

    def measure() -> Curvature:
        radius, direction = spectral_radius(field, state.course.y, -state.gradient, old.direction)
        new = Curvature(direction, radius, jnp.full_like(old.serves, _SERVES))
        return jax.tree.map(lambda n, o: jnp.where(spread(due, o), n, o), new, old)

    return jax.lax.cond(jnp.any(due), measure, lambda: old)


def _explicit(field, method, motions, options, state, length, curvature) -> Trial:
    y = state.course.y
    point, velocity, error, _ = chebyshev_step(field, y, -state.gradient, length, curvature.radius, method.stages)
    one = jnp.ones(length.shape, jnp.int32)
    error = _CARE * _relative(motions, options, state, point, error)
    curvature = curvature._replace(serves=curvature.serves - 1)
    return Trial(point, -velocity, error, jnp.full_like(length, 3.0), one, curvature)


def _implicit(motions, options, state, length, curvature) -> Trial:
    course, own = state.course, state.own
    hessian = motions.hessian(course.y, own)
    if course.slide is not None:
        still = frozen_unknowns(motions, course.slide).T
        hessian = jnp.where(still[:, :, None] | still[:, None], 0, hessian)

    def gradient(y: Array) -> Array:
        return _moving(motions, course, motions.gradient(y, own))

    point, k = rosenbrock_stages(gradient, hessian, course.y, state.gradient, length)
    error = _relative(motions, options, state, point, k[7])
    none = jnp.zeros(length.shape, jnp.int32)
    if curvature is not None:  # implicit steps are long, and cost so much more than a measurement
        curvature = curvature._replace(serves=none)
    return Trial(point, gradient(point), error, jnp.full_like(length, 5.0), none, curvature)


def _relative(motions: AbstractMotions, options: FlowOptions, state: FlowState, point: Array, error: Array) -> Array:
    """The error of a step in units of what is allowed."""
    y, slide = state.course.y, state.course.slide
    atol = options.atol if slide is None else small_neurons(motions, y, state.own, options.atol)
    return _norm(error / (atol + options.rtol * jnp.maximum(jnp.abs(y), jnp.abs(point))))


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
