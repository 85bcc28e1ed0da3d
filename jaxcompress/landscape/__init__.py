"""What a solver found, seen against what the theory says.

What enters: networks, solved or predicted, and perhaps the target or its moments. What leaves: numbers and names for
them. A network is moved by symmetries alone, which leave its risk as it is; only the few numbers of a *sector*, of all
networks with one isotropy, have a solver of their own, for targets of any width.
"""

from jaxcompress.landscape._align import align
from jaxcompress.landscape._census import Census, census, census_of
from jaxcompress.landscape._census_file import load_census, save_census
from jaxcompress.landscape._classify import Classification, classify
from jaxcompress.landscape._distance import distance
from jaxcompress.landscape._dropping import Dropped, drop
from jaxcompress.landscape._expansion import Expansion, fit_expansion
from jaxcompress.landscape._fingerprint import fingerprint
from jaxcompress.landscape._frame import FrameDefect, frame_defect
from jaxcompress.landscape._growing import Grown, grow
from jaxcompress.landscape._lines import risk_along
from jaxcompress.landscape._merging import merge
from jaxcompress.landscape._rows import Row
from jaxcompress.landscape._sector import Sector, SectorNumbers, copy_average_sector, perturbed_copy_sector
from jaxcompress.landscape._sector_family import SectorFamily, follow_sector
from jaxcompress.landscape._sector_network import sector_coordinates
from jaxcompress.landscape._sector_solve import SectorPoint, solve_sector
from jaxcompress.landscape._splitting import SplittingSpectrum, escape_matrix, split, splitting_spectrum
from jaxcompress.landscape._symmetries import TargetSymmetries, target_symmetries

__all__ = [
    "Census",
    "Classification",
    "Dropped",
    "Expansion",
    "FrameDefect",
    "Grown",
    "Row",
    "Sector",
    "SectorFamily",
    "SectorNumbers",
    "SectorPoint",
    "SplittingSpectrum",
    "TargetSymmetries",
    "align",
    "census",
    "census_of",
    "classify",
    "copy_average_sector",
    "distance",
    "drop",
    "escape_matrix",
    "fingerprint",
    "fit_expansion",
    "follow_sector",
    "frame_defect",
    "grow",
    "load_census",
    "merge",
    "perturbed_copy_sector",
    "risk_along",
    "save_census",
    "sector_coordinates",
    "solve_sector",
    "split",
    "splitting_spectrum",
    "target_symmetries",
]
