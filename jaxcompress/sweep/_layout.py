"""Where everything stands in a store, and the chunks that a block fills.

    zarr.json, risk/, … the columns, (cell, seed), one chunk a block; cells' labels along cell
    networks/SHAPE/ weights, readout, … of the cells of one shape, (network_cell, seed, …)
    sweep/plan.json plan, format and versions; written last when a store is made
    sweep/blocks/000123.json what is done, of which plan, with a checksum of every chunk; written
    last of a block sweep/log/000123.json what it cost, with which slots, devices and versions; no
    part of the results sweep/parts/ files on their way; gone when the sweep is complete

Chunks are the plain little-endian bytes of their arrays, so that they depend on no compressor and
its version: results are noise to a compressor.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator

import numpy as np

from jaxcompress.sweep._blocks import Block, block_size
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._variables import variables_of

PLAN = "sweep/plan.json"
SCRATCH = "sweep/parts"


def manifest_path(number: int) -> str:
    """The file that says that a block is done."""
    return f"sweep/blocks/{number:06d}.json"


def log_path(number: int) -> str:
    """The file that says what a block cost."""
    return f"sweep/log/{number:06d}.json"


@dataclasses.dataclass(frozen=True)
class Networks:
    """The end points of all cells of one activation and size: `arrays`, shape and axes of every
    parameter.
    """

    path: str
    cells: tuple[int, ...]
    arrays: dict[str, tuple[tuple[int, ...], tuple[str, ...]]]


@functools.lru_cache(maxsize=8)
def networks_of(plan: Plan) -> tuple[Networks, ...]:
    """The groups of end points, none when the plan does not keep them."""
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells if plan.networks else ():
        groups.setdefault(
            f"networks/{cell.activation.replace(' ', '')}-n{cell.n}-d{cell.d}", []
        ).append(cell)
    return tuple(
        Networks(path, tuple(cell.number for cell in cells), _parameters(plan, cells[0]))
        for path, cells in groups.items()
    )


def _parameters(plan: Plan, cell: Cell) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    out: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
        "weights": ((cell.n, cell.d), ("neuron", "input")),
        "readout": ((cell.n,), ("neuron",)),
    }
    if plan.start.bias:
        out["bias"] = ((cell.n,), ("neuron",))
    if plan.start.output_bias:
        out["output_bias"] = ((), ())
    return out


@functools.lru_cache(maxsize=8)
def _rows(plan: Plan) -> dict[int, tuple[Networks, int]]:
    """The group of every cell and its row there."""
    return {
        cell: (group, row) for group in networks_of(plan) for row, cell in enumerate(group.cells)
    }


def paths_of(plan: Plan, block: Block) -> dict[str, str]:
    """The chunks of a block: name of the array → path, in the order in which they are written.

    `result` comes last, and `converged` just before: where `result` says that a run is done,
    everything else of the run can be read, even in a block that was cut short and will be done
    again.
    """
    cell, place = block.cell.number, block.offset // block_size(plan)
    out = {variable.name: f"{variable.name}/c/{cell}/{place}" for variable in variables_of(plan)}
    last = {name: out.pop(name) for name in ("converged", "result")}
    if plan.networks:
        group, row = _rows(plan)[cell]
        for name, (shape, _) in group.arrays.items():
            out[f"networks.{name}"] = f"{group.path}/{name}/c/{row}/{place}{'/0' * len(shape)}"
    return {**out, **last}


def chunks_of(
    plan: Plan, block: Block, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every chunk of a block, in a fixed order."""
    fills = {variable.name: variable.fill for variable in variables_of(plan)}
    for name, path in paths_of(plan, block).items():
        array = arrays[name]
        # The last chunk of a cell is as long as the others: Zarr wants it so.
        chunk = np.full(
            (block_size(plan), *array.shape[1:]),
            fills.get(name, np.nan),
            array.dtype.newbyteorder("<"),
        )
        chunk[: len(array)] = array
        yield path, chunk.tobytes()


def sizes_of(plan: Plan, block: Block) -> dict[str, int]:
    """The chunks of a block: path → bytes."""
    group = _rows(plan)[block.cell.number][0] if plan.networks else None
    shapes = (
        {f"networks.{name}": shape for name, (shape, _) in group.arrays.items()} if group else {}
    )
    columns = {variable.name: np.dtype(variable.dtype).itemsize for variable in variables_of(plan)}
    number = np.dtype(plan.precision).itemsize
    return {
        path: block_size(plan)
        * (columns[name] if name in columns else number * math.prod(shapes[name]))
        for name, path in paths_of(plan, block).items()
    }
