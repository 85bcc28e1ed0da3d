"""The small sweep that tests of sweeps do, in this process and in others.

One shape, few slots and programs kept on disk: a process starts in the time that it takes to trace
the solver.
"""

import pathlib

from jaxcompress import sweep

PROGRAMS = pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"
LANES = 4
FEW = 12  # runs a cell of sweeps that are read, broken and mended: 4 blocks each


def small_plan(**changes) -> sweep.Plan:
    """Two cells of one shape, in blocks of 3 and 1."""
    given = {
        "activation": "erf",
        "n": 1,
        "k": 2,
        "d": 2,
        "target": [{"readout": 1.0}, {"readout": 2.0}],
        "runs": 99,
        "block": 3,
        "solver": {"method": "flow"},
    }
    return sweep.Plan.from_dict(given | changes)


def do(directory: str, runs: int = 99) -> None:
    """The sweep, or what is missing of it."""
    sweep.run(small_plan(runs=runs), directory, slots=LANES, programs=PROGRAMS)


def done_sweep(folder) -> tuple:
    """A folder with a sweep that nobody disturbed, in blocks of 3, and what its progress was."""
    told: list[sweep.Progress] = []
    sweep.run(small_plan(runs=FEW), folder, slots=LANES, progress=told.append)
    return folder, told


def files(directory) -> dict[str, bytes]:
    """Everything that a sweep has left but the notes of what it cost."""
    root = pathlib.Path(directory)
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name: (root / name).read_bytes() for name in names if not name.startswith("sweep/log/")}
