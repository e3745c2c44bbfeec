"""`train.py --deterministic`: the same bits in two processes."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
# As train.py, with a preset of a few thousand weights.
PROGRAM = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import tiny
import train
from keras_recattend import presets
presets.PRESETS["tiny"] = lambda: tiny.config(
    {{"steps": 3, "steps_per_epoch": 3}}, stages=["box", "segmentation"]
)
train.main()
"""


@pytest.mark.slow
def test_two_runs_have_the_same_bits(tmp_path):
    own = tmp_path / "own"
    for name in ("images", "labels"):
        (own / name).mkdir(parents=True)
    for i in range(6):
        image, labels = tiny.ellipses((7, i), 1 + i % tiny.SLOTS, (40, 44))
        Image.fromarray(image).save(own / "images" / f"p{i}.png")
        labels = Image.fromarray(labels.astype(np.uint8))
        labels.save(own / "labels" / f"p{i}.png")
    states = []
    for name in ("a", "b"):
        options = ["--dataset", "folder", "--data-dir", own, "--preset", "tiny"]
        options += ["--run-dir", tmp_path / name, "--deterministic", "--quiet"]
        options += ["--records-dir", tmp_path / f"records-{name}"]
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, options)],
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
