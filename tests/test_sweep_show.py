"""What users of sweeps see: the table of what was found, and the commands that make, resume and
show a sweep.
"""

import errno
import json
import os
import pathlib
import tomllib

import jax
import numpy as np
import pytest
import xarray

import jaxcompress as jc
from jaxcompress import cli, plotting, sweep, theory
from jaxcompress.kernels import activations
from jaxcompress.sweep._store import create
from tests.sweep_child import LANES, PROGRAMS, files, small_plan

PLAN = """
activation = "erf"
n = 1
k = 2
d = 2
runs = 9
block = 3
target = ["orthonormal", {law = "orthonormal", readout = 2.0}]
[solver]
method = "flow"
"""


@pytest.fixture(autouse=True)
def _cache_as_before():
    """The command line keeps every program; the suite only those that take long."""
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


class Enough(Exception):
    pass


def stop_at(count):
    def tell(state):
        if state.done == count:
            raise Enough

    return tell


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """A sweep that was stopped halfway through its first cell."""
    folder = tmp_path_factory.mktemp("sweep") / "part"
    with pytest.raises(Enough):
        sweep.run(small_plan(runs=9), folder, slots=LANES, progress=stop_at(6))
    return folder


def test_the_table_of_an_unfinished_sweep_says_what_is_there(part):
    first, second = sweep.table(part)
    assert (first.done, first.runs, first.converged) == (6, 9, 6)
    # One erf neuron against two: R*(2) = 2/3 − (8/π) arcsin(1/4) (Şimşek et al. 2023)
    least = 2 / 3 - 8 / np.pi * np.arcsin(1 / 4)
    np.testing.assert_allclose(first.risk, np.full(5, least), rtol=1e-9)
    assert first.levels[0].name == "copy–average 2"
    assert first.levels[0].count == 6
    assert first.levels[0].risk == pytest.approx(
        float(theory.copy_average_risk(activations.erf, (2,))), abs=1e-10
    )
    assert (second.done, second.converged, second.levels) == (0, 0, ())
    assert np.isnan(second.risk).all()


def test_the_command_line_makes_resumes_and_shows_a_sweep(part, tmp_path, capsys):
    path, out = tmp_path / "plan.toml", tmp_path / "out"
    path.write_text(PLAN)
    assert sweep.Plan.from_toml(path) == small_plan(runs=9)
    assert cli.main(["sweep", str(path), "--out", str(out), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("18 runs: 2 cells of 9, in 6 blocks of 3")
    assert not out.exists()
    assert cli.main(["sweep", str(path), "--out", str(out), "--programs", str(PROGRAMS)]) == 0
    said = capsys.readouterr().out
    assert "18 runs done" in said
    assert "100.0% converged" in said
    assert "compiling" in said
    assert cli.main(["resume", str(part), "--programs", str(PROGRAMS)]) == 0
    assert "12 runs done" in capsys.readouterr().out
    assert files(part).keys() == files(out).keys()
    there = ["--programs", str(PROGRAMS)]
    assert cli.main(["show", str(out), "--json", *there]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["done"] for row in rows] == [9, 9]
    assert [row["results"] for row in rows] == [{"converged": 9}] * 2
    assert files(part).keys() == files(out).keys()
    assert cli.main(["show", str(out), *there]) == 0
    shown = capsys.readouterr().out
    assert "copy–average 2" in shown
    assert "orthonormal(readout=2)" in shown
    assert "18 of 18 runs: 18 converged" in shown
    assert "resume" not in shown
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    drawn, way = tmp_path / "run.png", tmp_path / "way"
    assert (
        cli.main(["replay", str(out), "12", "--plot", str(drawn), "--out", str(way), *there]) == 0
    )
    shown = capsys.readouterr().out
    assert "run 12: erf n=1 k=2 d=2 orthonormal(readout=2)" in shown
    assert shown.count(f"{rows[1]['risk'][0]:.9g}"[:9]) == 2
    assert drawn.read_bytes().startswith(b"\x89PNG")
    with xarray.open_zarr(way) as stored:
        assert stored.attrs["run"] == 12
        assert stored.risk[0] > stored.risk[-1]


def test_an_unfinished_or_read_only_sweep_is_shown_with_what_to_do(tmp_path, capsys, monkeypatch):
    store = tmp_path / "new"
    create(store, small_plan(runs=9))

    def refuse(rows, path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(plotting, "save_sweep_figure", refuse)
    assert cli.main(["show", str(store), "--programs", str(PROGRAMS)]) == 0
    captured = capsys.readouterr()
    assert "0 of 18 runs" in captured.out
    assert f"unfinished; go on with: jaxcompress resume {store}" in captured.out
    assert captured.err == "not drawn: Read-only file system\n"
    assert cli.main(["show", str(store), "--plot", str(tmp_path / "figure.doc")]) == 2
    assert "doc" in capsys.readouterr().err


def test_an_interrupted_sweep_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.setattr(sweep, "run", interrupt)
    assert cli.main(["sweep", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out")]) == 130
    assert (
        f"interrupted; what was done is stored; go on with: jaxcompress resume {tmp_path / 'out'}\n"
        in (capsys.readouterr().err)
    )


def test_bad_plans_and_folders_are_one_line_and_status_2(tmp_path, capsys):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace("runs = 9", "runs = -9"))
    for words in (
        ["sweep", str(path), "--out", str(tmp_path / "out")],
        ["resume", str(tmp_path)],
        ["show", str(tmp_path)],
    ):
        assert cli.main(words) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["plan.toml"]


def test_the_guide_of_the_command_line_is_a_plan():
    text = pathlib.Path(cli.__file__).with_name("cli_sweep.py").read_text()
    example = text.split("A plan is a TOML file:\n")[1].split("\nand, where")[0]
    assert sweep.Plan.from_dict(tomllib.loads(example)).total == 2 * 4 * 1024


@pytest.mark.parametrize(
    ("old", "new"), [("Row", sweep.TableRow), ("keep_programs", jc.keep_programs)]
)
def test_old_names_work_for_one_release_and_say_the_new_ones(old, new):
    with pytest.warns(DeprecationWarning, match=rf"jaxcompress\.sweep\.{old} is now called"):
        assert getattr(sweep, old) is new
