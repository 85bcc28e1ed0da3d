"""What a phase of a solver is: a method, seen as a loop of stages.

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
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcompress.solvers._chebyshev import Displacement
from jaxcompress.solvers._objective import NARROW, AbstractObjective
from jaxcompress.solvers._rosenbrock import apply_inverse
from jaxcompress.solvers._slots import chosen
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
    return chosen(better, end, point)


def columns(factored: Array) -> Array:
    """A factor with its columns as rows. So it lies in memory as LAPACK writes and reads it, and no
    stage has to turn it (erf, n = 25, k = 50: 3 ms of the 5 of a solve).
    """
    return jnp.swapaxes(factored, 1, 2)


def solved(factored: Array, right: Array) -> Array:
    """`M⁻¹ right`, with the factor of a pass."""
    return apply_inverse(columns(factored) if right.shape[0] > NARROW else factored, right)
