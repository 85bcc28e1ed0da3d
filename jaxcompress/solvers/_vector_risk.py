"""The moving parameters of one student as a flat vector, with the risk's derivatives in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk import AbstractProblem
from jaxcompress.risk.internal import parameter_mask


class VectorRisk(eqx.Module):
    """The moving parameters of a student as one flat vector, with the risk's derivatives in it.

    `frozen` is the whole student, flattened; entries where `moving` is false keep its values.
    """

    problem: AbstractProblem
    frozen: Float[Array, " all"]
    template: AbstractNetwork
    freeze: tuple[str, ...] = eqx.field(static=True)

    @classmethod
    def of(
        cls, problem: AbstractProblem, student: AbstractNetwork, freeze: Sequence[str]
    ) -> "VectorRisk":
        """Split a student into what moves and what does not."""
        flat, _ = ravel_pytree(student)
        return cls(problem, flat, student, tuple(freeze))

    @property
    def moving(self):
        """Positions of the moving parameters in the flattened student, ascending."""
        return parameter_mask(self.template, self.freeze).nonzero()[0]

    def vector(self) -> Float[Array, " P"]:
        """The moving parameters of the student that this was made of."""
        return self.frozen[self.moving]

    def network(self, vector: Float[Array, " P"]) -> Any:
        """The student with these values of its moving parameters."""
        _, unravel = ravel_pytree(self.template)
        return unravel(self.frozen.at[self.moving].set(vector))

    def value_and_gradient(
        self, vector: Float[Array, " P"]
    ) -> tuple[tuple[Array, Array], Float[Array, " P"]]:
        """`(risk, rounding floor)` and the gradient from one evaluation."""

        def risk(v: Array) -> tuple[Array, tuple[Array, Array]]:
            both = self.problem.risk_and_floor(self.network(v))
            return both[0], both

        (_, both), gradient = jax.value_and_grad(risk, has_aux=True)(vector)
        return both, gradient

    def hessian(self, vector: Float[Array, " P"]) -> Float[Array, "P P"]:
        """Its Hessian."""
        return self.problem.hessian(self.network(vector), self.freeze)

    def scale(self, rates: Mapping[str, Array]) -> Float[Array, " P"]:
        """The rate of every moving parameter."""
        pieces = [
            jnp.full(array.size, rates.get(name, 1.0), array.dtype)
            for name, array in self.template.parameters().items()
        ]
        return jnp.concatenate(pieces)[self.moving]
