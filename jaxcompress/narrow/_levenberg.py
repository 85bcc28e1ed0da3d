"""Levenberg–Marquardt to zero risk, for networks that can interpolate: as an optimistix solver,
with lineax' Cholesky.

Letters: residuals `r = (f − y)/√n`, so that `½|r|² = ℓ` is the half risk; `J` their Jacobian, with
more columns than rows; damping `μ`. A step is `−Jᵀ (J Jᵀ + μ I)⁻¹ r`, a system of the size of the
samples. With `μ = θ ℓ` it converges quadratically wherever `J` keeps full rank, whether or not the
solution is isolated (Yamashita & Fukushima 2001); `θ` falls where the linear model is right and
rises where it is wrong. Optimistix' own method takes the same steps, by a QR decomposition of `[J;
√μ I]` and a Jacobian column by column, at the price of the number of parameters.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxcompress._internal.checks import check_finite, is_concrete
from jaxcompress._internal.deprecation import renamed_attribute
from jaxcompress.narrow._assumptions import check_assumptions
from jaxcompress.narrow._features import jacobian
from jaxcompress.narrow._width import is_count
from jaxcompress.networks import TwoLayer
from jaxcompress.risk import Samples
from jaxcompress.risk.internal import check_samples
from jaxcompress.special.internal import precision

# The first damping, as a share of the mean diagonal of J Jᵀ; θ after a good and after a bad step;
# the shares of the foreseen reduction that make a step good, and acceptable. With 2e-1, 1e-2 and
# 1e-4 as a first share the twelve problems of the study at m = 2n/d take 9 to 30 steps.
_FIRST, _FALL, _RISE, _GOOD, _TAKEN = 1e-2, 0.25, 4.0, 0.5, 1e-3
# Rejections in a row after which a run is given up: the damping has then grown by 4^20.
_PATIENCE = 20


class _State(eqx.Module):
    residual: Array
    matrix: Array
    theta: Array
    rejected: Array


class LevenbergMarquardt(optimistix.AbstractLeastSquaresSolver):
    """The method above, as a solver for `optimistix.least_squares`.

    `atol` is the half risk `½|r|²` at which it stops; optimistix asks for `rtol` and `norm`, which
    are not used. `options["jacobian"]` must be a function `(y, args) → (residual, matrix)` of flat
    vectors.

    Example: `fit` calls `optimistix.least_squares(residual, LevenbergMarquardt(atol=1e-20), …)`.
    """

    rtol: float = 0.0
    atol: float = 0.0
    norm: Callable[[PyTree], Array] = optimistix.max_norm

    def init(self, fn, y, args, options, f_struct, aux_struct, tags):
        residual, matrix = options["jacobian"](y, args)
        scale = jnp.sum(matrix * matrix) / matrix.shape[0]
        theta = _FIRST * scale / _nonzero(_half_square(residual))
        return _State(residual, matrix, theta, jnp.zeros((), jnp.int32))

    def step(self, fn, y, args, options, state, tags):
        r, j = state.residual, state.matrix
        now = _half_square(r)
        damping = state.theta * now
        gram = j @ j.T + damping * jnp.eye(r.shape[0], dtype=r.dtype)
        operator = lx.MatrixLinearOperator(gram, lx.positive_semidefinite_tag)
        dual = lx.linear_solve(operator, r, lx.Cholesky(), throw=False).value
        trial = y - j.T @ dual
        residual, matrix = options["jacobian"](trial, args)
        then, foreseen = _half_square(residual), _half_square(damping * dual)
        gain = (now - then) / _nonzero(now - foreseen)
        # false for NaN
        taken = (gain >= _TAKEN) & jnp.isfinite(then) & jnp.all(jnp.isfinite(matrix))
        # θ multiplies a half risk that has changed: what is to fall or rise is the damping
        factor = jnp.where(taken, jnp.where(gain >= _GOOD, _FALL, 1.0), _RISE)
        theta = jnp.maximum(state.theta * factor, jnp.finfo(r.dtype).tiny)
        new = _State(residual, matrix, theta, jnp.zeros_like(state.rejected))
        old = _State(r, j, theta, state.rejected + 1)
        pick = lambda a, b: jnp.where(taken, a, b)  # noqa: E731
        return pick(trial, y), jax.tree.map(pick, new, old), None

    def terminate(self, fn, y, args, options, state, tags):
        done = _half_square(state.residual) <= self.atol
        stuck = state.rejected >= _PATIENCE
        codes = optimistix.RESULTS
        return done | stuck, codes.where(
            done | ~stuck, codes.successful, codes.nonlinear_divergence
        )

    def postprocess(self, fn, y, aux, args, options, state, tags, result):
        return y, aux, {"half_risk": _half_square(state.residual)}


def _half_square(r: Array) -> Array:
    return 0.5 * jnp.sum(r * r)


def _nonzero(x: Array) -> Array:
    return jnp.where(x > 0, x, jnp.finfo(x.dtype).tiny)


class Fit(eqx.Module):
    """Networks that were fitted.

    - `network`: their parameters, with the leading axis of the students
    - `half_risk`: `‖f − y‖²/(2n)`, half of `empirical_risk`
    - `converged`: whether it is within the tolerance
    - `stats`: `"steps"`, the number of steps taken

    Example: `fit(starts, samples).half_risk.max()`.
    """

    network: TwoLayer
    half_risk: Float[Array, "*runs"]
    converged: Bool[Array, "*runs"]
    stats: dict[str, Int[Array, "*runs"]]

    loss = renamed_attribute("loss", "half_risk")
    steps = renamed_attribute("steps", 'stats["steps"]', lambda found: found.stats["steps"])


def fit(
    students: TwoLayer,
    samples: Samples,
    *,
    tolerance: float | Array | None = None,
    max_steps: int = 256,
) -> Fit:
    """Take students to zero risk by Levenberg–Marquardt; all parameters move.

    Arguments:

    - `students`: one network, or a leading axis `runs` of them
    - `samples`: shared by all runs, or with that axis too
    - `tolerance`: the half risk at which a run ends, traced; left out, 1e-21 in float64 and 1e-10
      in float32
    - `max_steps`: the most steps of a run (static)

    Returns a `Fit` with the leading axis of the students. Runs do not disturb each other; one that
    does not reach the tolerance says so in `converged`.
    Raises `ValueError` when students and samples do not fit together, for NaN in any run, and
    unless `max_steps` is a whole number of at least 1. Warns (`NarrowWarning`) as
    `check_assumptions`.
    Where it fails: below the counting width; and near it for bounded activations, if the targets
    are met only in the limit of infinite weights: there the step budget ends.

    Example: `fit(mirrored_lecun(key, min_width(32, 8), 8, activation=f), samples).converged`.
    """
    if (
        not isinstance(students, TwoLayer)
        or not isinstance(samples, Samples)
        or not is_count(max_steps)
    ):
        raise ValueError(
            f"narrow.fit: given students of type {type(students).__name__}, samples of type "
            f"{type(samples).__name__}, max_steps={max_steps}; expected a TwoLayer, Samples and a "
            "whole number of at least 1; build them with TwoLayer(weights, readout) and "
            "Samples(inputs, targets)"
        )
    runs = students.weights.shape[:-2]
    if len(runs) > 1 or samples.runs not in ((), runs):
        raise ValueError(
            f"narrow.fit: given students with leading axes {runs} and samples with {samples.runs}; "
            "expected at most one, and the same; use jax.vmap for more"
        )
    one = jax.tree.map(lambda leaf: leaf[0], students) if runs else students
    data = jax.tree.map(lambda leaf: leaf[0], samples) if samples.runs else samples
    check_samples("narrow.fit", one, data)
    check_finite("narrow.fit", **students.parameters(), **samples.parameters())  # of every run
    check_assumptions("narrow.fit", one, samples)
    if tolerance is None:
        tolerance = precision(one.weights.dtype).zero_loss
    if is_concrete(tolerance) and not tolerance >= 0:
        raise ValueError(
            f"narrow.fit: given tolerance={tolerance}; expected a number ≥ 0; leave it out for the "
            "default"
        )
    return _compiled(students, samples, jnp.asarray(tolerance, one.weights.dtype), max_steps)


@eqx.filter_jit
def _compiled(students: TwoLayer, samples: Samples, tolerance: Array, max_steps: int) -> Fit:
    def one(student: TwoLayer, rows: Samples) -> Fit:
        return _fit_one(student, rows, tolerance, max_steps)

    if students.weights.ndim == 2:
        return one(students, samples)
    return jax.vmap(one, in_axes=(0, 0 if samples.runs else None))(students, samples)


def _fit_one(student: TwoLayer, samples: Samples, tolerance: Array, max_steps: int) -> Fit:
    flat, unravel = ravel_pytree(student)
    share = samples.count**-0.5

    def residual(vector: Array, rows: Samples) -> Array:
        return share * (unravel(vector)(rows.inputs) - rows.targets).reshape(-1)

    def both(vector: Array, rows: Samples) -> tuple[Array, Array]:
        network = unravel(vector)
        return residual(vector, rows), share * jacobian(network, rows)

    out: optimistix.Solution = optimistix.least_squares(
        residual,
        LevenbergMarquardt(atol=tolerance),  # type: ignore[arg-type]  # traced
        flat,
        args=samples,
        options={"jacobian": both},
        max_steps=max_steps,
        adjoint=optimistix.ImplicitAdjoint(),
        throw=False,
    )
    half_risk = out.state.residual @ out.state.residual / 2
    steps = out.stats["num_steps"].astype(jnp.int32)
    return Fit(unravel(out.value), half_risk, half_risk <= tolerance, {"steps": steps})
