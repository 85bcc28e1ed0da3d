"""What a solver found, seen against what the theory says.

What enters: networks, solved or predicted, and perhaps the target or its moments. What leaves: numbers and names for
them. Nothing here moves a network.
"""

from jaxcompress.landscape._frame import FrameDefect, frame_defect

__all__ = ["FrameDefect", "frame_defect"]
