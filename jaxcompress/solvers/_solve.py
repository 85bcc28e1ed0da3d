"""What users call: flow, then polish, for one run and for many side by side; and the search for
critical points.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from jaxcompress._internal.deprecation import renamed_arguments
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import GatedTwoLayer, Starts, TwoLayer
from jaxcompress.risk.internal import Target, as_target
from jaxcompress.solvers._batch import Runs, critical_batch, flow_batch, solve_batch
from jaxcompress.solvers._checks import check_start, raise_unless, unknowns_of
from jaxcompress.solvers._entry import Numbers, run, run_many
from jaxcompress.solvers._method import FlowSolver, check_solver
from jaxcompress.solvers._slots import Progress
from jaxcompress.solvers._solution import Solution


def solve(
    student: TwoLayer | GatedTwoLayer,
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
    solver: FlowSolver | None = None,
    throw: bool = True,
) -> Solution:
    """Follow the gradient flow to the bottom of its basin, then polish to a critical point.

    >>> import jax
    >>> import jaxcompress as jc
    >>> erf, key = jc.activations.erf, jax.random.key(0)
    >>> target = jc.targets.orthonormal(6, 7, activation=erf)
    >>> student = jc.initialize.glorot_normal(key, 3, 7, activation=erf)
    >>> solution = jc.solve(student, target)
    >>> risk, index = solution.risk, solution.index

    Arguments:

    - `student`: one network, weights `(n, d)`, plain or gated; the flow starts here;
    - `target`: a network, weights `(k, d)`; `TargetMoments` (the risk is then `simplified_risk`);
      `Samples` (`empirical_risk`); or an `AbstractTarget` of your own;
    - `inputs`: the distribution of the inputs, `StandardNormal()` when left out;
    - `freeze`: names of parameters that stay, any of "weights", "readout", "bias", "output_bias",
      "gate_weights", "gate_bias" (static);
    - `rates`: a positive factor on the velocity by name, 1 each when left out;
    - `gradient_tolerance`: the run has converged when `max|∂R/∂θ|` is at most this; 1e-10 in
      float64 and 1e-5 in float32 when left out;
    - `flow_tolerance`: `max|∂R/∂θ|` at which Newton's method takes over at the latest; before that
      it does where an estimate of Kantorovich's condition says that it ends where the flow does.
      1e-8 in float64 and 1e-4 in float32 when left out;
    - `rtol`, `atol`: the error allowed a step. The defaults are loose: against flows at 1e-10 they
      change the basin of 0 to 3 starts in a thousand (`benchmarks/basins.py`);
    - `max_steps`: the step budget of the flow;
    - `solver`: how the flow is stepped, `solvers.Rodas5P()` or `solvers.Chebyshev()` (static);
      automatic when left out, and `stats["method"]` says which;
    - `throw`: whether to raise when the run does not converge; pass `False` under `jit`.

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
    known = as_target("solve", target)
    check_start("solve", student, known, inputs, freeze, rates)
    check_solver("solve", solver, unknowns_of(student, freeze))
    numbers = Numbers(gradient_tolerance, flow_tolerance, rtol, atol, max_steps)
    runs = Runs(
        students=jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], student),
        targets=known,
        inputs=inputs,
        first=jnp.zeros((), jnp.int32),
        real=jnp.ones((), jnp.int32),
        freeze=tuple(freeze),
        count=1,
        solver=solver,
    )
    solution = run(solve_batch, runs, numbers.options(student, rates), 1)[0]
    return raise_unless(solution) if throw else solution


