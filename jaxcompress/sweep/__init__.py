"""Declared grids of runs: done in blocks, stored as they are done, resumed after anything.

What enters: a `Plan`, in Python or TOML. What leaves: a folder that `xarray.open_zarr` reads, with
one entry a run, and any single run again from its number. Results are functions of the plan:
neither kills nor workers leave a trace.

Inside: `_plan` and the records in `_parts` (distributions by name in `_distributions`, sums of
sizes in `_sizes`); `_cells` and `_blocks` cut the grid up, `_cost` and `_estimate` say what it
costs; `_draw` and `_solving` turn a block into arrays; `_variables`, `_layout`, `_metadata` and
`_disk` turn arrays into files, whose account is in `_manifests` and `_store`; `_work` is what a
worker does, `_run` distributes the work; `_replay` repeats a run; `_reading` opens a store,
`_table` sums it up.
"""

from typing import TYPE_CHECKING

from jaxcompress._internal.deprecation import renamed
from jaxcompress.sweep._estimate import Estimate, estimate
from jaxcompress.sweep._parts import Orthonormal, Random, Solver, Start
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._reading import stored_run
from jaxcompress.sweep._replay import problem_of, replay, replay_block, trajectory
from jaxcompress.sweep._run import Progress, resume, run
from jaxcompress.sweep._table import Level, TableRow, costs, table

__all__ = [
    "Estimate",
    "Level",
    "Orthonormal",
    "Plan",
    "Progress",
    "Random",
    "Solver",
    "Start",
    "TableRow",
    "costs",
    "estimate",
    "problem_of",
    "replay",
    "replay_block",
    "resume",
    "run",
    "stored_run",
    "table",
    "trajectory",
]

if not TYPE_CHECKING:  # so that type checkers see misspelt names
    __getattr__ = renamed(
        __name__, {"Row": "TableRow", "keep_programs": "jaxcompress:keep_programs"}
    )
