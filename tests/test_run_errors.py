"""Files of a run that cannot be written or read: what is told of them."""

import errno
import os

import pytest

from keras_recattend.run_errors import RunError, first_line, reading, writing


def raised(context, error):
    with pytest.raises(RunError) as told, context:
        raise error
    assert told.value.__cause__ is error
    return str(told.value)


def test_writing():
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "writing.a.json")
    told = raised(writing("a.json", "Make room."), full)
    assert told == "a.json cannot be written (No space left on device). Make room."
    told = raised(writing("a.json", "Make room."), OSError("no reason\nmore"))
    assert told == "a.json cannot be written (no reason). Make room."


@pytest.mark.parametrize("error", [KeyError("about"), RuntimeError(), EOFError("x\ny")])
def test_reading(error):
    told = raised(reading("a.npz", "Copy it."), error)
    assert told == f"a.npz is damaged ({first_line(error)}). Copy it."


def test_what_may_not_be_read_is_not_damaged():
    refused = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    told = raised(reading("a.npz", "Copy it."), refused)
    assert told.startswith("a.npz may not be read (Permission denied).")


def test_what_is_no_error_of_files_stays():
    with pytest.raises(KeyError), writing("a", "b"):
        raise KeyError
    with pytest.raises(KeyboardInterrupt), reading("a", "b"):
        raise KeyboardInterrupt


def test_the_first_line():
    assert first_line(OSError(" a\nb")) == "a"
    assert first_line(RuntimeError()) == "RuntimeError()"
