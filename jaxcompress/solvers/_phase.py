"""One pass over the slots: the one place of a solver that evaluates the risk, and the one that
evaluates the Hessian.

Every method here is the same loop. It has a matrix `M` made of the Hessian at the point `y`, a
first vector `k_0`, and then stages: stage `i` evaluates risk and gradient at `y + Σ_j A_ij k_j`,
and finds `k_i` from them. For a Rosenbrock step these are its stages and its end; for Newton's
method corrections with one factor (`A` all ones below the diagonal); for a trust-region step the
trial, one stage. So the flow, the hand-over, the spectrum and the polish are *phases* of one loop,
whose number is data: they differ in what they make of the Hessian (`prepare`), of a stage
(`absorb`) and of the last one (`finish`).

A run whose point has not been measured yet spends one pass in which nothing else happens to it.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress.solvers._chebyshev import Displacement
from jaxcompress.solvers._objective import NARROW, AbstractObjective
from jaxcompress.solvers._rosenbrock import apply_inverse
from jaxcompress.solvers._slots import spread
from jaxcompress.solvers._state import Point, Slot

# Vectors that a step may keep: the stages of Rodas5P. There is a row more, into which goes what
# nobody will read.
KEPT = 8


class Matrices(NamedTuple):
    """The Hessian of every slot and what `apply_inverse` needs of `M`; `None` for what no phase
    makes. Those of large problems are kept from pass to pass, and written anew only where they are
    needed: to clear and to copy them costs as much as a stage (ReLU, n = k = d = 20: half of an
    explicit step)."""

    hessian: Array | None
    factored: Array | None


class Work(NamedTuple):
    """What a pass starts from.

    `first`, the vector `k_0`; `length` of the step; `values`, eigenvalues where they were computed;
    `foreseen`, the gradient that a step should leave. Where steps may be explicit: whether this one
    is, how many stages each slot has, and its first displacement.
    """

    first: Array
    length: Array
    values: Array
    foreseen: Array
    explicit: Array | None = None
    stages: Array | None = None
    displacement: Displacement | None = None


class Found(NamedTuple):
    """A point with risk, floor and gradient there."""

    y: Array
    risk: Array
    floor: Array
    gradient: Array


class Track(NamedTuple):
    """Of a slot's last correction by Newton's method: its size, its share of the one before, and
    whether more are wanted."""

    size: Array
    ratio: Array
    wanted: Array


class Stages(NamedTuple):
    """The loop of a pass: the number of the stage, whether it is to be done, the vectors, what the
    last one found."""

    number: Array
    going: Array
    kept: Array
    found: Found
    track: Track
    displacement: Displacement | None


class AbstractPhase(abc.ABC):
    """One method, seen as a loop of stages. `objective` is that of the pass."""

    # `A` and `C` of the stages; nothing reads the last vector.
    table: ClassVar[np.ndarray]
    pulls: ClassVar[np.ndarray] = np.zeros((KEPT + 1, KEPT + 1))

    def __init__(self, objective: AbstractObjective):
        self.objective = objective

    def needs_matrix(self, slot: Slot) -> Array:
        """Whether a pass needs the Hessian at all."""
        return jnp.any(slot.point.known)

    def look(self, hessian: Array | None, slot: Slot, own: Any) -> Slot:
        """The slots with what must be measured before the pass is planned."""
        return slot

    def needs_factor(self, slot: Slot) -> Array:
        """Whether a pass factors a matrix."""
        return jnp.zeros((), bool)

    def factored(self, hessian: Array, slot: Slot, own: Any) -> Array:
        """The factor of `M`, where one is needed."""
        return hessian

    @abc.abstractmethod
    def prepare(self, matrices: Matrices, slot: Slot, own: Any) -> Work:
        """What a pass starts from."""

    def absorb(
        self, stage: Stages, pulled: Array, factored: Array | None, work: Work, slot: Slot
    ) -> tuple[Array, Track, Displacement | None, Array]:
        """From what a stage found: the next vector, the track, the next displacement, and whether
        the loop goes on. `pulled` is `Σ_j C_ij k_j`. One stage is all, unless a method says
        otherwise."""
        return jnp.zeros_like(pulled), stage.track, stage.displacement, jnp.zeros((), bool)

    @abc.abstractmethod
    def finish(self, work: Work, stages: Stages, slot: Slot, own: Any) -> Slot:
        """Every slot after the pass."""

    @abc.abstractmethod
    def ended(self, slot: Slot) -> Array:
        """Which slots are at an end."""


class Measurement(AbstractPhase):
    """Risk and gradient of points that are not known yet, and nothing else."""

    table = np.zeros((KEPT + 1, KEPT + 1))

    def needs_matrix(self, slot):
        return jnp.zeros((), bool)

    def prepare(self, matrices, slot, own):
        return blank_work(slot)

    def finish(self, work, stages, slot, own):
        return slot

    def ended(self, slot):
        return slot.point.known


# A trial of one vector.
TRIAL = np.zeros((KEPT + 1, KEPT + 1))
TRIAL[1, 0] = 1


def blank_work(slot: Slot) -> Work:
    """Work that moves nothing."""
    y = slot.point.y
    slots = y.shape[1]
    zero, still = jnp.zeros(slots, y.dtype), jnp.zeros_like(y)
    work = Work(still, zero, still, zero)
    if slot.course.curvature is None:
        return work
    return work._replace(
        explicit=jnp.zeros((), bool),
        stages=jnp.full(slots, KEPT, jnp.int32),
        displacement=Displacement(still, still, zero, zero, zero),
    )


def kept_where(better: Array, found: Found, point: Point) -> Point:
    """What a pass found in the slots where it is `better`, and the point from which it set out
    elsewhere.
    """
    end = Point(found.y, found.gradient, found.risk, found.floor, point.known)
    return jax.tree.map(lambda new, old: jnp.where(spread(better, new), new, old), end, point)


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
            found = jax.tree.map(
                lambda new, old: jnp.where(spread(more, new), new, old), found, stages.found
            )
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
    after = jax.tree.map(
        lambda new, old: jnp.where(spread(point.known, new), new, old), after, fresh
    )
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
    return _anew(needed, y, lambda y: _columns(made(y)).reshape(old.shape), old)


def _columns(factored: Array) -> Array:
    """A factor with its columns as rows. So it lies in memory as LAPACK writes and reads it, and no
    stage has to turn it (erf, n = 25, k = 50: 3 ms of the 5 of a solve).
    """
    return jnp.swapaxes(factored, 1, 2)


def solved(factored: Array, right: Array) -> Array:
    """`M⁻¹ right`, with the factor of a pass."""
    return apply_inverse(_columns(factored) if right.shape[0] > NARROW else factored, right)


def _anew(needed: Array, y: Array, make: Callable[[Array], Array], old: Array) -> Array:
    """`make(y)` where it is needed, otherwise the old one: a loop of at most one turn, which leaves
    in place what a branch would copy. The barrier ties the turn to its condition, or XLA would take
    what does not change out of the loop."""

    def turn(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        here, _ = jax.lax.optimization_barrier((y, carry[0]))
        return jnp.zeros_like(carry[0]), make(here)

    return jax.lax.while_loop(lambda carry: carry[0], turn, (needed, old))[1]
