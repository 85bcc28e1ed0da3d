"""Flow, then polish: for one run, and for many side by side."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxcompress._compiling import compiler_options
from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import Starts, TwoLayer
from jaxcompress.risk.internal import Target
from jaxcompress.solvers._batch import (
    BatchSolver,
    Options,
    Runs,
    critical_batch,
    flow_batch,
    in_span,
    leading_axes,
    solve_batch,
)
from jaxcompress.solvers._checks import check_start, checked_rates, raise_unless
from jaxcompress.solvers._method import MATRIX_MOST
from jaxcompress.solvers._objective import NARROW
from jaxcompress.solvers._sizes import padded, trimmed
from jaxcompress.solvers._slots import Progress
from jaxcompress.solvers._solution import Solution
from jaxcompress.solvers._stepping import FlowOptions
from jaxcompress.special.internal import precision

# Runs from which on a batch is worth code that takes longer to compile.
_LONG = 256


def solve(
    student: TwoLayer,
    target: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    flow_tolerance: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 4096,
    throw: bool = True,
) -> Solution:
    """Follow the gradient flow to the bottom of its basin, then polish to a critical point.

    Arguments as for `gradient_flow`; against `TargetMoments` the risk is `simplified_risk`, on
    `Samples` `empirical_risk`. Newton's method takes over where an estimate of Kantorovich's
    condition says that it ends where the flow does, and at `max|∂R/∂θ| ≤ flow_tolerance` at the
    latest; the run has converged when what is left is at most `gradient_tolerance` (left out: 1e-8
    and 1e-10 in float64, 1e-4 and 1e-5 in float32). The defaults of `rtol` and `atol` are loose:
    against flows at 1e-10 they change the basin of 0 to 3 starts in a thousand
    (`benchmarks/basins.py`). Under `jit`, pass `throw=False`.
    Returns a `Solution` with `eigenvalues` (ascending) and `index`, the number of directions in
    which the risk falls: 0 at a minimum. Flat modes of the symmetries appear as eigenvalues near
    zero and count as neither. Where standard normal inputs have more dimensions than the weights
    span, the problem is solved in that span, and spectrum and `gradient_norm` belong to it and one
    direction beside it, which stands for all the others. Beyond 4000 unknowns there is no matrix:
    the flow goes on to `gradient_tolerance` by itself, and `eigenvalues` and `index` are `None`.
    Raises `ValueError` for input that does not fit, `SolveError` when `throw` is true and the run
    did not converge.
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_start(student, target, inputs, freeze, rates)
    options = _options(student, rates, gradient_tolerance, flow_tolerance, rtol, atol, max_steps)
    students = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], student)
    none, one = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
    runs = Runs(students, target, inputs, none, one, tuple(freeze), 1)
    solution = _run(solve_batch, runs, options, 1, None)[0]
    return raise_unless(solution) if throw else solution


