"""A trained layer in, a smaller one out, with a report.

What enters: a target network, a width and the law of its inputs. What leaves: the best student of that width that many
starts reach, polished to a critical point of the exact risk, and a record of what it cost and what pruning would have
cost instead. No input is ever sampled.
"""

from jaxcompress._rooms import make_callable
from jaxcompress.compress._compress import Compressed, compress
from jaxcompress.compress._readout import best_readout
from jaxcompress.compress._report import Report

__all__ = ["Compressed", "Report", "best_readout", "compress"]

make_callable(__name__, compress)
