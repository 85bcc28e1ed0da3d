"""The phases of a batch, one after another, over one store of runs.

The flow goes down a ladder of gradients. On every rung, Newton's method asks whether it may take
over (`_hand_over`); runs that it refuses flow on to the next rung, and on the last one the flow has
arrived by itself. Runs that Newton left at their floor get their spectrum, the others the polish
(`_polish`) with theirs. All of this is one compiled loop of queues around one loop of passes
(`_pass`): which phase a queue goes through is data, and what happens between two queues is
arithmetic on the store (`_rounds`).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solvers._hand_over import HandOver
from jaxcompress.solvers._method import Method
from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._pass import blank_matrices, choose_by, one_pass
from jaxcompress.solvers._phase import AbstractPhase, Measurement
from jaxcompress.solvers._polish import Polish, Spectrum
from jaxcompress.solvers._rounds import (
    DONE,
    FLOW,
    NEWTON,
    POLISH,
    ROUGH_FROM,
    TOP,
    Batch,
    Round,
    after_flow,
    after_flow_alone,
    after_newton,
    number,
)
from jaxcompress.solvers._saddle_search import Search, first_radius
from jaxcompress.solvers._slots import Occupancy, queue_of, run_in_slots
from jaxcompress.solvers._state import Slot, at_start, slots_last
from jaxcompress.solvers._stepping import Flow, FlowOptions
from jaxcompress.solvers._vanishing import (
    may_slide,
    no_slide,
)


def solve_runs(
    objective: AbstractObjective,
    method: Method,
    options: FlowOptions,
    tolerance: Array,
    batch: Batch,
) -> tuple[Slot, Occupancy]:
    """Flow, hand-over, spectrum and polish. In the store that comes back the unknowns are
    parameters.
    """

    def phases(here: AbstractObjective, level: Array) -> list[AbstractPhase]:
        rung = eqx.tree_at(lambda o: o.gradient_tolerance, options, level)
        return [
            Flow(here, method, rung),
            HandOver(here),
            Spectrum(here),
            Polish(here, tolerance),
        ]

    def after(here: AbstractObjective, now: Round) -> Round:
        return jax.lax.switch(
            now.phase,
            [
                lambda: after_flow(here, options, now),
                lambda: after_newton(here, options, tolerance, batch, now),
                lambda: now._replace(
                    phase=number(POLISH), waiting=batch.real & (now.store.polish.steps == 0)
                ),
                lambda: now._replace(phase=number(DONE), waiting=jnp.zeros_like(now.waiting)),
            ],
        )

    top = jnp.maximum(jnp.asarray(TOP, batch.y.dtype), options.gradient_tolerance)
    rough = options.rtol >= ROUGH_FROM
    return _in_rounds(objective, method, batch, top, phases, after, True, True, rough)


def flow_runs(
    objective: AbstractObjective, method: Method, options: FlowOptions, batch: Batch, matrix: bool
) -> tuple[Slot, Occupancy]:
    """Flow until `options` say so, released neurons included; without a `matrix` no Hessian is ever
    made. In the store that comes back the unknowns are parameters."""

    def phases(here: AbstractObjective, level: Array) -> list[AbstractPhase]:
        return [Flow(here, method, options), Measurement(here)]

    def after(here: AbstractObjective, now: Round) -> Round:
        return jax.lax.cond(
            now.phase == FLOW,
            lambda: after_flow_alone(here, options, batch, now),
            lambda: now._replace(phase=number(DONE), waiting=jnp.zeros_like(now.waiting)),
        )

    return _in_rounds(
        objective, method, batch, options.gradient_tolerance, phases, after, matrix, method.implicit
    )


def search_runs(
    objective: AbstractObjective, tolerance: Array, max_steps: Array, batch: Batch
) -> Slot:
    """A critical point of any kind for each point, with its spectrum."""
    store = at_start(batch.y, None, False)
    store = store._replace(polish=store.polish._replace(radius=first_radius(batch.y)))
    return _one_queue(objective, Search(objective, tolerance, max_steps), store, batch)


def _one_queue(
    objective: AbstractObjective, phase: AbstractPhase, store: Slot, batch: Batch
) -> Slot:
    zero = jnp.zeros((), jnp.int32)
    return run_in_slots(
        lambda slot, own, kept: one_pass([phase], zero, slot, own, kept, False),
        phase.ended,
        store,
        batch.own,
        queue_of(batch.real),
        batch.slots,
        kept=blank_matrices(batch.y.shape[1], batch.slots, batch.y.dtype, True, False),
    )[0]


def _in_rounds(
    objective: AbstractObjective,
    method: Method,
    batch: Batch,
    level: Array,
    phases: Callable[[AbstractObjective, Array], list[AbstractPhase]],
    after: Callable[[AbstractObjective, Round], Round],
    matrix: bool,
    factors: bool,
    rough: Array | None = None,
) -> tuple[Slot, Occupancy]:
    """Queue after queue until the phases are done, all real runs in the first; with a `matrix` that
    some phase `factors`, or without; `rough` where flow and hand-over may take the rough form."""
    kept = blank_matrices(batch.y.shape[1], batch.slots, batch.y.dtype, matrix, factors)

    def one(now: Round) -> Round:
        here = eqx.tree_at(lambda m: m.root, objective, now.root)
        if rough is not None:
            here = here.with_accuracy(~rough | (now.phase > NEWTON))
        known = phases(here, now.level)
        store, used = run_in_slots(
            lambda slot, own, kept: one_pass(known, now.phase, slot, own, kept, factors),
            lambda slot: choose_by(now.phase, known, lambda one: one.ended(slot)),
            now.store,
            batch.own,
            queue_of(now.waiting, told=now.first),
            batch.slots,
            batch.progress,
            kept,
        )
        flows = now.phase == FLOW
        total = jax.tree.map(lambda old, new: old + jnp.where(flows, new, 0), now.used, used)
        return after(here, now._replace(store=store, used=total, first=jnp.zeros((), bool)))

    slide = None
    if may_slide(objective):
        slide = no_slide(objective, batch.y.T, slots_last(batch.own))
        slide = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), slide)
    store = at_start(batch.y, slide, bool(method.stages))
    nothing = jnp.zeros((), jnp.float32)
    first = Round(
        store,
        number(FLOW),
        batch.real,
        level,
        objective.root,
        jnp.ones((), bool),
        Occupancy(nothing, nothing),
    )
    end = jax.lax.while_loop(lambda now: now.phase < DONE, one, first)
    return end.store, end.used
