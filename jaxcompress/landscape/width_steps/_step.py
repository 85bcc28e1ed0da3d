"""What steps from one width to the next have in common."""

import equinox as eqx
from jaxtyping import Array, Float

from jaxcompress.networks import TwoLayer
from jaxcompress.solvers import Solution


class AbstractStep(eqx.Module):
    """Where a step in the width ended: a `solution` of the new width."""

    solution: eqx.AbstractVar[Solution]

    @property
    def network(self) -> TwoLayer:
        """The network of the new width."""
        return self.solution.network

    @property
    def risk(self) -> Float[Array, ""]:
        """Its risk."""
        return self.solution.risk
