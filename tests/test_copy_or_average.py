"""The stored study of copy or average: its censuses hold the reference values, its diagram what was
asked of it.

Nothing is solved here. `benchmarks/copy_or_average.py` made the record; constants are those of the
reference file, and the closed form of Şimşek et al. 2023 is written out.
"""

import json
import math
import pathlib

import pytest

RECORD = json.loads(
    (
        pathlib.Path(__file__).parent.parent / "benchmarks" / "results" / "copy_or_average.json"
    ).read_text()
)
CELLS = {(row["activation"], row["n"], row["k"]): row for row in RECORD["diagram"]}


def census(activation, n, k):
    (found,) = [
        row
        for row in RECORD["censuses"]
        if (row["activation"], row["n"], row["k"]) == (activation, n, k)
    ]
    return found


def average(k):
    """One erf neuron against k."""
    return k / 3 - 2 / math.pi * k * k * math.asin(1 / (2 * k))


def test_a_thousand_starts_of_erf_end_at_the_reference_minima_and_every_end_has_a_name():
    one, two = census("erf", 3, 6), census("erf", 6, 8)
    assert one["runs"] == two["runs"] == 1000
    assert one["unconverged"] == two["unconverged"] == 0
    assert one["rows"]["risk"] == pytest.approx([0.05675452774074974], abs=1e-12)
    assert two["rows"]["risk"] == pytest.approx(
        [0.040593177314, 0.041364548462, 0.056754527741], abs=1e-12
    )
    assert all(0.4 < share < 0.6 for share in two["rows"]["frequency"][:2])
    assert two["rows"]["low"][2] < 1 / 256 < two["rows"]["high"][2]
    assert [kind for row in (one, two) for kind in row["rows"]["kind"]] == [
        "copy-average",
        "copy-average",
        "perturbed copy",
        "copy-average",
    ]


@pytest.mark.parametrize(
    ("n", "k", "risk"), [(1, 5, 1.560152994504), (2, 4, 0.384746413873), (3, 6, 0.586392382455)]
)
def test_relu_ends_at_the_reference_minima_with_one_zero_mode_a_neuron(n, k, risk):
    rows = census("relu", n, k)["rows"]
    assert rows["risk"][0] == pytest.approx(risk, abs=1e-12)
    assert (rows["zero_modes"][0], rows["symmetry_modes"][0], rows["index"][0]) == (n, n, 0)
    assert max(rows["frequency"]) == rows["frequency"][0]
    assert "unknown" not in rows["kind"]


def test_two_hundred_starts_of_twenty_relus_end_at_every_level_for_two_keys_of_five():
    levels = [0, 0.011275582, 0.021922973, 0.03215162, 0.042021556, 0.051555948, 0.077619996]
    (found,) = [row for row in RECORD["censuses"] if (row["n"], row["runs"]) == (20, 200)]
    for level in levels:
        assert sum(abs(risk / 2 - level) < 2e-9 for risk in found["rows"]["risk"]) == 1
    assert found["rows"]["kind"][0] == "target"
    assert "unknown" not in found["rows"]["kind"]


def test_every_cell_of_the_erf_diagram_is_a_census_of_256_starts_whose_ends_have_names():
    for k in range(2, 15):
        for n in range(1, k):
            cell = CELLS["erf", n, k]
            assert cell["runs"] >= 256
            assert "unknown" not in cell["rows"]["kind"]
            assert sum(cell["rows"]["count"]) + cell["unconverged"] == cell["runs"]
            assert (
                cell["unconverged"] < 0.05 * cell["runs"]
            )  # 12 of 256 at (13, 14), on their way to infinity


def test_the_erf_diagram_took_two_processes_less_than_half_an_hour():
    cells = [cell for (f, _, k), cell in CELLS.items() if f == "erf" and k <= 14]
    assert len(cells) == 91
    # 1418 s
    assert sum(cell["solve_seconds"] + cell["census_seconds"] for cell in cells) / 2 < 30 * 60
    summed = [
        row for row in RECORD["diagram_seconds"] if (row["activation"], row["runs"]) == ("erf", 256)
    ]
    assert sum(row["cells"] for row in summed) == 91


