"""The figures and the table of `narrow_networks.py`, from its stored rows."""

import matplotlib.figure
import matplotlib.lines
import matplotlib.ticker
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
            line = [(r["m"] + 0.15 * (i - 1.5), np.mean(r["reached"])) for r in here if r["activation"] == name]
            axis.plot(*zip(*line, strict=True), "o-", markersize=4, label=name)
        for at, label, style in ((n / (d + 1), "n/(d+1)", ":"), (2 * n / d, "2n/d", "--")):
            axis.axvline(at, color="k", linestyle=style, label=label)
        axis.set(
            title=f"n = {n}, d = {d}", xlabel="width m", ylabel="share of seeds at loss < 1e-20", ylim=(-0.05, 1.05)
        )
    axes[0].legend(fontsize=7)


def draw_training(axes, rows: dict) -> None:
    """Final losses by arm, one panel a task, with standard errors."""
    names = list(dict.fromkeys(r["task"] for r in rows.values()))
    for axis, task in zip(axes, names, strict=True):
        here = [r for r in rows.values() if r["task"] == task]
        for i, r in enumerate(here):
            mean, error = mean_and_error(r["final_loss"])
            color = "C3" if "constrained" in r["arm"] else "C0" if "large" in r["arm"] else "0.6"
            axis.errorbar(mean, i, xerr=min(error, 0.9 * mean), fmt="o", color=color, markersize=4)
        means = [np.mean(r["final_loss"]) for r in here]
        scale = "log" if max(means) > 10 * min(means) else "linear"
        axis.set(title=task, xscale=scale, xlabel="final loss", yticks=range(len(here)))
        axis.grid(axis="y", alpha=0.3)
        if scale == "log":
            axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axis.set_yticklabels([r["arm"] for r in here], fontsize=6)
        axis.invert_yaxis()


def draw(rows: dict, out) -> None:
    """The figures, for whatever parts are there."""
    kinds = {kind: {k: r for k, r in rows.items() if r["kind"] == kind} for kind in ("width", "training")}
    if kinds["width"]:
        figure = matplotlib.figure.Figure(figsize=(14, 3.6), layout="constrained")
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
        figure.savefig(out.with_name("narrow_training.png"), dpi=110)


def table(rows: dict) -> str:
    """The second part as text: mean ± standard error of the final loss, best rate, and held out."""
    lines = []
    for r in rows.values():
        if r["kind"] == "training":
            mean, error = mean_and_error(r["final_loss"])
            more = "" if "held_out" not in r else " held out {:.3g} ± {:.1g}".format(*mean_and_error(r["held_out"]))
            lines.append(f"{r['task']:26s} {r['arm']:32s} {mean:.3e} ± {error:.1e} rate {r['best_rate']:.3g}{more}")
    return "\n".join(lines)