@renamed_arguments(lanes="slots")
def solve_many(
    students: TwoLayer | Starts,
    targets: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    flow_tolerance: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 2000,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """`solve` for a batch: every array of `students` has a leading axis `runs`, those of `targets`
    may have one.

    Arguments as for `solve`, the input law shared by all runs. `students` may be
    `initialize.Starts`, drawn run by run. `slots` (static) is the number of runs that are under way
    at a time; left out, it suits the size of the problem and the device. `devices` (static) share
    the runs between them; left out, these are all local ones, but on a CPU one, whose processes
    scale better than its threads. `progress` (static: another function compiles anew) is told how
    many runs have left the queue, whenever another `slots` of them have, on every device for
    itself. Batches are filled up to the next of a few sizes (1, 4, 16, 64, 256, …) with runs that
    are not solved: 17, 40 and 64 runs are one compiled program. Nothing is raised for a run that
    does not converge: its `result` says so, and the others are not disturbed.
    Returns a `Solution` whose arrays have a leading axis `runs`; `sols.best` is the run of lowest
    risk, `sols[i]` run number i.
    Raises `ValueError` for input that does not fit.
    """
    numbers = (gradient_tolerance, flow_tolerance, rtol, atol, max_steps)
    return _many(
        solve_batch, students, targets, inputs, freeze, rates, numbers, slots, devices, progress
    )


@renamed_arguments(lanes="slots")
def flow_many(
    students: TwoLayer | Starts,
    targets: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 2000,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """`gradient_flow` for a batch, followed by itself until `max|∂R/∂θ| ≤ gradient_tolerance`.

    Arguments and errors as for `solve_many`; returns a `Solution` without spectrum.
    """
    numbers = (None, gradient_tolerance, rtol, atol, max_steps)
    return _many(
        flow_batch, students, targets, inputs, freeze, rates, numbers, slots, devices, progress
    )


def critical_points(
    students: TwoLayer | Starts,
    targets: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    gradient_tolerance: float | None = None,
    max_steps: int = 300,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Solution:
    """A critical point of any index for every start, minima, saddles and maxima alike, by descent
    on `½‖∇R‖²`.

    Levenberg–Marquardt with the exact Hessian; where it arrives depends on the start and on nothing
    else, and is close by where a critical point is: this is a search, and no flow. Its first steps
    are within a tenth of the start's size. Arguments as for `solve_many`; `max_steps` (traced)
    bounds the steps of a run, each of which costs one eigendecomposition.
    Returns a `Solution` whose arrays have a leading axis `runs`, with `eigenvalues` and `index`;
    `stats["steps"]`, and `stats["flat_modes"]`, which are those of the symmetries at a point that
    is otherwise isolated. `time` is zero.
    Raises `ValueError` for input that does not fit, and beyond 4000 unknowns, where there is no
    matrix.
    Where it fails: a run that ends where `‖∇R‖²` is least without being zero has `converged` false
    and the result `gradient_floor`. Gradients also fall along ways to infinity, where the budget
    ends (`max_steps_reached`), and towards neurons of zero readout that see nothing of the target,
    which are critical, but trivially: of 64 Glorot starts of erf, n = 2, k = 4, 52 end at the risk
    of the network of zeros, where homogeneous activations have no Hessian (`nonfinite`). Midpoints
    between minima and networks along a flow are better starts. Where a critical point is degenerate
    beyond the symmetries, Newton's method is slow, zero eigenvalues come out at up to 1e-8, and the
    index may count some of them.
    """
    numbers = (gradient_tolerance, None, 1.0, 1.0, max_steps)
    return _many(
        critical_batch, students, targets, inputs, freeze, None, numbers, slots, devices, None
    )


def _many(
    solver: BatchSolver, students, targets, inputs, freeze, rates, numbers, slots, devices, progress
) -> Solution:
    inputs = StandardNormal() if inputs is None else inputs
    one_student, one_target, count = _without_runs(students, targets)
    check_start(one_student, one_target, inputs, freeze, rates)
    if isinstance(students, TwoLayer):
        check_finite("students", **students.parameters())
    check_finite("targets", **targets.parameters())
    if slots is not None and not slots >= 1:
        raise ValueError(
            f"solve_many: given slots={slots!r}; expected at least 1; leave it out for a good "
            "choice"
        )
    options = _options(one_student, rates, *numbers)
    none, all_real = jnp.zeros((), jnp.int32), jnp.asarray(count, jnp.int32)
    runs = Runs(students, targets, inputs, none, all_real, tuple(freeze), count)
    unknowns = sum(p.size for name, p in one_student.parameters().items() if name not in freeze)
    if solver is critical_batch and unknowns > MATRIX_MOST:
        raise ValueError(
            f"critical_points: given {unknowns} unknowns; expected at most {MATRIX_MOST}, whose "
            "Hessian can be held; freeze parameters, or descend with flow_many"
        )
    if devices is None:
        devices = jax.local_devices() if jax.default_backend() != "cpu" else ()
    return _run(solver, runs, options, slots or best_slots(unknowns), progress, tuple(devices))


def best_slots(unknowns: int) -> int:
    """Slots that suit the size of a problem. On a CPU a step of erf takes, per slot, 69, 54 and 48
    µs with 1, 8 and 32 slots at 52 unknowns, and 169, 334 and 866 µs at 99, where the Hessians of
    several slots leave the cache; other devices get as many as keep them busy within 2 GiB."""
    if jax.default_backend() != "cpu":
        return max(1, min(16384, 2**31 // (48 * unknowns**2)))
    return 32 if unknowns <= NARROW else 1


def _options(
    student: TwoLayer,
    rates,
    gradient_tolerance,
    flow_tolerance,
    rtol: float,
    atol: float,
    max_steps: int,
) -> Options:
    """The traced options; tolerances that were left out are those of the dtype."""
    dtype = student.weights.dtype
    known = precision(dtype)
    tolerance = known.flow if flow_tolerance is None else flow_tolerance
    numbers = [jnp.asarray(number, dtype) for number in (jnp.inf, tolerance, rtol, atol)]
    final = known.critical if gradient_tolerance is None else gradient_tolerance
    t1, flow_end, relative, absolute = numbers
    flow = FlowOptions(t1, flow_end, relative, absolute, jnp.asarray(max_steps, jnp.int32))
    return Options(flow, jnp.asarray(final, dtype), checked_rates(student, rates))


def _without_runs(students: TwoLayer | Starts, targets: Target) -> tuple[TwoLayer, Target, int]:
    """The first student and target and the number of runs.
    Raises `ValueError` unless the leading axes fit.
    """
    axes = leading_axes(targets)
    one_target = _first_of(targets) if len(axes) == 1 else targets
    if isinstance(targets, TwoLayer):
        name = f"targets' weights {targets.weights.shape}"
    else:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in targets.parameters().items())
        name = f"targets' {shapes} with leading axes {axes}"
    if isinstance(students, Starts):
        if axes not in ((), (students.runs,)):
            raise ValueError(
                f"solve_many: given {students.runs} starts to draw and {name}; "
                "expected as many targets as starts, or one for all"
            )
        shapes_of = jax.eval_shape(students.draw, 0)
        return (
            jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes_of),
            one_target,
            students.runs,
        )
    shapes = f"students' weights {students.weights.shape} and {name}"
    if students.weights.ndim != 3 or len(axes) > 1:
        raise ValueError(
            f"solve_many: given {shapes}; expected (runs, n, d) and (k, d) or (runs, k, d); "
            "draw starts with initialize.glorot_normal(..., runs=64), or call solve for one run"
        )
    if axes not in ((), students.weights.shape[:1]):
        raise ValueError(
            f"solve_many: given {shapes}; expected as many targets as students, or one for all"
        )
    if students.weights.shape[0] == 0:
        raise ValueError(f"solve_many: given {shapes}; expected at least one run")
    return _first_of(students), one_target, students.weights.shape[0]


def _first_of(batch: Any) -> Any:
    """The first of a batch. By NumPy, where that can be: JAX would compile it for every size."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0] if is_concrete(leaf) else leaf[0], batch)


def _run(
    solver: BatchSolver,
    runs: Runs,
    options: Options,
    slots: int,
    progress: Progress | None,
    devices: tuple = (),
) -> Solution:
    """Compile and run, filled up to a size of the ladder; inside somebody's trace, become part of
    it.
    """
    if not all(
        is_concrete(leaf) for leaf in jax.tree.leaves(eqx.filter((runs, options), eqx.is_array))
    ):
        return in_span(solver, runs, options, min(slots, runs.count), progress)
    full = padded(runs, len(devices))
    long = full.count > _LONG or runs.unknowns > NARROW
    compiled = _compiled(jax.default_backend(), long)
    solution = compiled(solver, full, options, slots, progress, devices)
    return trimmed(solution, np.asarray(full.real))


@functools.cache
def _compiled(backend: str, long: bool) -> Callable[..., Solution]:
    """The compiled entry."""
    options: dict[str, Any] = {"compiler_options": compiler_options(backend, long)}
    return eqx.filter_jit(_over_devices, **options)


def _over_devices(
    solver: BatchSolver, runs: Runs, options: Options, slots: int, progress, devices: tuple
) -> Solution:
    """The shares of the runs, each on its device, which has nothing to wait for: no value crosses
    devices.
    """
    share = runs.count // max(1, len(devices))

    def one_device(students, targets, first, real, options) -> Solution:
        mine = Runs(students, targets, runs.inputs, first[0], real[0], runs.freeze, share)
        return in_span(solver, mine, options, min(slots, share), progress)

    if not devices:
        return one_device(runs.students, runs.targets, runs.first, runs.real, options)
    split, whole = jax.sharding.PartitionSpec("runs"), jax.sharding.PartitionSpec()
    over_all = jax.shard_map(
        one_device,
        mesh=jax.sharding.Mesh(np.array(devices), ("runs",)),
        in_specs=(
            whole if isinstance(runs.students, Starts) else split,
            whole if runs.shared else split,
            split,
            split,
            whole,
        ),
        out_specs=split,
        check_vma=False,
    )
    return over_all(runs.students, runs.targets, runs.first, runs.real, options)
