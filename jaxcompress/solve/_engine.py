"""Flow, hand-over and polish of a batch, as three kinds of lane programs over one store of runs.

The flow goes down a ladder of gradients. On every rung, Newton's method asks whether it may take over
(`_newton`); runs that it refuses flow on to the next rung, and on the last one the flow has arrived by itself. All
runs end in the polish (`_polish`), which certifies them with their spectrum.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.solve._critical import search_ended, search_start, search_step
from jaxcompress.solve._lanes import Occupancy, Progress, Queue, run_in_lanes
from jaxcompress.solve._method import Method
from jaxcompress.solve._motions import AbstractMotions
from jaxcompress.solve._newton import newton_start, newton_step
from jaxcompress.solve._polish import polish_ended, polish_start, polish_step, spectrum_step
from jaxcompress.solve._slide import frozen_unknowns, may_slide, no_slide, release, released_norm
from jaxcompress.solve._stepping import Course, Curvature, FlowOptions, advance, begin, ended

# The highest rung of the ladder and the ratio of one rung to the next.
_TOP, _RUNG = 1e-3, 0.1


class Flows(NamedTuple):
    """Where every flow stands: its course and gradient; whether Newton took over, its steps, the gradient it left."""

    course: Course
    gradient_norm: Float[Array, " runs"]
    taken: Bool[Array, " runs"]
    newton_steps: Int[Array, " runs"]
    end_norm: Float[Array, " runs"]


class Polished(NamedTuple):
    """Every run at its end; the unknowns are parameters, rates taken off."""

    vector: Float[Array, "runs P"]
    risk: Float[Array, " runs"]
    floor: Float[Array, " runs"]
    gradient_norm: Float[Array, " runs"]
    eigenvalues: Float[Array, "runs P"]
    steps: Int[Array, " runs"]


def _last(leading: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), leading)


def _rows(tree: Any, ids: Array) -> Any:
    """The runs `ids` of a store, lanes last."""
    return _last(jax.tree.map(lambda leaf: leaf[ids], tree))


def at_start(motions: AbstractMotions, method: Method, y: Float[Array, "runs P"], own: Any) -> Flows:
    """Flows that have not begun."""
    zero = jnp.zeros(y.shape[0], y.dtype)
    count, no = jnp.zeros(y.shape[0], jnp.int32), jnp.zeros(y.shape[0], bool)
    slide = None
    if may_slide(motions):
        slide = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), no_slide(motions, y.T, _last(own)))
    curvature = Curvature(jnp.zeros_like(y), zero, count) if method.stages else None
    course = Course(y, zero, zero, count, count, count, slide, curvature)
    return Flows(course, jnp.full_like(zero, jnp.inf), no, count, jnp.full_like(zero, jnp.inf))


def flow_on(
    motions: AbstractMotions,
    method: Method,
    options: FlowOptions,
    flows: Flows,
    own: Any,
    queue: Queue,
    lanes: int,
    progress: Progress | None,
) -> tuple[Flows, Occupancy]:
    """Continue the flows of a queue until each one ends by `options`."""
    (course, gradient_norm), occupancy = run_in_lanes(
        lambda store, ids: begin(motions, options, *_rows((store[0], own), ids)),
        lambda state: advance(motions, method, options, state),
        lambda state: ended(motions, options, state),
        lambda state: (state.course, motions.largest(state.gradient)),
        (flows.course, flows.gradient_norm),
        # later queues of the same runs would count again
        queue._replace(told=jnp.all(flows.course.steps == 0)),
        lanes,
        progress,
    )
    return flows._replace(course=course, gradient_norm=gradient_norm), occupancy


def hand_over(motions: AbstractMotions, flows: Flows, own: Any, queue: Queue, lanes: int) -> Flows:
    """Newton's method on the flows of a queue; where it takes over, the point is that of its end."""
    (y, taken, steps, norms), _ = run_in_lanes(
        lambda store, ids: newton_start(motions, *_rows((store[0], own), ids)),
        lambda state: newton_step(motions, state),
        lambda state: state.over,
        lambda state: (state.y, state.taken, state.steps, motions.largest(state.gradient)),
        (at_rest(motions, flows), flows.taken, jnp.zeros_like(flows.newton_steps), flows.end_norm),
        queue,
        lanes,
    )
    course = flows.course._replace(y=jnp.where(taken[:, None], y, flows.course.y))
    return flows._replace(course=course, taken=taken, newton_steps=flows.newton_steps + steps, end_norm=norms)


def at_rest(motions: AbstractMotions, flows: Flows) -> Float[Array, "runs P"]:
    """The points, frozen neurons at zero."""
    slide = flows.course.slide
    if slide is None:
        return flows.course.y
    return jnp.where(frozen_unknowns(motions, _last(slide)).T, 0, flows.course.y)


def release_all(
    motions: AbstractMotions,
    options: FlowOptions,
    flows: Flows,
    before: Course,
    own: Any,
    asking: Bool[Array, " runs"],
) -> tuple[Flows, Array]:
    """Release neurons that only seemed to be held at zero (`_slide.release`), at the end of their runs; these flow on
    from where they stood `before` Newton. Returns which runs they are."""
    slide = flows.course.slide
    if slide is None:
        return flows, jnp.zeros_like(asking)
    held = asking & jnp.any(slide.frozen, axis=1)

    def one(run):
        y, own, frozen, size, held = run

        def free():
            return release(motions, y, own, frozen, released_norm(size, options.rtol))

        return jax.lax.cond(held, free, lambda: (y, frozen))

    y, frozen = jax.lax.map(one, (before.y, own, *slide, held))
    freed = jnp.any(frozen != slide.frozen, axis=1)
    course = flows.course._replace(
        y=jnp.where(freed[:, None], y, flows.course.y),
        slide=slide._replace(frozen=frozen),
        length=jnp.where(freed, 0, flows.course.length),  # like a new flow, with a step to be chosen
    )
    return flows._replace(course=course, taken=flows.taken & ~freed), freed


