"""A child process gets its parent's signals once, and keeps the lock of its folder."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from keras_recattend.child_process import locked
from keras_recattend.errors import UserError

SLOW_TO_STOP = """
import signal, sys, time
stopped = []
signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
open(sys.argv[1], "w").close()
while not stopped:
    time.sleep(0.02)
time.sleep(0.6)
with open(sys.argv[2], "w") as file:
    file.write(str(stopped))
sys.exit(0)
"""
# Whatever the tests' own process ignores, started under nohup or in the background.
PARENT = """
import signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
from keras_recattend.child_process import run_child
sys.exit(run_child([sys.executable, "-c", sys.argv[1], "began", "saved"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of a process group")
@pytest.mark.parametrize(
    ("number", "whole_group", "arrives"),
    [
        (signal.SIGINT, True, signal.SIGINT),
        (signal.SIGINT, False, signal.SIGINT),
        (signal.SIGTERM, True, signal.SIGTERM),
        (signal.SIGTERM, False, signal.SIGTERM),
        (getattr(signal, "SIGHUP", None), False, signal.SIGTERM),
    ],
    ids=["Ctrl-C", "interrupted", "group ended", "terminated", "terminal closed"],
)
def test_a_stopped_run_has_the_time_to_save(tmp_path, number, whole_group, arrives):
    """One signal reaches it once, and the command stops whatever the run's code."""
    root = pathlib.Path(__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, SLOW_TO_STOP],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (tmp_path / "began").exists() and time.monotonic() < until:
        time.sleep(0.05)
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(timeout=60) == 130
    assert (tmp_path / "saved").read_text() == str([int(arrives)])


LONG_RUN = """
import os, time
print(os.getpid(), flush=True)
time.sleep(60)
"""
LOCKED_PARENT = """
import pathlib, sys
from keras_recattend.child_process import locked, run_child
with locked(pathlib.Path("a.lock"), ".", "--out") as lock:
    run_child([sys.executable, "-c", sys.argv[1]], lock)
"""


@pytest.mark.skipif(os.name != "posix", reason="locks and process groups")
def test_a_run_that_outlives_its_command_keeps_the_folder(tmp_path):
    root = pathlib.Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", LOCKED_PARENT, LONG_RUN],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        run = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            with (
                pytest.raises(UserError, match=rf"process trains.* {run}\).*--out"),
                locked(tmp_path / "a.lock", tmp_path, "--out"),
            ):
                pass
        finally:
            os.kill(run, signal.SIGKILL)
    until = time.monotonic() + 30
    while True:
        try:
            with locked(tmp_path / "a.lock", tmp_path, "--out"):
                break
        except UserError:
            # The killed run has not quite ended.
            assert time.monotonic() < until
            time.sleep(0.05)
