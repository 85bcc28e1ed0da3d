"""Networks as parameters: what they are, where they start, how they are stored.

What enters: arrays, keys, files. What leaves: a `TwoLayer`, a PyTree whose leaves are its parameters. Nothing here
computes an expectation.
"""

from jaxcompress.networks import initialize, targets
from jaxcompress.networks._files import check_writable, load, read_arrays, real_array, save
from jaxcompress.networks._two_layer import TwoLayer
from jaxcompress.networks.initialize import Starts

__all__ = ["Starts", "TwoLayer", "check_writable", "initialize", "load", "read_arrays", "real_array", "save", "targets"]
