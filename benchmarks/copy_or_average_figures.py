"""The figures of `copy_or_average.py`, drawn anew from its record.

python benchmarks/copy_or_average_figures.py
"""

import json
from pathlib import Path

import common
import matplotlib.figure
import numpy as np

from jaxcompress import plotting


def draw(path: Path) -> None:
    """Draw what the record holds, beside it."""
    record = json.loads(path.read_text())
    if record.get("diagram"):
        names = [
            f for f in ("erf", "relu") if any(row["activation"] == f for row in record["diagram"])
        ]
        figure = matplotlib.figure.Figure(figsize=(7 * len(names), 6), layout="constrained")
        for name, axes in zip(names, np.atleast_1d(figure.subplots(1, len(names))), strict=True):
            parts = (record.get(part, []) for part in ("diagram", "competitors"))
            cells, both = ([row for row in part if row["activation"] == name] for part in parts)
            plotting.copy_or_average(cells, axes, both or None)
        plotting.save_figure(figure, path.with_suffix(".png"))
    if record.get("crossing"):
        figure = matplotlib.figure.Figure(figsize=(6, 4), layout="constrained")
        plotting.crossing(record["crossing"], figure.add_subplot())
        plotting.save_figure(figure, path.with_name("copy_or_average_crossing.png"))
    if record.get("trajectories"):
        figure = matplotlib.figure.Figure(figsize=(11, 4), layout="constrained")
        for run, axes in zip(
            record["trajectories"], figure.subplots(1, 2, sharey=True), strict=True
        ):
            plotting.order_parameters(run, axes).set_title(f"to the {run['kind']}")
        plotting.save_figure(figure, path.with_name("copy_or_average_flows.png"))


if __name__ == "__main__":
    draw(common.parser(__doc__, "copy_or_average.json").parse_args().out)