@renamed_arguments(lanes="slots")
def solve_many(
    students: TwoLayer | GatedTwoLayer | Starts,
    targets: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    flow_tolerance: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 4096,
    solver: FlowSolver | None = None,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """`solve` for a batch: every array of `students` has a leading axis `runs`, those of `targets`
    may have one.

    >>> students = jc.initialize.glorot_normal(key, 3, 7, activation=jc.activations.erf, runs=64)
    >>> solutions = jc.solve_many(students, target)
    >>> network = solutions.best.network

    Arguments:

    - `students`: networks, weights `(runs, n, d)`, or `initialize.Starts`, drawn run by run;
    - `targets`: one target for all runs, or one for each, along a leading axis `runs`;
    - `inputs`, `freeze`, `rates`, `gradient_tolerance`, `flow_tolerance`, `rtol`, `atol`,
      `max_steps`, `solver`: as for `solve`, the input distribution shared by all runs;
    - `slots`: the number of runs that are under way at a time (static); left out, it suits the
      size of the problem and the device;
    - `devices`: what share the runs between them (static); left out, these are all local ones, but
      on a CPU one, whose processes scale better than its threads;
    - `progress`: a function (static: another one compiles anew) that is told how many runs have
      left the queue, whenever another `slots` of them have, on every device for itself.

    Batches are filled up to the next of a few sizes (1, 4, 16, 64, 256, …) with runs that are not
    solved: 17, 40 and 64 runs are one compiled program. Nothing is raised for a run that does not
    converge: its `result` says so, and the others are not disturbed.
    Returns a `Solution` whose arrays have a leading axis `runs`; `sols.best` is the run of lowest
    risk, `sols[i]` run number i.
    Raises `ValueError` for input that does not fit.
    """
    return run_many(
        "solve_many",
        solve_batch,
        students,
        targets,
        Numbers(gradient_tolerance, flow_tolerance, rtol, atol, max_steps),
        inputs=inputs,
        freeze=freeze,
        rates=rates,
        solver=solver,
        slots=slots,
        devices=devices,
        progress=progress,
    )


@renamed_arguments(lanes="slots")
def flow_many(
    students: TwoLayer | GatedTwoLayer | Starts,
    targets: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    gradient_tolerance: float | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 4096,
    solver: FlowSolver | None = None,
    slots: int | None = None,
    devices: Sequence[jax.Device] | None = None,
    progress: Progress | None = None,
) -> Solution:
    """`gradient_flow` for a batch, followed by itself until `max|∂R/∂θ| ≤ gradient_tolerance`.

    Example: `jc.flow_many(students, target)`.

    Arguments:

    - `students`, `targets`: as for `solve_many`;
    - `gradient_tolerance`: 1e-8 in float64 and 1e-4 in float32 when left out;
    - `inputs`, `freeze`, `rates`, `rtol`, `atol`, `max_steps`, `solver`, `slots`, `devices`,
      `progress`: as for `solve_many`.

    Returns a `Solution` without spectrum. Raises the errors of `solve_many`.
    """
    return run_many(
        "flow_many",
        flow_batch,
        students,
        targets,
        Numbers(None, gradient_tolerance, rtol, atol, max_steps),
        inputs=inputs,
        freeze=freeze,
        rates=rates,
        solver=solver,
        slots=slots,
        devices=devices,
        progress=progress,
    )


def critical_points(
    students: TwoLayer | GatedTwoLayer | Starts,
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

    >>> points = jc.critical_points(students, target)
    >>> indices = points.index[points.converged]

    Levenberg–Marquardt with the exact Hessian; where it arrives depends on the start alone, and is
    close by where a critical point is: this is a search, and no flow. Its first steps are within a
    tenth of the start's size.

    Arguments:

    - `students`, `targets`: as for `solve_many`;
    - `max_steps` (traced): bounds the steps of a run, each of which costs one eigendecomposition;
    - `inputs`, `freeze`, `gradient_tolerance`, `slots`, `devices`: as for `solve_many`.

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
    return run_many(
        "critical_points",
        critical_batch,
        students,
        targets,
        Numbers(gradient_tolerance, max_steps=max_steps),
        inputs=inputs,
        freeze=freeze,
        slots=slots,
        devices=devices,
    )
