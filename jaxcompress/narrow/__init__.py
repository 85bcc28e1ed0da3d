"""Narrow networks on finitely many samples: which samples they can interpolate, where no bad
stationary point exists, and training that stays there.

What enters: `Samples`, a `TwoLayer` or a distribution of initial points, and the three numbers of a
feasible set. What leaves: the width that suffices, networks that interpolate, certificates that no
bad point is near, and histories of training, batched over seeds and rates. After Zhang, Zhang,
Hong, Sun & Luo 2021, *When expressivity meets trainability: fewer than n neurons can work*.

Letters here, where both papers and the package have their own: `m` neurons in `h = m/2` mirrored
pairs, `n` samples of dimension `d`, `o` outputs; rows `X`, targets `y`. The paper's loss is
**half** a mean square, `ℓ = ‖f − y‖²/(2n)`; here it is called `half_risk`, and `2·half_risk` is
`empirical_risk`.

| question | function |
| --- | --- |
| how many neurons? | `min_width` suffice, `counting_width` is the least |
| where to begin? | `mirrored_lecun`, `lecun`, `mirrored` |
| to zero risk | `fit`, `interpolation` |
| is the Jacobian of full rank? | `jacobian_rank`, `smallest_singular_value` |
| where is no bad point? | `certified_radius`, `is_certified`, `optimality_bound` |
| training inside a set | `FeasibleSet`, `train`; `kkt_residual`, `multipliers` |

>>> from jaxcompress import narrow
>>> narrow.min_width(64, 8), narrow.counting_width(64, 8)
(16, 8)
"""

from typing import TYPE_CHECKING

from jaxcompress._internal.deprecation import renamed
from jaxcompress.narrow._assumptions import NarrowWarning, check_assumptions
from jaxcompress.narrow._certificate import certified_radius, is_certified, optimality_bound
from jaxcompress.narrow._feasible import FeasibleSet
from jaxcompress.narrow._features import features, jacobian, jacobian_rank, smallest_singular_value
from jaxcompress.narrow._interpolate import Interpolation, interpolation
from jaxcompress.narrow._kkt import (
    Multipliers,
    half_risk,
    kkt_residual,
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
    "half_risk",
    "interpolation",
    "is_certified",
    "jacobian",
    "jacobian_rank",
    "kkt_residual",
    "lecun",
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

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"loss": "half_risk"})