def queue_of(waiting: Bool[Array, " runs"]) -> Queue:
    """The runs that wait, in their order."""
    order = jnp.argsort(~waiting, stable=True).astype(jnp.int32)
    return Queue(order, jnp.sum(waiting, dtype=jnp.int32), jnp.asarray(False))


def _in_rounds(one: Callable, flows: Flows, level: Array) -> tuple[Flows, Occupancy]:
    """Rounds until no run waits, all of them in the first. `one(flows, waiting, level)` returns the next three and the
    occupancy of its lanes."""

    def more(carry):
        *now, used = carry
        *then, occupancy = one(*now)
        return *then, jax.tree.map(jnp.add, used, occupancy)

    all_runs, nothing = jnp.ones(flows.taken.shape, bool), jnp.zeros((), jnp.float32)
    first = (flows, all_runs, level, Occupancy(nothing, nothing))
    flows, _, _, used = jax.lax.while_loop(lambda carry: jnp.any(carry[1]), more, first)
    return flows, used


def flow_to_end(
    motions: AbstractMotions,
    method: Method,
    options: FlowOptions,
    y: Float[Array, "runs P"],
    own: Any,
    lanes: int,
    progress: Progress | None,
) -> tuple[Flows, Occupancy]:
    """Flow until `options` say so, released neurons included."""

    def whole(flows, waiting, level):
        flows, occupancy = flow_on(motions, method, options, flows, own, queue_of(waiting), lanes, progress)
        arrived = waiting & (flows.gradient_norm <= level)
        flows, freed = release_all(motions, options, flows, flows.course, own, arrived)
        return flows, freed, level, occupancy

    return _in_rounds(whole, at_start(motions, method, y, own), options.gradient_tolerance)


def descend(
    motions: AbstractMotions,
    method: Method,
    options: FlowOptions,
    y: Float[Array, "runs P"],
    own: Any,
    lanes: int,
    progress: Progress | None,
) -> tuple[Flows, Occupancy]:
    """Flow down the ladder, Newton taking over where it may. Returns the flows and the occupancy of their lanes."""

    def rung(flows, waiting, level):
        here = FlowOptions(options.t1, level, options.rtol, options.atol, options.max_steps)
        flows, occupancy = flow_on(motions, method, here, flows, own, queue_of(waiting), lanes, progress)
        going = (flows.course.steps < options.max_steps) & (flows.course.time < options.t1)
        asking = waiting & (flows.gradient_norm <= level) & going
        asked = hand_over(motions, flows, own, queue_of(asking), lanes)
        last = level <= options.gradient_tolerance
        flows, freed = release_all(motions, options, asked, flows.course, own, asking & (asked.taken | last))
        waiting = freed | (asking & ~flows.taken & ~last)
        return flows, waiting, jnp.maximum(_RUNG * level, options.gradient_tolerance), occupancy

    top = jnp.maximum(jnp.asarray(_TOP, y.dtype), options.gradient_tolerance)
    return _in_rounds(rung, at_start(motions, method, y, own), top)


def polish_all(
    motions: AbstractMotions,
    y: Float[Array, "runs P"],
    own: Any,
    settled: Bool[Array, " runs"],
    tolerance: Array,
    lanes: int,
) -> Polished:
    """The critical point beside each point, with its spectrum. `settled` runs stay where they are and get only that."""
    store = _through(
        motions,
        lambda y, own: polish_start(motions, y, own),
        lambda state: spectrum_step(motions, state),
        lambda state: jnp.ones(state.risk.shape, bool),
        (_unpolished(y), own, settled),
        lanes,
    )
    return _through(
        motions,
        lambda y, own: polish_start(motions, y, own),
        lambda state: polish_step(motions, state),
        lambda state: polish_ended(motions, tolerance, state),
        (store, own, ~settled),
        lanes,
    )


def search_all(
    motions: AbstractMotions, y: Float[Array, "runs P"], own: Any, tolerance: Array, max_steps: Array, lanes: int
) -> Polished:
    """A critical point of any kind for each point, with its spectrum."""
    return _through(
        motions,
        lambda y, own: search_start(motions, y, own),
        lambda state: search_step(motions, tolerance, state),
        lambda state: search_ended(motions, tolerance, max_steps, state),
        (_unpolished(y), own, jnp.ones(y.shape[0], bool)),
        lanes,
    )


def _unpolished(y: Float[Array, "runs P"]) -> Polished:
    """Runs of which nothing but the point is known."""
    blank, count = jnp.zeros(y.shape[0], y.dtype), jnp.zeros(y.shape[0], jnp.int32)
    return Polished(y, blank, blank, blank, jnp.zeros_like(y), count)


def _through(
    motions: AbstractMotions,
    start: Callable,
    step: Callable,
    ended: Callable,
    waiting: tuple[Polished, Any, Bool[Array, " runs"]],
    lanes: int,
) -> Polished:
    """A store, what is its own and which of its runs wait: these put through one kind of second-order steps."""
    store, own, which = waiting

    def load(store, ids):
        return start(*_rows((store.vector, own), ids))

    def save(state):
        largest = motions.largest(state.gradient)
        return Polished(state.y, state.risk, state.floor, largest, state.eigenvalues, state.steps)

    return run_in_lanes(load, step, ended, save, store, queue_of(which), lanes)[0]
