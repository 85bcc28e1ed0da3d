"""What a solver asks of a risk."""

import abc

import equinox as eqx
from jaxtyping import Array, Float

from jaxcompress.networks import TwoLayer


class AbstractProblem(eqx.Module):
    """A target that has been measured. A PyTree: pass it through `jit` and `vmap`."""

    def risk(self, student: TwoLayer) -> Float[Array, ""]:
        """The risk of a student, never negative; safe to differentiate."""
        return self.risk_and_floor(student)[0]

    def floor(self, student: TwoLayer) -> Float[Array, ""]:
        """What rounding alone may have done to the risk: `ε` times the sum of the sizes of all its
        terms.
        """
        return self.risk_and_floor(student)[1]

    @abc.abstractmethod
    def risk_and_floor(self, student: TwoLayer) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Both, for the price of one."""
