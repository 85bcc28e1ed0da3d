"""The population risk as quadratic forms of Gram tables.

Letters: student weights `W`, readout `a`; target weights `V`, readout `b`; `c` the difference of the output biases.
`R = aᵀG_WW a − 2aᵀG_WV b + bᵀG_VV b + 2c·(aᵀm_W − bᵀm_V) + c·c`, summed over outputs, with `m` the means
of the neurons: their table with a neuron that is always one.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress.kernels import (
    AbstractActivation,
    AbstractInputs,
    Affine,
    StandardNormal,
    check_finite,
    check_floating,
    table_in_blocks,
    table_times,
)
from jaxcompress.networks import TwoLayer

ONE = Affine(constant=1.0, slope=0.0)


class Layer(NamedTuple):
    """A network on standard normal inputs: weights, means of the pre-activations, readout with its axis of outputs."""

    weights: Float[Array, "n r"]
    mean: Float[Array, " n"] | None
    readout: Float[Array, "n o"]
    offset: Float[Array, " o"] | None


def as_layer(network: TwoLayer, inputs: AbstractInputs) -> Layer:
    """Absorb the input law into the weights and means, and give a scalar output its axis."""
    weights, mean = inputs.standardize(network.weights, network.bias)
    readout = network.readout[:, None] if network.outputs is None else network.readout
    offset = None if network.output_bias is None else jnp.atleast_1d(network.output_bias)
    return Layer(weights, mean, readout, offset)


class RiskProblem(eqx.Module):
    """A target under an input law, measured once: what is constant in the risk is computed here.

    Build with `RiskProblem.of(target, inputs)`. A PyTree: pass it through `jit` and `vmap` (a leading axis on
    every array is a batch of targets). `energy = E‖f_target‖²`, by which a relative risk divides.
    """

    layer: Layer
    inputs: AbstractInputs
    energy: Float[Array, ""]
    magnitude: Float[Array, ""]
    activation: AbstractActivation = eqx.field(static=True)

    @classmethod
    def of(cls, target: TwoLayer, inputs: AbstractInputs | None = None) -> "RiskProblem":
        """Measure a target. Raises `ValueError` when the law has another dimension than the target."""
        inputs = StandardNormal() if inputs is None else inputs
        check_compatible(target, target, inputs)
        layer = as_layer(target, inputs)
        own = _form(target.activation, layer, target.activation, layer)
        energy, magnitude = own.value, own.magnitude
        if layer.offset is not None:
            lean = _mean(target.activation, layer)
            energy += jnp.sum(layer.offset * (2 * lean.value + layer.offset))
            magnitude += jnp.sum(jnp.abs(layer.offset) * (2 * lean.magnitude + jnp.abs(layer.offset)))
        return cls(layer, inputs, energy, magnitude, target.activation)

    def risk(self, student: TwoLayer) -> Float[Array, ""]:
        """The risk of a student, never negative; differentiable like `population_risk`."""
        return self.risk_and_floor(student)[0]

    def floor(self, student: TwoLayer) -> Float[Array, ""]:
        """What rounding alone may have done to the risk: `ε` times the sum of the sizes of all its terms."""
        return self.risk_and_floor(student)[1]

    def risk_and_floor(self, student: TwoLayer) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Both, for the price of one."""
        value, magnitude = self._terms(student)
        # The value is clipped, the derivative is not: a flow near the floor still sees its gradient.
        risk = value + jax.lax.stop_gradient(jnp.maximum(value, 0) - value)
        return risk, jnp.finfo(value.dtype).eps * jax.lax.stop_gradient(magnitude)

    def student_layer(self, student: TwoLayer) -> Layer:
        """The student on standard normal inputs."""
        return as_layer(student, self.inputs)

    def _terms(self, student: TwoLayer) -> "_Terms":
        x, y = self.student_layer(student), self.layer
        own = _form(student.activation, x, student.activation, x)
        cross = _form(student.activation, x, self.activation, y)
        value = own.value - 2 * cross.value + self.energy
        magnitude = own.magnitude + 2 * cross.magnitude + self.magnitude
        if x.offset is None and y.offset is None:
            return _Terms(value, magnitude)
        lean_x = _mean(student.activation, x)
        if y.offset is not None:  # the target's own offset is in its energy: what is left is where it meets the student
            value -= 2 * jnp.sum(y.offset * lean_x.value)
            magnitude += 2 * jnp.sum(jnp.abs(y.offset) * lean_x.magnitude)
        if x.offset is not None:
            lean_y = _mean(self.activation, y)
            rest = lean_x.value - lean_y.value - (0 if y.offset is None else y.offset)
            value += jnp.sum(x.offset * (2 * rest + x.offset))
            magnitude += jnp.sum(2 * jnp.abs(x.offset) * (lean_x.magnitude + lean_y.magnitude) + x.offset**2)
        return _Terms(value, magnitude)


class _Terms(NamedTuple):
    """A sum and the sum of the sizes of what was added up in it."""

    value: Array
    magnitude: Array


def _form(f: AbstractActivation, x: Layer, g: AbstractActivation, y: Layer) -> _Terms:
    """`Σ_o aᵀ G b`."""
    value, sizes = table_times(f, g, x.weights, x.mean, y.weights, y.mean, y.readout)
    return _Terms(jnp.sum(x.readout * value), jnp.sum(jnp.abs(x.readout) * sizes))


