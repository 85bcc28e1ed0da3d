"""Sectors: all networks with one isotropy against an orthonormal target, in the few numbers that
are left of them.

What enters: the classes of interchangeable neurons of target and student, and an activation. What
leaves: critical points of a sector for any number of neurons, followed to a million and beyond,
their risks and the expansions of these in `1/k`; and, for small numbers, the networks that they
are. What knows no sector is not here.
"""

from jaxcompress.sectors._expansion import Expansion, fit_expansion
from jaxcompress.sectors._family import SectorFamily, follow_sector
from jaxcompress.sectors._network import sector_coordinates
from jaxcompress.sectors._sector import (
    Sector,
    SectorNumbers,
    copy_average_sector,
    perturbed_copy_sector,
)
from jaxcompress.sectors._solve import SectorPoint, solve_sector

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
