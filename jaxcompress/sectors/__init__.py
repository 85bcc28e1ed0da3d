"""Sectors: all networks with one isotropy against an orthonormal target, in the few numbers that
the symmetry leaves.

What enters: the classes of interchangeable neurons of target and student, and an activation. What
leaves: critical points of a sector for any number of neurons, followed to a million and beyond,
their risks (without a factor ½, as everywhere) and the expansions of these in `1/k`; and, for small
numbers, the networks. Sizes come in the order `n, k`: the student first, then the target.

| question | function |
| --- | --- |
| which networks? | `Sector`, `copy_average_sector`, `perturbed_copy_sector` |
| a critical point among them | `solve_sector` |
| the same one for wider and wider targets | `follow_sector` |
| how its risk grows with `k` | `fit_expansion` |
| from a network to its numbers, and back | `sector_coordinates`; `SectorPoint.lift` |

>>> from jaxcompress import activations, sectors
>>> point = sectors.solve_sector(sectors.copy_average_sector(6, 8), activations.erf)
>>> f"{float(point.risk):.6f}", bool(point.converged)
('0.040593', True)
"""

from jaxcompress.sectors._expansion import Expansion, fit_expansion
from jaxcompress.sectors._family import SectorFamily, follow_sector
from jaxcompress.sectors._network import sector_coordinates
from jaxcompress.sectors._point import SectorPoint
from jaxcompress.sectors._sector import (
    Sector,
    SectorNumbers,
    copy_average_sector,
    perturbed_copy_sector,
)
from jaxcompress.sectors._solve import solve_sector

__all__ = [
    "Expansion",
    "Sector",
    "SectorFamily",
    "SectorNumbers",
    "SectorPoint",
    "copy_average_sector",
    "fit_expansion",
    "follow_sector",
    "perturbed_copy_sector",
    "sector_coordinates",
    "solve_sector",
]
