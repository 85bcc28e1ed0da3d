"""Between two queues of a batch: arithmetic on the store of runs, and which phase is next.

Everything here has the runs as its first axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._slots import Occupancy, Progress
from jaxcompress.solvers._state import Slot, slots_last
from jaxcompress.solvers._stepping import FlowOptions
from jaxcompress.solvers._vanishing import frozen_unknowns, release, released_norm

# Flows whose steps may be off by less than this are computed exactly, others by the rough form
# where there is one.
ROUGH_FROM = 1e-4
# The highest rung of the ladder and the ratio of one rung to the next.
TOP, _RUNG = 1e-3, 0.1
# The phases of a solve, by number; and of a flow alone.
FLOW, NEWTON, SPECTRUM, POLISH, DONE = range(5)
MEASURE = 1


class Batch(NamedTuple):
    """The runs of one call: their start, what of each never changes, which of them are real (the
    others fill the batch up to its size and are never touched), how many go side by side, and whom
    to tell."""

    y: Float[Array, "runs P"]
    own: Any
    real: Bool[Array, " runs"]
    slots: int
    progress: Progress | None = None


class Round(NamedTuple):
    """Between two queues: the runs, the number of the next phase, who waits for it, the rung of the
    ladder, the root of the rates (one as soon as the unknowns are parameters), whether it is the
    first, the occupancy of the flow."""

    store: Slot
    phase: Array
    waiting: Bool[Array, " runs"]
    level: Array
    root: Array
    first: Array
    used: Occupancy


def after_flow(objective: AbstractObjective, options: FlowOptions, now: Round) -> Round:
    """Who has come down to this rung is offered to Newton's method, frozen neurons at zero."""
    store = _with_norm(objective, now)
    course = store.course
    going = (course.steps < options.max_steps) & (course.time < options.t1)
    asking = now.waiting & (course.norm <= now.level) & going
    newton = store.newton
    newton = newton._replace(
        taken=newton.taken & ~asking,
        over=newton.over & ~asking,
        steps=jnp.where(asking, 0, newton.steps),
    )
    store = _set_to_rest(objective, store._replace(newton=newton), asking)
    return now._replace(store=store, phase=number(NEWTON), waiting=asking)


def after_newton(
    objective: AbstractObjective, options: FlowOptions, tolerance: Array, batch: Batch, now: Round
) -> Round:
    """Who was refused, or has a neuron that is free after all, flows on; when nobody does, all go
    to the polish.
    """
    last = now.level <= options.gradient_tolerance
    taken = now.store.newton.taken
    store, freed = _release(objective, options, now.store, batch, now.waiting & (taken | last))
    store = _unset_from_rest(store, now.waiting & ~taken & ~freed)
    waiting = freed | (now.waiting & ~taken & ~last)
    store = store._replace(course=store.course._replace(idle=waiting))
    store, waiting, phase, root = _to_parameters(
        objective,
        store,
        batch,
        waiting,
        # what was measured roughly has not arrived
        lambda left: taken & (left <= tolerance) & (not objective.has_rough_form),
        (FLOW, SPECTRUM),
    )
    level = jnp.maximum(_RUNG * now.level, options.gradient_tolerance)
    return now._replace(store=store, phase=phase, waiting=waiting, level=level, root=root)


def after_flow_alone(
    objective: AbstractObjective, options: FlowOptions, batch: Batch, now: Round
) -> Round:
    """Who has a neuron that is free after all flows on; when nobody does, points that moved to rest
    are measured.
    """
    store = _with_norm(objective, now)
    arrived = now.waiting & (store.course.norm <= options.gradient_tolerance)
    store = _remember(store)
    store, freed = _release(objective, options, store, batch, arrived)
    store = store._replace(course=store.course._replace(idle=freed))
    store, waiting, phase, root = _to_parameters(
        objective, store, batch, freed, lambda left: jnp.zeros_like(freed), (FLOW, MEASURE)
    )
    waiting = waiting | (batch.real & ~store.point.known & (phase == MEASURE))
    return now._replace(store=store, phase=phase, waiting=waiting, root=root)


def number(phase: int) -> Array:
    return jnp.asarray(phase, jnp.int32)


