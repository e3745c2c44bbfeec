"""Run a SavedModel as if keras_recattend, Keras, OpenCV and SciPy were not installed.

    python served_case.py EXPORT INPUTS.npz OUTPUTS.npz

INPUTS: arrays "0", "1", ... of uint8 [B, H, W, 3]. OUTPUTS: "0/labels", ...
"""

import sys

MISSING = {"keras_recattend", "keras", "tf_keras", "cv2", "scipy", "h5py"}


class Without:
    """A finder of modules that does not find the missing ones."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


if __name__ == "__main__":
    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
    import numpy as np
    import tensorflow as tf

    signature = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
    outputs = {}
    with np.load(sys.argv[2]) as inputs:
        for case in inputs.files:
            for name, value in signature(images=tf.constant(inputs[case])).items():
                outputs[f"{case}/{name}"] = value.numpy()
    assert not MISSING & {name.split(".")[0] for name in sys.modules}
    np.savez(sys.argv[3], **outputs)
