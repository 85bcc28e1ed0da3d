"""The population risk as quadratic forms of Gram tables.

Letters: student weights `W`, readout `a`; target weights `V`, readout `b`; `c` the difference of
the output biases. `R = aᵀG_WW a − 2aᵀG_WV b + bᵀG_VV b + 2c·(aᵀm_W − bᵀm_V) + c·c`, summed over
outputs, with `m` the means of the neurons: their table with a neuron that is always one.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.checks import check_finite, check_floating
from jaxcompress._internal.deprecation import renamed_attribute
from jaxcompress.kernels import AbstractInputs, StandardNormal, activations
from jaxcompress.kernels.internal import table_in_blocks, table_times
from jaxcompress.networks import TargetMoments, TwoLayer
from jaxcompress.networks.internal import (
    Layer,
    Sized,
    as_layer,
    neuron_means,
    offset_of,
    orders_second_moment,
)
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._terms import measured, terms


class RiskProblem(AbstractProblem):
    """A target under an input law, measured once: what is constant in the risk is computed here.

    Build with `RiskProblem.of(target, inputs)`. A PyTree: pass it through `jit` and `vmap` (a
    leading axis on every array is a batch of targets). `second_moment = E‖f_target‖²`, by which a
    relative risk divides, `magnitude` the size of its terms, `average = E f_target`. The target is
    the sum of `layers` and of `offset`; from `moments` these are its projection on polynomials
    (`_of_moments`), and the risk is the simplified one.
    """

    layers: tuple[Layer, ...]
    offset: Float[Array, " o"] | None
    inputs: AbstractInputs
    second_moment: Float[Array, ""]
    magnitude: Float[Array, ""]
    average: Sized
    moments: TargetMoments | None = None

    energy = renamed_attribute("second_moment")

    @classmethod
    def of(
        cls, target: TwoLayer | TargetMoments, inputs: AbstractInputs | None = None
    ) -> "RiskProblem":
        """Measure a target. Raises `ValueError` when the law has another dimension than the
        target.
        """
        inputs = StandardNormal() if inputs is None else inputs
        if isinstance(target, TargetMoments):
            return _of_moments(target, inputs)
        check_compatible(target, target, inputs)
        layer, offset = as_layer(target, inputs), offset_of(target)
        second_moment, average = measured(layer, offset)
        return cls((layer,), offset, inputs, *second_moment, average)

    def risk_and_floor(self, student):
        value, size = terms(self, self.student_layer(student), offset_of(student))
        # The value is clipped, the derivative is not: a flow near the floor still sees its
        # gradient.
        risk = value + jax.lax.stop_gradient(jnp.maximum(value, 0) - value)
        return risk, jnp.finfo(value.dtype).eps * jax.lax.stop_gradient(size)

    def student_layer(self, student: TwoLayer) -> Layer:
        """The student on standard normal inputs."""
        return as_layer(student, self.inputs)

    def gap(self, offset: Float[Array, " o"] | None) -> Sized | None:
        """What is left of a student's offset beside the target's, and its size; `None` where
        neither has one.
        """
        if self.offset is None:
            return None if offset is None else Sized(offset, jnp.abs(offset))
        own = jnp.zeros_like(self.offset) if offset is None else offset
        return Sized(own - self.offset, jnp.abs(own) + jnp.abs(self.offset))


def _of_moments(moments: TargetMoments, inputs: AbstractInputs) -> RiskProblem:
    """The polynomial `C + T·z + ½⟨Q, zzᵀ − I⟩` as a target: its product with any student has the
    target's own moments.

    Linear neurons carry `T`, quadratic ones along the eigenvectors of `Q` the rest. Derivatives by
    `Q` itself would have to pass through these.
    """
    _check_moments(moments, inputs)
    constant, linear, quadratic = moments.with_outputs()
    unit = jnp.eye(linear.shape[0], dtype=linear.dtype)
    layers = [Layer(linear, None, unit, activations.identity)]
    if quadratic is not None:
        values, vectors = jnp.linalg.eigh(quadratic)
        rows = jnp.swapaxes(vectors, 1, 2).reshape(-1, linear.shape[1])
        # ½ λ ((u·z)² − 1) is λ/√2 times the orthonormal polynomial of degree 2
        readout = (unit[:, None] * values[:, :, None] / math.sqrt(2)).reshape(-1, linear.shape[0])
        layers.append(Layer(rows, None, readout, activations.hermite(2)))
    # A target has at least the second moment of its orders; less, from a wide estimate, would clip
    # many risks to one zero.
    second_moment = jnp.maximum(
        moments.second_moment, orders_second_moment(constant, linear, quadratic)
    )
    average = Sized(constant, jnp.abs(constant))
    return RiskProblem(
        tuple(layers), constant, inputs, second_moment, second_moment, average, moments
    )


def population_risk(
    student: TwoLayer, target: TwoLayer, *, inputs: AbstractInputs | None = None
) -> Float[Array, ""]:
    """`E‖f_student(x) − f_target(x)‖²` over Gaussian inputs, summed over outputs, without a factor
    ½.

    Arguments: two networks of the same input dimension, outputs and dtype (activations may differ),
    and the law of the inputs (`StandardNormal()` when left out). Use `jax.vmap` for batches.
    Returns a scalar ≥ 0 in that dtype. `jax.grad`, `jvp`, `hessian`, `jit` and `vmap` are safe and
    exact, also where neurons coincide; a homogeneous neuron of zero norm has derivative zero.
    Raises `ValueError` when the networks or the law do not fit together.
    Memory: against a wide target of neurons without biases (ReLU, erf or affine) no table is held,
    only blocks. The target's table with itself is a constant of the student:
    `jax.jit(jax.grad(population_risk))` leaves it out, while the value (and `jax.grad` outside of
    `jit`) costs its `k²` pairs; `RiskProblem.of` pays them once.
    Where it fails: below `RiskProblem.of(target).floor(student)` (about ε times the squared norms)
    a value is rounding noise.
    References: Saad & Solla 1995 (erf); Cho & Saul 2009, Safran & Shamir 2018 (ReLU).
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_network("population_risk", target)
    check_compatible(student, target, inputs)
    return _risk_once(student, target, inputs)


