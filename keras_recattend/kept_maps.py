"""Whether a training keeps the pre-processing network's maps, and what it keeps."""

import contextlib
import logging
import shutil
import time

from keras_recattend.map_cache import MapCache, network_fingerprint

__all__ = ["KeptMaps"]

_LOG = logging.getLogger(__name__)

ENDLESS = 1_000_000
# Most of a stage's minutes that may go into the maps of all images.
SHARE = 0.2


class KeptMaps:
    """The maps of all images of one training, in its run folder.

    Args:
        model: a `RecurrentAttention`.
        folder: the `RunFolder`.
        unchanged: the `Unchanged` training images and validation images, or None.
        workers: the `Workers` that train.
        bar: whether to show a progress bar.
    """

    def __init__(self, model, folder, unchanged, workers, bar=True):
        self._model = model
        self._folder = folder
        self._unchanged = unchanged
        self._workers = workers
        self._bar = bar

    def pay(self, names, minutes=None, max_steps=None):
        """Return whether the stages see a training image more than once, on average.

        Never where a sample is not one image of the data set: what the network says of
        an image knows nothing of what another lends it.

        Args:
            names: of the stages to train. minutes, max_steps: as of `Training`.
        """
        config = self._model.config
        if config.preprocessor is None or self._unchanged is None:
            return False
        if config.augmentation.leaves_the_image:
            return False
        if minutes is not None:
            return True  # `caches` looks at the time it takes
        limit = max_steps or ENDLESS
        stages = [config.stages[n] for n in names if n != "preprocess"]
        samples = sum(min(s.steps, limit) * s.batch_size for s in stages)
        return samples > self._unchanged[0].count

    def caches(self, minutes):
        """Return ([training cache, validation cache] or None, seconds it took).

        None: they would take too much of the stage's time.

        Args:
            minutes: the stage's, or None.
        """
        workers, caches, spent = self._workers, None, 0.0
        fingerprint = network_fingerprint(self._model.preprocessor)
        if workers.several_machines:
            # 48 bits: a float64 holds them.
            fingerprint = f"{int(workers.chief_says(int(fingerprint, 16))):012x}"
        if workers.is_chief:
            caches, spent = self._fill(minutes, fingerprint)
        # The others find the chief's, or make their own where they do not see them.
        if not workers.chief_says(caches is not None):
            return None, spent
        return caches or self._fill(None, fingerprint)[0], spent

    def remove(self):
        """Remove them, on every machine those that it sees."""
        shutil.rmtree(self._folder.maps, ignore_errors=True)
        if not self._workers.is_chief:
            # Where the chief's folder is not seen, maps were all that was in this one.
            with contextlib.suppress(OSError):
                self._folder.path.rmdir()

    def _fill(self, minutes, fingerprint):
        began = time.monotonic()
        limit = None if minutes is None else 60 * minutes * SHARE
        caches = []
        for split, images in zip(("train", "val"), self._unchanged, strict=True):
            # The number is one of the name: maps are those of the n-th image.
            name = f"{split}-{images.count}"
            cache = MapCache(self._model, self._folder.maps, name, fingerprint)
            spent = time.monotonic() - began
            seconds = None if limit is None else limit - spent
            with self._folder.writing(self._folder.maps):
                whole = not images.count or cache.fill(
                    images, seconds=seconds, bar=self._bar
                )
            if not whole:
                _LOG.info(
                    "Foreground and angles are computed at every step: to keep those "
                    "of all images would take too much of the stage's time."
                )
                return None, time.monotonic() - began
            caches.append(cache)
        return caches, time.monotonic() - began
