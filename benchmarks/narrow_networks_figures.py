"""The figures and the table of `narrow_networks.py`, from its stored rows."""

import matplotlib.figure
import matplotlib.lines
import numpy as np


def mean_and_error(values) -> tuple[float, float]:
    """Mean and standard error over seeds."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)


def draw_widths(axes, rows: dict) -> None:
    """The share of seeds at zero loss, one panel a shape."""
    shapes = list(dict.fromkeys((r["n"], r["d"]) for r in rows.values()))
    for axis, (n, d) in zip(axes, shapes, strict=True):
        here = [r for r in rows.values() if (r["n"], r["d"], r["labels"]) == (n, d, "gaussian")]
        for i, name in enumerate(dict.fromkeys(r["activation"] for r in here)):
            # side by side: most of the curves lie on each other
            line = [
                (r["m"] + 0.15 * (i - 1.5), np.mean(r["reached"]))
                for r in here
                if r["activation"] == name
            ]
            axis.plot(*zip(*line, strict=True), "o-", markersize=4, label=name)
        for at, label, style in ((n / (d + 1), "n/(d+1)", ":"), (2 * n / d, "2n/d", "--")):
            axis.axvline(at, color="k", linestyle=style, label=label)
        axis.set(
            title=f"n = {n}, d = {d}",
            xlabel="width m",
            ylabel="share of seeds at loss < 1e-20",
            ylim=(-0.05, 1.05),
        )
    axes[0].legend(fontsize=7)


COLOURS = {"constrained": "C3", "large start, free": "C0", "plain start, free": "0.6"}


def draw_training(axes, rows: dict) -> None:
    """Final losses by arm in decades, one panel a task, with standard errors over seeds."""
    names = list(dict.fromkeys(r["task"] for r in rows.values()))
    for axis, task in zip(axes, names, strict=True):
        here = [r for r in rows.values() if r["task"] == task]
        for i, r in enumerate(here):
            mean, error = mean_and_error(decades(r))
            kind = next(
                (k for k in COLOURS if r["arm"].startswith(k.split()[0])), "plain start, free"
            )
            axis.errorbar(mean, i, xerr=error, fmt="o", color=COLOURS[kind], markersize=4)
        axis.set(
            title=task,
            xlabel="log10 of the final loss, mean ± standard error",
            yticks=range(len(here)),
        )
        axis.grid(axis="y", alpha=0.3)
        axis.set_yticklabels([r["arm"] for r in here], fontsize=6)
        axis.invert_yaxis()


def decades(row: dict) -> np.ndarray:
    """Decimal logarithms of the final losses, one a seed."""
    return np.log10(np.maximum(row["final_loss"], 1e-40))


def draw(rows: dict, out) -> None:
    """The figures, for whatever parts are there."""
    kinds = {
        kind: {k: r for k, r in rows.items() if r["kind"] == kind} for kind in ("width", "training")
    }
    if kinds["width"]:
        figure = matplotlib.figure.Figure(figsize=(18, 3.4), layout="constrained")
        count = len({(r["n"], r["d"]) for r in kinds["width"].values()})
        draw_widths(np.atleast_1d(figure.subplots(1, count)), kinds["width"])
        figure.savefig(out.with_name("narrow_widths.png"), dpi=110)
    if kinds["training"]:
        count = len({r["task"] for r in kinds["training"].values()})
        figure = matplotlib.figure.Figure(figsize=(15, 3.2 * -(-count // 3)), layout="constrained")
        grid = np.atleast_1d(figure.subplots(-(-count // 3), 3)).ravel()
        for axis in grid[count:]:
            axis.set_axis_off()
        draw_training(grid[:count], kinds["training"])
        dots = [
            matplotlib.lines.Line2D([], [], marker="o", linestyle="", color=c, label=k)
            for k, c in COLOURS.items()
        ]
        grid[-1].legend(handles=dots, loc="center", fontsize=10)
        figure.savefig(out.with_name("narrow_training.png"), dpi=110)


def table(rows: dict) -> str:
    """The second part as text: decades of the final loss with standard error, rate (starred at an
    end), held out.
    """
    lines = []
    for r in rows.values():
        if r["kind"] == "training":
            mean, error = mean_and_error(decades(r))
            more = (
                ""
                if "held_out" not in r
                else " held out {:.3g} ± {:.1g}".format(*mean_and_error(r["held_out"]))
            )
            more += (
                ""
                if "radius" not in r
                else f" ε {r['radius']:.3g} ε* {np.median(r['certified']):.1e}"
            )
            rate = f"{r['best_rate']:.3g}{'*' if r['edge'] else ''}"
            lines.append(
                f"{r['task']:26s} {r['arm']:32s} {mean:6.2f} ± {error:.2f} rate {rate}{more}"
            )
    return "\n".join(lines)
