"""Figures of sweeps, from the rows that `jaxcompress show DIR --json` prints and from stored
trajectories.

A row is a cell of the grid: its sizes, quantiles of the risks of its converged ends, and how many
ended at the lowest of them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes

from jaxcompress.plotting._figures import save_figure
from jaxcompress.plotting._studies import order_parameters

Rows = Sequence[Mapping[str, Any]]

# From the lowest level up; then other converged ends, ends that are none, runs that have not been
# done.
_LEVELS = ("#0b3c49", "#1f6f8b", "#7fb2c4")
_OTHERS = {"other ends": "#e3b23c", "not converged": "#b4443c", "not done": "#ececec"}
_ORDINALS = ("lowest risk", "second lowest", "third lowest")
_MANY_BARS, _MANY_TILES, _MANY_PANELS = 40, 100, 6
# Log axes have no zero: a risk is drawn no lower than rounding may have lifted it, or than this.
_LEAST = 1e-17


def risk_by_width(rows: Rows, axes: Axes) -> Axes:
    """Risk of the ends against the width of the student: the median, from 10 to 90 % of the runs,
    and the lowest.

    One colour a target (its `k`, and `d` where that does not follow). Risks below their rounding
    floor are drawn at it. Draws into `axes` and returns them.
    Example: `jc.plotting.risk_by_width(rows, axes)`, rows as for `sweep`.
    """
    curves: dict[tuple, list] = {}
    for row in rows:
        curves.setdefault(_apart(row, rows), []).append(row)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.85, max(1, len(curves))))
    for (name, mine), shade in zip(sorted(curves.items()), shades, strict=False):
        mine = sorted((row for row in mine if row["converged"]), key=lambda row: row["cell"]["n"])
        if not mine:
            continue
        at = [row["cell"]["n"] for row in mine]
        floor = np.array([max(row["risk_floor"], _LEAST) for row in mine])
        lowest, low, middle, high, _ = np.maximum(np.array([row["risk"] for row in mine]).T, floor)
        axes.plot(
            at,
            middle,
            "o-",
            color=shade,
            ms=4,
            label=", ".join(f"{letter}={size}" for letter, size in name),
        )
        axes.plot(at, lowest, ":", color=shade, lw=1.5, marker="_", ms=8)
        if len(at) > 1:
            axes.fill_between(at, low, high, color=shade, alpha=0.2, lw=0)
        else:
            axes.vlines(at, low, high, color=shade, alpha=0.4, lw=4)
    axes.set(yscale="log", xlabel="neurons of the student n", ylabel="risk")
    axes.set_xticks(sorted({row["cell"]["n"] for row in rows}))
    if axes.get_legend_handles_labels()[0]:
        title = "median, 10–90 %, lowest (dotted)"
        axes.legend(frameon=False, fontsize="small", title=title, title_fontsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _apart(row: Mapping[str, Any], rows: Rows) -> tuple[tuple[str, int], ...]:
    """What names a curve over n: `k`, and `d` where rows of one n and k differ in it."""
    cell = row["cell"]
    dims = {
        other["cell"]["d"]
        for other in rows
        if (other["cell"]["k"], other["cell"]["n"]) == (cell["k"], cell["n"])
    }
    return (("k", cell["k"]), *((("d", cell["d"]),) if len(dims) > 1 else ()))


def end_frequencies(rows: Rows, axes: Axes) -> Axes:
    """Where the runs of every cell ended: a bar a cell, shared between its lowest risks, the other
    ends, and the rest.

    A part is named where its end has a name and there is room. Draws into `axes` and returns them.
    Example: `jc.plotting.end_frequencies(rows, axes)`, rows as for `sweep`.
    """
    shown = list(rows)[:_MANY_BARS]
    for place, row in enumerate(shown):
        left = 0.0
        for colour, count, name in _parts(row):
            width = count / row["runs"]
            axes.barh(place, width, 0.8, left=left, color=colour)
            if name and width * 60 > len(name):
                axes.text(
                    left + width / 2,
                    place,
                    name,
                    ha="center",
                    va="center",
                    color="white",
                    fontsize="x-small",
                    clip_on=True,
                )
            left += width
    labels = [", ".join(f"{letter}={row['cell'][letter]}" for letter in "nkd") for row in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize="x-small" if len(shown) > 12 else "small")
    axes.invert_yaxis()
    own = any(row["cell"]["own_targets"] for row in shown)
    names = [*(() if own else zip(_ORDINALS, _LEVELS, strict=True)), *_OTHERS.items()]
    for name, colour in names:
        axes.bar(0, 0, color=colour, label="converged" if own and name == "other ends" else name)
    left_out = len(rows) - len(shown)
    axes.set(
        xlim=(0, 1),
        xlabel="share of the runs" + (f" ({left_out} more cells left out)" if left_out else ""),
    )
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize="x-small"
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _parts(row: Mapping[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Colour, count and name of every part of a cell's bar. Where every run has its own target,
    levels mean nothing.
    """
    levels = () if row["cell"]["own_targets"] else row["levels"][: len(_LEVELS)]
    for colour, level in zip(_LEVELS, levels, strict=False):
        yield colour, level["count"], level["name"]
    counts = (
        row["converged"] - sum(level["count"] for level in levels),
        row["done"] - row["converged"],
    )
    for colour, count in zip(_OTHERS.values(), (*counts, row["runs"] - row["done"]), strict=True):
        yield colour, count, ""