def _means(f: AbstractActivation, x: Layer) -> Float[Array, " n"]:
    """`E φ(X_i)` for every neuron."""
    still = jnp.zeros((1, x.weights.shape[1]), x.weights.dtype)
    return table_in_blocks(f, ONE, x.weights, x.mean, still, None)[:, 0]


def _mean(f: AbstractActivation, x: Layer) -> _Terms:
    """`E f(x)` without its offset, one number an output."""
    means = _means(f, x)
    return _Terms(x.readout.T @ means, jnp.abs(x.readout).T @ jnp.abs(means))


def population_risk(student: TwoLayer, target: TwoLayer, *, inputs: AbstractInputs | None = None) -> Float[Array, ""]:
    """`E‖f_student(x) − f_target(x)‖²` over Gaussian inputs, summed over outputs, without a factor ½.

    Arguments: two networks of the same input dimension, outputs and dtype (activations may differ), and the law
    of the inputs (`StandardNormal()` when left out). Use `jax.vmap` for batches.
    Returns a scalar ≥ 0 in that dtype. `jax.grad`, `jvp`, `hessian`, `jit` and `vmap` are safe and exact, also
    where neurons coincide; a homogeneous neuron of zero norm has derivative zero.
    Raises `ValueError` when the networks or the law do not fit together.
    Memory: against a wide target of neurons without biases (ReLU, erf or affine) no table is held, only blocks. The
    target's table with itself is a constant of the student: `jax.jit(jax.grad(population_risk))` leaves it out, while
    the value (and `jax.grad` outside of `jit`) costs its `k²` pairs; `RiskProblem.of` pays them once.
    Where it fails: below `RiskProblem.of(target).floor(student)` (about ε times the squared norms) a value is
    rounding noise.
    References: Saad & Solla 1995 (erf); Cho & Saul 2009, Safran & Shamir 2018 (ReLU).
    """
    inputs = StandardNormal() if inputs is None else inputs
    check_compatible(student, target, inputs)
    return _risk_once(student, target, inputs)


@eqx.filter_jit
def _risk_once(student: TwoLayer, target: TwoLayer, inputs: AbstractInputs) -> Float[Array, ""]:
    return RiskProblem.of(target, inputs).risk(student)


def check_compatible(student: TwoLayer, target: TwoLayer, inputs: AbstractInputs) -> None:
    """Raise `ValueError` unless student, target and law are such, finite, and of the same inputs, outputs and dtype."""
    kinds = {"student": (student, TwoLayer), "target": (target, TwoLayer), "inputs": (inputs, AbstractInputs)}
    for name, (given, kind) in kinds.items():
        if not isinstance(given, kind):
            raise ValueError(
                f"population_risk: given {name} of type {type(given).__name__}; expected a {kind.__name__}; "
                "build a network with TwoLayer(weights, readout) and a law with Gaussian(mean, covariance)"
            )
    check_finite("population_risk: student", **student.parameters())
    check_finite("population_risk: target", **target.parameters())
    for name, network in (("student", student), ("target", target)):
        if network.weights.ndim != 2:
            raise ValueError(
                f"population_risk: given a {name} with weights of shape {network.weights.shape}; "
                "expected (n, d); use jax.vmap or solve_many for leading axes"
            )
    if student.dim != target.dim or inputs.dim not in (None, student.dim):
        law = "" if inputs.dim is None else f", inputs of dimension {inputs.dim}"
        raise ValueError(
            f"population_risk: given a student of input dimension {student.dim} and a target of input dimension "
            f"{target.dim}{law}; expected the same; pad the weights with zeros or reduce the law"
        )
    if student.outputs != target.outputs:
        raise ValueError(
            f"population_risk: given a student with {_outputs(student)} and a target with {_outputs(target)}; "
            "expected the same; a readout (n,) is one scalar output, (n, o) is o outputs"
        )
    check_floating(
        "population_risk",
        **{
            "student's weights": student.weights,
            "target's weights": target.weights,
            "inputs' mean": getattr(inputs, "mean", None),
        },
    )


def _outputs(network: TwoLayer) -> str:
    return "a scalar output" if network.outputs is None else f"{network.outputs} outputs"


def normal_equations(problem: RiskProblem, student: TwoLayer) -> tuple[Float[Array, "m m"], Float[Array, "m o"]]:
    """Matrix and right side whose solution is the readout of least risk for the student's hidden parameters.

    The risk is `tr(aᵀ matrix a − 2 aᵀ right) + const` in the stacked readout; `m = n`, or `n + 1` with the output
    bias last when the student has one.
    """
    f, g, x, y = student.activation, problem.activation, problem.student_layer(student), problem.layer
    matrix = table_in_blocks(f, f, x.weights, x.mean, x.weights, x.mean)
    right, _ = table_times(f, g, x.weights, x.mean, y.weights, y.mean, y.readout)
    if x.offset is None and y.offset is None:
        return matrix, right
    offset = jnp.zeros_like(y.readout[0]) if y.offset is None else y.offset
    means = _means(f, x)
    right += means[:, None] * offset[None, :]
    if x.offset is None:
        return matrix, right
    bottom = _means(g, y) @ y.readout + offset
    matrix = jnp.block([[matrix, means[:, None]], [means[None], jnp.ones((1, 1), matrix.dtype)]])
    return matrix, jnp.concatenate([right, bottom[None]])
