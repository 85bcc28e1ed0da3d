"""Gradient flow `dθ/dt = −rate·∇R(θ)`, stiff, followed until the gradient is gone.

Static: sizes, activations, `freeze`, `max_steps`, the number of `save_at` times. Traced: everything else, so a changed
tolerance, rate or seed compiles nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractInputs, StandardNormal, as_array, is_concrete
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import RiskProblem, check_compatible, hessian, parameter_mask
from jaxcompress.solve._solution import RESULTS, Solution, SolveError, either
from jaxcompress.special import precision


class Motion(eqx.Module):
    """The moving parameters of a student as one flat vector, with the risk's derivatives in it.

    `frozen` is the whole student, flattened; entries where `moving` is false keep its values.
    """

    problem: RiskProblem
    frozen: Float[Array, " all"]
    template: TwoLayer
    freeze: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(cls, problem: RiskProblem, student: TwoLayer, freeze: Sequence[str]) -> "Motion":
        """Split a student into what moves and what does not. Raises `ValueError` for unknown names."""
        flat, _ = ravel_pytree(student)
        parameter_mask(student, freeze)
        return cls(problem, flat, student, tuple(freeze))

    @property
    def moving(self):
        """Positions of the moving parameters in the flattened student, ascending."""
        return parameter_mask(self.template, self.freeze).nonzero()[0]

    def vector(self) -> Float[Array, " P"]:
        """The moving parameters of the student that this was made of."""
        return self.frozen[self.moving]

    def network(self, vector: Float[Array, " P"]) -> TwoLayer:
        """The student with these values of its moving parameters."""
        _, unravel = ravel_pytree(self.template)
        return unravel(self.frozen.at[self.moving].set(vector))

    def risk(self, vector: Float[Array, " P"]) -> Float[Array, ""]:
        """The risk at these moving parameters."""
        return self.problem.risk(self.network(vector))

    def gradient(self, vector: Float[Array, " P"]) -> Float[Array, " P"]:
        """Its gradient; its own derivative is the Hessian that is assembled in weight space, once for all tangents."""
        return _gradient(self, vector)

    def value_and_gradient(self, vector: Float[Array, " P"]) -> tuple[tuple[Array, Array], Float[Array, " P"]]:
        """`(risk, rounding floor)` and the gradient from one evaluation."""

        def risk(v: Array) -> tuple[Array, tuple[Array, Array]]:
            both = self.problem.risk_and_floor(self.network(v))
            return both[0], both

        (_, both), gradient = jax.value_and_grad(risk, has_aux=True)(vector)
        return both, gradient

    def hessian(self, vector: Float[Array, " P"]) -> Float[Array, "P P"]:
        """Its Hessian."""
        return hessian(self.problem, self.network(vector), self.freeze)

    def scale(self, rates: Mapping[str, Array]) -> Float[Array, " P"]:
        """The rate of every moving parameter."""
        pieces = [
            jnp.full(array.size, rates.get(name, 1.0), array.dtype)
            for name, array in self.template.parameters().items()
        ]
        return jnp.concatenate(pieces)[self.moving]


@eqx.filter_custom_jvp
def _gradient(motion: Motion, vector: Array) -> Array:
    return jax.grad(motion.risk)(vector)


@_gradient.def_jvp
def _gradient_jvp(primals, tangents):
    motion, vector = primals
    return _gradient(motion, vector), motion.hessian(vector) @ tangents[1]


def gradient_flow(
    student: TwoLayer,
    target: TwoLayer,
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
    throw: bool = True,
) -> Solution:
    """Follow `dθ/dt = −rate·∇R(θ)` from a student until `max|∂R/∂θ| ≤ gradient_tolerance` or `t1`.

    Arguments: `student`, `target`, `inputs` as for `population_risk`; `gradient_tolerance`, 1e-8 in float64 and 1e-4 in
    float32 when left out; `freeze`, names of parameters that stay
    (any of "weights", "readout", "bias", "output_bias"); `rates`, a positive factor on the velocity by name (default
    1 each); `t1`, the end time; `save_at (times,)`, ascending times at which to keep the network; `rtol`, `atol`, the
    error allowed a step; `max_steps`, the step budget.
    Returns a `Solution`, without spectrum. Method: Kvaerno's fifth-order ESDIRK (Kvaerno 2004, by diffrax) with the
    exact Hessian as its Jacobian.
    Raises `ValueError` for input that does not fit, `SolveError` when the run does not converge and `throw` is true
    (reaching a finite `t1` is no failure).
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_start(student, target, inputs, freeze, rates)
    if gradient_tolerance is None:
        gradient_tolerance = precision(student.weights.dtype).flow
    options = flow_options(student, rates, t1, gradient_tolerance, rtol, atol)
    times = None if save_at is None else _times(save_at, t1, student.weights.dtype)
    solution = _flow_once(student, target, inputs, tuple(freeze), options, times, max_steps)
    return raise_unless(solution, allowed=RESULTS.time_reached) if throw else solution


