"""What a run costs, and into how large blocks that cuts a sweep.

Time is that of one processor core. A run with `P` unknowns takes about `20 µs · P^1.3 + 0.5 ns · P³`: measured are
0.4, 0.6, 9, 24 and 156 ms at P = 12, 24, 72, 216 and 640 for erf against orthonormal targets, and up to 2.5 times that
for ReLU. Starts of other laws, flat landscapes and tight tolerances change it by more: take it for an order of
magnitude.
"""

from typing import TYPE_CHECKING

import numpy as np

from jaxcompress.sweep._cells import Cell

if TYPE_CHECKING:
    from jaxcompress.sweep._plan import Plan

# Seconds of one core, as estimated, that a block is made for: what a kill may cost, and how often progress is told. A
# block ends when its slowest run does: of 2048 runs of erf, n = 3, k = 4 (0.7 s), that was a tenth of the time.
_SECONDS = 10.0
# Accelerators want thousands of runs at a time, and a pool of processes several blocks.
_LEAST, _MOST = 2048, 16384
# Bytes that the targets of a block may take where every run has its own.
_TARGETS = 2**30


def unknowns(plan: "Plan", cell: Cell) -> int:
    """Numbers that a run solves for."""
    sizes = {"weights": cell.n * cell.d, "readout": cell.n}
    sizes |= {"bias": cell.n} if plan.start.bias else {}
    sizes |= {"output_bias": 1} if plan.start.output_bias else {}
    return sum(size for name, size in sizes.items() if name not in plan.freeze)


def run_seconds(count: int) -> float:
    """Estimated seconds of a run with so many unknowns."""
    return 2e-5 * count**1.3 + 5e-10 * count**3


def target_bytes(plan: "Plan", cell: Cell) -> int:
    """Bytes of one target, as the solver holds it."""
    numbers = cell.k * (cell.d + 1) if plan.risk == "population" else cell.d + 1
    return numbers * np.dtype(plan.precision).itemsize


def usual_block(plan: "Plan") -> int:
    """The most runs of a block where the plan does not say."""
    dearest = max(run_seconds(unknowns(plan, cell)) for cell in plan.cells)
    own = max((target_bytes(plan, cell) for cell in plan.cells if cell.own_targets), default=1)
    return max(1, min(max(_LEAST, min(_MOST, int(_SECONDS / dearest))), _TARGETS // own))
