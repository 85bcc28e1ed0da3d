"""From students and targets to solutions: one traceable call for a batch of runs on one device."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import Starts
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractTarget
from jaxcompress.solvers._engine import Batch, flow_runs, search_runs, solve_runs
from jaxcompress.solvers._method import MATRIX_MOST, FlowSolver, Method, choose, for_runs
from jaxcompress.solvers._objective import AbstractObjective, Measured
from jaxcompress.solvers._objective_choice import measured, objective_of
from jaxcompress.solvers._polish import MAX_STEPS
from jaxcompress.solvers._reduction import lift_weights, reduce_weights
from jaxcompress.solvers._slots import Occupancy, Progress
from jaxcompress.solvers._solution import RESULTS, Solution, either
from jaxcompress.solvers._state import Slot
from jaxcompress.solvers._stepping import FlowOptions
from jaxcompress.special.internal import precision

# Runs whose starts are drawn, and whose targets are measured, at a time.
_BLOCK = 256


class Options(eqx.Module):
    """What a solve is asked for: all traced, so that no change of a number compiles anything."""

    flow: FlowOptions
    final_tolerance: Array
    rates: dict[str, Array]


class Runs(eqx.Module):
    """Students with a leading axis, or starts to be drawn; targets with that axis, or one for
    all.
    """

    students: AbstractNetwork | Starts
    targets: AbstractTarget
    inputs: AbstractInputs
    first: Array  # the number of the first run, where these are part of a larger batch
    real: Array  # how many are to be solved: those behind them fill the batch up to its size
    freeze: tuple[str, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)
    solver: FlowSolver | None = eqx.field(static=True, default=None)

    @property
    def shared(self) -> bool:
        """Whether all runs have one target."""
        return not self.targets.runs

    @property
    def form(self) -> AbstractNetwork:
        """The shapes of one student."""
        return jax.eval_shape(lambda: self.student(jnp.zeros((), jnp.int32)))

    @property
    def unknowns(self) -> int:
        """Parameters of one student that move."""
        return sum(p.size for name, p in self.form.parameters().items() if name not in self.freeze)

    def all_students(self) -> AbstractNetwork:
        """Every start at once."""
        if isinstance(self.students, AbstractNetwork):
            return self.students
        return jax.lax.map(
            self.student,
            jnp.arange(self.count, dtype=jnp.int32),
            batch_size=min(self.count, _BLOCK),
        )

    def student(self, run: Array) -> AbstractNetwork:
        """The start of one run."""
        if isinstance(self.students, Starts):
            return self.students.draw(self.first + run)
        return jax.tree.map(lambda leaf: leaf[run], self.students)

    def problem(self, run: Array) -> Measured:
        """The target of one run, measured."""
        targets = (
            self.targets if self.shared else jax.tree.map(lambda leaf: leaf[run], self.targets)
        )
        return measured(targets, self.inputs, self.form, self.freeze)

    def objective(self, rates: dict[str, Array]) -> AbstractObjective:
        """The objective of all runs."""
        zero = jnp.zeros((), jnp.int32)
        return objective_of(self.problem(zero), self.shared, self.student(zero), self.freeze, rates)

    def method(self, unknowns: int, slots: int) -> Method:
        """How to step."""
        if self.solver is not None:
            return self.solver.batched()
        return choose(unknowns, self.form, self.targets.pairs, slots)

    def load(self, objective: AbstractObjective) -> tuple[Array, Any]:
        """The unknowns of every run and what is its own, with a leading axis of runs."""

        def one(run: Array) -> tuple[Array, Any]:
            return objective.load(self.student(run), None if self.shared else self.problem(run))

        return jax.lax.map(
            one, jnp.arange(self.count, dtype=jnp.int32), batch_size=min(self.count, _BLOCK)
        )

    def batch(self, objective: AbstractObjective, slots: int, progress: Progress | None) -> Batch:
        """All of them as vectors, ready for the slots."""
        y, own = self.load(objective)
        return Batch(y, own, jnp.arange(self.count, dtype=jnp.int32) < self.real, slots, progress)


BatchSolver = Callable[[Runs, Options, int, Progress | None], Solution]


def _share(occupancy: Occupancy) -> Array:
    return jnp.where(occupancy.all > 0, occupancy.busy / jnp.maximum(occupancy.all, 1), 1)


def flow_batch(runs: Runs, options: Options, slots: int, progress: Progress | None) -> Solution:
    """The flow of every run to its own end."""
    objective = runs.objective(options.rates)
    batch = runs.batch(objective, slots, progress)
    method = runs.method(objective.root.shape[0], slots)
    ends, occupancy = flow_runs(
        objective, method, options.flow, batch, objective.root.shape[0] <= MATRIX_MOST
    )
    converged = ends.course.norm <= options.flow.gradient_tolerance
    return Solution(
        network=jax.vmap(_without_rates(objective).network)(ends.point.y, batch.own),
        risk=or_infinite(ends.point.risk),
        risk_floor=or_infinite(ends.point.floor),
        gradient_norm=ends.course.norm,
        converged=converged,
        time=ends.course.time,
        result=_flow_result(ends, options.flow, converged),
        stats=_flow_stats(ends, method, _share(occupancy)),
    )


def solve_batch(runs: Runs, options: Options, slots: int, progress: Progress | None) -> Solution:
    """Flow, hand-over and polish of every run; with more unknowns than a matrix can have, the flow
    alone.
    """
    objective = runs.objective(options.rates)
    unknowns = objective.root.shape[0]
    if unknowns > MATRIX_MOST:
        alone = eqx.tree_at(lambda o: o.flow.gradient_tolerance, options, options.final_tolerance)
        return flow_batch(runs, alone, slots, progress)
    batch = runs.batch(objective, slots, progress)
    method = runs.method(unknowns, slots)
    ends, occupancy = solve_runs(objective, method, options.flow, options.final_tolerance, batch)
    arrived = ends.newton.taken | (ends.course.norm <= options.flow.gradient_tolerance)
    out = as_solution(_without_rates(objective), ends, batch.own, options.final_tolerance)
    # Where the flow itself was cut short, the polished point is a critical one, but not known to be
    # the flow's: that is what to report.
    converged = out.converged & arrived
    result = either(arrived, out.result, _flow_result(ends, options.flow, arrived))
    result = either(converged & (_at_zero(ends) > 0), RESULTS.neuron_at_zero, result)
    stats = {
        **_flow_stats(ends, method, _share(occupancy)),
        "newton_steps": ends.newton.total,
        **out.stats,
    }
    where = lambda s: (s.time, s.converged, s.result, s.stats)  # noqa: E731
    return eqx.tree_at(where, out, (ends.course.time, converged, result, stats))


def critical_batch(runs: Runs, options: Options, slots: int, progress: Progress | None) -> Solution:
    """A critical point of any kind for every start; nobody is told about progress, and nothing
    flows.
    """
    objective = runs.objective(options.rates)
    batch = runs.batch(objective, slots, None)
    budget = options.flow.max_steps
    ends = search_runs(objective, options.final_tolerance, budget, batch)
    out = as_solution(objective, ends, batch.own, options.final_tolerance, budget)
    assert out.index is not None  # a polish has its spectrum
    known = out.index >= 0  # a network of zeros may have none
    stats = {"steps": out.stats["polish_steps"], "flat_modes": out.stats["flat_modes"]}
    ends_well = (out.converged & known, either(known, out.result, RESULTS.nonfinite), stats)
    return eqx.tree_at(lambda s: (s.converged, s.result, s.stats), out, ends_well)


def in_span(
    solver: BatchSolver, runs: Runs, options: Options, slots: int, progress: Progress | None
) -> Solution:
    """Any of these in as few dimensions as the weights span (`_reduction`), where the inputs have
    more.
    """
    if not reduces(runs):
        return solver(runs, options, slots, progress)
    students = runs.all_students()
    rows = runs.targets.span()
    assert rows is not None  # a target without span is not reduced
    starts = students.input_rows()
    reduced = reduce_weights(rows, starts)
    small = dataclasses.replace(
        runs,
        students=students.with_input_rows(reduced.students),
        targets=runs.targets.in_span(reduced.target),
    )
    solution = solver(small, options, slots, progress)
    lifted = lift_weights(reduced, rows, starts, solution.network.input_rows())
    network = solution.network.with_input_rows(lifted)
    return dataclasses.replace(solution, network=network)


def reduces(runs: Runs) -> bool:
    """Whether the inputs have more dimensions than the span of all weights and one beside it."""
    span = jax.eval_shape(runs.targets.span)
    if span is None or not isinstance(runs.inputs, StandardNormal):
        return False
    own = jax.eval_shape(lambda form: form.input_rows(), runs.form).shape[-2]
    return runs.form.dim > own + span.shape[-2] + 1


def as_solution(
    objective: AbstractObjective,
    ends: Slot,
    own: Any,
    tolerance: Array,
    max_steps: Array | int = MAX_STEPS,
) -> Solution:
    """Polished runs with their certificates. A run that broke down ranks last and poisons no
    comparison.
    """
    point, polish = ends.point, ends.polish
    flat = precision(point.risk.dtype).flat
    values = polish.eigenvalues
    known = jnp.all(jnp.isfinite(values), axis=1)
    largest = jnp.max(jnp.abs(values), axis=1, keepdims=True)
    index = jnp.where(known, jnp.sum(values < -flat * largest, axis=1), -1)
    gradient_norm = jnp.max(jnp.abs(point.gradient), axis=1)
    converged = gradient_norm <= tolerance
    stuck = either(polish.steps < max_steps, RESULTS.gradient_floor, RESULTS.max_steps_reached)
    stuck = either(known, stuck, RESULTS.nonfinite)
    flats = jnp.sum(jnp.abs(values) <= flat * largest, axis=1)
    return Solution(
        network=jax.vmap(objective.network)(point.y, own),
        risk=or_infinite(point.risk),
        risk_floor=or_infinite(point.floor),
        gradient_norm=or_infinite(gradient_norm),
        converged=converged,
        time=jnp.zeros_like(point.risk),
        result=either(converged, RESULTS.converged, stuck),
        stats={"polish_steps": polish.steps, "flat_modes": jnp.where(known, flats, -1)},
        eigenvalues=jnp.where(known[:, None], values, jnp.inf),
        index=index,
    )


def _at_zero(ends: Slot) -> Array:
    """How many neurons slid to norm zero and stay there."""
    slide = ends.course.slide
    if slide is None:
        return jnp.zeros_like(ends.course.steps)
    return jnp.sum(slide.frozen, axis=1, dtype=jnp.int32)


def _flow_stats(ends: Slot, method: Method, occupancy: Array) -> dict[str, Any]:
    course = ends.course
    return {
        "steps": course.steps,
        "accepted_steps": course.accepted,
        "rejected_steps": course.steps - course.accepted,
        "explicit_steps": course.explicit,
        "method": for_runs(method.code, course.steps.shape[0]),
        "flow_gradient_norm": course.norm,
        "neurons_at_zero": _at_zero(ends),
        "occupancy": jnp.broadcast_to(occupancy, course.steps.shape),
    }


def _flow_result(ends: Slot, options: FlowOptions, converged: Array) -> Any:
    result = either(ends.course.time >= options.t1, RESULTS.time_reached, RESULTS.max_steps_reached)
    fine = jnp.all(jnp.isfinite(ends.point.y), axis=1) & jnp.isfinite(ends.course.norm)
    arrived = either(_at_zero(ends) > 0, RESULTS.neuron_at_zero, RESULTS.converged)
    return either(converged, arrived, either(fine, result, RESULTS.nonfinite))


def _without_rates(objective: AbstractObjective) -> AbstractObjective:
    return eqx.tree_at(lambda m: m.root, objective, jnp.ones_like(objective.root))


def or_infinite(number: Array) -> Array:
    """Infinity in place of NaN: what broke down ranks last."""
    return jnp.where(jnp.isnan(number), jnp.inf, number)
