"""Maps of the pre-processing network, computed once an image and kept on disk.

Once its stage is over the network stays as it is, and so does what it says of an image.
Later stages read that, warped as the image is, instead of running it at every step.
"""

import hashlib
import logging
import os
import shutil
import time
import typing
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from keras_recattend.map_warp import warp_maps
from keras_recattend.png import encoded_png
from keras_recattend.whole_files import replacing

__all__ = ["MapCache", "Unchanged", "network_fingerprint"]

_LOG = logging.getLogger(__name__)

# Probabilities are kept in 8 bits: a rounding of 1/510 at most.
LEVELS = 255
# Images that say how long all will take: the first ones include building the graph.
TRIAL = 3


class Unchanged(typing.NamedTuple):
    """The images of a split as they are, but for their size.

    Attributes:
        count: how many.
        batches: `batches(batch_size)` returns finite batches with "image" and "index",
            the image's number in the split.
    """

    count: int
    batches: typing.Callable


class MapCache:
    """The maps of one split: a PNG for each image, channels one below the other.

    Args:
        model: a `RecurrentAttention` with a pre-processing network.
        folder: made where it is missing; whatever the network said before is removed.
        name: of the split.
        fingerprint: what the network's weights are called; None = see
            `network_fingerprint`. Machines that train together share the chief's:
            on another processor a weight's last bit may differ.
    """

    def __init__(self, model, folder, name, fingerprint=None):
        config = model.config
        self._stacked = (config.extra_channels, *config.image_size)
        folder = Path(folder)
        fingerprint = fingerprint or network_fingerprint(model.preprocessor)
        self.folder = folder / f"{name}-{fingerprint}"
        for old in folder.glob(f"{name}-*"):
            if old != self.folder:
                shutil.rmtree(old)
        self._maps = tf.function(
            lambda image: model.maps(image).extra,
            input_signature=[tf.TensorSpec([None, *config.image_size, 3], tf.float32)],
        )

    @property
    def complete(self):
        """Whether the maps of all images are there."""
        return self._mark.exists()

    def fill(self, unchanged, batch_size=8, seconds=None, bar=False):
        """Compute the maps that are missing.

        Args:
            unchanged: an `Unchanged`.
            seconds: give up as soon as it would take longer, or None.
            bar: whether to show a progress bar.

        Returns:
            Whether all are there.
        """
        if self.complete:
            return True
        self.folder.mkdir(parents=True, exist_ok=True)
        began, done = time.monotonic(), 0
        first = began
        progress = tqdm.tqdm(desc="maps", total=unchanged.count, disable=not bar)
        with progress:
            for number, batch in enumerate(unchanged.batches(batch_size)):
                if number == 0:
                    # All images may be read before the first batch comes.
                    first = time.monotonic()
                self._write(batch["image"], batch["index"].numpy())
                done += len(batch["index"])
                progress.update(len(batch["index"]))
                if seconds is None or number < TRIAL:
                    continue
                rate = (time.monotonic() - first) / done
                if first - began + rate * unchanged.count > seconds:
                    return False
        self._mark.touch()
        _LOG.info("Foreground and angles of %d images are kept.", done)
        return True

    def join(self, dataset):
        """Add "extra" to batches with "index", warped where they have a "matrix"."""

        def add(batch):
            batch = dict(batch)
            extra = tf.map_fn(
                self._read,
                batch.pop("index"),
                fn_output_signature=tf.TensorSpec(self._stacked, tf.uint8),
            )
            extra = tf.transpose(tf.cast(extra, tf.float32), [0, 2, 3, 1]) / LEVELS
            if "matrix" in batch:
                extra = warp_maps(extra, batch.pop("matrix"))
            return batch | {"extra": extra}

        return dataset.map(add, num_parallel_calls=2, deterministic=True).prefetch(2)

    @property
    def _mark(self):
        return self.folder / "complete"

    def _path(self, index):
        return self.folder / f"{index:08d}.png"

    def _write(self, image, indices):
        """Write the maps of a batch's images, those that are missing."""
        missing = [i for i, n in enumerate(indices) if not self._path(n).exists()]
        if not missing:
            return
        extra = self._maps(tf.gather(image, missing)).numpy()
        for i, maps in zip(missing, extra, strict=True):
            width = maps.shape[1]
            levels = np.uint8(np.round(LEVELS * maps)).transpose(2, 0, 1)
            with replacing(self._path(indices[i])) as temporary:
                temporary.write_bytes(encoded_png(levels.reshape(-1, width)))

    def _read(self, index):
        """The maps of an image, uint8 [E, H, W]; TensorFlow's own, without Python."""
        number = tf.strings.as_string(index, width=8, fill="0")
        path = tf.strings.join([str(self.folder) + os.sep, number, ".png"])
        levels = tf.io.decode_png(tf.io.read_file(path), 1)
        return tf.reshape(levels, self._stacked)


def network_fingerprint(network):
    """Return a name for what the network's weights are: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for variable in network.weights:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:12]
