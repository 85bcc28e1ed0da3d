"""What the theory predicts, computed without a risk and without a solver, so that agreement with them proves something.

What enters: sizes, and the moments of a target. What leaves: predicted networks, their risks, and which phase of the
prediction holds. Written by hand are the formulas; at most two scalars are found by Newton's method, never weights.
"""

from jaxcompress.theory._diagram import frame_risks, pair_threshold
from jaxcompress.theory._frames import simplex_frame
from jaxcompress.theory._tight_frame import FramePhase, FramePrediction, predict_frame, tight_frame

__all__ = [
    "FramePhase",
    "FramePrediction",
    "frame_risks",
    "pair_threshold",
    "predict_frame",
    "simplex_frame",
    "tight_frame",
]
