"""One pass over the lanes: the one place of a solver that evaluates the risk, and the one that evaluates the Hessian.

Every method here is the same loop. It has a matrix `M` made of the Hessian at the point `y`, a first
vector `k_0`, and then stages: stage `i` evaluates risk and gradient at `y + Σ_j A_ij k_j`, and finds
`k_i` from them. For a Rosenbrock step these are its stages and its end; for Newton's method
corrections with one factor (`A` all ones below the diagonal); for a trust-region step the trial, one
stage. So the flow, the hand-over, the spectrum and the polish are *phases* of one loop, whose number
is data: they differ in what they make of the Hessian (`prepare`), of a stage (`absorb`) and of the
last one (`finish`).

A run whose point has not been measured yet spends one pass in which nothing else happens to it.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress.solve._chebyshev import Displacement
from jaxcompress.solve._lanes import spread
from jaxcompress.solve._motions import NARROW, AbstractMotions
from jaxcompress.solve._state import Curvature, Lane, Point

# Vectors that a step may keep: the stages of Rodas5P.
KEPT = 8


class Work(NamedTuple):
    """What a pass starts from.

    `factored`, what `apply_inverse` needs of `M`, or `None` where no phase has a factor; `first`, the
    vector `k_0`; `length` of the step; `values`, eigenvalues where they were computed; `foreseen`,
    the gradient that a step should leave. Where steps may be explicit: whether this one is, how many
    stages each lane has, its first displacement, and the curvature.
    """

    factored: Array | None
    first: Array
    length: Array
    values: Array
    foreseen: Array
    explicit: Array | None = None
    stages: Array | None = None
    displacement: Displacement | None = None
    curvature: Curvature | None = None


class Found(NamedTuple):
    """A point with risk, floor and gradient there."""

    y: Array
    risk: Array
    floor: Array
    gradient: Array


class Track(NamedTuple):
    """Of a lane's last correction by Newton's method: its size, its share of the one before, and
    whether more are wanted."""

    size: Array
    ratio: Array
    wanted: Array


class Stages(NamedTuple):
    """The loop of a pass: the number of the stage, whether it is to be done, the vectors, what the last
    one found."""

    number: Array
    going: Array
    kept: Array
    found: Found
    track: Track
    displacement: Displacement | None


class AbstractPhase(abc.ABC):
    """One method, seen as a loop of stages. `motions` are those of the pass."""

    # `A` and `C` of the stages: `(KEPT + 1, KEPT)`.
    table: ClassVar[np.ndarray]
    pulls: ClassVar[np.ndarray] = np.zeros((KEPT + 1, KEPT))

    def __init__(self, motions: AbstractMotions, factored: bool):
        self.motions = motions
        self.factored = factored  # whether any phase beside it factors a matrix

    def blank(self, lane: Lane) -> Work:
        """Work that moves nothing."""
        return blank_work(lane, self.factored)

    def needs_matrix(self, lane: Lane) -> Array:
        """Whether a pass needs the Hessian at all."""
        return jnp.any(lane.point.known)

    @abc.abstractmethod
    def prepare(self, hessian: Array | None, lane: Lane, own: Any) -> Work:
        """What a pass starts from."""

    def absorb(
        self, stage: Stages, pulled: Array, work: Work, lane: Lane
    ) -> tuple[Array, Track, Displacement | None, Array]:
        """From what a stage found: the next vector, the track, the next displacement, and whether the
        loop goes on. `pulled` is `Σ_j C_ij k_j`. One stage is all, unless a method says otherwise."""
        return jnp.zeros_like(pulled), stage.track, stage.displacement, jnp.zeros((), bool)

    @abc.abstractmethod
    def finish(self, work: Work, stages: Stages, lane: Lane, own: Any) -> Lane:
        """Every lane after the pass."""

    @abc.abstractmethod
    def ended(self, lane: Lane) -> Array:
        """Which lanes are at an end."""


class Measurement(AbstractPhase):
    """Risk and gradient of points that are not known yet, and nothing else."""

    table = np.zeros((KEPT + 1, KEPT))

    def needs_matrix(self, lane):
        return jnp.zeros((), bool)

    def prepare(self, hessian, lane, own):
        return self.blank(lane)

    def finish(self, work, stages, lane, own):
        return lane

    def ended(self, lane):
        return lane.point.known


# A trial of one vector.
TRIAL = np.zeros((KEPT + 1, KEPT))
TRIAL[1, 0] = 1


def blank_work(lane: Lane, factored: bool) -> Work:
    """Work that moves nothing."""
    y, curvature = lane.point.y, lane.course.curvature
    unknowns, lanes = y.shape
    matrix = jnp.zeros((lanes, unknowns, unknowns), y.dtype) if factored else None
    zero, still = jnp.zeros(lanes, y.dtype), jnp.zeros_like(y)
    work = Work(matrix, still, zero, still, zero)
    if curvature is None:
        return work
    return work._replace(
        explicit=jnp.zeros((), bool),
        stages=jnp.full(lanes, KEPT, jnp.int32),
        displacement=Displacement(still, still, zero, zero, zero),
        curvature=curvature,
    )


def choose_by(phase: Array, phases: Sequence[AbstractPhase], what: Callable[[AbstractPhase], Any]) -> Any:
    """`what` of the phase with this number: one branch runs."""
    if len(phases) == 1:
        return what(phases[0])
    return jax.lax.switch(phase, [lambda one=one: what(one) for one in phases])


def one_pass(phases: Sequence[AbstractPhase], phase: Array, lane: Lane, own: Any, matrix: bool) -> Lane:
    """Advance every lane by one pass of the phase with this number. Without a `matrix` there are only flows."""
    motions, point = phases[0].motions, lane.point
    hessian = _hessian_where_needed(phases, phase, lane, own) if matrix else None
    work = choose_by(phase, phases, lambda one: one.prepare(hessian, lane, own))
    tables = jnp.asarray(np.stack([[one.table, one.pulls] for one in phases]), point.y.dtype)
    table, pulls = tables[phase]

    def stage(stages: Stages) -> Stages:
        i = stages.number
        moved = jnp.tensordot(table[i], stages.kept, 1)
        if stages.displacement is not None:
            moved = jnp.where(work.explicit, stages.displacement.moved, moved)
        y = jnp.where(point.known[None], point.y + moved, point.y)
        found = Found(y, *motions.measure(y, own))
        if work.stages is not None:  # a lane with fewer stages than others keeps what its last one found
            more = (i <= work.stages) | ~point.known
            found = jax.tree.map(lambda new, old: jnp.where(spread(more, new), new, old), found, stages.found)
        now = stages._replace(found=found)
        pulled = jnp.tensordot(pulls[i], stages.kept, 1)
        vector, track, displacement, going = choose_by(phase, phases, lambda one: one.absorb(now, pulled, work, lane))
        kept = stages.kept.at[i].set(vector, mode="drop")
        return Stages(i + 1, going & jnp.any(point.known), kept, found, track, displacement)

    end = jax.lax.while_loop(lambda stages: stages.going, stage, _first_stage(phases, phase, work, lane))
    after = choose_by(phase, phases, lambda one: one.finish(work, end, lane, own))
    found = end.found
    fresh = lane._replace(point=Point(point.y, found.gradient, found.risk, found.floor, jnp.ones_like(point.known)))
    return jax.tree.map(lambda new, old: jnp.where(spread(point.known, new), new, old), after, fresh)


def _first_stage(phases: Sequence[AbstractPhase], phase: Array, work: Work, lane: Lane) -> Stages:
    point = lane.point
    number = jnp.ones((), jnp.int32)
    kept = jnp.zeros((KEPT, *point.y.shape), point.y.dtype).at[0].set(work.first)
    size = jnp.sqrt(jnp.sum(work.first * work.first, axis=0))
    track = Track(size, size, jnp.zeros_like(point.known))
    found = Found(point.y, point.risk, point.floor, point.gradient)
    starts = jnp.asarray([bool(one.table.any()) for one in phases])[phase]
    going = starts | jnp.any(~point.known)
    return Stages(number, going, kept, found, track, work.displacement)


def _hessian_where_needed(phases: Sequence[AbstractPhase], phase: Array, lane: Lane, own: Any) -> Array:
    """The Hessian of every lane at its point. Small ones are always there; for large ones a pass that does
    not need them makes none."""
    motions, y = phases[0].motions, lane.point.y
    unknowns, lanes = y.shape
    if unknowns <= NARROW:
        return motions.hessian(y, own)
    needed = choose_by(phase, phases, lambda one: one.needs_matrix(lane))
    return jax.lax.cond(
        needed,
        lambda: motions.hessian(y, own),
        lambda: jnp.zeros((lanes, unknowns, unknowns), y.dtype),
    )
