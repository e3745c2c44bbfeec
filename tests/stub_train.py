"""A stand-in for train.py's processes, for commands that start it run by run."""

import pathlib
import shutil

from keras_recattend import run_series
from keras_recattend.run_folder import RunFolder


def stub(monkeypatch, leave_run):
    """Have every run of train.py leave what `leave_run(path)` writes.

    Returns:
        commands: those that were run, as lists of words. codes: {name of a run's
        folder: (exit code, function of its path)}, to end otherwise, once.
    """
    commands, codes = [], {}

    def run(command, lock=None):
        path = pathlib.Path(command[command.index("--run-dir") + 1])
        commands.append(command)
        if path.name in codes:
            code, leave = codes.pop(path.name)
            leave(path)
            return code
        assert ("--resume" in command) == path.exists()
        shutil.rmtree(path, ignore_errors=True)
        leave_run(path)
        return 0

    monkeypatch.setattr(run_series, "run_child", run)
    return commands, codes


def leave_state(path, config):
    """What a training that was stopped leaves."""
    RunFolder(path).create(config)
    (path / "state").mkdir()
    (path / "state" / "training.npz").write_bytes(b"")


def after(command, option):
    """The value of an option."""
    return command[command.index(option) + 1]
