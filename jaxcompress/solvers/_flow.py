"""Gradient flow `dθ/dt = −rate·∇R(θ)` of one run, with its trajectory.

Static: sizes, activations, `freeze`, `max_steps`, the number of `save_at` times. Traced: everything
else, so a changed tolerance, rate or seed compiles nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import as_array, is_concrete
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import GatedTwoLayer, TwoLayer
from jaxcompress.risk.internal import Target, as_target
from jaxcompress.solvers._checks import check_start, checked_rates, raise_unless, unknowns_of
from jaxcompress.solvers._method import IMPLICIT_MOST, FlowSolver, check_solver
from jaxcompress.solvers._objective import AbstractObjective
from jaxcompress.solvers._objective_choice import measured, objective_of
from jaxcompress.solvers._solution import RESULTS, Solution, either
from jaxcompress.special.internal import precision


def gradient_flow(
    student: TwoLayer | GatedTwoLayer,
    target: Target,
    *,
    inputs: AbstractInputs | None = None,
    freeze: Sequence[str] = (),
    rates: Mapping[str, float] | None = None,
    t1: float = jnp.inf,
    gradient_tolerance: float | None = None,
    save_at: Sequence[float] | Float[Array, " times"] | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    max_steps: int = 4096,
    solver: FlowSolver | None = None,
    throw: bool = True,
) -> Solution:
    """Follow `dθ/dt = −rate·∇R(θ)` from a student until `max|∂R/∂θ| ≤ gradient_tolerance` or `t1`.

    >>> import jax
    >>> import jaxcompress as jc
    >>> erf, key = jc.activations.erf, jax.random.key(0)
    >>> target = jc.targets.orthonormal(6, 7, activation=erf)
    >>> student = jc.initialize.glorot_normal(key, 3, 7, activation=erf)
    >>> flow = jc.gradient_flow(student, target, save_at=[0.0, 1.0, 10.0, 100.0])
    >>> jax.vmap(jc.RiskProblem.of(target).risk)(flow.trajectory).shape
    (4,)

    Arguments:

    - `student`: one network, weights `(n, d)`, plain or gated; the flow starts here;
    - `target`: a network, weights `(k, d)`; `TargetMoments` (the risk is then `simplified_risk`);
      `Samples` (`empirical_risk`, and no `inputs`); or an `AbstractTarget` of your own;
    - `save_at (times,)`: ascending times at which to keep the network;
    - `inputs`: the distribution of the inputs, `StandardNormal()` when left out;
    - `freeze`: names of parameters that stay, any of "weights", "readout", "bias", "output_bias",
      "gate_weights", "gate_bias";
    - `rates`: a positive factor on the velocity by name, 1 each when left out;
    - `t1`: the end time;
    - `gradient_tolerance`: 1e-8 in float64 and 1e-4 in float32 when left out;
    - `rtol`, `atol`: the error allowed a step;
    - `max_steps`: the step budget;
    - `solver`: `solvers.Rodas5P()` (Steinebach 2023; the exact Hessian is its Jacobian) or
      `solvers.Chebyshev()` (explicit), stepped by diffrax. Left out, it is the first, and the
      second with thousands of unknowns;
    - `throw`: whether to raise when the run does not converge; pass `False` under `jit`.

    Returns a `Solution`, without spectrum; `stats["method"]` says how it was stepped.
    Raises `ValueError` for input that does not fit, `SolveError` when the run does not converge and
    `throw` is true (reaching a finite `t1` is no failure).
    """
    inputs = StandardNormal() if inputs is None else inputs
    known = as_target("gradient_flow", target)
    check_start("gradient_flow", student, known, inputs, freeze, rates)
    check_solver("gradient_flow", solver, unknowns_of(student, freeze))
    if gradient_tolerance is None:
        gradient_tolerance = precision(student.weights.dtype).flow
    dtype = student.weights.dtype
    names = ("t1", "gradient_tolerance", "rtol", "atol")
    numbers = (t1, gradient_tolerance, rtol, atol)
    options: dict = {
        name: jnp.asarray(number, dtype) for name, number in zip(names, numbers, strict=True)
    }
    options["rates"] = checked_rates(student, rates)
    times = None if save_at is None else _times(save_at, t1, student.weights.dtype)
    solution = _flow_once(student, known, inputs, tuple(freeze), options, times, max_steps, solver)
    return raise_unless(solution, allowed=RESULTS.time_reached) if throw else solution


def _times(save_at, t1: float, dtype) -> Array:
    """The times at which to keep the network.
    Raises `ValueError` unless they ascend between 0 and `t1`.
    """
    times = as_array("gradient_flow", "save_at", save_at).astype(dtype)
    if times.ndim != 1:
        raise ValueError(
            f"gradient_flow: given save_at of shape {times.shape}; expected (times,); pass a flat "
            "list"
        )
    if is_concrete(times) and is_concrete(t1):
        listed = np.asarray(times)
        if not (
            np.all(np.isfinite(listed))
            and np.all(np.diff(listed) >= 0)
            and np.all((listed >= 0) & (listed <= t1))
        ):
            raise ValueError(
                f"gradient_flow: given save_at {listed.tolist()} with t1 = {t1}; expected finite "
                "ascending times between 0 and t1; sort them or raise t1"
            )
    return times


@eqx.filter_jit
def _flow_once(student, target, inputs, freeze, options, times, max_steps, solver) -> Solution:
    objective = objective_of(
        measured(target, inputs, student, freeze), True, student, freeze, options["rates"]
    )
    return flow(objective, *objective.load(student, None), options, times, max_steps, solver)


@eqx.filter_custom_jvp
def _gradient(of: tuple[AbstractObjective, Any], y: Float[Array, " P"]) -> Float[Array, " P"]:
    """The gradient of one run; its derivative is the Hessian assembled in weight space, once for
    all tangents.
    """
    objective, own = of
    return objective.measure(y[:, None], own)[2][:, 0]


@_gradient.def_jvp
def _gradient_jvp(primals, tangents):
    (objective, own), y = primals
    return _gradient((objective, own), y), objective.hessian(y[:, None], own)[0] @ tangents[1]


def flow(
    objective: AbstractObjective,
    start: Float[Array, " P"],
    own: Any,
    options: dict,
    times: Float[Array, " times"] | None,
    max_steps: int,
    solver: FlowSolver | None = None,
) -> Solution:
    """The flow of one run from its unknowns, fit for `jit`; `own` as `objective.load` gives it."""
    import diffrax  # see `_diffrax`: slow to load, and only this function needs it

    from jaxcompress.solvers._diffrax import Chebyshev, Rodas5P

    if solver is None:
        solver = Rodas5P() if start.shape[0] <= IMPLICIT_MOST else Chebyshev()
    root, tolerance = objective.root, options["gradient_tolerance"]
    in_slot = jax.tree.map(lambda leaf: leaf[..., None], own)

    def velocity(t, y, args):
        return -_gradient((objective, in_slot), y)

    def arrived(t, y, args, **kwargs):
        return jnp.max(jnp.abs(_gradient((objective, in_slot), y)) / root) <= tolerance

    saved = [diffrax.SubSaveAt(t1=True)]
    saved += [] if times is None else [diffrax.SubSaveAt(ts=times)]
    out = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        cast(diffrax.AbstractSolver, solver),
        t0=0.0,
        t1=options["t1"],
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(subs=saved),
        stepsize_controller=diffrax.PIDController(rtol=options["rtol"], atol=options["atol"]),
        event=diffrax.Event(arrived),
        max_steps=max_steps,
        throw=False,
    )
    names = ("steps", "accepted_steps", "rejected_steps")
    stats = {**{name: out.stats[f"num_{name}"] for name in names}, "method": solver.batched().code}
    assert out.ys is not None  # what to save was stated above
    assert out.ts is not None
    reached = out.ys[0][-1]
    end = jnp.where(jnp.all(jnp.isfinite(reached)), reached, start)
    trajectory = None
    if times is not None:
        kept = jnp.where(jnp.isfinite(out.ts[1])[:, None], out.ys[1], end)
        trajectory = jax.vmap(lambda y: objective.network(y, own))(kept)
    return _end(objective, reached, end, own, out.ts[0][-1], options, stats, trajectory)


def _end(
    objective: AbstractObjective,
    reached: Float[Array, " P"],
    end: Float[Array, " P"],
    own: Any,
    time: Float[Array, ""],
    options: dict,
    stats: dict[str, Any],
    trajectory: TwoLayer | None,
) -> Solution:
    """What is known at the end: where the flow `reached` it, or the start where it broke down."""
    tolerance = options["gradient_tolerance"]
    in_slot = jax.tree.map(lambda leaf: leaf[..., None], own)
    risk, floor, gradient = (x[..., 0] for x in objective.measure(end[:, None], in_slot))
    gradient_norm = jnp.max(jnp.abs(gradient) / objective.root)
    converged = gradient_norm <= tolerance
    fine = jnp.all(jnp.isfinite(reached)) & jnp.isfinite(gradient_norm)
    result = either(time >= options["t1"], RESULTS.time_reached, RESULTS.max_steps_reached)
    result = either(fine, result, RESULTS.nonfinite)
    return Solution(
        network=objective.network(end, own),
        risk=risk,
        risk_floor=floor,
        gradient_norm=gradient_norm,
        converged=converged,
        time=time,
        result=either(converged, RESULTS.converged, result),
        stats=stats,
        trajectory=trajectory,
    )
