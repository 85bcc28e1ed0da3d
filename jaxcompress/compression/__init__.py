"""A trained layer in, a smaller one out, with a report.

What enters: a target network, a width and the law of its inputs. What leaves: the best student of
that width that many starts reach, polished to a critical point of the exact risk, and a record of
what it cost and what pruning would have cost instead. No input is ever sampled.
"""

from jaxcompress.compression._compress import Compressed, compress
from jaxcompress.compression._readout import best_readout
from jaxcompress.compression._report import Report

__all__ = ["Compressed", "Report", "best_readout", "compress"]
