"""Blocks: consecutive runs of one cell, which are solved in one call and stored in one chunk.

A cell is cut into as few blocks as the plan's limit allows, of one size: all calls of a shape then
have one program, and a cell wastes fewer runs on filling its last block than it has blocks.
"""

import dataclasses
import functools

from jaxcompress._internal.checks import check_integer
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._plan import Plan


@dataclasses.dataclass(frozen=True)
class Block:
    """Runs `first` to `first + count − 1` of the plan, all of `cell`, where they begin at
    `offset`.
    """

    number: int
    cell: Cell
    offset: int
    first: int
    count: int


def blocks_a_cell(plan: Plan) -> int:
    """Blocks into which a cell is cut."""
    assert plan.block is not None  # a plan that was made has one
    return -(-plan.runs // plan.block)


def block_size(plan: Plan) -> int:
    """Runs that every call solves; the last block of a cell repeats its last run where it has
    fewer.
    """
    return -(-plan.runs // blocks_a_cell(plan))


def block_count(plan: Plan) -> int:
    """Blocks of a plan."""
    return blocks_a_cell(plan) * len(plan.cells)


def block_of(plan: Plan, number: int) -> Block:
    """Block number `number`. Raises `ValueError` when there is none."""
    most = block_count(plan) - 1
    number = check_integer("sweep", "block", number, 0, most, remedy="choose one of these")
    cell, place = divmod(number, blocks_a_cell(plan))
    offset = place * block_size(plan)
    count = min(block_size(plan), plan.runs - offset)
    return Block(number, plan.cells[cell], offset, cell * plan.runs + offset, count)


def block_with(plan: Plan, run: int) -> Block:
    """The block that holds a run. Raises `ValueError` when there is no such run."""
    run = check_integer("sweep", "run", run, 0, plan.total - 1, remedy="choose one of these")
    cell, place = divmod(run, plan.runs)
    return block_of(plan, cell * blocks_a_cell(plan) + place // block_size(plan))


def shape_of(plan: Plan, cell: Cell) -> tuple:
    """What decides which compiled program a cell needs: two cells of one shape share it.

    A target known by its moments has no width; the values of a shared target are traced, its
    distribution does not enter. Widths `k` are not padded to a common one: with readouts of zero, k
    = 4 in the shape of k = 8 takes 1.5 times as long (erf, n = 3, d = 9), the 7 s of one
    compilation are worth 25 000 such runs at most, only grids whose `d` does not follow `k` could
    do it, and what a run's last bits are would depend on the rest of its grid.
    """
    width = None if plan.risk == "simplified" else cell.k
    return (cell.activation, cell.target_activation, cell.n, width, cell.d, cell.own_targets)


def in_order(plan: Plan, numbers: list[int]) -> list[int]:
    """Blocks with those of one shape together, so that a process meets every shape once."""
    return sorted(numbers, key=lambda number: (_shape_number(plan, number), number))


def each_shape_first(plan: Plan, numbers: list[int]) -> list[int]:
    """One block of every shape, then the others shape by shape: for processes that hand each other
    their programs.

    In one order for all, every process would compile every program, at the same time as the others.
    """
    firsts = list(
        {
            _shape_number(plan, number): number for number in reversed(in_order(plan, numbers))
        }.values()
    )[::-1]
    taken = set(firsts)
    return firsts + [number for number in in_order(plan, numbers) if number not in taken]


def _shape_number(plan: Plan, number: int) -> int:
    """The first cell that has the shape of a block."""
    return _first_cells(plan)[shape_of(plan, plan.cells[number // blocks_a_cell(plan)])]


@functools.lru_cache(maxsize=8)
def _first_cells(plan: Plan) -> dict[tuple, int]:
    first: dict[tuple, int] = {}
    for cell in plan.cells:
        first.setdefault(shape_of(plan, cell), cell.number)
    return first
