"""A critical point of a sector, and the check of an initial point."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcompress.kernels import AbstractActivation
from jaxcompress.networks import TwoLayer
from jaxcompress.sectors._network import lifted
from jaxcompress.sectors._sector import Sector, SectorNumbers


class SectorPoint(eqx.Module):
    """A point of a sector.

    - `readout (G,)`, `own (G,)`, `overlaps (G, H)`: its numbers, as in `SectorNumbers`
    - `risk`: the population risk, without a factor ½
    - `gradient_norm`: the largest entry of the gradient of the *full* risk, over all weights and
      readouts that are free
    - `converged`: whether that is zero up to rounding
    - `eigenvalues (P,)`: of the Hessian in the free numbers, scaled to a diagonal of ±1, ascending;
      their signs are those of the Hessian
    - `sector`, `activation`: static
    - `stats`: `"steps"`, the number of steps that were tried

    Example: `solve_sector(copy_average_sector(6, 8), activations.erf).risk`.
    """

    readout: Float[Array, " G"]
    own: Float[Array, " G"]
    overlaps: Float[Array, "G H"]
    risk: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    converged: Bool[Array, ""]
    eigenvalues: Float[Array, " P"]
    sector: Sector = eqx.field(static=True)
    activation: AbstractActivation = eqx.field(static=True)
    stats: dict[str, Int[Array, ""]] = eqx.field(default_factory=dict)

    @property
    def numbers(self) -> SectorNumbers:
        """The numbers without the rest."""
        return SectorNumbers(self.readout, self.own, self.overlaps)

    def lift(self, dim: int | None = None, dtype=None) -> TwoLayer:
        """The network, against the target `v_i = e_i` of `targets.orthonormal(k, dim)`.

        Target classes follow one another, and so do student classes, with neurons in the order of
        their partners.
        Arguments: `dim`, `k` when left out; `dtype`, that of the point when left out.
        Raises `ValueError` for `dim < k` or more than 10⁸ weights.
        """
        return lifted(self.sector, self.numbers, self.activation, dim, dtype or self.risk.dtype)


def checked_start(where: str, sector: Sector, start: SectorNumbers | SectorPoint) -> SectorNumbers:
    """Numbers of the right shapes in float64; where own part and overlap are one number, it is the
    own part.
    """
    if jnp.result_type(float) != jnp.float64:
        raise ValueError(
            f"{where}: JAX works in float32; expected float64, because rounding would hide what "
            "distinguishes these points; call jax.config.update('jax_enable_x64', True) first"
        )
    given = start.numbers if isinstance(start, SectorPoint) else start
    if not isinstance(given, tuple) or len(given) != len(SectorNumbers._fields):
        raise ValueError(
            f"{where}: given an initial point of type {type(start).__name__}; expected "
            "SectorNumbers or a SectorPoint; sector_coordinates makes them of a network"
        )
    width, height = len(sector.partners), len(sector.targets)
    expected = ((width,), (width,), (width, height))
    a, e, c = (jnp.asarray(part, float) for part in given)
    if (a.shape, e.shape, c.shape) != expected:
        raise ValueError(
            f"{where}: given an initial point of shapes {a.shape}, {e.shape}, {c.shape} for "
            f"{sector}; expected readouts, own parts and overlaps of shapes {expected}; give one "
            "row for each class of the student, one column for each class of the target"
        )
    for g, partner in enumerate(sector.partners):
        if partner is None:
            e = e.at[g].set(0)
        elif sector.targets[partner] == 1:
            e, c = e.at[g].add(c[g, partner]), c.at[g, partner].set(0)
    return SectorNumbers(a, e, c)
