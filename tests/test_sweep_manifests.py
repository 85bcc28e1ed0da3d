"""Stores of made-up numbers, cut and damaged at every place: what is said of them, and what is done
again.
"""

import concurrent.futures
import errno
import json
import os
import shutil
import tempfile

import jax
import numpy as np
import pytest
import xarray
from jax.experimental.compilation_cache import compilation_cache

import jaxcompress as jc
from jaxcompress import cli, sweep
from jaxcompress.sweep import _disk, _work
from jaxcompress.sweep._layout import SCRATCH
from jaxcompress.sweep._store import create, open_store
from tests.sweep_child import FEW, files, small_plan
from tests.sweep_fake import solve_nothing

TWO = [
    {"readout": 2.0},
    {"readout": 3.0},
]  # ends of such targets have no names: a table solves nothing


@pytest.fixture(scope="module", autouse=True)
def _solve_nothing():
    with pytest.MonkeyPatch.context() as patch:
        solve_nothing(patch)
        yield


def made(**changes):
    return small_plan(**({"runs": FEW, "target": TWO} | changes))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A sweep that nobody disturbed: eight blocks of three."""
    folder = tmp_path_factory.mktemp("sweep") / "done"
    sweep.run(made(), folder)
    return folder


@pytest.fixture
def copy(done, tmp_path):
    """A copy of it, to be broken."""
    return shutil.copytree(done, tmp_path / "copy")


class Killed(BaseException):
    pass


def killed_at(patch, number):
    """Kill at file `number`, half of which is written; or never, and count."""
    real, count = _disk.put, [0]

    def put(path, data, scratch, lasting=False):
        count[0] += 1
        if count[0] == number:
            scratch.mkdir(parents=True, exist_ok=True)
            (scratch / "half").write_bytes(data[: len(data) // 2])
            raise Killed
        real(path, data, scratch, lasting)

    patch.setattr(_disk, "put", put)
    return count


def test_a_kill_at_any_file_leaves_a_store_that_tells_no_lie_and_is_gone_on_with(tmp_path):
    plan = made(runs=3, target=TWO[:1])
    with pytest.MonkeyPatch.context() as patch:
        written = killed_at(patch, None)
        sweep.run(plan, tmp_path / "whole")
    whole = files(tmp_path / "whole")
    with xarray.open_zarr(tmp_path / "whole") as data:
        risks = data.risk.values
    lied = 0
    for number in range(1, written[0] + 1):
        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, number)
            with pytest.raises(Killed):
                sweep.run(plan, folder)
        if (folder / "sweep/plan.json").exists():
            with xarray.open_zarr(folder) as data:
                there = data.result.values >= 0
                lied += int((data.converged.values & ~there).any())
                np.testing.assert_array_equal(data.risk.values[there], risks[there])
                assert data.converged.values[there].all()
            for row, good in zip(sweep.table(folder), there, strict=True):
                assert (row.done, row.converged) == (good.sum(), good.sum())
                assert sum(level.count for level in row.levels) == good.sum()
        sweep.run(plan, folder)
        assert files(folder) == whole
        shutil.rmtree(folder)
    assert lied == 1  # between `converged` and `result`: masked by the table, said in the summary
    assert "Only entries whose result is 0 or more count" in data.attrs["summary"]


def test_blocks_of_another_plan_are_done_again_and_a_folder_with_blocks_and_no_plan_is_refused(
    done, copy, tmp_path
):
    other, right = tmp_path / "other", tmp_path / "right"
    create(other, made(key=1))
    for name in files(copy):
        if "/c/" in name or "blocks/" in name:
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copy / name, other / name)
    assert sweep.resume(other).done_here == 2 * FEW
    sweep.run(made(key=1), right)
    assert files(other) == files(right) != files(done)
    (copy / "sweep/plan.json").unlink()
    before = files(copy)
    for plan in (made(), made(key=1)):
        with pytest.raises(
            ValueError,
            match=r"something else is \(.*\), and no sweep/plan\.json; expected a new or",
        ):
            sweep.run(plan, copy)
    assert files(copy) == before


def test_a_worker_of_a_store_that_another_plan_has_replaced_writes_nothing(tmp_path):
    folder = tmp_path / "store"
    create(folder, made())
    work = (str(folder), made().fingerprint)
    assert _work.do_block(*work, 0).converged == 3
    shutil.rmtree(folder)
    create(folder, made(key=1))
    before = files(folder)
    with pytest.raises(FileNotFoundError, match="removed or replaced"):
        _work.do_block(*work, 1)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"converged": 3', '"converged": 2'),
        ('"converged": 3', '"converged": "3"'),
        ('"converged"', '"convergee"'),
        ('"block": 5', '"block": 4'),
        ('"first_run": 15', '"first_run": 14'),
        ('"runs": 3', '"runs": 1'),
        ('"plan"', '"plam"'),
        ("\n", ""),
        ("{", "["),
    ],
)
def test_whatever_is_changed_in_a_mark_its_block_is_done_again(done, copy, old, new):
    mark = copy / "sweep/blocks/000005.json"
    text = mark.read_text()
    assert old in text
    mark.write_text(text.replace(old, new))
    state = sweep.resume(copy)
    assert (state.done_here, state.converged) == (3, 2 * FEW)
    assert files(copy) == files(done)


@pytest.mark.parametrize(
    "bad", [b"", b"\0" * 90, b"{}", b"[1]", b"7", b'{"seconds": "long"}', b"\xff{"]
)
def test_a_note_that_cannot_be_read_is_left_out(copy, bad):
    good = sweep.costs(copy)
    (copy / "sweep/log/000002.json").write_bytes(bad)
    left = sweep.costs(copy)
    assert left.keys() == good.keys()
    assert 0 < left["seconds"] < good["seconds"]
    assert sweep.resume(copy).done_here == 0


def test_a_plan_file_that_was_changed_anywhere_is_refused(copy):
    path = copy / "sweep/plan.json"
    text = path.read_text()
    for old, new in (
        ('"jaxlib"', '"jaxmib"'),
        ('"made_with"', '"made_by"'),
        ('"checksum"', '"check"'),
        ("0.", "1."),
    ):
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match="was changed after the store was made"):
            sweep.resume(copy)
    path.write_text(text)
    assert sweep.resume(copy).done_here == 0


def test_a_folder_in_the_place_of_a_chunk_is_named(done, copy):
    chunk = copy / "risk/c/0/2"
    chunk.unlink()
    chunk.mkdir()
    with pytest.raises(
        OSError, match=r"risk/c/0/2 is a folder, where a file belongs; 8 of 8 blocks .* mend it"
    ):
        sweep.resume(copy)
    chunk.rmdir()
    assert sweep.resume(copy).done_here == 3
    assert files(copy) == files(done)


@pytest.mark.parametrize("size", [10, 0, None])
def test_a_chunk_that_is_cut_or_gone_is_named_by_whoever_reads_it(copy, capsys, monkeypatch, size):
    chunk = copy / "risk/c/1/2"
    data = chunk.read_bytes()
    chunk.unlink()
    if size is not None:
        chunk.write_bytes(data[:size])
    what = r"risk/c/1/2 (is missing|has \d+ bytes instead of 24)"
    said = rf"given a damaged block 6 \({what}\); .* jaxcompress resume {copy}$"
    with pytest.raises(ValueError, match=said):
        sweep.table(copy)
    with pytest.raises(ValueError, match=said):
        sweep.stored_run(copy, FEW + 8)
    monkeypatch.setattr("jaxcompress.programs.keep_programs", lambda folder: None)
    assert cli.main(["show", str(copy)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sweep.stored_run(copy, np.int64(FEW + 2))["result"] == "converged"  # of another block
    sweep.resume(copy)
    assert chunk.read_bytes() == data
    assert sweep.table(copy)[1].done == FEW


def test_metadata_that_are_damaged_are_one_line_and_put_back(copy):
    for path in ("zarr.json", "risk/zarr.json"):
        (copy / path).write_bytes(b"{")
    with pytest.raises(
        ValueError,
        match=r"given metadata that zarr cannot read .*; put them back with: jaxcompress",
    ):
        sweep.table(copy)
    sweep.resume(copy)
    assert sweep.table(copy)[0].done == FEW


@pytest.mark.parametrize("way", ["replace", "mkstemp"])
def test_a_store_that_becomes_read_only_is_reported_and_what_was_done_stays(
    done, tmp_path, monkeypatch, way
):
    """Where such disks refuse: when a file is begun, or when it is renamed; writing into it would
    have worked.
    """
    place, told = tmp_path / "store", []
    module = os if way == "replace" else tempfile
    real = getattr(module, way)

    def refuse(*arguments, **options):
        if len(told) == 2:
            raise OSError(errno.EROFS, "Read-only file system", str(place))
        return real(*arguments, **options)

    monkeypatch.setattr(module, way, refuse)
    with pytest.raises(
        OSError, match=r"store: Read-only file system; 2 of 8 blocks are stored .* same call"
    ) as caught:
        sweep.run(made(), place, progress=told.append)
    assert caught.value.errno == errno.EROFS
    assert sorted(open_store(place).done()) == [0, 1]
    assert [row.done for row in sweep.table(place)] == [6, 0]
    assert list((place / SCRATCH).iterdir()) == []
    with pytest.raises(OSError, match="Read-only"):
        sweep.resume(place)
    told.clear()
    assert sweep.resume(place).done_here == 2 * FEW - 6
    assert files(place) == files(done)


def test_errors_of_who_is_told_of_progress_pass_as_they_are(tmp_path):
    def tell(state):
        raise FileNotFoundError(errno.ENOENT, "no such log", "log.txt")

    with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] no such log: 'log\.txt'$"):
        sweep.run(made(), tmp_path / "told", progress=tell)


def test_a_worker_with_other_versions_is_warned_of_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        _work, "versions", lambda: open_store(tmp_path / "store").made_with | {"numpy": "1.0"}
    )
    with pytest.warns(
        UserWarning, match=r"made with numpy .* \(now 1\.0\); new blocks may differ"
    ) as caught:
        sweep.run(made(), tmp_path / "store")
    assert len(caught) == 1
    notes = open_store(tmp_path / "store").notes()
    assert {note["versions"]["numpy"] for note in notes} == {"1.0"}


def test_a_block_notes_its_slots_and_devices(tmp_path):
    sweep.run(made(), tmp_path / "store", slots=5)
    note = json.loads((tmp_path / "store/sweep/log/000003.json").read_text())
    assert note["slots"] == 5
    assert note["devices"] == 2  # of conftest


def test_devices_are_refused_together_with_an_executor(tmp_path):
    with pytest.raises(
        ValueError, match="given both devices and an executor; expected one of them"
    ):
        sweep.run(made(), tmp_path / "store", executor=object(), devices=[])
    assert not (tmp_path / "store").exists()


def test_programs_are_kept_in_the_folder_named_last_and_empty_entries_do_not_stand_in_their_way(
    tmp_path, monkeypatch
):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    usual = {name: getattr(jax.config, name) for name in names}
    monkeypatch.chdir(tmp_path)
    kept = {}
    try:
        for i, folder in enumerate(("one", tmp_path / "two")):
            for _ in range(2):
                jc.keep_programs(folder)
                function = jax.jit(lambda x, i=i: x * (1.25 + i))
                jax.block_until_ready(function(np.ones(3 + i)))
                kept[i] = list((tmp_path / ("one", "two")[i]).glob("*-cache"))
                assert len(kept[i]) >= 1
                assert all(entry.stat().st_size for entry in kept[i])
                for entry in kept[i]:
                    entry.write_bytes(b"")
                jax.clear_caches()
    finally:
        for name, setting in usual.items():
            jax.config.update(name, setting)
        compilation_cache.reset_cache()
    assert not {entry.name for entry in kept[0]} & {entry.name for entry in kept[1]}


def test_workers_are_told_where_programs_are_kept_wherever_they_were_started(tmp_path, monkeypatch):
    sent = []

    class Pool:
        def submit(self, function, *arguments):
            sent.append(arguments[-1])
            answer = concurrent.futures.Future()
            answer.set_result(function(*arguments[:-1], None))
            return answer

    monkeypatch.chdir(tmp_path)
    assert sweep.run(made(), "store", executor=Pool(), programs="programs").done == 2 * FEW
    assert set(sent) == {str(tmp_path / "programs")}


def test_programs_are_dropped_where_a_shape_begins_when_maps_run_short(tmp_path, monkeypatch):
    dropped = []
    monkeypatch.setattr(_work, "_MANY_MAPS", 0)
    monkeypatch.setattr(_work.jax, "clear_caches", lambda: dropped.append(1))
    plan = made(n=[1, 2], target=TWO[:1])
    create(tmp_path / "store", plan)
    # three of one shape, not from its first; three of the other; one of the first
    for number in (1, 2, 3, 5, 6, 7, 0):
        _work.do_block(str(tmp_path / "store"), plan.fingerprint, number)
    assert len(dropped) == 3
