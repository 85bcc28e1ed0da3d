"""Figures of sweeps: what is drawn are the numbers of the rows, and nothing is drawn where there
are none.
"""

import matplotlib.figure
import numpy as np
import pytest

from jaxcompress import plotting


def row(
    number,
    n,
    k,
    *,
    activation="erf",
    done=100,
    converged=90,
    counts=(60, 20),
    own=False,
    risk=(0.1, 0.2, 0.3),
):
    """A cell as `show --json` prints it: so many runs of 100, the lowest, median and highest
    risk.
    """
    low, middle, high = risk
    levels = [
        {
            "risk": low * (i + 1),
            "count": count,
            "run": 0,
            "index": 0,
            "name": f"end {i}",
            "kind": "",
        }
        for i, count in enumerate(counts)
    ]
    cell = {
        "number": number,
        "activation": activation,
        "target": "orthonormal",
        "n": n,
        "k": k,
        "d": k + 1,
    }
    there = bool(converged)
    return {
        "cell": {**cell, "own_targets": own},
        "runs": 100,
        "done": done,
        "converged": converged,
        "results": {},
        "risk": [low, low, middle, high, high] if there else [None] * 5,
        "risk_floor": 1e-15 if there else None,
        "levels": levels if there else [],
    }


@pytest.fixture
def axes():
    return matplotlib.figure.Figure().add_subplot()


ROWS = [
    row(0, 2, 4),
    row(1, 3, 4, counts=(90,), risk=(0.0, 1e-20, 0.1)),
    row(2, 2, 6, done=50, converged=40, counts=(10,)),
]
NOTHING = row(3, 3, 6, done=0, converged=0)


def test_medians_and_lowest_risks_are_drawn_and_zero_at_the_rounding_floor(axes):
    plotting.risk_by_width([*ROWS, NOTHING], axes)
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["k=4"] == [[2, 0.2], [3, 1e-15]]
    assert lines["k=6"] == [[2, 0.2]]
    dotted = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == ":"]
    assert dotted == [[[2, 0.1], [3, 1e-15]], [[2, 0.1]]]
    assert axes.get_yscale() == "log"


def test_targets_of_several_dimensions_are_curves_of_their_own(axes):
    other = row(4, 2, 4)
    other["cell"]["d"] = 9
    plotting.risk_by_width([ROWS[0], other], axes)
    assert axes.get_legend_handles_labels()[1] == ["k=4, d=5", "k=4, d=9"]


def widths(axes, place):
    """The shares in the bar of a cell, from left to right."""
    bars = [
        bar
        for bar in axes.patches
        if abs(bar.get_y() + bar.get_height() / 2 - place) < 1e-9 and bar.get_height()
    ]
    return [
        round(bar.get_width(), 12)
        for bar in sorted(bars, key=lambda bar: bar.get_x())
        if bar.get_width()
    ]


def test_bars_share_the_runs_between_levels_other_ends_failures_and_what_is_not_done(axes):
    plotting.end_frequencies([*ROWS, NOTHING, row(5, 2, 4, own=True)], axes)
    assert widths(axes, 0) == [0.6, 0.2, 0.1, 0.1]
    assert widths(axes, 1) == [0.9, 0.1]
    assert widths(axes, 2) == [0.1, 0.3, 0.1, 0.5]
    assert widths(axes, 3) == [1.0]
    assert widths(axes, 4) == [0.9, 0.1]  # every run has its own target: levels mean nothing
    assert "end 0" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("lowest", [[0.6, 0.9], [0.2, np.nan]]),
        ("converged", [[0.9, 0.9], [0.8, np.nan]]),
        ("median", [[np.log10(0.2), -15.0], [np.log10(0.2), np.nan]]),
    ],
)
def test_tiles_of_a_phase_diagram_are_the_measure_of_their_cells(axes, measure, expected):
    plotting.phase_diagram([*ROWS, NOTHING], axes, measure=measure)
    np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), expected, rtol=1e-14)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["4", "6"]


def test_cells_that_share_a_tile_are_averaged_and_other_measures_refused(axes):
    plotting.phase_diagram([ROWS[0], ROWS[1]], axes, x="k", y="d")
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75]])
    with pytest.raises(
        ValueError, match="given measure 'mean'; expected lowest, converged, median"
    ):
        plotting.phase_diagram(ROWS, axes, measure="mean")


def test_a_loss_is_drawn_against_time_down_to_its_floor(axes):
    path = {"time": [0.0, 1.0, 10.0], "risk": [2.0, 1.0, 0.0], "risk_floor": [1e-15] * 3}
    plotting.loss([path], axes)
    assert axes.lines[0].get_xydata().tolist() == [[1.0, 1.0], [10.0, 1e-15]]


def test_the_figure_of_a_sweep_has_a_line_of_panels_for_every_activation(tmp_path):
    both = [*ROWS, NOTHING, *(row(4 + i, 2, 4 + 2 * i, activation="relu") for i in range(2))]
    figure = plotting.sweep(both)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == ["erf, orthonormal", "relu, orthonormal"]
    assert figure.get_suptitle() == "450 of 600 runs"
    plotting.save_sweep_figure([NOTHING], tmp_path / "nothing.png")
    assert [path.name for path in tmp_path.iterdir()] == ["nothing.png"]


def test_a_figure_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"plotting\.sweep: given no rows; expected one a cell"):
        plotting.save_sweep_figure([], tmp_path / "nothing.png")
    assert list(tmp_path.iterdir()) == []