def _times(save_at, t1: float, dtype) -> Array:
    """The times at which to keep the network. Raises `ValueError` unless they ascend between 0 and `t1`."""
    times = as_array("gradient_flow", "save_at", save_at).astype(dtype)
    if times.ndim != 1:
        raise ValueError(f"gradient_flow: given save_at of shape {times.shape}; expected (times,); pass a flat list")
    if is_concrete(times) and is_concrete(t1):
        listed = np.asarray(times)
        if not (
            np.all(np.isfinite(listed)) and np.all(np.diff(listed) >= 0) and np.all((listed >= 0) & (listed <= t1))
        ):
            raise ValueError(
                f"gradient_flow: given save_at {listed.tolist()} with t1 = {t1}; expected finite ascending times "
                "between 0 and t1; sort them or raise t1"
            )
    return times


def check_start(
    student: TwoLayer,
    target: TwoLayer,
    inputs: AbstractInputs,
    freeze: Sequence[str],
    rates: Mapping[str, float] | None,
) -> None:
    """Raise `ValueError` for whatever cannot be solved. Leading axes have been taken off."""
    check_compatible(student, target, inputs)
    if not parameter_mask(student, freeze).any():
        raise ValueError(
            f"solve: given freeze={tuple(freeze)!r}, which leaves nothing to move; expected a parameter that moves; "
            "free at least one parameter"
        )
    names = tuple(student.parameters())
    unknown = [name for name in rates or () if name not in names]
    bad = {name: rate for name, rate in (rates or {}).items() if is_concrete(rate) and not rate > 0}
    if unknown or bad:
        raise ValueError(
            f"solve: given rates {dict(rates or {})}; expected positive numbers for names among {names}; "
            "use freeze to stop a parameter"
        )


def flow_options(student: TwoLayer, rates: Mapping[str, float] | None, *numbers: float) -> dict:
    """The traced options as arrays of the working dtype."""
    dtype = student.weights.dtype
    names = ("t1", "gradient_tolerance", "rtol", "atol")
    out: dict = {name: jnp.asarray(number, dtype) for name, number in zip(names, numbers, strict=True)}
    # all names, whichever were given: another set of rates compiles nothing
    out["rates"] = {name: jnp.asarray((rates or {}).get(name, 1.0), dtype) for name in student.parameters()}
    return out


def raise_unless(solution: Solution, allowed: Any = None) -> Solution:
    """The solution, or a `SolveError` with the message of its code."""
    if not bool(solution.converged) and (allowed is None or not bool(solution.result == allowed)):
        raise SolveError(f"{solution.message} (max|∂R/∂θ| = {float(solution.gradient_norm):.3g})")
    return solution


@eqx.filter_jit
def _flow_once(student, target, inputs, freeze, options, times, max_steps) -> Solution:
    motion = Motion.of(RiskProblem.of(target, inputs), student, freeze)
    return flow(motion, options, times, max_steps)


def flow(motion: Motion, options: dict, times: Array | None, max_steps: int) -> Solution:
    """The flow of one run, traceable and fit for `vmap`."""
    start = motion.vector()
    scale, tolerance = motion.scale(options["rates"]), options["gradient_tolerance"]

    def velocity(t, y, args):
        return -scale * motion.gradient(y)

    def arrived(t, y, args, **kwargs):
        return jnp.max(jnp.abs(motion.gradient(y))) <= tolerance

    end_only = diffrax.SubSaveAt(t1=True)
    saveat = diffrax.SaveAt(subs=[end_only] if times is None else [end_only, diffrax.SubSaveAt(ts=times)])
    out = diffrax.diffeqsolve(
        diffrax.ODETerm(velocity),
        # A full Newton iteration a stage: with diffrax's default chord iteration half of the steps are rejected (645 of
        # 1347 on erf, n = 3, k = 6, rtol 1e-6, against 1 of 127).
        diffrax.Kvaerno5(root_finder=diffrax.with_stepsize_controller_tols(optimistix.Newton)()),
        t0=0.0,
        t1=options["t1"],
        dt0=None,
        y0=start,
        saveat=saveat,
        stepsize_controller=diffrax.PIDController(rtol=options["rtol"], atol=options["atol"]),
        event=diffrax.Event(arrived),
        max_steps=max_steps,
        throw=False,
    )
    assert out.ys is not None  # what to save was stated above
    assert out.ts is not None
    end, end_time = out.ys[0][-1], out.ts[0][-1]
    fine = jnp.all(jnp.isfinite(end))
    end = jnp.where(fine, end, start)
    trajectory = None
    if times is not None:
        kept = jnp.where(jnp.isfinite(out.ts[1])[:, None], out.ys[1], end)
        trajectory = jax.vmap(motion.network)(kept)
    (risk, floor), gradient = motion.value_and_gradient(end)
    gradient_norm = jnp.max(jnp.abs(gradient))
    converged = gradient_norm <= tolerance
    result = either(end_time >= options["t1"], RESULTS.time_reached, RESULTS.max_steps_reached)
    result = either(fine & jnp.isfinite(gradient_norm), result, RESULTS.nonfinite)
    network = motion.network(end)
    return Solution(
        network=network,
        risk=risk,
        risk_floor=floor,
        gradient_norm=gradient_norm,
        converged=converged,
        time=end_time,
        result=either(converged, RESULTS.converged, result),
        stats={name: out.stats[f"num_{name}"] for name in ("steps", "accepted_steps", "rejected_steps")},
        trajectory=trajectory,
    )
