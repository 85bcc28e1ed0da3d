"""Declared grids of runs: done in blocks, stored as they are done, resumed after anything.

What enters: a `Plan`, in Python or TOML. What leaves: a folder that `xarray.open_zarr` reads, with
one entry a run, and any single run again from its number. Results are functions of the plan:
neither kills nor workers leave a trace.

Inside: `_plan` and the records in `_parts` (laws by name in `_laws`, sums of sizes in `_sizes`);
`_cells` and `_blocks` cut the grid up, `_cost` and `_estimate` say what it costs; `_draw` and
`_solving` turn a block into arrays; `_variables`, `_layout`, `_skeleton` and `_disk` turn arrays
into files, of which `_marks` and `_store` keep account; `_work` is what a worker does, `_run` gives
it out; `_replay` repeats a run; `_reading` opens a store, `_table` sums it up.
"""

from jaxcompress.programs import keep_programs
from jaxcompress.sweep._estimate import Estimate, estimate
from jaxcompress.sweep._parts import Orthonormal, Random, Solver, Start
from jaxcompress.sweep._plan import Plan
from jaxcompress.sweep._reading import stored_run
from jaxcompress.sweep._replay import problem_of, replay, replay_block, trajectory
from jaxcompress.sweep._run import Progress, resume, run
from jaxcompress.sweep._table import Level, Row, costs, table

__all__ = [
    "Estimate",
    "Level",
    "Orthonormal",
    "Plan",
    "Progress",
    "Random",
    "Row",
    "Solver",
    "Start",
    "costs",
    "estimate",
    "keep_programs",
    "problem_of",
    "replay",
    "replay_block",
    "resume",
    "run",
    "stored_run",
    "table",
    "trajectory",
]