def _to_parameters(
    objective: AbstractObjective,
    store: Slot,
    batch: Batch,
    waiting: Bool[Array, " runs"],
    settled: Callable[[Array], Bool[Array, " runs"]],
    phases: tuple[int, int],
) -> tuple[Slot, Bool[Array, " runs"], Array, Array]:
    """When no run flows on: neurons that are frozen go to zero, and the unknowns are parameters
    from here on.

    Returns the store, who waits (the runs that are `settled` by what is left of their gradient),
    the next phase (the second then, the first otherwise) and the root.
    """
    over = ~jnp.any(waiting)
    store = _set_to_rest(objective, store, over & batch.real)
    point, root = store.point, jnp.where(over, objective.root, 1)
    point = point._replace(y=root[None] * point.y, gradient=point.gradient / root[None])
    if objective.has_rough_form:
        point = point._replace(known=point.known & ~over)
    left = jnp.max(jnp.abs(point.gradient), axis=1)
    waiting = jnp.where(over, batch.real & settled(left), waiting)
    phase = jnp.where(over, number(phases[1]), number(phases[0]))
    return store._replace(point=point), waiting, phase, jnp.where(over, 1, objective.root)


def _with_norm(objective: AbstractObjective, now: Round) -> Slot:
    """The store with what the flow has left of every gradient, without what is frozen."""
    store = now.store
    gradient, slide = store.point.gradient.T, store.course.slide
    if slide is not None:
        gradient = jnp.where(frozen_unknowns(objective, slots_last(slide)), 0, gradient)
    norm = jnp.where(now.waiting, objective.largest(gradient), store.course.norm)
    return store._replace(course=store.course._replace(norm=norm))


def _set_to_rest(objective: AbstractObjective, store: Slot, which: Bool[Array, " runs"]) -> Slot:
    """Frozen neurons at zero, in the runs that are meant; these must be measured again."""
    slide = store.course.slide
    if slide is None:
        return store
    store = _remember(store)
    still = frozen_unknowns(objective, slots_last(slide)).T & which[:, None]
    moved = jnp.any(still & (store.point.y != 0), axis=1)
    point = store.point._replace(
        y=jnp.where(still, 0, store.point.y), known=store.point.known & ~moved
    )
    return store._replace(point=point)


def _remember(store: Slot) -> Slot:
    """The store with the points of now as those from which neurons are released."""
    slide = store.course.slide
    if slide is None:
        return store
    return store._replace(course=store.course._replace(slide=slide._replace(before=store.point.y)))


def _unset_from_rest(store: Slot, which: Bool[Array, " runs"]) -> Slot:
    """The points before `_set_to_rest`, in the runs that are meant."""
    slide = store.course.slide
    if slide is None:
        return store
    moved = which & jnp.any(slide.frozen, axis=1)
    y = jnp.where(moved[:, None], slide.before, store.point.y)
    return store._replace(point=store.point._replace(y=y, known=store.point.known & ~moved))


def _release(
    objective: AbstractObjective,
    options: FlowOptions,
    store: Slot,
    batch: Batch,
    asking: Bool[Array, " runs"],
) -> tuple[Slot, Bool[Array, " runs"]]:
    """Release neurons that only seemed to be held at zero (`_vanishing.release`), at the end of
    their runs; these flow on from where they stood before Newton. Returns which runs they are."""
    slide = store.course.slide
    if slide is None:
        return store, jnp.zeros_like(asking)
    held = asking & jnp.any(slide.frozen, axis=1)

    def one(run):
        y, own, frozen, size, held = run

        def free():
            return release(objective, y, own, frozen, released_norm(size, options.rtol))

        return jax.lax.cond(held, free, lambda: (y, frozen))

    y, frozen = jax.lax.map(one, (slide.before, batch.own, slide.frozen, slide.size, held))
    freed = jnp.any(frozen != slide.frozen, axis=1)
    course = store.course._replace(
        slide=slide._replace(frozen=frozen),
        # like a new flow, with a step to be chosen
        length=jnp.where(freed, 0, store.course.length),
    )
    point = store.point._replace(
        y=jnp.where(freed[:, None], y, store.point.y), known=store.point.known & ~freed
    )
    newton = store.newton._replace(taken=store.newton.taken & ~freed)
    return store._replace(point=point, course=course, newton=newton), freed
