"""What the theory predicts, computed without a risk and without a solver, so that agreement with
them proves something.

What enters: sizes, partitions, activations, the moments of a target. What leaves: predicted
networks, their risks (without a factor ½, as everywhere), and which phase of the prediction holds.
Formulas are written by hand; at most two scalars are found by bisection or Newton's method, never
weights. Sizes come in the order `n, k`: the student first, then the target.

| question | function |
| --- | --- |
| what can one neuron do against `k` orthonormal ones? | `one_neuron` |
| how are `k` best shared out among `n`? | `best_partition`, `rank_partitions`, `partitions` |
| the network of a partition, and its risk | `copy_average`, `copy_average_risk` |
| the optimum against a target of many random neurons | `predict_frame`, `tight_frame` |
| the risk of each of its phases; where they meet | `frame_risks`; `pair_threshold` |

>>> from jaxcompress import activations, theory
>>> theory.best_partition(activations.erf, 6, 8)
(1, 1, 1, 1, 1, 3)
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
