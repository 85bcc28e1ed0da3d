"""A sweep in few numbers, read from its store alone, finished or not."""

import dataclasses
import os
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress.landscape import classify
from jaxcompress.networks import TwoLayer, targets
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._laws import activation_of
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._parts import Orthonormal
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._solving import precision_of
from jaxcompress.sweep._store import open_store

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
# Ends whose risks differ by less, relative to the larger of 1 and the risk, are counted as one level: polished ends of
# one point agree to 1e-14, flows cut at a gradient of 1e-8 to 1e-12, and distinct minima are seldom within 1e-6.
_SAME = {"float64": 1e-9, "float32": 1e-4}
_LEVELS = 3


@dataclasses.dataclass(frozen=True)
class Level:
    """Converged ends of one risk: `count` of them, `index` of one, and its `name` where it has one."""

    risk: float
    count: int
    index: int | None
    name: str


@dataclasses.dataclass(frozen=True)
class Row:
    """A cell: `done` of `runs`, of which `converged`; `risk`, quantiles 0, 10, 50, 90 and 100 % of the converged ends
    (NaN without any); `levels`, the lowest of their risks."""

    cell: Cell
    runs: int
    done: int
    converged: int
    risk: tuple[float, ...]
    levels: tuple[Level, ...]


def table(directory: str | os.PathLike, *, levels: int = _LEVELS) -> list[Row]:
    """What a sweep has found so far, a row for every cell.

    Arguments: a folder; how many of the lowest risks to list. A level is named after one of its end points
    (`landscape.classify`), where end points are stored and targets are orthonormal of readout one: two minima of equal
    risk would share a row and a name.
    Raises `ValueError` when there is no sweep in the folder.
    """
    store = open_store(directory)
    columns = _columns(directory, None)
    ends = {group.path: _columns(directory, group.path) for group in networks_of(store.plan)}
    rows = {cell: (group.path, i) for group in networks_of(store.plan) for i, cell in enumerate(group.cells)}

    def network(cell: Cell, seed: int) -> TwoLayer | None:
        if cell.number not in rows:
            return None
        path, row = rows[cell.number]
        arrays = {name: jnp.asarray(ends[path][name][row, seed].values) for name in ends[path].data_vars}
        return TwoLayer(**arrays, activation=activation_of("activation", cell.activation))

    with precision_of(store.plan):
        return [_row(store.plan, cell, columns, network, levels) for cell in store.plan.cells]


def _columns(directory: str | os.PathLike, group: str | None) -> Any:
    """The dataset of a store or of one of its groups."""
    try:
        import xarray
    except ImportError:
        raise ValueError("sweep: reading needs xarray; install it with pip install 'jaxcompress[sweep]'") from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object at", module="zarr")  # the folder `sweep` is no part of the array
        return xarray.open_zarr(directory, group=group, chunks=None)


def _row(plan: Plan, cell: Cell, columns: Any, network: Any, most: int) -> Row:
    read = ("result", "converged", "risk", "index")
    here = {name: columns[name][cell.number].values for name in read if name in columns}
    done, good = here["result"] >= 0, np.flatnonzero(here["converged"])
    risks = here["risk"][good].astype(np.float64)
    quantiles = np.quantile(risks, QUANTILES) if len(risks) else np.full(len(QUANTILES), np.nan)
    found = []
    order = np.argsort(risks, kind="stable")
    steps = np.diff(risks[order]) > _SAME[plan.precision] * np.maximum(1, risks[order][1:])
    for members in np.split(order, np.flatnonzero(steps) + 1)[:most] if len(order) else ():
        seed = int(good[members[0]])
        index = int(here["index"][seed]) if "index" in here else None
        name = _name(plan, cell, network(cell, seed))
        found.append(Level(float(risks[members[0]]), len(members), index, name))
    return Row(cell, plan.runs, int(done.sum()), len(good), tuple(quantiles.tolist()), tuple(found))


def _name(plan: Plan, cell: Cell, end: TwoLayer | None) -> str:
    """What `classify` calls an end; nothing where the theory has no names."""
    nameable = isinstance(cell.target, Orthonormal) and cell.target.readout == 1 and plan.risk == "population"
    if end is None or not nameable or plan.inputs != "standard_normal" or plan.start.bias or plan.start.output_bias:
        return ""
    f = activation_of("target.activation", cell.target_activation)
    target = targets.orthonormal(cell.k, cell.d, activation=f, dtype=plan.precision)
    return classify(end, target, freeze=plan.freeze).name


def costs(directory: str | os.PathLike) -> dict[str, float]:
    """What the blocks of a sweep have cost in seconds of their workers, compiling and storing included.

    Returns `seconds`, `compile_seconds`, `store_seconds`, sums over the blocks that were done, as far as it was noted.
    Raises `ValueError` when there is no sweep in the folder.
    """
    notes = open_store(directory).notes()
    return {name: sum(note[name] for note in notes) for name in ("seconds", "compile_seconds", "store_seconds")}
