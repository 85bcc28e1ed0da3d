"""What a solver found, seen against what the theory says.

What enters: networks, solved or predicted, and perhaps the target or its moments. What leaves: numbers and names for
them. Nothing here moves a network, but by symmetries that leave its risk as it is.
"""

from jaxcompress.landscape._align import align
from jaxcompress.landscape._distance import distance
from jaxcompress.landscape._fingerprint import fingerprint
from jaxcompress.landscape._frame import FrameDefect, frame_defect
from jaxcompress.landscape._symmetries import TargetSymmetries, target_symmetries

__all__ = [
    "FrameDefect",
    "TargetSymmetries",
    "align",
    "distance",
    "fingerprint",
    "frame_defect",
    "target_symmetries",
]
