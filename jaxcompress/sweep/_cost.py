"""What a run costs, and into how large blocks that cuts a sweep.

Time is that of one processor core. A run with `P` unknowns takes about `20 µs · P^1.3 + 0.5 ns ·
P³`: measured are 0.4, 0.6, 9, 24 and 156 ms at P = 12, 24, 72, 216 and 640 for erf against
orthonormal targets, and up to 2.5 times that for ReLU. Starts of other distributions, flat
landscapes and tight tolerances change it by more: take it for an order of magnitude.
"""

from collections.abc import Sequence

import numpy as np

from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._parts import Start

# Seconds of one core, as estimated, that a block is made for: what a kill may cost, and how often
# progress is told. A block ends when its slowest run does: of 2048 runs of erf, n = 3, k = 4 (0.7
# s), that was a tenth of the time.
_SECONDS = 10.0
# Accelerators want thousands of runs at a time, and a pool of processes several blocks.
_LEAST, _MOST = 2048, 16384
# Bytes that the targets of a block may take where every run has its own.
_TARGETS = 2**30


def unknowns(cell: Cell, start: Start, freeze: tuple[str, ...]) -> int:
    """Numbers that a run solves for."""
    sizes = {"weights": cell.n * cell.d, "readout": cell.n}
    sizes |= {"bias": cell.n} if start.bias else {}
    sizes |= {"output_bias": 1} if start.output_bias else {}
    return sum(size for name, size in sizes.items() if name not in freeze)


def run_seconds(count: int) -> float:
    """Estimated seconds of a run with so many unknowns."""
    return 2e-5 * count**1.3 + 5e-10 * count**3


def target_bytes(cell: Cell, risk: str, precision: str) -> int:
    """Bytes of one target, as the solver holds it."""
    numbers = cell.k * (cell.d + 1) if risk == "population" else cell.d + 1
    return numbers * np.dtype(precision).itemsize


def usual_block(counts: Sequence[int], own_bytes: Sequence[int]) -> int:
    """The most runs of a block where the plan does not say.

    `counts`, the unknowns of every cell; `own_bytes`, those of one target of the cells where every
    run has its own.
    """
    dearest = max(map(run_seconds, counts))
    most = _TARGETS // max(own_bytes, default=1)
    return max(1, min(max(_LEAST, min(_MOST, int(_SECONDS / dearest))), most))
