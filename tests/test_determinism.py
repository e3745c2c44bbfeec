"""`train.py --deterministic`: the same bits in two processes."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny_command

TINY = pathlib.Path(__file__).with_name("tiny_command.py")


@pytest.mark.slow
def test_two_runs_have_the_same_bits(tmp_path):
    own = tmp_path / "own"
    tiny_command.write_pictures(own)
    states = []
    for name in ("a", "b"):
        options = ["--dataset", "folder", "--data-dir", own, "--preset", "tiny_batch"]
        options += ["--run-dir", tmp_path / name, "--deterministic", "--quiet"]
        options += ["--records-dir", tmp_path / f"records-{name}"]
        done = subprocess.run(
            [sys.executable, TINY, "train.py", *map(str, options)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        for file in ("state/training.npz", "best.weights.h5", "last.weights.h5"):
            assert (tmp_path / name / file).is_file()
        with np.load(tmp_path / name / "state" / "training.npz") as state:
            states.append(dict(state))
    names = [name for name in states[0] if name != "about"]
    assert len(names) > 20
    for name in names:
        assert states[0][name].tobytes() == states[1][name].tobytes(), name
