"""Narrow networks on finitely many samples: what they can express, where all is benign, and
training that stays there.

What enters: `Samples`, a `TwoLayer` or a law of starts, and the three numbers of a feasible set.
What leaves: the width that suffices, networks that interpolate, certificates that no bad point is
near, and histories of training, batched over seeds and rates. After Zhang, Zhang, Hong, Sun & Luo
2021, *When expressivity meets trainability: fewer than n neurons can work*.

Letters in this room, where both papers and the package have their own: `m` neurons in `h = m/2`
mirrored pairs, `n` samples of dimension `d`, `o` outputs; rows `X`, targets `y`; the loss is
**half** a mean square, `ℓ = ‖f − y‖²/(2n)`, as in the paper: `empirical_risk` is `2ℓ`.
"""

from jaxcompress.narrow._assumptions import NarrowWarning, check_assumptions
from jaxcompress.narrow._certificate import certified_radius, is_certified, optimality_bound
from jaxcompress.narrow._feasible import FeasibleSet
from jaxcompress.narrow._features import features, jacobian, jacobian_rank, smallest_singular_value
from jaxcompress.narrow._interpolate import Interpolation, interpolation
from jaxcompress.narrow._kkt import (
    Multipliers,
    kkt_residual,
    loss,
    multipliers,
    scaled_kkt_residual,
)
from jaxcompress.narrow._levenberg import Fit, LevenbergMarquardt, fit
from jaxcompress.narrow._slopes import slope_bounds
from jaxcompress.narrow._start import lecun, mirrored, mirrored_lecun
from jaxcompress.narrow._train import Training, momentum, train
from jaxcompress.narrow._width import counting_width, min_width

__all__ = [
    "FeasibleSet",
    "Fit",
    "Interpolation",
    "LevenbergMarquardt",
    "Multipliers",
    "NarrowWarning",
    "Training",
    "certified_radius",
    "check_assumptions",
    "counting_width",
    "features",
    "fit",
    "interpolation",
    "is_certified",
    "jacobian",
    "jacobian_rank",
    "kkt_residual",
    "lecun",
    "loss",
    "min_width",
    "mirrored",
    "mirrored_lecun",
    "momentum",
    "multipliers",
    "optimality_bound",
    "scaled_kkt_residual",
    "slope_bounds",
    "smallest_singular_value",
    "train",
]
