"""What a sweep will cost, from its plan alone; what a run costs is estimated in `_cost`.

A program takes 6 to 9 s to compile, a sixth of that when it comes out of the cache on disk.
"""

import dataclasses

import numpy as np

from jaxcompress.sweep._blocks import block_count, block_size, shape_of
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._cost import run_seconds
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._variables import variables_of

_COMPILE_SECONDS = 7.5
# Copies of a block's unknowns that the solver holds at a time: start, flow, its stages' norms,
# polish, spectrum, end.
_COPIES = 12
# Bytes of a process, and of every program that it keeps: 0.87 GB were measured after the first
# shape, 1.53 GB after eight. Programs are dropped before a process has too many memory maps, at
# some fifty shapes.
_PROCESS, _PROGRAM, _PROGRAMS = 780 * 10**6, 94 * 10**6, 50


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a plan will cost; `str` says it in words.

    `runs`, in so many `cells` of `runs_per_cell`, cut into `blocks` of `block_size`; `shapes`, the
    programs to compile; `seconds` of solving and `compile_seconds`, of one core; `memory` of a
    process and `disk`, in bytes.
    Example: that of `estimate`.
    """

    runs: int
    cells: int
    runs_per_cell: int
    shapes: int
    blocks: int
    block_size: int
    seconds: float
    compile_seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        solving = _duration(self.seconds)
        compiling = _duration(self.compile_seconds)
        return "\n".join(
            (
                f"{self.runs} runs: {_counted(self.cells, 'cell')} of {self.runs_per_cell}, "
                f"in {_counted(self.blocks, 'block')} of {self.block_size}",
                f"{_counted(self.shapes, 'shape')} to compile, about {compiling} (once, if "
                "programs are kept)",
                f"about {solving} of solving on one core (within a factor of 3, mostly; an "
                "accelerator differs)",
                f"about {_size(self.memory)} of memory a process, {_size(self.disk)} of results "
                "on disk",
            )
        )


def estimate(plan: Plan) -> Estimate:
    """What a plan will cost; time and memory are orders of magnitude, the rest is exact.

    >>> from jaxcompress.sweep import Plan, estimate
    >>> estimate(Plan("erf", n=[2, 3, "k-1"], k=[4, 6], d="k+1", runs=100)).cells
    5
    """
    counts = [plan.unknowns(cell) for cell in plan.cells]
    shapes = len({shape_of(plan, cell) for cell in plan.cells})
    return Estimate(
        runs=plan.total,
        cells=len(plan.cells),
        runs_per_cell=plan.runs,
        shapes=shapes,
        blocks=block_count(plan),
        block_size=block_size(plan),
        seconds=plan.runs * sum(map(run_seconds, counts)),
        compile_seconds=shapes * _COMPILE_SECONDS,
        memory=_PROCESS
        + _PROGRAM * min(shapes, _PROGRAMS)
        + max(_memory(plan, cell, p) for cell, p in zip(plan.cells, counts, strict=True)),
        disk=_disk(plan),
    )


def _memory(plan: Plan, cell: Cell, count: int) -> int:
    """Bytes of a block in work: its runs, the slots' Hessians, targets of its own."""
    number = np.dtype(plan.precision).itemsize
    own = plan.target_bytes(cell) * (block_size(plan) if cell.own_targets else 1)
    slots = min(32 * 6 * count**2, 2**31 // number)
    return number * (block_size(plan) * count * _COPIES + slots) + 2 * own


def _disk(plan: Plan) -> int:
    """Bytes of all chunks, the filling of the last blocks left out."""
    columns = sum(np.dtype(variable.dtype).itemsize for variable in variables_of(plan)) * plan.total
    number = np.dtype(plan.precision).itemsize * plan.runs
    ends = [
        len(g.cells) * sum(int(np.prod(shape)) for shape, _ in g.arrays.values())
        for g in networks_of(plan)
    ]
    return columns + number * sum(ends)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


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
