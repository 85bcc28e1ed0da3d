"""Figures from stored results: a dictionary or a file in, axes out. Nothing is solved here."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase

from jaxcompress._internal.files import write_whole

# One hue for what this package found, greys for what it is held against.
OURS, SIMPLE, PLAIN = "#1f6f8b", "#8a8a8a", "#c2c2c2"


def compression(report: Mapping[str, Any], axes: Axes) -> Axes:
    """What every start reached, sorted, against pruning at the same width; relative risk on a
    logarithmic axis.

    `report` is what `Report.to_dict` gives (or the command line's `--json`). Draws into `axes` and
    returns them.
    Example: `jc.plotting.compression(jc.compress(target, 16, key=key).report.to_dict(), axes)`.
    """
    risks = np.sort([risk for risk in report["start_risks"] if risk is not None])
    axes.semilogy(
        np.arange(1, len(risks) + 1), risks, "o", color=OURS, ms=4, label="starts, sorted"
    )
    levels = (
        ("magnitude pruning", report["pruned_relative_risk"], PLAIN, "-"),
        ("pruning, readout refitted", report["refitted_relative_risk"], SIMPLE, "-"),
        ("result", report["relative_risk"], OURS, "--"),
    )
    for name, level, colour, style in levels:
        axes.axhline(level, color=colour, ls=style, lw=1.5, label=f"{name}: {level:.2%}")
    axes.set(
        xlabel="start",
        ylabel="risk / E‖f*‖²",
        title=f"{report['target_width']} → {report['width']} hidden neurons",
    )
    # Between the levels of pruning and of the starts there is room, and a white ground hides the
    # lines behind.
    axes.legend(loc="center right", framealpha=1, edgecolor="none", fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def widths(rows: list[Mapping[str, Any]], axes: Axes) -> Axes:
    """Relative error against width: pruning, pruning with refitted readout, this package, on real
    inputs if measured.

    `rows` hold `width`, `pruned_relative_risk`, `refitted_relative_risk`, `relative_risk` and,
    where real inputs were measured, `held_out_relative_error`. Draws into `axes` and returns them.
    Example: `jc.plotting.widths(rows, axes)`, rows as `benchmarks/digits.py` stores them.
    """
    rows = sorted(rows, key=lambda row: row["width"])
    width = [row["width"] for row in rows]
    lines = (
        ("pruned_relative_risk", "magnitude pruning", PLAIN, "o-"),
        ("refitted_relative_risk", "pruning, readout refitted", SIMPLE, "o-"),
        ("relative_risk", "jaxcompress", OURS, "o-"),
        ("held_out_relative_error", "jaxcompress, on held-out images", OURS, "s:"),
    )
    for name, label, colour, style in lines:
        if all(name in row for row in rows):
            axes.loglog(width, [row[name] for row in rows], style, color=colour, label=label, ms=5)
    axes.set(xlabel="hidden neurons kept", ylabel="relative squared error")
    axes.set_xticks(width, [str(w) for w in width])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def save_compression_figure(report: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Draw `compression` into a file, whole or not at all; the ending of the name selects the
    format.
    Example: `jc.plotting.save_compression_figure(small.report.to_dict(), "compression.png")`.
    """
    figure = matplotlib.figure.Figure(figsize=(6, 4), layout="constrained")
    compression(report, figure.add_subplot())
    save_figure(figure, path)


def check_format(path: str | os.PathLike) -> None:
    """Raise `ValueError` unless the ending of the name is a format that figures can be saved in."""
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in known:
        raise ValueError(
            f"{path}: given a figure of format {ending!r}; expected one of {', '.join(known)}; "
            "end the name in .png or .pdf"
        )


def save_figure(figure: matplotlib.figure.Figure, path: str | os.PathLike) -> None:
    """Write a figure, whole or not at all.
    Raises `ValueError` when the name's ending is no picture format.
    Example: `jc.plotting.save_figure(jc.plotting.sweep(rows), "sweep.pdf")`.
    """
    check_format(path)
    ending = Path(path).suffix.removeprefix(".").lower()
    write_whole(path, lambda file: figure.savefig(file, format=ending, dpi=150))