@eqx.filter_jit
def _risk_once(student: TwoLayer, target: TwoLayer, inputs: AbstractInputs) -> Float[Array, ""]:
    return RiskProblem.of(target, inputs).risk(student)


def check_network(where: str, target: object) -> None:
    """Raise `ValueError` for moments where the neurons themselves are needed."""
    if isinstance(target, TargetMoments):
        raise ValueError(
            f"{where}: given the moments of a target; expected the target, a TwoLayer; moments "
            f"are for simplified_risk"
        )


def check_compatible(
    student: TwoLayer, target: TwoLayer | TargetMoments, inputs: AbstractInputs
) -> None:
    """Raise `ValueError` unless student, target and law are such, finite, and of the same inputs,
    outputs and dtype.
    """
    kinds: dict[str, tuple] = {"student": (student, TwoLayer), "inputs": (inputs, AbstractInputs)}
    if not isinstance(target, TargetMoments):
        kinds["target"] = (target, TwoLayer)
    for name, (given, kind) in kinds.items():
        if not isinstance(given, kind):
            raise ValueError(
                f"population_risk: given {name} of type {type(given).__name__}; expected a "
                f"{kind.__name__}; build a network with TwoLayer(weights, readout) and a law with "
                "Gaussian(mean, covariance)"
            )
    check_finite("population_risk: student", **student.parameters())
    check_finite("population_risk: target", **target.parameters())
    _check_single("student", student.weights)
    if isinstance(target, TwoLayer):
        _check_single("target", target.weights)
    else:
        _check_moments(target, inputs)
    _check_dimensions(student, target, inputs)
    if student.outputs != target.outputs:
        raise ValueError(
            f"population_risk: given a student with {_outputs(student)} and a target with "
            f"{_outputs(target)}; expected the same; a readout (n,) is one scalar output, (n, o) "
            "is o outputs"
        )
    first = next(iter(target.parameters()))
    check_floating(
        "population_risk",
        **{
            "student's weights": student.weights,
            f"target's {first}": target.parameters()[first],
            "inputs' mean": getattr(inputs, "mean", None),
        },
    )