# What a phase diagram may show of a cell: its words on the colour bar, and how it follows from a
# row.
_MEASURES: dict[str, tuple[str, Any]] = {
    "lowest": ("share of runs at the lowest risk", lambda row: _share(row, "lowest")),
    "converged": ("share of runs that converge", lambda row: _share(row, "converged")),
    "median": ("log₁₀ of the median risk", lambda row: _log_median(row)),
}


def phase_diagram(
    rows: Rows, axes: Axes, *, x: str = "n", y: str = "k", measure: str = "lowest"
) -> Axes:
    """A number of every cell over two of its sizes, as tiles; cells that share a tile are averaged.

    Arguments:

    - `rows`: as for `sweep`;
    - `axes`: to draw into; they are returned;
    - `x`, `y`: two of `n`, `k`, `d`;
    - `measure`: `"lowest"`, the share of the runs that end at the lowest risk found (where every
      run has a target of its own, that says nothing); `"converged"`, the share that converge;
      `"median"`, the logarithm of the median risk. Tiles without a run stay empty.

    Raises `ValueError` for another measure.
    Example: `jc.plotting.phase_diagram(rows, axes, measure="median")`.
    """
    if measure not in _MEASURES:
        raise ValueError(
            f"phase_diagram: given measure {measure!r}; expected {', '.join(_MEASURES)}; choose one"
        )
    words, number = _MEASURES[measure]
    columns, lines = (sorted({row["cell"][letter] for row in rows}) for letter in (x, y))
    tiles: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        place = lines.index(row["cell"][y]), columns.index(row["cell"][x])
        tiles.setdefault(place, []).append(number(row))
    table = np.full((len(lines), len(columns)), np.nan)
    for place, numbers in tiles.items():
        there = [one for one in numbers if np.isfinite(one)]
        table[place] = np.mean(there) if there else np.nan
    known = table[np.isfinite(table)]
    low, high = (known.min(), known.max()) if measure == "median" and len(known) else (0.0, 1.0)
    image = axes.imshow(table, origin="lower", aspect="auto", cmap="viridis", vmin=low, vmax=high)
    axes.figure.colorbar(image, ax=axes, label=words)
    for place, value in np.ndenumerate(table if table.size <= _MANY_TILES else np.empty(0)):
        if np.isfinite(value):
            text = f"{value:.1f}" if measure == "median" else f"{value:.0%}"
            colour = "black" if value - low > 0.6 * (high - low) else "white"
            axes.text(
                place[1], place[0], text, ha="center", va="center", color=colour, fontsize="small"
            )
    axes.set_xticks(range(len(columns)), [str(size) for size in columns])
    axes.set_yticks(range(len(lines)), [str(size) for size in lines])
    axes.set(xlabel=_AXIS[x], ylabel=_AXIS[y])
    return axes


_AXIS = {"n": "neurons of the student n", "k": "neurons of the target k", "d": "input dimension d"}


def _share(row: Mapping[str, Any], what: str) -> float:
    if not row["done"]:
        return float("nan")
    lowest = row["levels"][0]["count"] if row["levels"] else 0
    return (row["converged"] if what == "converged" else lowest) / row["done"]


