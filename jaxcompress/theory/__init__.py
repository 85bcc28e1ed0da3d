"""What the theory predicts, computed without a risk and without a solver, so that agreement with
them proves something.

What enters: sizes, partitions, activations, the moments of a target. What leaves: predicted
networks, their risks, and which phase of the prediction holds. Written by hand are the formulas; at
most two scalars are found by bisection or Newton's method, never weights.
"""

from jaxcompress.theory._copy_average import copy_average, copy_average_risk
from jaxcompress.theory._diagram import frame_risks, pair_threshold
from jaxcompress.theory._frames import simplex_frame
from jaxcompress.theory._one_neuron import OneNeuron, one_neuron
from jaxcompress.theory._partitions import (
    RankedPartition,
    best_partition,
    partitions,
    rank_partitions,
)
from jaxcompress.theory._tight_frame import FramePhase, FramePrediction, predict_frame, tight_frame

__all__ = [
    "FramePhase",
    "FramePrediction",
    "OneNeuron",
    "RankedPartition",
    "best_partition",
    "copy_average",
    "copy_average_risk",
    "frame_risks",
    "one_neuron",
    "pair_threshold",
    "partitions",
    "predict_frame",
    "rank_partitions",
    "simplex_frame",
    "tight_frame",
]
