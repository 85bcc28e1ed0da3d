"""The panels of `infinite_width.py`: one part of the stored record in, a figure drawn. Nothing is
solved here.
"""

import numpy as np

_PLUS, _MINUS, _GREY = "#1f6f8b", "#b4443c", "#8a8a8a"


def shade(i: int, count: int) -> tuple:
    """One colour of an ordered family."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * i / max(1, count - 1))


def finish(axes, x: str, y: str, **rest) -> None:
    """Labels, legend, no box."""
    axes.set(xlabel=x, ylabel=y, **rest)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)


def draw_odd(record: dict, figure) -> None:
    """Risk, distance to w* and distance to the limit over time, and the last over the width."""
    first, second, third, last = figure.subplots(1, 4)
    limit, times = record["limit"], np.array(record["times"])
    keep = np.array(limit["times"]) <= 2.5
    fine = np.array(limit["times"])[keep]
    rows = sorted(record["rows"], key=lambda row: row["width"])
    for i, row in enumerate(rows):
        style = {"color": shade(i, len(rows)), "ms": 3, "lw": 1, "label": f"m = {row['width']}"}
        first.semilogy(times, np.mean(row["risk"], 0), "o-", **style)
        second.semilogy(times, np.sqrt(np.mean(np.square(row["to optimum"]), 0)), "o-", **style)
        third.semilogy(times, np.sqrt(np.mean(np.square(row["distance"]), 0)), "o-", **style)
    first.semilogy(fine, np.array(limit["risk"])[keep], "k--", label="closed form")
    second.semilogy(fine, np.array(limit["distance"])[keep], "k--", label="closed form")
    second.semilogy(fine, np.array(limit["bound"])[keep], "k:", label="bound W exp(−vVt/4)")
    finish(first, "time", "risk F (mean over seeds)")
    finish(second, "time", "rms of ‖w_m(t) − w*‖")
    finish(third, "time", "rms of the distance to the limit")
    third.get_legend().remove()
    for t, marker in ((0.5, "o"), (1.0, "s"), (2.0, "^")):
        i = list(times).index(t)
        gaps = [np.array(row["distance"])[:, i] for row in rows]
        rms = np.array([np.sqrt(np.mean(g**2)) for g in gaps])
        error = [np.std(g**2) / np.sqrt(len(g)) / (2 * r) for g, r in zip(gaps, rms, strict=True)]
        fit = record["slopes"][str(t)]
        label = f"t = {t}: slope {fit['slope']:.3f} ± {fit['standard_error']:.3f}"
        last.errorbar(
            [row["width"] for row in rows],
            rms,
            error,
            fmt=marker + "-",
            ms=4,
            lw=1,
            capsize=2,
            label=label,
        )
    last.set(xscale="log", yscale="log")
    last.set_xticks([row["width"] for row in rows], [str(row["width"]) for row in rows])
    last.minorticks_off()
    finish(last, "width m", "rms distance to the limit")


def draw_norm(record: dict, figure) -> None:
    """Histograms, masses, alignment, the predictor on the sphere."""
    axes = figure.subplots(2, 3).ravel()
    edges, count = np.array(record["edges"]), len(record["shown"])
    for name, ax, sign in (("plus", axes[0], "τ⁺"), ("minus", axes[1], "τ⁻")):
        for i, t in enumerate(record["shown"]):
            ax.stairs(
                np.maximum(record[name][i], 1e-12), edges, color=shade(i, count), label=f"t = {t:g}"
            )
        ax.set_yscale("log")
        finish(ax, "angle θ from H", f"density of {sign}", ylim=(1e-4, 2e2))
    times = record["times"]
    axes[2].semilogy(times, record["mass_plus"], color=_PLUS, label="∫ dτ⁺")
    axes[2].semilogy(times, record["mass_minus"], color=_MINUS, label="∫ dτ⁻")
    axes[2].axhline(record["alpha"], color=_GREY, ls="--", lw=1, label="α")
    finish(axes[2], "time", "mass")
    axes[3].plot(times, record["alignment_plus"], color=_PLUS, label="τ⁺")
    axes[3].plot(times, record["alignment_minus"], color=_MINUS, label="τ⁻")
    finish(axes[3], "time", "alignment ∫cos²θ dτ / mass", ylim=(-0.02, 1.02))
    axes[4].semilogy(times, record["risk"], color="black", label="risk F")
    axes[4].semilogy(times, record["wasserstein"], color=_PLUS, ls="--", label="W₁(τ⁺/mass, δ₀)")
    axes[4].semilogy(times, np.abs(record["mass_gap"]), color=_PLUS, ls=":", label="|mass − α|")
    finish(axes[4], "time", "distance to the limit")
    psi = np.array(record["psi"])
    for i, t in enumerate(record["shown"]):
        axes[5].plot(psi, record["predictor"][i], color=shade(i, count), label=f"t = {t:g}")
    axes[5].plot(psi, np.cos(psi), "k--", lw=1, label="target cos ψ")
    finish(axes[5], "angle ψ of x from H", "predictor on the unit sphere")


def draw_near(record: dict, figure) -> None:
    """Over d_H: risk, mass, alignments."""
    left, middle, right = figure.subplots(1, 3)
    for i, row in enumerate(record["rows"]):
        colour, times = shade(i, len(record["rows"])), row["times"]
        left.semilogy(
            times,
            np.array(row["risk"]) / row["risk"][0],
            color=colour,
            label=f"d_H = {row['near']}",
        )
        middle.plot(
            times,
            np.array(row["mass_plus"]) / row["alpha"],
            color=colour,
            label=f"d_H = {row['near']}",
        )
        right.plot(times, row["alignment_plus"], color=colour)
        right.plot(times, row["alignment_minus"], color=colour, ls="--")
    finish(left, "time", "risk F(t) / F(0)", title=f"d = {record['d']}")
    finish(middle, "time", "∫ dτ⁺ / α")
    finish(right, "time", "alignment, τ⁺ (full) and τ⁻ (dashed)", ylim=(-0.02, 1.02))


def draw_far(record: dict, figure) -> None:
    """The variance given x_H, and the risk."""
    left, right = figure.subplots(1, 2)
    times = np.array(record["times"])
    for i, row in enumerate(record["rows"]):
        colour = shade(i, len(record["rows"]) + 1)
        for name, ax in (("dependence", left), ("risk", right)):
            values = np.array(row[name])
            ax.semilogy(times[1:], values.mean(0)[1:], color=colour, label=f"m = {row['width']}")
            ax.fill_between(
                times[1:], values.min(0)[1:], values.max(0)[1:], color=colour, alpha=0.2, lw=0
            )
    left.semilogy(
        times[1:],
        np.array(record["orbits"]["dependence"])[1:],
        "k--",
        label="orbits (reduced flow)",
    )
    right.semilogy(
        times[1:], np.array(record["orbits"]["risk"])[1:], "k--", label="orbits (reduced flow)"
    )
    right.semilogy(times[1:], np.array(record["angles"]["risk"])[1:], "r:", label="angles")
    finish(
        left,
        "time",
        "E Var[f(x) | x_H]",
        title=f"‖x_H‖, d_H = {record['near']}, d_⊥ = {record['far']}",
    )
    finish(right, "time", "risk F")


def draw_staircase(record: dict, figure) -> None:
    """One panel a target."""
    panels = figure.subplots(1, len(record["rows"]), sharey=True)
    for row, ax in zip(record["rows"], panels, strict=True):
        for (label, values), colour in zip(
            row["learned"].items(), ("#0b3c49", "#1f6f8b", "#e3b23c"), strict=False
        ):
            monomial = "".join("x" + "₀₁₂₃₄₅₆₇₈₉"[int(i)] for i in label[1:])
            ax.plot(record["times"], values, color=colour, label=f"E[f·{monomial}]")
        ax.plot(
            record["times"], np.array(row["risk"]) / row["risk"][0], "k--", lw=1, label="F(t)/F(0)"
        )
        finish(ax, "time", "", title=row["target"], ylim=(-0.1, 1.25))


def draw_dimension(record: dict, figure) -> None:
    """Risk and masses over d, cost over the particles."""
    left, middle, right = figure.subplots(1, 3)
    for i, row in enumerate(record["rows"]):
        colour, label = shade(i, len(record["rows"])), f"$d = 10^{round(np.log10(row['d']))}$"
        left.semilogy(row["times"], row["risk"], color=colour, label=label)
        middle.plot(row["times"], row["alignment_plus"], color=colour, label=label)
    finish(left, "time", "risk F", title="‖x_H‖, d_H = 3")
    finish(middle, "time", "alignment of τ⁺")
    *rows, fit = record["particles"]
    at = [row["particles"] for row in rows], [1e3 * row["cpu seconds"] for row in rows]
    doubled = ", ".join(f"{row['over the last']:.2f}" for row in rows[1:])
    right.loglog(
        *at,
        "o-",
        color=_PLUS,
        ms=4,
        label=f"exponent {fit['exponent']:.2f}; each doubling × {doubled}",
    )
    ratios = ", ".join(f"{row['flow']} {row['ratio of medians']:.2f}" for row in record["steps"])
    finish(
        right,
        "particles",
        "one velocity [ms]",
        title=f"time at d = 10⁶ over d = 10, equal modes: {ratios}",
    )
    right.title.set_fontsize("small")


# Part → how it is drawn, and the size of the figure in inches.
DRAW = {
    "odd": (draw_odd, (17, 4)),
    "norm": (draw_norm, (14, 7.5)),
    "near": (draw_near, (14, 4)),
    "far": (draw_far, (9, 4)),
    "staircase": (draw_staircase, (14, 3.6)),
    "dimension": (draw_dimension, (14, 4)),
}