def _log_median(row: Mapping[str, Any]) -> float:
    return (
        float(np.log10(max(row["risk"][2], row["risk_floor"], _LEAST)))
        if row["converged"]
        else float("nan")
    )


def loss(paths: Sequence[Mapping[str, Any]], axes: Axes) -> Axes:
    """The risk along flows, against their time, both logarithmic.

    `paths` hold `time (T,)`, `risk (T,)` and `risk_floor (T,)`, as `sweep.trajectory` gives; risks
    below their rounding floor are drawn at it. Draws into `axes` and returns them.
    Example: `jc.plotting.loss([jc.sweep.trajectory(folder, run) for run in (3, 14)], axes)`.
    """
    shades = matplotlib.colormaps["viridis"](np.linspace(0.1, 0.85, max(1, len(paths))))
    for path, shade in zip(paths, shades, strict=True):
        time, risk, floor = (np.asarray(path[name]) for name in ("time", "risk", "risk_floor"))
        run = getattr(path, "attrs", {}).get("run")
        label = None if run is None or len(paths) > 10 else f"run {run}"
        axes.loglog(
            time[time > 0],
            np.maximum(risk, np.maximum(floor, _LEAST))[time > 0],
            color=shade,
            label=label,
        )
    axes.set(xlabel="flow time", ylabel="risk")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def sweep(rows: Rows, figure: matplotlib.figure.Figure | None = None) -> matplotlib.figure.Figure:
    """The figure of a sweep: risk against width, where runs ended and, over two widths or more
    each, the phase diagram.

    A line of panels for every activation and target, of six at most (the title says how many are
    left out). Draws into `figure`, or into a new one, and returns it.
    Raises `ValueError` when there are no rows.
    Example: `jc.plotting.sweep([row.to_dict() for row in jc.sweep.table(folder)])`.
    """
    if not rows:
        raise ValueError(
            "plotting.sweep: given no rows; expected one a cell; pass those of sweep.table, or of "
            "show --json"
        )
    groups: dict[tuple[str, str], list] = {}
    for row in rows:
        groups.setdefault((row["cell"]["activation"], row["cell"]["target"]), []).append(row)
    shown = list(groups.items())[:_MANY_PANELS]
    wide = any(len({row["cell"][letter] for row in rows}) > 1 for letter in "nk")
    height = sum(max(3.6, 0.2 * min(_MANY_BARS, len(mine)) + 1) for _, mine in shown)
    figure = figure or matplotlib.figure.Figure(layout="constrained")
    figure.set_size_inches(5 * (3 if wide else 2), height)
    panels = figure.subplots(len(shown), 3 if wide else 2, squeeze=False)
    for ((activation, target), mine), line in zip(shown, panels, strict=True):
        risk_by_width(mine, line[0]).set_title(
            f"{activation}, {target}", fontsize="small", loc="left"
        )
        end_frequencies(mine, line[1])
        if wide:
            own = any(row["cell"]["own_targets"] for row in mine)
            phase_diagram(mine, line[2], measure="median" if own else "lowest")
    left_out = len(groups) - len(shown)
    counts = f"{sum(row['done'] for row in rows)} of {sum(row['runs'] for row in rows)} runs"
    figure.suptitle(
        counts + (f"; {left_out} more activations or targets left out" if left_out else "")
    )
    return figure


def save_sweep_figure(rows: Rows, path: str | os.PathLike) -> None:
    """Draw `sweep` into a file, whole or not at all; the ending of the name selects the format.
    Example: `jc.plotting.save_sweep_figure(rows, "sweep.png")`, rows as for `sweep`.
    """
    save_figure(sweep(rows), path)


def save_trajectory_figure(path: Mapping[str, Any], file: str | os.PathLike) -> None:
    """Draw `loss` and, where the target is a network, `order_parameters` of one run into a file, or
    nothing at all.
    Example: `jc.plotting.save_trajectory_figure(jc.sweep.trajectory(folder, 3), "run.png")`.
    """
    figure = matplotlib.figure.Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2 if "overlaps" in path else 1, squeeze=False)[0]
    loss([path], panels[0])
    if "overlaps" in path:
        order_parameters(path, panels[1])
    save_figure(figure, file)
