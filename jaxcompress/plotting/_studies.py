"""Figures of the studies under `benchmarks/`, from their stored records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from jaxcompress.plotting._figures import OURS, PLAIN, SIMPLE

_STYLES = ("-", "--", ":", "-.")
# One colour a phase, so that neighbours differ also in grey.
_PHASES = {"isotropic": "#0b3c49", "tilted": OURS, "split": "#e3b23c", "pair": "#b4443c"}


def gaps(study: Mapping[str, Any], measure: str, axes: Axes) -> Axes:
    """How the simplified risk approaches the true one with the dimension, for both orders and every
    ensemble.

    `study` is the record `gap` of `benchmarks/random_targets.py`; `measure` one of its measures
    ("gap over energy", "relative gap", "excess", "distance of minimisers"). Bars are one standard
    error. Draws into `axes` and returns them.
    """
    styles: dict[str, str] = {}
    for name, fit in study["fits"].items():
        ensemble, order, what = name.rsplit(", ", 2)
        if what != measure:
            continue
        colour, marker = (SIMPLE, "o") if order == "order 1" else (OURS, "s")
        style = styles.setdefault(ensemble, _STYLES[len(styles) % len(_STYLES)])
        label = (
            f"{ensemble.split(',')[0]}, {order}: {fit['rate']:.2f} ± {fit['standard_error']:.2f}"
        )
        axes.errorbar(
            fit["sizes"],
            fit["means"],
            fit["errors"],
            fmt=marker + style,
            color=colour,
            ms=4,
            label=label,
        )
    axes.set(xscale="log", yscale="log", xlabel="input dimension d  (N = d²)", ylabel=measure)
    axes.legend(
        frameon=False,
        fontsize="x-small",
        title="ensemble, order: fitted exponent",
        title_fontsize="x-small",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def frame_phases(rows: list[Mapping[str, Any]], axes: Axes) -> Axes:
    """The phase of the optimum over the width of the student and the tilt of the target.

    `rows` hold `M`, `t/S` and `phase` (the record `phases` of `benchmarks/random_targets.py`).
    Draws into `axes` and returns them.
    """
    for name, colour in _PHASES.items():
        mine = [row for row in rows if row["phase"] == name]
        if mine:
            at = [row["t/S"] for row in mine], [row["M"] for row in mine]
            axes.plot(*at, "s", color=colour, ms=5, label=name, ls="none")
    axes.set(xlabel="‖t‖ / S", ylabel="neurons of the student M")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 1.15),
        ncols=len(_PHASES),
        frameon=False,
        fontsize="small",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def crowding(rows: list[Mapping[str, Any]], axes: Axes) -> Axes:
    """The least simplified risk against the width, with and without room for a simplex frame.

    `rows` hold `d`, `M`, `risk` and `simplex formula` (the record `crowded` of
    `benchmarks/random_targets.py`). Draws into `axes` and returns them.
    """
    dims = sorted({row["d"] for row in rows})
    for i, dim in enumerate(dims):
        mine = sorted((row for row in rows if row["d"] == dim), key=lambda row: row["M"])
        shade = str(0.8 - 0.7 * i / max(1, len(dims) - 1))
        at = [row["M"] for row in mine], [row["risk"] for row in mine]
        axes.plot(*at, "o-", color=shade, ms=4, label=f"d = {dim}")
    formula = sorted({(row["M"], row["simplex formula"]) for row in rows})
    axes.plot(*zip(*formula, strict=True), "--", color=OURS, label="formula of the simplex frame")
    axes.set(
        xlabel="neurons of the student M", ylabel="least simplified risk − E‖f*‖²  (t = 0, S = 1)"
    )
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


# What a start ended at: the two competitors, and everything else.
_ENDS = {
    "copy–average": OURS,
    "perturbed copy": "#e3b23c",
    "fewer neurons (zero, repeated, infinite)": "#b4443c",
    "others, or not converged": "#d5d5d5",
}


def copy_or_average(
    rows: list[Mapping[str, Any]],
    axes: Axes,
    competitors: Sequence[Mapping[str, Any]] | None = None,
) -> Axes:
    """Where starts end over (n, k): a cell a size, its width shared between the kinds of ends.

    A dot marks whether copy–average (left) or perturbed copy (right) is the lower one as sectors
    continue them, which need not be the lowest end. `rows` are those of the record `diagram` of
    `benchmarks/copy_or_average.py`, of one activation; `competitors` those of its record
    `competitors`, which has sizes without a census too: they are empty frames (the rows when left
    out). The title says how many starts a cell has. Draws into `axes` and returns them.
    """
    both = rows if competitors is None else competitors
    for row in both:
        axes.barh(row["k"], 0.92, 0.86, left=row["n"] - 0.46, color="none", edgecolor=PLAIN, lw=0.5)
    for row in rows:
        left, counts = row["n"] - 0.46, dict.fromkeys(_ENDS, 0)
        table = row["rows"]
        for kind, count, *gone in zip(*(table[name] for name in _OF_ROWS), strict=True):
            counts[_end(kind, sum(gone))] += count
        counts["others, or not converged"] += row["unconverged"]
        for name, count in counts.items():
            width = 0.92 * count / row["runs"]
            axes.barh(row["k"], width, 0.86, left=left, color=_ENDS[name])
            left += width
    for row in both:
        if row["copy_average"] is not None and row["perturbed_copy"] is not None:
            lower = 0.3 if row["perturbed_copy"] < row["copy_average"] else -0.3
            axes.plot(row["n"] + lower, row["k"], "o", color="black", mec="white", ms=4)
    sizes = sorted({row["k"] for row in both})
    axes.plot(sizes, sizes, color=SIMPLE, lw=1)
    _add_ends_to_legend(axes)
    axes.set(
        xlabel="neurons of the student n", ylabel="neurons of the target k", title=_cells(rows)
    )
    axes.set(xlim=(0.3, max(sizes) + 0.2), ylim=(min(sizes) - 0.7, max(sizes) + 0.7))
    axes.locator_params(integer=True)
    axes.legend(loc="lower right", frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _add_ends_to_legend(axes: Axes) -> None:
    for name, colour in _ENDS.items():
        axes.bar(0, 0, color=colour, label=name)
    axes.plot(
        [],
        [],
        "o",
        color="black",
        mec="white",
        ms=4,
        ls="none",
        label="lower of the two: left copy–average, right perturbed copy",
    )


def _cells(rows: list[Mapping[str, Any]]) -> str:
    """Which activation, and how many starts a cell has, by k where that differs."""
    parts = []
    for runs in dict.fromkeys(row["runs"] for row in rows):
        k = sorted({row["k"] for row in rows if row["runs"] == runs})
        whole = len(k) > 2 and k == list(range(k[0], k[-1] + 1))
        parts.append(f"{runs} (k = {f'{k[0]} to {k[-1]}' if whole else ', '.join(map(str, k))})")
    return f"{rows[0]['activation']}, starts a cell: {', '.join(parts)}"


_OF_ROWS = ("kind", "count", "dead", "repeated", "infinite")


def _end(kind: str, gone: int) -> str:
    """The colour of an end."""
    plain, fewer, others = "perturbed copy", list(_ENDS)[2], list(_ENDS)[3]
    if gone:
        return fewer
    return (
        "copy–average"
        if kind in ("copy-average", "perturbed copy-average")
        else plain
        if kind == plain
        else others
    )


def crossing(rows: list[Mapping[str, Any]], axes: Axes) -> Axes:
    """The share n/k at which the perturbed copy becomes lower than the copy–average, against k, for
    each activation.

    Both are what sectors continue them to; neither is claimed to be the lowest end.

    `rows` hold `activation`, `k` and `share` (`None` where there is no crossing): the record
    `crossing` of `benchmarks/copy_or_average.py`. Draws into `axes` and returns them.
    """
    for name, colour, marker in (("erf", OURS, "o"), ("relu", "#b4443c", "s")):
        mine = [row for row in rows if row["activation"] == name and row["share"] is not None]
        if mine:
            at = [row["k"] for row in mine], [row["share"] for row in mine]
            axes.semilogx(*at, marker + "-", color=colour, ms=4, label=name)
    axes.set(xlabel="neurons of the target k", ylabel="n/k from which the perturbed copy is lower")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def order_parameters(path: Mapping[str, Any], axes: Axes) -> Axes:
    """The overlaps `w_j·v_i` and the readouts along a flow, against its time; those that end large
    in colour.

    `path` holds `time (T,)`, `overlaps (T, n, k)` and `readout (T, n)`, signed so that readouts are
    positive (the record `trajectories` of `benchmarks/copy_or_average.py`). Draws into `axes` and
    returns them.
    """
    time, overlaps = np.asarray(path["time"]), np.asarray(path["overlaps"])
    lines = overlaps.reshape(len(time), -1)
    large = np.abs(lines[-1]) > 0.1
    axes.semilogx(time, lines[:, ~large], color=PLAIN, lw=0.7)
    axes.semilogx(time, lines[:, large], color=OURS, lw=1.2)
    axes.semilogx(time, np.asarray(path["readout"]), color="#b4443c", lw=1.2, ls="--")
    axes.plot([], [], color=OURS, label="overlaps, those that end large")
    axes.plot([], [], color=PLAIN, label="other overlaps")
    axes.plot([], [], color="#b4443c", ls="--", label="readouts")
    axes.set(xlabel="flow time", ylabel="order parameter")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return axes
