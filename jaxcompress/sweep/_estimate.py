"""What a sweep will cost, from its plan alone.

Time is that of one processor core. A run with `P` unknowns takes about `20 µs · P^1.3 + 0.5 ns · P³`: measured are
0.4, 0.6, 9, 24 and 156 ms at P = 12, 24, 72, 216 and 640 for erf against orthonormal targets, and up to 2.5 times that
for ReLU. Starts of other laws, flat landscapes and tight tolerances change it by more: take it for an order of
magnitude.
A program takes 6 to 9 s to compile, a sixth of that when it comes out of the cache on disk.
"""

import dataclasses

import numpy as np

from jaxcompress.sweep._blocks import block_count, block_size, shape_of
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._variables import variables_of

_COMPILE_SECONDS = 7.5
# Copies of a block's unknowns that the solver holds at a time: start, flow, its stages' norms, polish, spectrum, end.
_COPIES = 12


@dataclasses.dataclass(frozen=True)
class Estimate:
    """`seconds` of solving and `compile_seconds`, of one core; `memory` of a process and `disk`, in bytes."""

    runs: int
    cells: int
    shapes: int
    blocks: int
    seconds: float
    compile_seconds: float
    memory: int
    disk: int


def estimate(plan: Plan) -> Estimate:
    """What a plan will cost; time and memory are orders of magnitude, the rest is exact."""
    unknowns = [_unknowns(plan, cell) for cell in plan.cells]
    shapes = len({shape_of(plan, cell) for cell in plan.cells})
    return Estimate(
        runs=plan.total,
        cells=len(plan.cells),
        shapes=shapes,
        blocks=block_count(plan),
        seconds=plan.runs * sum(2e-5 * p**1.3 + 5e-10 * p**3 for p in unknowns),
        compile_seconds=shapes * _COMPILE_SECONDS,
        memory=max(_memory(plan, cell, p) for cell, p in zip(plan.cells, unknowns, strict=True)),
        disk=_disk(plan),
    )


def summary(plan: Plan) -> str:
    """The estimate in words."""
    found = estimate(plan)
    solving, compiling = _duration(found.seconds), _duration(found.compile_seconds)
    return "\n".join(
        (
            f"{found.runs} runs: {found.cells} cells of {plan.runs}, in {found.blocks} blocks of {block_size(plan)}",
            f"{found.shapes} shapes to compile, about {compiling} (once, if programs are kept)",
            f"about {solving} of solving on one core (within a factor of 3, mostly; an accelerator differs)",
            f"about {_size(found.memory)} of memory a process, {_size(found.disk)} on disk",
        )
    )


def _unknowns(plan: Plan, cell: Cell) -> int:
    sizes = {"weights": cell.n * cell.d, "readout": cell.n}
    sizes |= {"bias": cell.n} if plan.start.bias else {}
    sizes |= {"output_bias": 1} if plan.start.output_bias else {}
    return sum(size for name, size in sizes.items() if name not in plan.freeze)


def _memory(plan: Plan, cell: Cell, unknowns: int) -> int:
    """Bytes of a block in work: its runs, the Hessians of the lanes, and targets of its own."""
    number = np.dtype(plan.precision).itemsize
    target = cell.k * (cell.d + 1) if plan.risk == "population" else cell.d + 1
    own = target * (block_size(plan) if cell.own_targets else 1)
    lanes = min(32 * 6 * unknowns**2, 2**31 // number)
    return number * (block_size(plan) * unknowns * _COPIES + lanes + 2 * own)


def _disk(plan: Plan) -> int:
    """Bytes of all chunks, the filling of the last blocks left out."""
    columns = sum(np.dtype(variable.dtype).itemsize for variable in variables_of(plan)) * plan.total
    number = np.dtype(plan.precision).itemsize * plan.runs
    ends = [len(g.cells) * sum(int(np.prod(shape)) for shape, _ in g.arrays.values()) for g in networks_of(plan)]
    return columns + number * sum(ends)


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _size(count: int) -> str:
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count} bytes"
