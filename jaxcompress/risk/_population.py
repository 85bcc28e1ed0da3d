"""The population risk as quadratic forms of Gram tables, and the targets that it is measured
against.

Letters: student weights `W`, readout `a`; target weights `V`, readout `b`; `c` the difference of
the output biases. `R = aᵀG_WW a − 2aᵀG_WV b + bᵀG_VV b + 2c·(aᵀm_W − bᵀm_V) + c·c`, summed over
outputs, with `m` the means of the neurons: their table with a neuron that is always one.
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcompress._internal.deprecation import renamed_attribute
from jaxcompress.kernels import AbstractInputs, StandardNormal
from jaxcompress.networks import GatedTwoLayer, TargetMoments, TwoLayer
from jaxcompress.networks.internal import (
    AbstractNetwork,
    GatedLayer,
    Layer,
    Sized,
    layer_of,
    offset_of,
)
from jaxcompress.risk._centred_target import CentredPolynomial, CentredTarget
from jaxcompress.risk._checks import check_pair, check_target
from jaxcompress.risk._curvature import population_hessian
from jaxcompress.risk._polynomial import polynomial
from jaxcompress.risk._problem import AbstractProblem
from jaxcompress.risk._target import AbstractTarget
from jaxcompress.risk._terms import measured, terms
from jaxcompress.special.internal import divide


class RiskProblem(AbstractProblem):
    """A target under an input distribution, measured once: all that is constant in the risk.

    Build with `RiskProblem.of(target, inputs)`. A PyTree: pass it through `jit` and `vmap` (a
    leading axis on every array is a batch of targets). `second_moment = E‖f_target‖²`, by which a
    relative risk divides, `magnitude` the sum of the absolute values of its terms, `average = E
    f_target`. The target is the sum of `layers` and of `offset`; from `moments` these are its
    projection on polynomials, and the risk is the simplified one.

    >>> problem = jc.RiskProblem.of(jc.targets.orthonormal(6, 7, activation=jc.activations.erf))
    >>> risk, floor = problem.risk(student), problem.floor(student)
    >>> hessian = problem.hessian(student)
    """

    layers: tuple[Layer | GatedLayer, ...]
    offset: Float[Array, " o"] | None
    inputs: AbstractInputs
    second_moment: Float[Array, ""]
    magnitude: Float[Array, ""]
    average: Sized
    moments: TargetMoments | None = None
    energy = renamed_attribute("energy", "second_moment")

    @classmethod
    def of(
        cls,
        target: TwoLayer | GatedTwoLayer | TargetMoments,
        inputs: AbstractInputs | None = None,
    ) -> "RiskProblem":
        """Measure a network, or the moments of one.

        Raises `ValueError` for other targets (use their own `problem(inputs)`), and when the law
        has another dimension than the target.
        """
        inputs = StandardNormal() if inputs is None else inputs
        known = as_target("RiskProblem.of", target)
        if not isinstance(known, NetworkTarget | MomentsTarget):
            raise ValueError(
                f"RiskProblem.of: given a target of type {type(target).__name__}; expected a "
                "TwoLayer, a GatedTwoLayer or TargetMoments; call its own problem(inputs)"
            )
        check_target("RiskProblem.of", known, inputs)
        return known.problem(inputs)

    def risk_and_floor(self, student):
        value, size = terms(self, self.student_layer(student), offset_of(student))
        # The value is clipped, the derivative is not: a flow near the floor still sees its
        # gradient.
        risk = value + jax.lax.stop_gradient(jnp.maximum(value, 0) - value)
        return risk, jnp.finfo(value.dtype).eps * jax.lax.stop_gradient(size)

    def hessian(self, student, freeze=()):
        if any(isinstance(x, GatedLayer) for x in (self.student_layer(student), *self.layers)):
            return AbstractProblem.hessian(self, student, freeze)
        return population_hessian(self, self.inputs, student, freeze)

    def student_layer(self, student: AbstractNetwork) -> Layer | GatedLayer:
        """The student on standard normal inputs."""
        return layer_of(student, self.inputs)

    def gap(self, offset: Float[Array, " o"] | None) -> Sized | None:
        """The student's offset less the target's, with the sum of their absolute values; `None`
        where neither has one.
        """
        if self.offset is None:
            return None if offset is None else Sized(offset, jnp.abs(offset))
        offset = jnp.zeros_like(self.offset) if offset is None else offset
        return Sized(offset - self.offset, jnp.abs(offset) + jnp.abs(self.offset))

    def short_form(self):
        if not isinstance(self.inputs, StandardNormal):
            return None
        known: dict[str, Any] = {"second_moment": self.second_moment, "magnitude": self.magnitude}
        if self.moments is not None:
            constant, linear, quadratic = self.moments.with_outputs()
            return CentredPolynomial(constant=constant, linear=linear, quadratic=quadratic, **known)
        layer, *others = self.layers
        if others or isinstance(layer, GatedLayer):
            return None
        if layer.mean is not None or self.offset is not None:
            return None
        return CentredTarget(
            weights=layer.weights, readout=layer.readout, activation=layer.activation, **known
        )


class NetworkTarget(AbstractTarget):
    """A network as a target."""

    kind: ClassVar[str] = "networks"

    network: TwoLayer | GatedTwoLayer

    @property
    def dim(self):
        return self.network.dim

    @property
    def outputs(self):
        return self.network.outputs

    @property
    def runs(self):
        return self.network.weights.shape[:-2]

    @property
    def pairs(self):
        return self.network.width

    def parameters(self):
        return self.network.parameters()

    def problem(self, inputs) -> RiskProblem:
        layer, offset = layer_of(self.network, inputs), offset_of(self.network)
        second_moment, average = measured(layer, offset)
        return RiskProblem(
            layers=(layer,),
            offset=offset,
            inputs=inputs,
            second_moment=second_moment.value,
            magnitude=second_moment.size,
            average=average,
        )

    def span(self):
        return self.network.input_rows()

    def in_span(self, rows):
        return NetworkTarget(self.network.with_input_rows(rows))

    def short_form(self, activation):
        network = self.network
        plain = network.bias is None and network.output_bias is None
        if not plain or isinstance(network, GatedTwoLayer) or network.activation != activation:
            return None
        return CentredTarget.of(network)


class MomentsTarget(AbstractTarget):
    """The lowest Hermite orders of a target, as the polynomial that has them."""

    kind: ClassVar[str] = "moments"
    measured_by: ClassVar[str] = "simplified_risk"

    moments: TargetMoments

    @property
    def dim(self):
        return self.moments.dim

    @property
    def outputs(self):
        return self.moments.outputs

    @property
    def runs(self):
        return self.moments.runs

    @property
    def pairs(self):
        return 1 if self.moments.order == 1 else self.moments.dim

    def parameters(self):
        return self.moments.parameters()

    def problem(self, inputs) -> RiskProblem:
        return _of_moments(self.moments, inputs)

    def span(self):
        """The directions of the linear part, one an output."""
        if self.moments.order > 1:
            return None
        linear = self.moments.with_outputs()[1]
        first = jnp.eye(1, linear.shape[-1], dtype=linear.dtype)
        first = first.reshape((1,) * (linear.ndim - 1) + linear.shape[-1:])
        lengths = _lengths(linear)
        # the first axis stands for the direction of a linear part that is zero
        return jnp.where(lengths > 0, divide(linear, lengths), first)

    def in_span(self, rows):
        linear = _lengths(self.moments.with_outputs()[1]) * rows
        linear = linear if self.outputs is not None else linear[..., 0, :]
        return eqx.tree_at(lambda t: t.moments.linear, self, linear)

    def dim_under(self, inputs):
        return self.dim if inputs.dim is None else inputs.dim

    def check_inputs(self, where, inputs):
        if inputs.dim is None:
            return
        # moments are those of the standard normal inputs behind the law
        weights = jnp.zeros((1, inputs.dim), self.moments.linear.dtype)
        seen = jax.eval_shape(inputs.standardize, weights, None)[0].shape[1]
        if seen != self.dim:
            raise ValueError(
                f"{where}: given moments of standard normal dimension {self.dim} and inputs of "
                f"dimension {inputs.dim} with {seen} of variance; expected the law under which the "
                "moments were taken"
            )

    def described(self):
        return f"moments, of standard normal dimension {self.dim}"


def _lengths(linear: Float[Array, "*runs o r"]) -> Float[Array, "*runs o 1"]:
    return jnp.sqrt(jnp.sum(linear * linear, axis=-1))[..., None]


def as_target(
    where: str, given: AbstractNetwork | TargetMoments | AbstractTarget, name: str = "target"
) -> AbstractTarget:
    """Whatever a solver takes for a target, with the interface of a target. Raises `ValueError`, in
    the name of the function `where`, for everything else.
    """
    if isinstance(given, AbstractTarget):
        return given
    if isinstance(given, TwoLayer | GatedTwoLayer):
        return NetworkTarget(given)
    if isinstance(given, TargetMoments):
        return MomentsTarget(given)
    raise ValueError(
        f"{where}: given {name} of type {type(given).__name__}; expected a TwoLayer, "
        "GatedTwoLayer, TargetMoments, Samples or another AbstractTarget; build a network with "
        "TwoLayer(weights, readout)"
    )


def check_compatible(
    where: str,
    student: AbstractNetwork,
    target: AbstractNetwork | TargetMoments | AbstractTarget,
    inputs: AbstractInputs,
) -> AbstractTarget:
    """The target with the interface of one. Raises `ValueError`, in the name of the function
    `where`, unless student, target and law are such, finite, and of the same inputs, outputs and
    dtype.
    """
    known = as_target(where, target)
    check_pair(where, student, known, inputs)
    return known


def _of_moments(moments: TargetMoments, inputs: AbstractInputs) -> RiskProblem:
    """The projection of a target on polynomials as a target (`_polynomial`)."""
    constant, layers, second_moment = polynomial(moments)
    average = Sized(constant, jnp.abs(constant))
    return RiskProblem(
        layers=layers,
        offset=constant,
        inputs=inputs,
        second_moment=second_moment,
        magnitude=second_moment,
        average=average,
        moments=moments,
    )
