"""Run a SavedModel as if keras_recattend, Keras, OpenCV and SciPy were not installed.

    python served_case.py EXPORT INPUTS.npz OUTPUTS.npz

INPUTS: arrays "0", "1", ... of uint8 [B, H, W, 3]. OUTPUTS: "0/labels", ... of
serving_default, and "0/bytes/labels", ... of serving_bytes, which gets them as PNG.
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

    signatures = tf.saved_model.load(sys.argv[1]).signatures
    of_images, of_bytes = (signatures[f"serving_{n}"] for n in ("default", "bytes"))
    outputs = {}
    with np.load(sys.argv[2]) as inputs:
        for case in inputs.files:
            images = inputs[case]
            found = of_images(images=tf.constant(images))
            outputs |= {f"{case}/{name}": v.numpy() for name, v in found.items()}
            files = tf.stack([tf.io.encode_png(image) for image in images])
            found = dict(of_bytes(image_bytes=files))
            pngs = found.pop("labels_bytes")
            found["labels"] = tf.stack([tf.io.decode_png(png)[..., 0] for png in pngs])
            outputs |= {f"{case}/bytes/{name}": v.numpy() for name, v in found.items()}
    assert not MISSING & {name.split(".")[0] for name in sys.modules}
    np.savez(sys.argv[3], **outputs)