def plain_rows():
    """The rows of all censuses whose neurons all count, each with the cell that it is of."""
    for cell in (*RECORD["diagram"], *RECORD["censuses"]):
        columns = cell["rows"]
        for values in zip(*columns.values(), strict=True):
            row = dict(zip(columns, values, strict=True))
            if row["dead"] == row["repeated"] == row["infinite"] == 0:
                yield cell, row


def test_every_end_whose_neurons_all_count_has_the_zero_modes_of_its_symmetries_alone():
    met = 0
    for _, row in plain_rows():
        assert (row["index"], row["indices"]) == (0, "0")
        assert row["zero_modes"] == row["symmetry_modes"]
        met += 1
    assert met > 200


def test_what_the_sectors_say_of_both_competitors_is_where_starts_end_in_every_cell():
    met = {"erf": 0, "relu": 0}
    names = {"copy-average": "copy_average", "perturbed copy-average": "copy_average"}
    names["perturbed copy"] = "perturbed_copy"
    for cell, row in plain_rows():
        if "copy_average" in cell and row["kind"] in names:
            assert row["risk"] == pytest.approx(cell[names[row["kind"]]], abs=1e-10)
            met[cell["activation"]] += 1
    assert met["erf"] >= 118
    assert met["relu"] >= 56


def test_a_competitor_is_lost_only_where_a_neuron_that_copies_no_longer_does():
    lost = {f: {} for f in ("erf", "relu")}
    for row in RECORD["competitors"]:
        assert (
            row["copy_average"] is not None
        )  # its copies overlap most with their own target neuron everywhere
        if row["perturbed_copy"] is None:
            lost[row["activation"]].setdefault(row["n"], []).append(row["k"])
    alone = list(range(2, 21))  # one neuron copies none
    assert lost == {"erf": {1: alone, 2: [18, 19, 20]}, "relu": {1: alone, 2: list(range(10, 21))}}


def test_copies_and_one_average_have_the_closed_form_in_every_census_of_erf():
    met = 0
    for (f, n, k), cell in CELLS.items():
        rows = cell["rows"]
        for risk, kind, partition in zip(rows["risk"], rows["kind"], rows["name"], strict=True):
            if (
                f == "erf"
                and kind == "copy-average"
                and partition.startswith(f"copy–average {k - n + 1}")
            ):
                assert risk == pytest.approx(average(k - n + 1), abs=1e-12)
                met += 1
    assert met > 80


def test_nine_against_ten_perturb_and_six_against_eight_average():
    for n, k, best in ((9, 10, "perturbed copy"), (6, 8, "copy-average")):
        cell = CELLS["erf", n, k]
        assert cell["rows"]["kind"][0] == best
        assert (cell["perturbed_copy"] < cell["copy_average"]) == (best == "perturbed copy")
        lowest = min(cell["perturbed_copy"], cell["copy_average"])
        assert cell["rows"]["risk"][0] == pytest.approx(lowest, abs=1e-12)
    assert CELLS["erf", 9, 10]["rows"]["risk"][0] == pytest.approx(0.019682157473, abs=1e-12)


def test_the_best_neuron_of_other_activations_is_where_the_full_solver_ends():
    rows = RECORD["one_neuron"]
    met = {row["activation"]: row for row in rows if row["converged"]}
    assert met.keys() == {"softplus", "tanh", "gelu", "sigmoid"}
    for name, row in met.items():
        assert abs(row["solved"] - row["predicted"]) < 1e-9
        assert row["student"] == (
            "relu" if name == "gelu" else name
        )  # a GELU is best at infinity, where it is a ReLU
        if name != "gelu":
            assert row["solved_norm"] == pytest.approx(row["predicted_norm"], rel=1e-9)
    (own,) = [row for row in rows if row["student"] == "gelu"]
    assert 0 < own["solved"] - own["predicted"] < 1 / own["solved_norm"] ** 2  # on its way there
