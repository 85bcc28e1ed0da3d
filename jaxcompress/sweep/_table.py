"""A sweep in few numbers, read from its store alone, finished or not."""

import dataclasses
import os
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxcompress._internal.checks import check_integer
from jaxcompress.landscape import classify
from jaxcompress.networks import TwoLayer, targets
from jaxcompress.sweep._blocks import block_count
from jaxcompress.sweep._cells import Cell
from jaxcompress.sweep._distributions import activation_of
from jaxcompress.sweep._layout import networks_of
from jaxcompress.sweep._parts import Orthonormal
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._reading import check_readable, dataset
from jaxcompress.sweep._solving import precision_of
from jaxcompress.sweep._store import open_store
from jaxcompress.sweep._variables import result_codes

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
# Ends whose risks differ by less, relative to the larger of 1 and the risk, are counted as one
# level: polished ends of one point agree to 1e-14, flows cut at a gradient of 1e-8 to 1e-12, and
# distinct minima are seldom within 1e-6.
_SAME = {"float64": 1e-9, "float32": 1e-4}
_LEVELS = 3


@dataclasses.dataclass(frozen=True)
class Level:
    """Converged ends of one risk: `count` of them; `run`, the number of one, with its `index`, and
    its `name` and `kind` (`landscape.Classification`), empty where it has none.
    Example: `jc.sweep.table(folder)[0].levels[0]`, where a run of the first cell has converged.
    """

    risk: float
    count: int
    run: int
    index: int | None
    name: str
    kind: str


@dataclasses.dataclass(frozen=True)
class TableRow:
    """What a sweep has found in one cell, a row of `table`.

    Fields:

    - `cell`: the cell, with its activation, target and sizes;
    - `runs`, `done`, `converged`: how many runs there are, have been done, have converged;
    - `risk`: the quantiles 0, 10, 50, 90 and 100 % of the converged ends (NaN without any);
    - `risk_floor`: the largest of the rounding-error bounds of their risks;
    - `levels`: the lowest of their risks;
    - `results`: how many runs ended with which result code.

    Example: that of `table`.
    """

    cell: Cell
    runs: int
    done: int
    converged: int
    risk: tuple[float, ...]
    risk_floor: float
    levels: tuple[Level, ...]
    results: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The row in plain values for JSON, which has no NaN; figures of sweeps are drawn from such
        rows.
        """
        cell = {
            **vars(self.cell),
            "target": self.cell.target.label,
            "own_targets": self.cell.own_targets,
        }
        plain = {name: getattr(self, name) for name in ("runs", "done", "converged", "results")}
        risk = list(self.risk) if self.converged else [None] * len(self.risk)
        floor = self.risk_floor if self.converged else None
        levels = [dataclasses.asdict(level) for level in self.levels]
        return {"cell": cell, **plain, "risk": risk, "risk_floor": floor, "levels": levels}


def table(directory: str | os.PathLike, *, levels: int = _LEVELS) -> list[TableRow]:
    """What a sweep has found so far, a row for every cell.

    Arguments: a folder; how many of the lowest risks to list. A level is named after one of its end
    points (`landscape.classify`), where end points are stored and targets are orthonormal of
    readout one: two minima of equal risk would share a row and a name.
    Raises `ValueError` when there is no sweep in the folder, a damaged one, or no level to list.
    Example: `[row.risk[2] for row in jc.sweep.table(folder)]`, the medians.
    """
    check_integer("sweep.table", "levels", levels, 1, remedy=f"leave it out for {_LEVELS}")
    store = open_store(directory)
    check_readable(store, range(block_count(store.plan)))
    columns = dataset(directory, None)
    ends = {group.path: dataset(directory, group.path) for group in networks_of(store.plan)}
    rows = {
        cell: (group.path, i)
        for group in networks_of(store.plan)
        for i, cell in enumerate(group.cells)
    }

    def network(cell: Cell, seed: int) -> TwoLayer | None:
        if cell.number not in rows:
            return None
        path, row = rows[cell.number]
        arrays = {
            name: jnp.asarray(ends[path][name][row, seed].values) for name in ends[path].data_vars
        }
        return TwoLayer(**arrays, activation=activation_of("activation", cell.activation))

    with precision_of(store.plan):
        return [_row(store.plan, cell, columns, network, levels) for cell in store.plan.cells]


def _row(plan: Plan, cell: Cell, columns: Any, network: Any, most: int) -> TableRow:
    # What `result`, read first, calls done, was whole by then; the rest of a block that was cut
    # short says nothing.
    read = ("result", "converged", "risk", "risk_floor", "index")
    here = {name: columns[name][cell.number].values for name in read if name in columns}
    done = here["result"] >= 0
    good = np.flatnonzero(here["converged"] & done)
    counts = {name: int((here["result"] == code).sum()) for name, code in result_codes().items()}
    risks = here["risk"][good].astype(np.float64)
    quantiles = np.quantile(risks, QUANTILES) if len(risks) else np.full(len(QUANTILES), np.nan)
    found = []
    order = np.argsort(risks, kind="stable")
    steps = np.diff(risks[order]) > _SAME[plan.precision] * np.maximum(1, risks[order][1:])
    for members in np.split(order, np.flatnonzero(steps) + 1)[:most] if len(order) else ():
        seed = int(good[members[0]])
        index = int(here["index"][seed]) if "index" in here else None
        name, kind = _name(plan, cell, network(cell, seed))
        number = cell.number * plan.runs + seed
        found.append(Level(float(risks[members[0]]), len(members), number, index, name, kind))
    return TableRow(
        cell=cell,
        runs=plan.runs,
        done=int(done.sum()),
        converged=len(good),
        risk=tuple(quantiles.tolist()),
        risk_floor=float(here["risk_floor"][good].max(initial=0.0)),
        levels=tuple(found),
        results={name: count for name, count in counts.items() if count},
    )


def _name(plan: Plan, cell: Cell, end: TwoLayer | None) -> tuple[str, str]:
    """What `classify` calls an end, and its kind; nothing where the theory has no names."""
    nameable = (
        isinstance(cell.target, Orthonormal)
        and cell.target.readout == 1
        and plan.risk == "population"
    )
    if (
        end is None
        or not nameable
        or plan.inputs != "standard_normal"
        or plan.start.bias
        or plan.start.output_bias
    ):
        return "", ""
    f = activation_of("target.activation", cell.target_activation)
    target = targets.orthonormal(cell.k, cell.d, activation=f, dtype=plan.precision)
    found = classify(end, target, freeze=plan.freeze)
    return found.name, found.kind


def costs(directory: str | os.PathLike) -> dict[str, float]:
    """What the blocks of a sweep have cost in seconds of their workers, compiling and storing
    included.

    Returns `seconds`, `compile_seconds`, `store_seconds`, sums over the blocks that were done, as
    far as it was noted.
    Raises `ValueError` when there is no sweep in the folder.
    Example: `jc.sweep.costs(folder)["seconds"]`.
    """
    notes = open_store(directory).notes()
    return {
        name: _sum(note.get(name) for note in notes)
        for name in ("seconds", "compile_seconds", "store_seconds")
    }


def _sum(numbers: Iterable[Any]) -> float:
    """Of what is a number."""
    return float(
        sum(number for number in numbers if isinstance(number, int | float) and np.isfinite(number))
    )
