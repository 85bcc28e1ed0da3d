"""What every subpackage needs once: files that are whole or not there, and the progress bar."""

import os
import stat

import pytest

from jaxcompress._internal.files import write_part, write_whole
from jaxcompress._internal.progress import progress_bar


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_has_the_mode_that_the_process_gives_its_files(tmp_path):
    path, plain = tmp_path / "file", tmp_path / "plain"
    plain.touch()
    write_whole(path, lambda file: None)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert stat.S_IMODE(write_part(tmp_path, lambda file: None).stat().st_mode) == 0o644


def test_a_folder_that_is_not_there_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "gone" / "file", lambda file: None)
    assert os.listdir(tmp_path) == []


def test_the_bar_shows_every_stage_on_a_terminal_and_nothing_elsewhere(capsys, monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    with progress_bar("prepare") as bar:
        assert bar is None
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("prepare") as bar:
        assert bar is not None
        bar.update("runs", 3, 12, "7 runs/s")
    shown = capsys.readouterr().err
    assert all(part in shown for part in ("prepare", "runs", "3/12", "7 runs/s"))
