"""The store of a sweep: what a stranger reads in it, what is refused, and what is found and done
again.
"""

import errno
import hashlib
import json
import shutil
import statistics

import jax
import numpy as np
import pytest
import xarray

import jaxcompress as jc
from jaxcompress import activations, initialize, sweep, targets
from jaxcompress.sweep import _disk, _variables
from jaxcompress.sweep._compiling import compile_clock
from jaxcompress.sweep._store import open_store
from jaxcompress.sweep.internal import run_block
from tests.sweep_child import FEW, LANES, done_sweep, files, small_plan


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """An undisturbed sweep, and what its progress was."""
    return done_sweep(tmp_path_factory.mktemp("sweep") / "done")


@pytest.fixture
def copy(done, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(done[0], tmp_path / "copy")


def resumed(folder):
    return sweep.resume(folder, slots=LANES)


def test_a_stranger_finds_a_dataset_that_explains_itself(done):
    with xarray.open_zarr(done[0]) as data:
        assert data.sizes == {"cell": 2, "seed": FEW}
        assert data.activation.values.tolist() == ["erf", "erf"]
        assert data.target.values.tolist() == ["orthonormal", "orthonormal(readout=2)"]
        assert [data[name].values.tolist() for name in "nkd"] == [[1, 1], [2, 2], [2, 2]]
        assert all(
            column.attrs["long_name"] and column.attrs["units"] == "1" for column in data.values()
        )
        meanings = dict(
            zip(
                data.result.attrs["flag_values"],
                data.result.attrs["flag_meanings"].split(),
                strict=True,
            )
        )
        assert {meanings[code] for code in data.result.values.ravel().tolist()} == {"converged"}
        assert json.loads(data.attrs["plan"]) == small_plan(runs=FEW).to_dict()
        assert data.attrs["jaxcompress_version"] == jc.__version__
        assert "fold_in(key, number)" in data.attrs["summary"]
        assert data.risk.chunks == ((1, 1), (3,) * (FEW // 3))
        assert bool(data.converged.all())


def test_every_result_code_of_the_solver_has_its_meaning(done):
    codes = _variables.result_codes()
    assert len(codes) == len(jc.RESULTS)
    for name, code in codes.items():
        assert int(jax.tree.leaves(getattr(jc.RESULTS, name))[0]) == code


def test_the_numbers_are_those_of_the_solver_and_the_end_points_have_the_risk_that_is_stored(done):
    target = [
        targets.orthonormal(2, 2, activation=activations.erf, readout=value) for value in (1.0, 2.0)
    ]
    starts = initialize.Starts(
        jax.random.key(0),
        2 * FEW,
        initialize.glorot_normal,
        width=1,
        dim=2,
        activation=activations.erf,
    )
    with (
        xarray.open_zarr(done[0]) as data,
        xarray.open_zarr(done[0], group="networks/erf-n1-d2") as ends,
    ):
        assert ends.network_cell.values.tolist() == [0, 1]
        for cell in range(2):
            first = int(data.first_run[cell])
            for seed in (0, 5, FEW - 1):
                tight = {
                    "rtol": 1e-8,
                    "atol": 1e-10,
                    "save_at": np.geomspace(0.01, 1, 128),
                }  # the program of replays
                alone = jc.gradient_flow(starts.draw(first + seed), target[cell], **tight)
                # gradients of 1e-8 leave 1e-16
                assert abs(data.risk.values[cell, seed] - alone.risk) < 1e-12
                arrays = (
                    ends[name].sel(network_cell=cell, seed=seed).values
                    for name in ("weights", "readout")
                )
                end = jc.TwoLayer(*arrays, activation=activations.erf)
                np.testing.assert_allclose(
                    jc.population_risk(end, target[cell]), data.risk[cell, seed], rtol=1e-12
                )


def test_runs_that_are_shared_out_over_devices_end_where_they_did(done):
    assert len(jax.devices()) > 1
    plan = small_plan(runs=FEW, block=FEW)
    many = run_block(plan, 1, slots=LANES, devices=jax.devices())
    with xarray.open_zarr(done[0]) as data:
        assert bool(many.converged.all())
        # gradients of 1e-8 leave 1e-16
        np.testing.assert_allclose(many.risk, data.risk.values[1], rtol=0, atol=1e-13)


def test_progress_counts_runs_and_the_share_that_converged(done):
    states = done[1]
    assert [state.done for state in states] == list(range(3, 2 * FEW + 1, 3))
    assert all(
        state.converged == state.done == state.done_here and state.runs == 2 * FEW
        for state in states
    )
    assert states[-1].remaining == 0
    assert states[0].remaining == pytest.approx((2 * FEW - 3) * states[0].seconds / 3)


def test_a_finished_sweep_is_resumed_without_any_work(done, copy):
    before = files(copy)
    state = resumed(copy)
    assert (state.done, state.done_here, state.converged) == (2 * FEW, 0, 2 * FEW)
    assert files(copy) == before


def test_what_has_not_been_done_is_marked_as_such(done, tmp_path):
    class Enough(Exception):
        pass

    def stop(state):
        if state.done == 9:
            raise Enough

    with pytest.raises(Enough):
        sweep.run(small_plan(runs=FEW), tmp_path / "part", slots=LANES, progress=stop)
    with xarray.open_zarr(tmp_path / "part") as data:
        there = np.arange(2 * FEW).reshape(2, FEW) < 9
        np.testing.assert_array_equal(data.result.values == -1, ~there)
        np.testing.assert_array_equal(np.isnan(data.risk.values), ~there)
    assert resumed(tmp_path / "part").done_here == 2 * FEW - 9
    assert files(tmp_path / "part") == files(done[0])


@pytest.mark.parametrize(
    "path",
    [
        "risk/c/0/2",
        "converged/c/1/0",
        "networks/erf-n1-d2/weights/c/1/3/0/0",
        "sweep/blocks/000005.json",
        "zarr.json",
        "risk/zarr.json",
        "activation/c/0",
    ],
)
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_damage_is_found_and_done_again(done, copy, path, damage):
    file = copy / path
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(
            data[: len(data) // 2]
            if damage == "cut"
            else data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]
        )
    state = resumed(copy)
    assert state.done_here == (
        3 if ("/c/" in path and "activation" not in path) or "blocks" in path else 0
    )
    assert files(copy) == files(done[0])


def signed(head):
    """The head of a store with its checksum, as its format says: of everything else, sorted, as
    JSON.
    """
    rest = {name: entry for name, entry in head.items() if name != "checksum"}
    checksum = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    return json.dumps(rest | {"checksum": checksum})


def test_stores_of_other_plans_formats_and_versions_are_refused(copy, tmp_path, monkeypatch):
    before = files(copy)
    with pytest.raises(ValueError, match=r"another plan \(its runs is 12, not 13\)"):
        sweep.run(small_plan(runs=FEW + 1), copy)
    head = json.loads((copy / "sweep/plan.json").read_text())
    for changes, reason in (
        (
            {"format": 1},
            "format 1; expected format 2; read it with xarray.open_zarr, or work on it with the "
            "version",
        ),
        ({"made_with": {"jaxcompress": "0.0.1"}}, r"jaxcompress 0\.0\.1; expected one of"),
        ({"plan": head["plan"] | {"key": 1}}, "changed after the store was made"),
        ({"plan": head["plan"] | {"colour": 1}}, r"no plan \(Plan\.colour"),
    ):
        (copy / "sweep/plan.json").write_text(signed(head | changes))
        with pytest.raises(ValueError, match=reason):
            sweep.resume(copy)
    (copy / "sweep/plan.json").write_text("{")
    with pytest.raises(ValueError, match="damaged sweep/plan"):
        sweep.resume(copy)
    (copy / "sweep/plan.json").write_bytes(before["sweep/plan.json"])
    assert files(copy) == before
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"without sweep/plan\.json"):
        sweep.resume(tmp_path / "other")
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="something else"):
        sweep.run(small_plan(), tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_store_of_another_jax_is_gone_on_with_and_says_so(copy):
    head = json.loads((copy / "sweep/plan.json").read_text())
    head["made_with"]["jax"] = "0.1.2"
    (copy / "sweep/plan.json").write_text(signed(head))
    assert resumed(copy).done_here == 0
    (copy / "sweep/blocks/000003.json").unlink()
    with pytest.warns(
        UserWarning,
        match=r"made with jax 0\.1\.2 \(now .*\); new blocks may differ in their last bits",
    ):
        assert resumed(copy).done_here == 3


def test_a_folder_that_is_removed_under_a_sweep_is_reported(tmp_path):
    def remove(state):
        shutil.rmtree(tmp_path / "gone")

    with pytest.raises(OSError, match=r"gone: sweep/plan\.json is gone: .* no block is stored"):
        sweep.run(small_plan(runs=FEW), tmp_path / "gone", slots=LANES, progress=remove)
    assert list(tmp_path.iterdir()) == []


def limited(monkeypatch, allowed, code):
    """Let the disk take so many bytes more, half a file included."""
    real, left = _disk.write, [allowed]

    def write(descriptor, data):
        real(descriptor, data[: left[0]])
        left[0] -= len(data)
        if left[0] < 0:
            left[0] = 0
            raise OSError(
                code, "No space left on device" if code == errno.ENOSPC else "Read-only file system"
            )

    monkeypatch.setattr(_disk, "write", write)


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only")]
)
@pytest.mark.parametrize("blocks", [-2, -1, 0, 2])
def test_a_disk_that_takes_no_more_is_reported_and_what_was_done_stays(
    done, tmp_path, monkeypatch, blocks, code, said
):
    """At the first file, halfway through what is there before any run, in the first block, in the
    third.
    """
    sizes = {name: len(data) for name, data in files(done[0]).items()}
    chunks = sum(
        size for name, size in sizes.items() if name.endswith(("/c/0/0", "/c/0/0/0", "/c/0/0/0/0"))
    )
    note = max(path.stat().st_size for path in (done[0] / "sweep/log").iterdir())
    block = chunks + sizes["sweep/blocks/000000.json"] + note
    fixed = sum(
        size
        for name, size in sizes.items()
        if "blocks" not in name and ("/c/0/" not in name and "/c/1/" not in name)
    )
    allowed = {-2: 0, -1: fixed // 2}.get(blocks, fixed + blocks * block + chunks // 3)
    folder, told = tmp_path / "full", []
    with monkeypatch.context() as patch:
        limited(patch, allowed, code)
        with pytest.raises(OSError, match=said) as caught:
            sweep.run(small_plan(runs=FEW), folder, slots=LANES, progress=told.append)
    assert caught.value.errno == code
    assert len(told) == max(blocks, 0)
    assert (folder / "sweep/plan.json").exists() == (blocks >= 0)
    if blocks >= 0:
        assert f"{folder}: {said}" in str(caught.value)
        assert f"{blocks} of 8 blocks are stored" in str(caught.value)
        assert sorted(open_store(folder).done()) == list(range(blocks))
        with xarray.open_zarr(folder) as data:
            there = data.result.values >= 0  # of a block that was cut short, all or nothing
            assert int(there.sum()) in ((0,) if blocks == 0 else (3 * blocks, 3 * blocks + 3))
            assert there.ravel()[: there.sum()].all()
            ends = xarray.open_zarr(folder, group="networks/erf-n1-d2")
            assert np.isfinite(data.risk.values[there]).all()
            assert np.isfinite(ends.weights.values[there]).all()
    sweep.run(small_plan(runs=FEW), folder, slots=LANES)
    assert files(folder) == files(done[0])


def test_random_targets_biases_and_gaussian_inputs_reach_the_store_as_they_were_declared(tmp_path):
    """Against samples: 200 000 inputs of the declared law, within five standard errors."""
    target = {"law": "random", "weights": "sphere(scale=2)", "readout": "gaussian(mean=1, std=1)"}
    inputs, start = (
        "gaussian(mean=0.5, variance=2, correlation=0.3)",
        {"bias": True, "output_bias": True},
    )
    # Sines have elementary kernels for any mean: they compile in a fifth of the time that erf
    # takes.
    sizes = {"activation": "sin", "n": 1, "k": 3, "d": 3}
    made = small_plan(runs=2, **sizes, target=target, inputs=inputs, start=start)
    assert sweep.run(made, tmp_path / "biased", slots=LANES).converged == 2
    points = np.random.default_rng(0).multivariate_normal(
        np.full(3, 0.5), 2 * (0.7 * np.eye(3) + 0.3), 200_000
    )
    group = xarray.open_zarr(tmp_path / "biased", group="networks/sin-n1-d3")
    with xarray.open_zarr(tmp_path / "biased") as data, group as ends:
        for seed in range(2):
            arrays = (
                ends[name].values[0, seed] for name in ("weights", "readout", "bias", "output_bias")
            )
            end = jc.TwoLayer(*arrays, activation=activations.sin)
            squares = np.asarray(end(points) - sweep.problem_of(made, seed)[1](points)) ** 2
            assert (
                abs(squares.mean() - data.risk.values[0, seed])
                < 5 * squares.std() / len(squares) ** 0.5
            )


def test_the_compile_clock_counts_every_second_once(monkeypatch):
    now = iter([10.0, 12.0, 13.0, 20.0, 21.0])
    with compile_clock() as clock:
        monkeypatch.setattr("time.monotonic", lambda: next(now))
        for length in (1.0, 4.0, 0.5, 3.0):  # 9–10 within 8–12; 12.5–13; 17–20
            jax.monitoring.record_event_duration_secs(
                "/jax/core/compile/backend_compile_duration", length
            )
        jax.monitoring.record_event_duration_secs("/something/else", 100.0)
        monkeypatch.undo()
        assert clock.seconds == pytest.approx(4 + 0.5 + 3)
    jax.monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", 1.0)
    assert clock.seconds == pytest.approx(7.5)


def test_what_compiling_took_is_noted(done, tmp_path):
    """The first block compiles and the others do not. How long a trace takes is a matter of what
    else the machine does, so a second sweep of this process is held against what JAX told of each
    block: it has all programs, and notes its traces alone.
    """
    notes = open_store(done[0]).notes()
    assert len(notes) == 8
    assert all(0 <= note["compile_seconds"] <= note["seconds"] for note in notes)
    first, *later = (note["compile_seconds"] for note in notes)
    assert statistics.median(later) < 0.01 * first
    heard = [[]]

    def hear(event, seconds, **_):
        if event.startswith("/jax/core/compile/"):
            heard[-1].append((event.rpartition("/")[2], seconds))

    jax.monitoring.register_event_duration_secs_listener(hear)
    try:
        plan = small_plan(runs=FEW)
        sweep.run(plan, tmp_path / "again", slots=LANES, progress=lambda _: heard.append([]))
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
    assert {name for block in heard for name, _ in block} <= {"jaxpr_trace_duration"}
    for note, block in zip(open_store(tmp_path / "again").notes(), heard[:8], strict=True):
        assert note["compile_seconds"] == pytest.approx(sum(length for _, length in block))
    with compile_clock() as clock:
        jax.jit(lambda x: x * 3 + 1)(np.ones(3))
    assert clock.seconds > 0
