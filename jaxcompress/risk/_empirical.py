"""The empirical risk `mean_s ‖f(x_s) − y_s‖²`: finite data with the interface of the population
risk.

Letters: `h = φ(z)`, `h′`, `h″` of the pre-activations `z (samples, n)`; `x̄ = (x, 1)`; `r = f(x) −
y` the residuals; means are over samples. The Hessian is Gauss–Newton and what the residuals bend,
all of it products of matrices:

- own `(i, i)`: `2 E[(r·a_i) h″_i x̄x̄ᵀ]`, cross `(i, j)`: `2 a_i·a_j E[h′_i h′_j x̄x̄ᵀ]`;
- `(θ_i, a_l)`: `2 a_i E[h′_i h_l x̄]`, and for `l = i` also `2 E[r h′_i x̄]`; `(a_i, a_j)`: `2
  E[h_i h_j]`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_finite, check_floating
from jaxcompress.kernels import AbstractActivation, AbstractInputs, StandardNormal
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.networks.internal import offset_of
from jaxcompress.risk._population import RiskProblem
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._samples import Samples

# What a solver takes for a target.
Target = TwoLayer | TargetMoments | Samples

# Numbers in the slopes `h′ x̄` of the samples that a Hessian takes at a time: 128 MiB in float64.
_BLOCK = 2**24


class EmpiricalProblem(AbstractProblem):
    """Samples as a problem for the solvers. Build with `EmpiricalProblem.of(samples)`;
    `second_moment` is `mean ‖y‖²`.
    """

    samples: Samples
    second_moment: Float[Array, ""]

    @classmethod
    def of(cls, samples: Samples) -> "EmpiricalProblem":
        """Measure one data set. Raises `ValueError` for a batch of them."""
        if samples.runs:
            raise ValueError(
                f"EmpiricalProblem: given samples with leading axes {samples.runs}; expected one "
                "data set; use jax.vmap or solve_many for leading axes"
            )
        return cls(samples, jnp.mean(jnp.sum(samples.with_outputs() ** 2, axis=1)))

    def risk_and_floor(self, student):
        r, size = _residuals(student, self.samples)
        # |r| is known to ε·size, so r² to this much: near an interpolating student the floor falls
        # with the risk
        unsure = jnp.finfo(r.dtype).eps * jax.lax.stop_gradient(size)
        floor = jnp.mean(jnp.sum(unsure * (2 * jnp.abs(jax.lax.stop_gradient(r)) + unsure), axis=1))
        return jnp.mean(jnp.sum(r * r, axis=1)), floor


def problem_of(target: Target, inputs: AbstractInputs) -> AbstractProblem:
    """Measure whatever a solver takes for a target."""
    return (
        EmpiricalProblem.of(target)
        if isinstance(target, Samples)
        else RiskProblem.of(target, inputs)
    )


def empirical_risk(student: TwoLayer, samples: Samples) -> Float[Array, ""]:
    """`mean_s ‖f_student(x_s) − y_s‖²`, summed over outputs, without a factor ½: the risk on finite
    data.

    Arguments: a network and one data set of the same input dimension, outputs and dtype. Use
    `jax.vmap` for batches, `samples.batch(rows)` for minibatches.
    Returns a scalar ≥ 0; `jax.grad`, `jvp`, `hessian`, `jit` and `vmap` are safe. For samples drawn
    from a target's input law (`Samples.of`) its expectation is `population_risk`, and it is off by
    the standard deviation of `squared_errors` over the root of their number.
    Raises `ValueError` when the two do not fit together.
    """
    check_samples(student, samples)
    return EmpiricalProblem.of(samples).risk(student)


def squared_errors(student: TwoLayer, samples: Samples) -> Float[Array, " samples"]:
    """`‖f_student(x_s) − y_s‖²` of every sample, whose mean is `empirical_risk`. Arguments and
    errors as there.
    """
    check_samples(student, samples)
    return jnp.sum(_residuals(student, samples)[0] ** 2, axis=1)


def check_samples(
    student: TwoLayer, samples: Samples, inputs: AbstractInputs | None = None
) -> None:
    """Raise `ValueError` unless student and samples are such, finite, and of the same inputs,
    outputs and dtype.
    """
    for name, given, kind in (("student", student, TwoLayer), ("samples", samples, Samples)):
        if not isinstance(given, kind):
            raise ValueError(
                f"empirical_risk: given {name} of type {type(given).__name__}; expected a "
                f"{kind.__name__}; build a network with TwoLayer(weights, readout) and samples "
                "with Samples(inputs, targets)"
            )
    if student.weights.ndim != 2 or samples.runs:
        raise ValueError(
            f"empirical_risk: given a student with weights {student.weights.shape} and samples "
            f"with leading axes {samples.runs}; expected (n, d) and none; use jax.vmap or "
            "solve_many for leading axes"
        )
    if (student.dim, student.outputs) != (samples.dim, samples.outputs):
        raise ValueError(
            f"empirical_risk: given a student of input dimension {student.dim} with outputs "
            f"{student.outputs} and samples of input dimension {samples.dim} with outputs "
            f"{samples.outputs}; expected the same; None is one scalar output, targets (samples,)"
        )
    if inputs is not None and not isinstance(inputs, StandardNormal):
        raise ValueError(
            f"empirical_risk: given samples and a law of the inputs, {type(inputs).__name__}; "
            "expected samples alone, which are their own law; leave inputs out"
        )
    check_finite("empirical_risk: student", **student.parameters())
    check_finite("empirical_risk: samples", **samples.parameters())
    check_floating(
        "empirical_risk",
        **{"student's weights": student.weights, "samples' inputs": samples.inputs},
    )


def _residuals(
    student: TwoLayer, samples: Samples
) -> tuple[Float[Array, "samples o"], Float[Array, "samples o"]]:
    """Residuals and the sum of the sizes of what was added up in them, also inside the
    activations.
    """
    x, y = samples.inputs, samples.with_outputs()
    z, a = preactivations(student, x), student.readout_matrix
    hidden = student.activation(z)
    inside = jnp.abs(x) @ jnp.abs(student.weights).T
    if student.bias is not None:
        inside = inside + jnp.abs(student.bias)[None]
    moved = jnp.abs(hidden) + jnp.abs(student.activation.derivative(z)) * inside
    out, size = hidden @ a - y, moved @ jnp.abs(a) + jnp.abs(y)
    offset = offset_of(student)
    return (out, size) if offset is None else (out + offset[None], size + jnp.abs(offset)[None])


def preactivations(student: TwoLayer, x: Float[Array, "samples d"]) -> Float[Array, "samples n"]:
    """`w_i·x + bias_i`."""
    z = x @ student.weights.T
    return z if student.bias is None else z + student.bias[None]


def curvature(f: AbstractActivation, z: Array) -> Array:
    """The second derivative of an activation, entry by entry."""
    return jax.jvp(f.derivative, (z,), (jnp.ones_like(z),))[1]


class Blocks(NamedTuple):
    """What a Hessian is made of, by inner parameters `θ_i` and readouts; `lean` by an output
    bias.
    """

    inner: Float[Array, "n p n p"]
    outer: Float[Array, "n n"]
    mixed: Float[Array, "n p n o"]
    lean: tuple[Float[Array, "n p"], Float[Array, " n"]] | None


def empirical_blocks(samples: Samples, student: TwoLayer) -> Blocks:
    """The blocks on `x̄`, summed over as many samples at a time as memory allows."""
    count, n, p = samples.count, student.width, student.dim + 1
    size = min(count, max(1, _BLOCK // (n * p)))
    pieces = -(-count // size)
    short = pieces * size - count

    def cut(leaf: Array) -> Array:
        padded = (
            jnp.concatenate([leaf, jnp.zeros((short, *leaf.shape[1:]), leaf.dtype)])
            if short
            else leaf
        )
        return padded.reshape(pieces, size, *leaf.shape[1:])

    weight = jnp.full(count, 1 / count, samples.inputs.dtype)
    everything = jax.tree.map(cut, (samples.inputs, samples.with_outputs(), weight))
    if pieces == 1:
        sums = _sums(student, *jax.tree.map(lambda leaf: leaf[0], everything))
    else:
        parts = jax.eval_shape(
            lambda: _sums(student, *jax.tree.map(lambda leaf: leaf[0], everything))
        )
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), parts)
        add = lambda total, rows: (jax.tree.map(jnp.add, total, _sums(student, *rows)), None)  # noqa: E731
        sums, _ = jax.lax.scan(add, zeros, everything)
    cross, own, slopes, residual, tables, lean = sums
    a, diagonal = student.readout_matrix, np.arange(n)
    inner = 2 * (a @ a.T)[:, None, :, None] * cross
    inner = inner.at[diagonal, :, diagonal, :].add(2 * own)
    mixed = 2 * a[:, None, None, :] * slopes[..., None]
    mixed = mixed.at[diagonal, :, diagonal, :].add(2 * residual)
    return Blocks(inner, 2 * tables, mixed, lean)


def _sums(student: TwoLayer, x: Array, y: Array, weight: Array) -> tuple:
    """The means of the module's formulas over some samples."""
    n, p, a, f = student.width, student.dim + 1, student.readout_matrix, student.activation
    lifted = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1)
    z = preactivations(student, x)
    hidden, offset = f(z), offset_of(student)
    r = hidden @ a - y + (0 if offset is None else offset[None])
    slopes = (f.derivative(z)[:, :, None] * lifted[:, None]).reshape(-1, n * p)
    weighted = weight[:, None] * slopes
    bent = ((weight[:, None] * (r @ a.T) * curvature(f, z))[:, :, None] * lifted[:, None]).reshape(
        -1, n * p
    )
    light = weight[:, None] * hidden
    return (
        (slopes.T @ weighted).reshape(n, p, n, p),
        (bent.T @ lifted).reshape(n, p, p),
        (slopes.T @ light).reshape(n, p, n),
        (weighted.T @ r).reshape(n, p, -1),
        hidden.T @ light,
        (jnp.sum(weighted, 0).reshape(n, p), jnp.sum(light, 0)),
    )
