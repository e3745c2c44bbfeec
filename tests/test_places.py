"""Folders that cannot be made are told of before work is done for them."""

import errno
import os

import pytest

from keras_recattend.errors import UserError
from keras_recattend.places import check_place, is_refused


def test_nothing_is_made(tmp_path, monkeypatch):
    check_place(tmp_path, "--out")
    check_place(tmp_path / "new" / "deep", "--out")
    monkeypatch.chdir(tmp_path)
    check_place("here", "--out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["file", "file/run", "file/runs/run"])
def test_a_file_in_the_way(tmp_path, path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file; .* with --out\."):
        check_place(tmp_path / path, "--out")


@pytest.mark.parametrize("path", [".", "run", "runs/run"])
def test_a_read_only_disk(tmp_path, monkeypatch, path):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(UserError, match=rf"^{tmp_path} cannot be .*read-only.*--out"):
        check_place(tmp_path / path, "--out")


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="may enter any")
def test_a_folder_that_may_not_be_entered(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o600)
    with pytest.raises(UserError, match=r"closed cannot be written to.*--out"):
        check_place(tmp_path / "closed" / "run", "--out")


@pytest.mark.parametrize(
    ("number", "path", "refused"),
    [
        (errno.ENOSPC, None, True),
        (errno.EDQUOT, "/records/a.tfrecord", True),
        (errno.EACCES, "/out/labels/a.png", True),
        (errno.EACCES, "/records/a.tfrecord", False),
        (errno.EIO, None, False),
    ],
)
def test_errors_of_writing(number, path, refused):
    assert is_refused(OSError(number, os.strerror(number), path), "/out") == refused
