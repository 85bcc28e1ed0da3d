"""The gradient flow as a phase: steps of Rodas5P, or of Chebyshev's stages where they are many and
short.

Every slot has its own step length, clock and end. A step that is not finite is rejected.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.solvers._chebyshev import (
    first_displacement,
    next_displacement,
    radius_of,
    spectral_radius,
    stage_count,
    step_error,
)
from jaxcompress.solvers._method import Method
from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._phase import (
    KEPT,
    AbstractPhase,
    Found,
    Stages,
    Work,
    blank_work,
    kept_where,
    solved,
)
from jaxcompress.solvers._rosenbrock import GAMMA, PULLS, STAGES, factor
from jaxcompress.solvers._slots import chosen
from jaxcompress.solvers._state import Course, Curvature, Slot
from jaxcompress.solvers._vanishing import follow, frozen_unknowns, small_neurons

# A step is at most ten times longer than the one before, and aims at an error of 0.9⁵ of what is
# allowed.
_GROWTH, _SHRINK, _SAFETY = 10.0, 0.2, 0.9
# Explicit steps get a third of the error: with all of it 993 of 1000 runs of erf, n = 8, k = 10,
# end where flows at rtol 1e-7 do, with a third 999, as many as Rodas5P at the full tolerance.
_CARE = 3.0
# Steps for which a measured curvature serves, unless one is rejected (Sommeijer, Shampine & Verwer
# 1998). ReLU, n = k = d = 20: measured at every step it costs two fifths of one, and no more steps
# are rejected where it is not.
_SERVES = 25


class FlowOptions(eqx.Module):
    """When to end and how carefully to step; all traced."""

    t1: Array
    gradient_tolerance: Array
    rtol: Array
    atol: Array
    max_steps: Array


class Flow(AbstractPhase):
    """The flow of every slot down to `options.gradient_tolerance`."""

    table, pulls = STAGES, PULLS

    def __init__(self, objective: AbstractObjective, method: Method, options: FlowOptions):
        super().__init__(objective)
        self.method, self.options = method, options

    def needs_matrix(self, slot):
        known = jnp.any(slot.point.known)
        if not self.method.stages:
            return known
        due = jnp.any(slot.course.curvature.serves <= 0)
        return known & (due | ~self._explicit(slot, self._length(slot), slot.course.curvature))

    def look(self, hessian, slot, own):
        course, known = slot.course, slot.point.known
        old = course.curvature
        assert old is not None  # followed where steps may be explicit
        due = (old.serves <= 0) & known
        gradient = self._moving(course, slot.point.gradient)

        def field(y: Array) -> Array:
            return -self._moving(course, self.objective.measure(y, own)[2])

        def push(v: Array) -> Array:
            # in this order of axes XLA leaves matrices as they lie: copies cost twice the product
            along = jnp.einsum("bij,bj->bi", hessian, self._moving(course, v).T).T
            return -self._moving(course, along)

        def measure() -> Curvature:
            if hessian is None:
                radius, direction = spectral_radius(field, slot.point.y, -gradient, old.direction)
            else:
                radius, direction = radius_of(push, -gradient, old.direction)
            new = Curvature(direction, radius, jnp.full_like(old.serves, _SERVES))
            return chosen(due, new, old)

        curvature = jax.lax.cond(jnp.any(due), measure, lambda: old)
        return slot._replace(course=course._replace(curvature=curvature))

    def needs_factor(self, slot):
        return jnp.any(slot.point.known) & ~self._explicit(
            slot, self._length(slot), slot.course.curvature
        )

    def factored(self, hessian, slot, own):
        if slot.course.slide is not None:
            still = frozen_unknowns(self.objective, slot.course.slide).T
            hessian = jnp.where(still[:, :, None] | still[:, None], 0, hessian)
        return factor(hessian, 1 / (GAMMA * self._length(slot)))

    def prepare(self, matrices, slot, own):
        length, work = self._length(slot), blank_work(slot)
        gradient = self._moving(slot.course, slot.point.gradient)
        if slot.course.curvature is None:
            return work._replace(first=solved(matrices.factored, -gradient), length=length)
        explicit = self._explicit(slot, length, slot.course.curvature)
        if self.method.implicit:
            first = jax.lax.cond(
                explicit, lambda: work.first, lambda: solved(matrices.factored, -gradient)
            )
            work = work._replace(first=first)
        stages = jnp.where(
            explicit, stage_count(length, slot.course.curvature.radius, self.method.stages), KEPT
        )
        displacement = first_displacement(-gradient, length, stages)
        return work._replace(
            length=length, explicit=explicit, stages=stages, displacement=displacement
        )

    def absorb(self, stage, pulled, factored, work, slot):
        i, found = stage.number, stage.found
        gradient = self._moving(slot.course, found.gradient)

        def solve() -> Array:
            return solved(factored, pulled / work.length[None] - gradient)

        explicit = False if work.explicit is None else work.explicit
        wanted = (i < KEPT) & ~jnp.asarray(explicit)
        vector = (
            jax.lax.cond(wanted, solve, lambda: jnp.zeros_like(gradient))
            if self.method.implicit
            else pulled
        )
        if work.stages is None:
            return vector, stage.track, None, i < KEPT
        field = -self._moving(slot.course, slot.point.gradient)
        last = stage.displacement
        following = next_displacement(i, last, -gradient, field, work.length, work.stages)
        return vector, stage.track, following, i < jnp.max(work.stages)

    def finish(self, work, stages, slot, own):
        point, course, found = slot.point, slot.course, stages.found
        error, order, explicit = self._error(work, stages, slot, own)
        fine = error <= 1  # false for NaN
        growth = jnp.clip(_SAFETY * jnp.maximum(error, 1e-10) ** (-1 / order), _SHRINK, _GROWTH)
        growth = jnp.where(jnp.isfinite(error), growth, _SHRINK)
        after = kept_where(fine, found, point)
        course = course._replace(
            time=jnp.where(fine, course.time + work.length, course.time),
            length=work.length * growth,
            steps=course.steps + 1,
            accepted=course.accepted + fine,
            explicit=course.explicit + explicit,
            idle=jnp.zeros_like(course.idle),
            curvature=_worn(course.curvature, explicit),
        )
        course = _with_curvature(course, fine)
        return self._slid(slot._replace(point=after, course=course), own)

    def ended(self, slot):
        course, known = slot.course, slot.point.known
        gradient = self._moving(course, slot.point.gradient)
        gone = ~(self.objective.largest(gradient) > self.options.gradient_tolerance)
        gone = gone & ~course.idle
        return known & (
            gone | (course.time >= self.options.t1) | (course.steps >= self.options.max_steps)
        )

    def _length(self, slot: Slot) -> Array:
        """The length of the step; of a flow that begins, a tenth of the time in which the point
        would move by its size."""
        course, point = slot.course, slot.point
        first = self._first_length(point.y, self._moving(course, point.gradient))
        return jnp.minimum(
            jnp.where(course.length > 0, course.length, first), self.options.t1 - course.time
        )

    def _first_length(self, y: Array, gradient: Array) -> Array:
        scale = self.options.atol + self.options.rtol * jnp.abs(y)
        length = (
            0.1 * _norm(y / scale) / jnp.maximum(_norm(gradient / scale), jnp.finfo(y.dtype).tiny)
        )
        return jnp.where((length > 0) & jnp.isfinite(length), length, 1e-3)

    def _moving(self, course: Course, gradient: Array) -> Array:
        """The gradient of what is not frozen."""
        if course.slide is None:
            return gradient
        return jnp.where(frozen_unknowns(self.objective, course.slide), 0, gradient)

    def _slid(self, slot: Slot, own) -> Slot:
        """What neurons that slide to norm zero change, after a step, accepted or not: where one is
        caught or released, or one that is held has turned, the point must be measured again."""
        point, course = slot.point, slot.course
        if course.slide is None:
            return slot
        options = self.options
        y, slide, changed = follow(
            self.objective, point.y, point.gradient, own, course.slide, options.rtol
        )
        touched = changed | jnp.any(course.slide.frozen, 0)
        short = jnp.minimum(course.length, self._first_length(y, point.gradient))
        course = course._replace(slide=slide, length=jnp.where(changed, short, course.length))
        point = point._replace(y=jnp.where(touched[None], y, point.y), known=point.known & ~touched)
        return slot._replace(point=point, course=_with_curvature(course, ~changed))

    def _error(self, work: Work, stages: Stages, slot: Slot, own) -> tuple[Array, Array, Array]:
        """The error of the step in units of what is allowed, the power of the length that it goes
        by, and whether it was explicit."""
        implicit = self._relative(slot, stages.found, stages.kept[KEPT - 1], own)
        five, none = jnp.full_like(work.length, 5.0), jnp.zeros(work.length.shape, jnp.int32)
        if work.explicit is None:
            return implicit, five, none
        assert stages.displacement is not None  # where steps may be explicit
        assert work.stages is not None
        found, f0 = stages.found, -self._moving(slot.course, slot.point.gradient)
        f1 = -self._moving(slot.course, found.gradient)
        error = step_error(stages.displacement.moved, f0, f1, work.length)
        explicit = jnp.where(
            work.stages > 0, _CARE * self._relative(slot, found, error, own), jnp.nan
        )
        was = jnp.broadcast_to(work.explicit, work.length.shape)
        return jnp.where(was, explicit, implicit), jnp.where(was, 3.0, five), was.astype(jnp.int32)

    def _relative(self, slot: Slot, found: Found, error: Array, own) -> Array:
        y, slide, options = slot.point.y, slot.course.slide, self.options
        atol = (
            options.atol if slide is None else small_neurons(self.objective, y, own, options.atol)
        )
        return _norm(error / (atol + options.rtol * jnp.maximum(jnp.abs(y), jnp.abs(found.y))))

    def _explicit(self, slot: Slot, length: Array, curvature: Curvature | None) -> Array:
        """Whether Chebyshev's stages are cheaper than a step of Rodas5P. At a tighter tolerance the
        method of lower order loses: steps shrink by the cube root there, by the fifth here. The
        radius costs about five gradients."""
        if curvature is None:
            return jnp.zeros((), bool)
        if not self.method.implicit:
            return jnp.ones((), bool)
        stages = stage_count(length, curvature.radius, self.method.stages)[0]
        worth = self.method.stages * jnp.minimum(self.options.rtol / 1e-3, 1) ** (1 / 3 - 1 / 5) - 5
        return (stages > 0) & (stages <= worth)


def _worn(curvature: Curvature | None, explicit: Array) -> Curvature | None:
    """The curvature after a step: implicit ones are long, and cost so much more than a
    measurement.
    """
    if curvature is None:
        return None
    return curvature._replace(serves=jnp.where(explicit > 0, curvature.serves - 1, 0))


def _with_curvature(course: Course, still: Array) -> Course:
    """The course with the curvature of the slots where that `still` holds; the others measure it
    anew.
    """
    if course.curvature is None:
        return course
    serves = jnp.where(still, course.curvature.serves, 0)
    return course._replace(curvature=course.curvature._replace(serves=serves))


def _norm(x: Array) -> Array:
    """Root mean square over the unknowns."""
    return jnp.sqrt(jnp.mean(x * x, axis=0))
