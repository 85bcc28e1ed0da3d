"""One pass over the slots: the one place of a solver that evaluates the risk, and the one that
evaluates the Hessian. `_phase` says what a pass is made of.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress.solvers._objective import NARROW
from jaxcompress.solvers._phase import (
    KEPT,
    AbstractPhase,
    Found,
    Matrices,
    Stages,
    Track,
    Work,
    columns,
)
from jaxcompress.solvers._slots import chosen
from jaxcompress.solvers._state import Point, Slot


def choose_by(
    phase: Array, phases: Sequence[AbstractPhase], what: Callable[[AbstractPhase], Any]
) -> Any:
    """`what` of the phase with this number: one branch runs."""
    if len(phases) == 1:
        return what(phases[0])
    return jax.lax.switch(phase, [lambda one=one: what(one) for one in phases])


def blank_matrices(unknowns: int, slots: int, dtype, matrix: bool, factored: bool) -> Matrices:
    """What a queue of large problems begins with, and small ones do without."""
    if unknowns <= NARROW or not matrix:
        return Matrices(None, None)
    zeros = jnp.zeros((slots, unknowns, unknowns), dtype)
    return Matrices(zeros, zeros.reshape(slots, -1) if factored else None)


def one_pass(
    phases: Sequence[AbstractPhase],
    phase: Array,
    slot: Slot,
    own: Any,
    kept: Matrices,
    factors: bool,
) -> tuple[Slot, Matrices]:
    """Advance every slot by one pass of the phase with this number. Some phase `factors` a matrix,
    or none does.
    """
    objective = phases[0].objective
    hessian = _hessian(phases, phase, slot, own, kept)
    if slot.course.curvature is not None:
        slot = choose_by(phase, phases, lambda one: one.look(hessian, slot, own))
    flat = _factored(phases, phase, slot, own, hessian, kept) if factors else None
    factored = flat if flat is None or hessian is None else flat.reshape(hessian.shape)
    matrices = Matrices(hessian, factored)
    point = slot.point
    work = choose_by(phase, phases, lambda one: one.prepare(matrices, slot, own))
    tables = np.stack([np.stack([one.table, one.pulls], 1) for one in phases])
    rows = jnp.asarray(tables, point.y.dtype)[phase]

    def stage(stages: Stages) -> Stages:
        i = stages.number
        moved, pulled = jnp.tensordot(rows[i], stages.kept, 1)
        if stages.displacement is not None:
            moved = jnp.where(work.explicit, stages.displacement.moved, moved)
        y = jnp.where(point.known[None], point.y + moved, point.y)
        found = Found(y, *objective.measure(y, own))
        # a slot with fewer stages than others keeps what its last one found
        if work.stages is not None and point.y.shape[1] > 1:
            more = (i <= work.stages) | ~point.known
            found = chosen(more, found, stages.found)
        now = stages._replace(found=found)
        vector, track, displacement, going = choose_by(
            phase, phases, lambda one: one.absorb(now, pulled, factored, work, slot)
        )
        kept = jax.lax.dynamic_update_index_in_dim(stages.kept, vector, jnp.minimum(i, KEPT), 0)
        return Stages(i + 1, going & jnp.any(point.known), kept, found, track, displacement)

    end = jax.lax.while_loop(
        lambda stages: stages.going, stage, _first_stage(phases, phase, work, slot)
    )
    after = choose_by(phase, phases, lambda one: one.finish(work, end, slot, own))
    found = end.found
    fresh = slot._replace(
        point=Point(point.y, found.gradient, found.risk, found.floor, jnp.ones_like(point.known))
    )
    after = chosen(point.known, after, fresh)
    if kept.hessian is None:
        return after, kept
    return after, Matrices(hessian, flat)


def _first_stage(phases: Sequence[AbstractPhase], phase: Array, work: Work, slot: Slot) -> Stages:
    point = slot.point
    number = jnp.ones((), jnp.int32)
    kept = jnp.zeros((KEPT + 1, *point.y.shape), point.y.dtype)
    kept = jax.lax.dynamic_update_index_in_dim(kept, work.first, 0, 0)
    size = jnp.sqrt(jnp.sum(work.first * work.first, axis=0))
    track = Track(size, size, jnp.zeros_like(point.known))
    found = Found(point.y, point.risk, point.floor, point.gradient)
    starts = jnp.asarray([bool(one.table.any()) for one in phases])[phase]
    going = starts | jnp.any(~point.known)
    return Stages(number, going, kept, found, track, work.displacement)


def _hessian(
    phases: Sequence[AbstractPhase], phase: Array, slot: Slot, own: Any, kept: Matrices
) -> Array | None:
    """The Hessian of every slot at its point. Small ones are always made; large ones only for a
    pass that needs them."""
    objective, y = phases[0].objective, slot.point.y
    if y.shape[0] <= NARROW:
        return objective.hessian(y, own)
    if kept.hessian is None:
        return None
    needed = choose_by(phase, phases, lambda one: one.needs_matrix(slot))
    return _anew(needed, y, lambda y: objective.hessian(y, own), kept.hessian)


def _factored(
    phases: Sequence[AbstractPhase],
    phase: Array,
    slot: Slot,
    own: Any,
    hessian: Array | None,
    kept: Matrices,
) -> Array:
    assert hessian is not None  # a phase that factors has a matrix

    def made(y: Array) -> Array:
        here = slot._replace(point=slot.point._replace(y=y))
        return choose_by(phase, phases, lambda one: one.factored(hessian, here, own))

    old, y = kept.factored, slot.point.y
    if old is None:
        return made(y)
    needed = choose_by(phase, phases, lambda one: one.needs_factor(slot))
    return _anew(needed, y, lambda y: columns(made(y)).reshape(old.shape), old)


def _anew(needed: Array, y: Array, make: Callable[[Array], Array], old: Array) -> Array:
    """`make(y)` where it is needed, otherwise the old one: a loop of at most one turn, which leaves
    in place what a branch would copy. The barrier ties the turn to its condition, or XLA would take
    what does not change out of the loop."""

    def turn(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        here, _ = jax.lax.optimization_barrier((y, carry[0]))
        return jnp.zeros_like(carry[0]), make(here)

    return jax.lax.while_loop(lambda carry: carry[0], turn, (needed, old))[1]