def _check_moments(moments: TargetMoments, inputs: AbstractInputs) -> None:
    if moments.runs:
        raise ValueError(
            f"simplified_risk: given moments with leading axes {moments.runs}; expected those of "
            "one target; use jax.vmap or solve_many for leading axes"
        )
    check_finite("simplified_risk: moments", **moments.parameters())
    seen = moments.dim
    if inputs.dim is not None:  # moments are those of the standard normal inputs behind the law
        weights = jnp.zeros((1, inputs.dim), moments.linear.dtype)
        seen = jax.eval_shape(inputs.standardize, weights, None)[0].shape[1]
    if seen != moments.dim:
        raise ValueError(
            f"simplified_risk: given moments of standard normal dimension {moments.dim} and inputs "
            f"of dimension {inputs.dim} with {seen} of variance; expected the law under which the "
            "moments were taken"
        )


def _check_single(name: str, weights: Array) -> None:
    if weights.ndim != 2:
        raise ValueError(
            f"population_risk: given a {name} with weights of shape {weights.shape}; "
            "expected (n, d); use jax.vmap or solve_many for leading axes"
        )


def _check_dimensions(
    student: TwoLayer, target: TwoLayer | TargetMoments, inputs: AbstractInputs
) -> None:
    law = "" if inputs.dim is None else f", inputs of dimension {inputs.dim}"
    # moments under another law have the dimension of the standard normal inputs behind it
    # (`_check_moments`)
    beside = isinstance(target, TargetMoments) and inputs.dim is not None
    if inputs.dim in (None, student.dim) and (beside or student.dim == target.dim):
        return
    kind = (
        "a target of input dimension"
        if isinstance(target, TwoLayer)
        else "moments, of standard normal dimension"
    )
    raise ValueError(
        f"population_risk: given a student of input dimension {student.dim} and {kind} "
        f"{target.dim}{law}; expected the same; pad the weights with zeros or reduce the law"
    )


def _outputs(network: TwoLayer | TargetMoments) -> str:
    return "a scalar output" if network.outputs is None else f"{network.outputs} outputs"


def normal_equations(
    problem: RiskProblem, student: TwoLayer
) -> tuple[Float[Array, "m m"], Float[Array, "m o"]]:
    """Matrix and right side whose solution is the readout of least risk for the student's hidden
    parameters.

    The risk is `tr(aᵀ matrix a − 2 aᵀ right) + const` in the stacked readout; `m = n`, or `n + 1`
    with the output bias last when the student has one.
    """
    x, f = problem.student_layer(student), student.activation
    matrix = table_in_blocks(f, f, x.weights, x.mean, x.weights, x.mean)
    right = jnp.zeros((student.width, x.readout.shape[1]), matrix.dtype)
    for y in problem.layers:
        right += table_times(f, y.activation, x.weights, x.mean, y.weights, y.mean, y.readout)[0]
    if student.output_bias is None and problem.offset is None:
        return matrix, right
    means = neuron_means(x)
    if problem.offset is not None:
        right += means[:, None] * problem.offset[None, :]
    if student.output_bias is None:
        return matrix, right
    matrix = jnp.block([[matrix, means[:, None]], [means[None], jnp.ones((1, 1), matrix.dtype)]])
    return matrix, jnp.concatenate([right, problem.average.value[None]])
