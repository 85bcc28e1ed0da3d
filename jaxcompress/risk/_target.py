"""What a risk is measured against: the interface that every kind of target has."""

import abc
from typing import ClassVar, Self

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxcompress.kernels import AbstractActivation, AbstractInputs
from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk._centred_target import AbstractCentredTarget
from jaxcompress.risk._problem import AbstractProblem


class AbstractTarget(eqx.Module):
    """What a student is compared with. Networks, moments and samples are such, and so is a class of
    your own.

    A target says of which inputs and outputs it is (`dim`, `outputs`) and how a student's risk
    against it is measured (`problem`). That is enough for `population_risk`, `risk_hessian`,
    `solve`, `solve_many`, `gradient_flow`, `flow_many` and `critical_points`. Override `runs` to
    let the batched solvers take a batch of targets, `span` and `in_span` for the exact reduction of
    a wide input dimension.

    Example: one student for several teachers; the target is teacher `i` with probability `p_i`.

        class OneOf(jc.risk.AbstractTarget):
            teachers: tuple[jc.TwoLayer, ...]
            shares: jax.Array

            @property
            def dim(self):
                return self.teachers[0].dim

            @property
            def outputs(self):
                return self.teachers[0].outputs

            def problem(self, inputs):
                each = [jc.RiskProblem.of(teacher, inputs) for teacher in self.teachers]
                moments = jnp.stack([problem.second_moment for problem in each])
                return Average(tuple(each), self.shares, self.shares @ moments)


        class Average(jc.risk.AbstractProblem):
            problems: tuple[jc.RiskProblem, ...]
            shares: jax.Array
            second_moment: jax.Array

            def risk_and_floor(self, student):
                each = [problem.risk_and_floor(student) for problem in self.problems]
                risks, floors = (jnp.stack(numbers) for numbers in zip(*each, strict=True))
                return self.shares @ risks, self.shares @ floors


        solution = jc.solve(student, OneOf((first, second), jnp.asarray([0.7, 0.3])))
    """

    # In messages: what such targets are called, and the function that measures a risk against one.
    kind: ClassVar[str] = "such targets"
    measured_by: ClassVar[str] = "population_risk"
    # The networks that may be students of such a target.
    students: ClassVar[type] = AbstractNetwork

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Input dimension `d`."""

    @property
    @abc.abstractmethod
    def outputs(self) -> int | None:
        """Number of outputs `o`, or `None` for a scalar output."""

    @abc.abstractmethod
    def problem(self, inputs: AbstractInputs) -> AbstractProblem:
        """The target under an input distribution, measured once."""

    @property
    def runs(self) -> tuple[int, ...]:
        """The leading axes of a batch of targets, which all its arrays share."""
        return ()

    @property
    def pairs(self) -> int:
        """How many pairs of neurons cost as much as the product of the target with one neuron of
        a student; only the choice of the method of the flow depends on it.
        """
        return 1

    def parameters(self) -> dict[str, Array]:
        """The floating-point arrays by name: they are finite, and the first has the student's
        dtype.
        """
        arrays = eqx.filter(self, eqx.is_inexact_array)
        leaves, _ = jax.tree_util.tree_flatten_with_path(arrays)
        return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}

    def span(self) -> Float[Array, "*runs k d"] | None:
        """Vectors such that under standard normal inputs the risk of a student depends only on
        their inner products with the student's weights, and among themselves; `None` for a target
        that is not reduced.
        """
        return None

    def in_span(self, rows: Float[Array, "*runs k r"]) -> Self:
        """The target with `rows` in the place of the vectors of `span`, in other coordinates."""
        raise NotImplementedError(f"{type(self).__name__} has no span; it cannot be reduced")

    def short_form(self, activation: AbstractActivation) -> AbstractCentredTarget | None:
        """The target under standard normal inputs, measured by the short formulas of students of
        zero mean and this activation, where it is cheaper to measure in this way.
        """
        return None

    def dim_under(self, inputs: AbstractInputs) -> int:
        """The input dimension of students under this law."""
        return self.dim

    def check_inputs(self, where: str, inputs: AbstractInputs) -> None:
        """Raise `ValueError`, in the name of the function `where`, for a law that does not fit."""
        if inputs.dim not in (None, self.dim):
            raise ValueError(
                f"{where}: given {self.described()} and inputs of dimension {inputs.dim}; expected "
                "the same; pad the weights with zeros or reduce the law"
            )

    def described(self) -> str:
        """The target and its dimension, in the words of a message."""
        return f"a target of input dimension {self.dim}"
