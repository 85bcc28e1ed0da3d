"""Figures from stored results.

What enters: records of benchmarks, reports, the rows and trajectories of sweeps, as dictionaries or
datasets that came from a file or could have. What leaves: axes with a figure in them, or a file.
Nothing is solved here.

Inside: `_figures` for compression, `_studies` for the studies under `benchmarks/`, `_sweeps` for
sweeps.
"""

from jaxcompress.plotting._figures import (
    compression,
    save_compression_figure,
    save_figure,
    widths,
)
from jaxcompress.plotting._studies import (
    copy_or_average,
    crossing,
    crowding,
    frame_phases,
    gaps,
    order_parameters,
)
from jaxcompress.plotting._sweeps import (
    end_frequencies,
    loss,
    phase_diagram,
    risk_by_width,
    save_sweep_figure,
    save_trajectory_figure,
    sweep,
)

__all__ = [
    "compression",
    "copy_or_average",
    "crossing",
    "crowding",
    "end_frequencies",
    "frame_phases",
    "gaps",
    "loss",
    "order_parameters",
    "phase_diagram",
    "risk_by_width",
    "save_compression_figure",
    "save_figure",
    "save_sweep_figure",
    "save_trajectory_figure",
    "sweep",
    "widths",
]
