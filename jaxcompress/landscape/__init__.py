"""What a solver found, seen against what the theory says.

What enters: networks, solved or predicted, and perhaps the target or its moments. What leaves:
numbers and names for them, and the census of what many starts reach.

- Are two networks the same? `distance`, modulo the symmetries of the risk; `align` moves one next
  to the other; `fingerprint` tells thousands apart; `target_symmetries` are those of a target.
- Which critical point is this? `classify` names it; `frame_defect` is its distance from an
  equiangular tight frame.
- What do many starts reach? `census`, `census_of`, `save_census`, `load_census`.
- How does the landscape of one width lead to that of the next? `split` with `escape_matrix` and
  `splitting_spectrum`, `merge`, `drop`, `grow`, and `risk_along` the lines between networks.

What compares networks moves them by symmetries alone, which leave their risk as it is. Three
subfolders hold the code: `symmetry`, `censuses` and `width_steps`.
"""

from typing import TYPE_CHECKING

from jaxcompress._internal.deprecation import renamed
from jaxcompress.landscape.censuses._census import Census
from jaxcompress.landscape.censuses._census_file import load_census, save_census
from jaxcompress.landscape.censuses._census_rows import CensusRow
from jaxcompress.landscape.censuses._taking import census, census_of
from jaxcompress.landscape.symmetry._align import align
from jaxcompress.landscape.symmetry._classification import Classification
from jaxcompress.landscape.symmetry._classify import classify
from jaxcompress.landscape.symmetry._distance import distance
from jaxcompress.landscape.symmetry._fingerprint import fingerprint
from jaxcompress.landscape.symmetry._frame_defect import FrameDefect, frame_defect
from jaxcompress.landscape.symmetry._target_symmetries import TargetSymmetries, target_symmetries
from jaxcompress.landscape.width_steps._dropping import Dropped, drop
from jaxcompress.landscape.width_steps._growing import Grown, grow
from jaxcompress.landscape.width_steps._lines import risk_along
from jaxcompress.landscape.width_steps._merging import merge
from jaxcompress.landscape.width_steps._splitting import (
    SplittingSpectrum,
    escape_matrix,
    split,
    splitting_spectrum,
)

__all__ = [
    "Census",
    "CensusRow",
    "Classification",
    "Dropped",
    "FrameDefect",
    "Grown",
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

if not TYPE_CHECKING:  # so that type checkers still report what does not exist
    __getattr__ = renamed(__name__, {"Row": "CensusRow"})
