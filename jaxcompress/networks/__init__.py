"""Networks as parameters: what they are, where they start, how they are stored, and what is left of
wide ones.

What enters: arrays, keys, distributions, files. What leaves: a `TwoLayer` or a `GatedTwoLayer`, a
PyTree whose leaves are its parameters, or the `TargetMoments` to which a wide target is reduced.
Nothing here compares two networks: that is the subpackage `risk`.
"""

from jaxcompress.networks import ensembles, initialize, targets
from jaxcompress.networks._files import load, save
from jaxcompress.networks._gated_two_layer import GatedTwoLayer
from jaxcompress.networks._moments import target_moments
from jaxcompress.networks._target_moments import TargetMoments, relu_moments
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.networks.initialize import Starts

__all__ = [
    "GatedTwoLayer",
    "Starts",
    "TargetMoments",
    "TwoLayer",
    "ensembles",
    "initialize",
    "load",
    "relu_moments",
    "save",
    "target_moments",
    "targets",
]
