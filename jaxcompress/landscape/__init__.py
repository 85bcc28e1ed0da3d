"""What a solver found, seen against what the theory says.

What enters: networks, solved or predicted, and perhaps the target or its moments. What leaves:
numbers and names for them, and the census of what many starts reach. What compares networks moves
them by symmetries alone, which leave their risk as it is; `split`, `merge`, `drop` and `grow` step
from the landscape of one width to the next.
"""

from jaxcompress.landscape._align import align
from jaxcompress.landscape._census import Census, census, census_of
from jaxcompress.landscape._census_file import load_census, save_census
from jaxcompress.landscape._classify import Classification, classify
from jaxcompress.landscape._distance import distance
from jaxcompress.landscape._dropping import Dropped, drop
from jaxcompress.landscape._fingerprint import fingerprint
from jaxcompress.landscape._frame import FrameDefect, frame_defect
from jaxcompress.landscape._growing import Grown, grow
from jaxcompress.landscape._lines import risk_along
from jaxcompress.landscape._merging import merge
from jaxcompress.landscape._rows import Row
from jaxcompress.landscape._splitting import (
    SplittingSpectrum,
    escape_matrix,
    split,
    splitting_spectrum,
)
from jaxcompress.landscape._symmetries import TargetSymmetries, target_symmetries

__all__ = [
    "Census",
    "Classification",
    "Dropped",
    "FrameDefect",
    "Grown",
    "Row",
    "SplittingSpectrum",
    "TargetSymmetries",
    "align",
    "census",
    "census_of",
    "classify",
    "distance",
    "drop",
    "escape_matrix",
    "fingerprint",
    "frame_defect",
    "grow",
    "load_census",
    "merge",
    "risk_along",
    "save_census",
    "split",
    "splitting_spectrum",
    "target_symmetries",
]
