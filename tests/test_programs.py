"""Compiled programs on disk: kills, cut entries, full disks and folders that are none harm no
answer.
"""

import argparse
import contextlib
import errno
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

import jaxcompress as jc
from jaxcompress import cli, programs, sweep
from jaxcompress.cli_cache import add_cache_options, keep_as_asked, troubles_on_one_line
from tests import programs_child

KILLS = 20
SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_enable_compilation_cache",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def _settings_as_before():
    usual = {name: getattr(jax.config, name) for name in SETTINGS}
    yield
    for name, setting in usual.items():
        jax.config.update(name, setting)
    compilation_cache.reset_cache()


@contextlib.contextmanager
def fetched_and_compiled():
    """Collects whether each program was fetched from the cache, or compiled and offered to it."""
    found = []
    names = {"cache_hits": "fetched", "cache_misses": "compiled"}

    def listen(event, **_):
        name = event.removeprefix("/jax/compilation_cache/")
        if name in names:
            found.append(names[name])

    jax.monitoring.register_event_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_listener(listen)


def answers() -> list[str]:
    """Two programs, from nothing in this process, with right values; which were fetched, which
    compiled.
    """
    jax.clear_caches()
    x = np.linspace(0.0, 1.0, 7)
    with fetched_and_compiled() as found:
        one = jax.jit(lambda x: jnp.cos(x) + x * x)(x)
        two = jax.jit(lambda x: jnp.sort(jnp.exp(-x)))(x)
    np.testing.assert_allclose(one, np.cos(x) + x * x, rtol=1e-14)
    np.testing.assert_allclose(two, np.exp(-x)[::-1], rtol=1e-14)
    return found


def entries(folder) -> list[pathlib.Path]:
    return sorted(pathlib.Path(folder).glob("*-cache"))


@pytest.fixture
def kept(tmp_path):
    """A folder in which both programs are."""
    folder = tmp_path / "programs"
    assert jc.keep_programs(folder) == folder
    assert answers() == ["compiled"] * 2
    assert answers() == ["fetched"] * 2
    return folder


@pytest.fixture(scope="module")
def processes():
    """Processes that have read the package, and what a sweep reads later, and started no thread
    yet.
    """
    context = multiprocessing.get_context("forkserver")
    rooms = ["jaxcompress.solvers", "jaxcompress.sweep", "zarr", "scipy.linalg"]
    context.set_forkserver_preload(["tests.programs_child", *rooms, "rich.console"])
    return context


def test_the_command_line_killed_twenty_times_while_it_compiles_is_right_the_next_time(
    processes, tmp_path
):
    """In the midst of a write (by its own hand), as soon as it has written a program, or at any
    moment.
    """
    folder, moments, stages = tmp_path / "programs", np.random.default_rng(0), set()
    for kill in range(KILLS):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        before, in_a_write = len(entries(folder)), kill < 6
        child = programs_child.sweep_killed_in_a_write if in_a_write else programs_child.sweep
        process = processes.Process(target=child, args=(str(tmp_path), str(folder)))
        process.start()
        if in_a_write:
            process.join()
        elif kill < 14:
            while process.is_alive() and len(entries(folder)) <= before:
                time.sleep(0.0005)
        else:
            process.join(moments.uniform(0.0, 2.0))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, (tmp_path / "err.txt").read_text()
        stages.add(len(entries(folder)))
    assert len(stages) > 3  # it came farther and farther
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    process = processes.Process(target=programs_child.sweep, args=(str(tmp_path), str(folder)))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert (tmp_path / "err.txt").read_text().count("programs") == 0
    (row,) = sweep.table(tmp_path / "store")
    assert (row.done, row.converged) == (3, 3)
    # One erf neuron against two: R*(2) = 2/3 − (8/π) arcsin(1/4) (Şimşek et al. 2023)
    np.testing.assert_allclose(row.risk, 2 / 3 - 8 / np.pi * np.arcsin(1 / 4), rtol=1e-9)
    assert all(programs._is_whole(entry) for entry in entries(folder))


CUTS = {
    "empty": lambda data: b"",
    "of one byte": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "short of a byte": lambda data: data[:-1],
    "half zeros": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "noise": lambda data: np.random.default_rng(0).bytes(len(data)),
}


@pytest.mark.parametrize("cut", CUTS)
def test_entries_that_were_cut_are_replaced_without_a_word(kept, cut):
    whole = {entry: len(entry.read_bytes()) for entry in entries(kept)}
    for entry in whole:
        entry.write_bytes(CUTS[cut](entry.read_bytes()))
    jc.keep_programs(kept)
    assert entries(kept) == []
    assert answers() == ["compiled"] * 2  # warnings are errors here
    assert entries(kept) == list(whole)
    assert answers() == ["fetched"] * 2


