"""What a solver asks of a risk: an `AbstractProblem`, a target that has been measured."""

import abc
from collections.abc import Sequence

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from jaxcompress.networks.internal import AbstractNetwork
from jaxcompress.risk._assembly import parameter_mask
from jaxcompress.risk._centred_target import AbstractCentredTarget


class AbstractProblem(eqx.Module):
    """A target that has been measured. A PyTree: pass it through `jit` and `vmap`.

    A problem of your own has a field `second_moment`, the second moment `E‖f_target‖²` by which a
    relative risk divides, and the method `risk_and_floor`. Its Hessian is then that of automatic
    differentiation, which is right where the risk has two derivatives; override `hessian` where you
    know better, for instance by the Hessians of its parts.
    Example: that of `AbstractTarget`.
    """

    second_moment: eqx.AbstractVar[Float[Array, ""]]

    @abc.abstractmethod
    def risk_and_floor(self, student: AbstractNetwork) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Risk and rounding-error bound of a student, for the price of one evaluation."""

    def risk(self, student: AbstractNetwork) -> Float[Array, ""]:
        """The risk of a student, never negative; safe to differentiate."""
        return self.risk_and_floor(student)[0]

    def floor(self, student: AbstractNetwork) -> Float[Array, ""]:
        """What rounding alone may have done to the risk: `ε` times the sum of the absolute values
        of all its terms.
        """
        return self.risk_and_floor(student)[1]

    def hessian(self, student: AbstractNetwork, freeze: Sequence[str] = ()) -> Float[Array, "P P"]:
        """The Hessian of the risk in the parameters that `freeze` does not name, in the order of
        `jax.flatten_util.ravel_pytree(student)`.
        """
        flat, unravel = ravel_pytree(student)
        moving = np.flatnonzero(parameter_mask(student, freeze))

        def risk(vector: Array) -> Array:
            return self.risk(unravel(flat.at[moving].set(vector)))

        return jax.hessian(risk)(flat[moving])

    def short_form(self) -> AbstractCentredTarget | None:
        """The target in the form of the short formulas of zero-mean neurons, if it has one: decided
        by structure alone.
        """
        return None
