"""Locks, and disks that have none."""

import errno
import os

import pytest

from datasets.unfinished import unfinished
from keras_recattend import child_process, file_lock
from keras_recattend.errors import UserError

pytestmark = pytest.mark.skipif(file_lock.fcntl is None, reason="no locks here")


def test_a_file_is_locked_once(tmp_path):
    with open(tmp_path / "lock", "w") as one, open(tmp_path / "lock", "w") as other:
        assert file_lock.take(one)
        assert not file_lock.take(other)
        one.close()
        assert file_lock.take(other)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_disk_without_locks(tmp_path, monkeypatch, caplog, number):
    """Runs and conversions go on there."""

    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_lock.fcntl, "flock", flock)
    with child_process.locked(tmp_path / "runs.lock", tmp_path, "--out") as lock:
        assert lock
    with unfinished(tmp_path / "records", {}):
        pass
    names = [record.args[0] for record in caplog.records]
    assert [os.path.basename(name) for name in names] == ["runs.lock", "lock"]


def test_a_disk_that_fails(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(file_lock.fcntl, "flock", flock)
    with open(tmp_path / "lock", "w") as file, pytest.raises(OSError, match=r"error"):
        file_lock.take(file)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_lock_that_cannot_be_made(tmp_path, monkeypatch, number):
    """Somebody else's, on a disk that is only read, or on a full one."""
    text = os.strerror(number)

    def refused(path, mode):
        raise OSError(number, text, str(path))

    monkeypatch.setattr(child_process, "open", refused, raising=False)
    with (
        pytest.raises(UserError, match=rf"{text}\).*--out"),
        child_process.locked(tmp_path / "lock", tmp_path, "--out"),
    ):
        pass


def test_a_disk_too_full_for_the_number_in_the_lock(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with (
        pytest.raises(UserError, match=r"No space left on device\).*--out"),
        child_process.locked(tmp_path / "lock", tmp_path, "--out"),
    ):
        pass