def test_entries_are_read_once_and_those_that_came_later_are_found(kept, monkeypatch):
    looked_at = []
    is_whole = programs._is_whole

    def look(entry):
        looked_at.append(entry)
        return is_whole(entry)

    monkeypatch.setattr(programs, "_is_whole", look)
    first, second = entries(kept)
    old = time.time() - 3600
    os.utime(first, (old, old))
    jc.keep_programs(kept)
    assert looked_at == [second]  # `first` came before the last look
    os.utime(second, (old, old))
    jc.keep_programs(kept)
    assert looked_at == [second]
    first.write_bytes(first.read_bytes()[:-1])
    jc.keep_programs(kept)
    assert entries(kept) == [second]


def test_a_look_that_was_killed_is_no_look(kept):
    entry, _ = entries(kept)
    entry.write_bytes(b"")
    old = time.time() - 3600
    os.utime(kept / ".looked-at", (old, old))
    (kept / ".looking").touch()
    os.utime(kept / ".looking", (old, old))
    entry.write_bytes(b"x")
    jc.keep_programs(kept)
    assert entry not in entries(kept)
    assert not (kept / ".looking").exists()


def test_the_user_s_own_cache_is_bounded_and_the_entries_used_last_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    own = jc.keep_programs()
    assert own.name == "jaxcompress"
    assert answers() == ["compiled"] * 2
    first, second = entries(own)
    old = time.time() - 3600
    os.utime(first, (old, old))
    monkeypatch.setattr(programs, "_MOST_BYTES", second.stat().st_size)
    jc.keep_programs(own)
    assert entries(own) == [first, second]  # a folder that was named belongs to whoever named it
    jax.config.update("jax_compilation_cache_dir", None)
    jc.keep_programs()
    assert entries(own) == [second]


def test_a_file_in_the_place_of_the_folder_is_one_line_and_no_harm(tmp_path, capsys):
    place = tmp_path / "file"
    place.touch()
    with troubles_on_one_line():
        for _ in range(2):
            jc.keep_programs(place)
            answers()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"compiled programs are not kept in {place} (File exists)" in said
    with pytest.warns(programs.ProgramsNotKept, match="File exists"):
        jc.keep_programs(place)
    assert place.read_bytes() == b""


def refuse(number):
    def raise_it(*_, **__):
        raise OSError(number, os.strerror(number))

    return raise_it


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_read(kept, monkeypatch, capsys, number):
    first, second = entries(kept)
    second.unlink()
    monkeypatch.setattr(programs.tempfile, "TemporaryFile", refuse(number))
    with troubles_on_one_line():
        jc.keep_programs(kept)
        assert answers() == ["fetched"]  # the other is compiled, and not offered to the cache
    assert entries(kept) == [first]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{kept} ({os.strerror(number)})" in said
    monkeypatch.undo()
    jc.keep_programs(kept)
    assert sorted(answers()) == ["compiled", "fetched"]


def test_a_disk_that_fills_up_later_is_one_line(tmp_path, monkeypatch, capsys):
    whole = pathlib.Path.write_bytes

    def until_full(path, data):
        whole(path, data[:100])
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with troubles_on_one_line():
        jc.keep_programs(tmp_path)
        monkeypatch.setattr(pathlib.Path, "write_bytes", until_full)
        assert answers() == ["compiled"] * 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No space left on device" in said
    monkeypatch.undo()
    jc.keep_programs(tmp_path)
    assert answers() == ["compiled"] * 2
    assert answers() == ["fetched"] * 2


def test_other_warnings_pass_the_command_line_as_they_are():
    with pytest.warns(UserWarning, match="of something else"), troubles_on_one_line():
        warnings.warn("of something else", UserWarning, stacklevel=1)


def asked(*words):
    parser = argparse.ArgumentParser()
    add_cache_options(parser)
    return keep_as_asked(parser.parse_args(words))


def test_what_was_named_wins_over_jax_s_folder_and_that_over_the_user_s(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    # as JAX_COMPILATION_CACHE_DIR does
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "told"))
    assert asked() == tmp_path / "told"
    assert asked("--programs", str(tmp_path / "named")) == tmp_path / "named"
    jax.config.update("jax_compilation_cache_dir", None)
    assert asked() == tmp_path / "home/jaxcompress"
    assert answers() == ["compiled"] * 2
    assert len(entries(tmp_path / "home/jaxcompress")) == 2
    assert entries(tmp_path / "told") == []


def test_without_a_cache_nothing_is_fetched_or_kept(kept, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "true")  # for whoever comes after this test
    assert asked("--no-cache") is None
    before = {entry: entry.stat().st_mtime_ns for entry in entries(kept)}
    assert answers() == []
    assert {entry: entry.stat().st_mtime_ns for entry in entries(kept)} == before
    assert os.environ["JAX_ENABLE_COMPILATION_CACHE"] == "false"  # for the processes of a sweep


def test_without_platformdirs_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    jax.config.update("jax_compilation_cache_dir", None)
    with pytest.raises(ValueError, match=r"name a folder or pip install 'jaxcompress\[cli\]'"):
        jc.keep_programs()


@pytest.mark.parametrize("command", ["compress", "sweep", "resume", "show", "replay"])
def test_every_command_takes_the_options_of_the_cache(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    said = capsys.readouterr().out
    assert "--no-cache" in said
    assert "--programs DIR" in said
