"""What a dtype can resolve: the one place that decides tolerances from it."""

from typing import NamedTuple

import jax.numpy as jnp


class Precision(NamedTuple):
    """Thresholds of one dtype.

    `far`: standardised means beyond this many deviations change nothing, for `exp(−far²/2)`
    underflows (1e-348, 3e-43). `flow`, `critical`: gradients at which a flow ends and a point
    counts as critical; rounding leaves about 1e-15 and 3e-7 of gradients of order one. `descent`:
    the same for the gradient of a relative risk. `flat`: eigenvalues below this share of the
    largest are symmetries; exact ones come out at up to 1e-12 of it (ReLU scaling, 1300 unknowns,
    float64). `zero_loss`: mean squares that count as zero, for targets of order one (float64:
    rounding leaves at most 1e-28).
    """

    far: float
    flow: float
    critical: float
    descent: float
    flat: float
    zero_loss: float


_OF = {
    jnp.dtype("float64"): Precision(
        far=40.0, flow=1e-8, critical=1e-10, descent=1e-9, flat=1e-10, zero_loss=1e-21
    ),
    jnp.dtype("float32"): Precision(
        far=14.0, flow=1e-4, critical=1e-5, descent=1e-5, flat=1e-5, zero_loss=1e-10
    ),
}


def precision(dtype) -> Precision:
    """The thresholds of float32 or float64."""
    return _OF[jnp.dtype(dtype)]
