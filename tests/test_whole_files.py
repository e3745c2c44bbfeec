"""Files that are there whole or not at all."""

import os

import pytest

from keras_recattend import whole_files
from keras_recattend.whole_files import replacing, write_atomically


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "best.weights.h5"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        # Keras and numpy go by the ending.
        assert temporary.name.endswith(".weights.h5")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def stopped_while_writing(path, content):
    with replacing(path) as temporary:
        if content is not None:
            temporary.write_text(content)
        raise KeyboardInterrupt


@pytest.mark.parametrize("content", [None, "half"])
def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, content):
    path = tmp_path / "state.npz"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        stopped_while_writing(path, content)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "config.json"
    (tmp_path / "writing.config.json").write_text("half")
    with replacing(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_atomically(path, b"old")

    def fail(*_):
        raise OSError("disk gone")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("windows", [True, False])
def test_a_file_that_another_program_reads_is_waited_for_on_windows(
    tmp_path, monkeypatch, windows
):
    path = tmp_path / "best.weights.h5"
    path.write_text("old")
    refused, replace = [1, 2], os.replace

    def busy(old, new):
        if refused:
            refused.pop()
            raise PermissionError(13, "Access is denied", str(new))
        replace(old, new)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(whole_files, "_WINDOWS", windows)
    if windows:
        write_atomically(path, b"new")
        assert path.read_text() == "new"
    else:
        with pytest.raises(PermissionError):
            write_atomically(path, b"new")
        assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
