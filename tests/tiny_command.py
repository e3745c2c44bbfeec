"""A command line with tiny presets, as a process of its own.

    python tiny_command.py train.py --preset tiny ...

With CTRL_C_IN_STEP=N in the environment the process gets Ctrl-C in a training's step N.
"""

import os
import pathlib
import runpy
import sys

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import ctrl_c  # noqa: E402
import numpy as np  # noqa: E402
import tiny  # noqa: E402
from PIL import Image  # noqa: E402

from keras_recattend import presets  # noqa: E402

STEPS = {"batch_size": 4, "steps": 4, "steps_per_epoch": 2, "learning_rate": 1e-3}
STAGES = ["box", "segmentation"]
PRESETS = {
    "tiny": lambda: tiny.config(STEPS, STAGES, normalization="group"),
    "tiny_batch": lambda: tiny.config(STEPS, STAGES, normalization="batch"),
    "tiny_maps": lambda: tiny.preprocessed(
        STEPS, stages=["preprocess", "segmentation"], normalization="group"
    ),
}
IMAGES = 6


def write_pictures(folder):
    """Make a data set for `--dataset folder`."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for i in range(IMAGES):
        image, labels = tiny.ellipses((7, i), 1 + i % tiny.SLOTS, (40, 44))
        Image.fromarray(image).save(folder / "images" / f"p{i}.png")
        labels = Image.fromarray(labels.astype(np.uint8))
        labels.save(folder / "labels" / f"p{i}.png")


if __name__ == "__main__":
    presets.PRESETS.update(PRESETS)
    ctrl_c.in_step(int(os.environ.get("CTRL_C_IN_STEP", 0)))
    sys.argv = [str(ROOT / sys.argv[1]), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
