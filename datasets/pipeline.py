"""Records to batches: resize, cache, order, augment, batch; the same for one seed.

Sample number i, counted from 0 through the whole training, decides everything about
itself: which image it is (every pass over the data has a new permutation, made from
seed and pass) and how it is changed (made from seed and i). A stream that starts at
sample k is therefore the stream from 0 without its first k samples, bit for bit.
Where rendered plants are mixed in, the number also says which of the two it is.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import tensorflow as tf

from datasets import augmentation as augment
from datasets.collage import Layer, paste
from datasets.manifest import Manifest
from datasets.samples import Samples, parallel
from keras_recattend.config import Augmentation

__all__ = ["WHOLE", "training_stream", "validation_batches"]

# Batches made ahead of the training step.
AHEAD = 2
# One device that reads all rows of a batch: (devices, first, count).
WHOLE = (1, 0, 1)


def training_stream(
    manifest: Manifest,
    ids: Sequence[str],
    image_size: tuple[int, int],
    max_instances: int,
    augmentation: Augmentation,
    batch_size: int,
    seed: int,
    start: int = 0,
    cache: bool | None = None,
    with_places: bool = False,
    share: tuple[int, int, int] = WHOLE,
    rendered: Manifest | None = None,
    samples_of: Callable[..., Samples] = Samples,
) -> tf.data.Dataset:
    """Give augmented training batches without end.

    Args:
        manifest: of the records.
        ids: labelled images to draw from; every pass over them shows each once.
        image_size: (height, width) that images are resized to.
        max_instances: most objects of a sample; the largest are kept.
        augmentation: ranges of the random changes.
        batch_size: samples a batch.
        seed: decides order and changes.
        start: number of the first sample (steps done * batch size, to resume).
        cache: keep resized images in memory; None = if they take less than 2 GB.
        with_places: also give "index" int64 [B], the image's place in `ids`, and
            "matrix" float32 [B, 2, 3], from the sample's pixels to the image's: for
            maps of the image that are kept elsewhere. Not where
            `augmentation.leaves_the_image`: nothing is kept of the others.
        share: (devices, first, count): every batch is divided evenly by so many
            devices, and only the rows of `count` of them are read, from number `first`
            on. What comes are their parts, one device's after the other's, each of
            batch_size / devices samples.
        rendered: records of the plants for `augmentation.rendered`.
        samples_of: in place of `Samples`, to give those again that were read before.

    Returns:
        Batches {"image": float32 [B, H, W, 3] in [0, 1], "labels": int32 [B, H, W],
        0 = background and 1..n by area descending, "count": int32 [B], "classes":
        int32 [B, max_instances], class of object 1..n, then 0}.

    Raises:
        DataError: no ids, unknown or unlabelled ones.
        ValueError: settings that contradict each other.
    """
    augment.check(augmentation, image_size)
    _check(augmentation, batch_size, start, share, with_places, rendered)
    devices = share[0]
    changes = _Changes(augmentation, image_size, max_instances)
    numbers = tf.data.Dataset.counter(start, dtype=tf.int64)
    is_read = partial(_is_read, share, batch_size, start)

    def entries(manifest, ids, numbers, start):
        """Entries of batches from one set of records, and the order they come in."""
        samples = samples_of(manifest, ids, image_size, cache)
        order = tf.data.Dataset.zip(numbers, _indices(len(samples), seed, start))
        order = order.filter(lambda number, index: is_read(number))
        make = changes.collages if augmentation.paste else changes.alone
        return make(samples, order, seed), order

    if rendered is None:
        dataset, order = entries(manifest, ids, numbers, start)
        if with_places:
            dataset = _joined(dataset, order.map(partial(changes.place, seed)))
    else:
        is_plant = partial(_is_rendered, augmentation.rendered)
        before = math.floor(start * augmentation.rendered)
        own = numbers.filter(lambda number: ~is_plant(number))
        dataset, _ = entries(manifest, ids, own, start - before)
        plants = numbers.filter(is_plant)
        plants, _ = entries(rendered, rendered.ids, plants, before)
        which = numbers.filter(is_read).map(lambda n: tf.cast(is_plant(n), tf.int64))
        dataset = tf.data.Dataset.choose_from_datasets([dataset, plants], which)
    return dataset.batch(batch_size // devices, drop_remainder=True).prefetch(AHEAD)


def _check(augmentation, batch_size, start, share, with_places, rendered):
    """Refuse what contradicts itself; see `training_stream`."""
    if batch_size < 1 or start < 0:
        raise ValueError(
            "batch_size must be 1 or more and start 0 or more, got "
            f"batch_size={batch_size}, start={start}."
        )
    devices = share[0]
    if batch_size % devices:
        raise ValueError(
            f"batch_size={batch_size} cannot be divided by {devices} devices: use a "
            "multiple of their number."
        )
    if with_places and augmentation.leaves_the_image:
        raise ValueError(
            f"with_places does not go with augmentation.paste={augmentation.paste} and "
            f"augmentation.rendered={augmentation.rendered}: a sample's pixels are not "
            "those of one image. Set them to 0, or with_places to False."
        )
    if (augmentation.rendered > 0) != (rendered is not None):
        raise ValueError(
            f"augmentation.rendered={augmentation.rendered} needs records of rendered "
            f"plants if it is above 0, and none otherwise; got rendered={rendered}."
        )


class _Changes:
    """The random changes of samples, each decided by a key and the sample's number."""

    def __init__(self, augmentation, image_size, max_instances):
        self._augmentation = augmentation
        self._size = image_size
        self._max_instances = max_instances

    def alone(self, samples, order, key):
        """Entries of batches, each out of one image."""

        def changed(number, sample):
            return _entry(self._layer(key, number, sample), self._max_instances)

        return samples.map(order, changed)

    def collages(self, samples, order, key):
        """Entries of batches, objects of another image pasted in."""
        # Negative, so that no sample is changed as the one that lends it objects.
        lender = -1 - key

        def pasted(number, one, other):
            seeds = tf.stack([tf.constant(lender, tf.int64), -1 - number])
            most = self._augmentation.paste
            layer = paste(one, other, most, self._max_instances, seeds)
            return _entry(layer, self._max_instances)

        numbers = order.map(lambda number, index: number)
        layers = samples.map(order, partial(self._layer, key))
        lent = samples.map(
            _lenders(order, len(samples), lender), partial(self._layer, lender)
        )
        both = tf.data.Dataset.zip(numbers, layers, lent)
        return both.map(pasted, **parallel())

    def place(self, key, number, index):
        """Which image a sample is, and where its pixels lie in that."""
        return {"index": index, "matrix": self._drawn(key, number).matrix}

    def _layer(self, key, number, sample):
        augmentation, transform = self._augmentation, self._drawn(key, number)
        image, labels = augment.apply(
            augmentation, transform, sample.image, sample.labels, sample.median
        )
        areas = tf.cast(sample.areas, tf.float32)
        least = areas * (augmentation.min_visible * transform.zoom)
        return Layer(image, tf.cast(labels, tf.int32), least, sample.classes)

    def _drawn(self, key, number):
        seeds = tf.stack([tf.constant(key, tf.int64), number])
        return augment.draw(self._augmentation, seeds, self._size)


def validation_batches(
    manifest: Manifest,
    ids: Sequence[str],
    image_size: tuple[int, int],
    max_instances: int,
    batch_size: int,
    cache: bool | None = None,
    with_places: bool = False,
    samples_of: Callable[..., Samples] = Samples,
) -> tf.data.Dataset:
    """Give every image once, in the order of `ids`, unchanged but for its size.

    Args:
        manifest, ids, image_size, max_instances, batch_size, cache, samples_of: as for
            `training_stream`.
        with_places: also give "index", see `training_stream`; nothing is moved.

    Returns:
        Batches as those of `training_stream`; finite.

    Raises:
        DataError: no ids, unknown or unlabelled ones.
    """
    samples = samples_of(manifest, ids, image_size, cache)

    def convert(_, sample):
        image = tf.cast(sample.image, tf.float32) / 255
        least = tf.zeros([samples.most_objects])
        labels = tf.cast(sample.labels, tf.int32)
        return _entry(Layer(image, labels, least, sample.classes), max_instances)

    numbers = tf.data.Dataset.range(len(samples))
    dataset = samples.map(tf.data.Dataset.zip(numbers, numbers), convert)
    if with_places:
        dataset = _joined(dataset, numbers.map(lambda number: {"index": number}))
    return dataset.batch(batch_size).prefetch(AHEAD)


def _entry(layer, max_instances):
    """What a batch has of one image: its objects ordered and counted."""
    labels, count, old_ids = augment.order_objects(
        layer.labels, layer.least, layer.least.shape[0], max_instances
    )
    classes = tf.gather(tf.concat([[0], layer.classes], 0), old_ids)
    return {
        "image": layer.image,
        "labels": labels,
        "count": count,
        "classes": classes,
    }


def _indices(total, seed, start):
    """Index of the image of sample `start` and those after it, int64, for ever."""

    def one_pass(number):
        # Negative, so that no sample's augmentation has the same seed.
        key = tf.stack([tf.constant(seed, tf.int64), -1 - number])
        values = tf.random.stateless_uniform(
            [total], key, minval=None, maxval=None, dtype=tf.int64, alg="philox"
        )
        order = tf.cast(tf.argsort(values, stable=True), tf.int64)
        return tf.data.Dataset.from_tensor_slices(order)

    passes = tf.data.Dataset.counter(start // total, dtype=tf.int64)
    return passes.flat_map(one_pass).skip(start % total)


def _is_read(share, batch_size, start, number):
    """Whether a sample is in a row of its batch that is read here; bool []."""
    devices, first, count = share
    device = (number - start) % batch_size // (batch_size // devices)
    return (device >= first) & (device < first + count)


def _is_rendered(share, number):
    """Whether a sample is a rendered plant: of the first n, floor(n share) are."""
    number = tf.cast(number, tf.float64)
    return tf.floor((number + 1) * share) > tf.floor(number * share)


def _lenders(order, total, key):
    """(sample number, index of the image that lends it objects), both int64."""

    def lender(number, _):
        seeds = tf.stack([tf.constant(key, tf.int64), number])
        index = tf.random.stateless_uniform(
            [], seeds, minval=0, maxval=total, dtype=tf.int64, alg="philox"
        )
        return number, index

    return order.map(lender)


def _joined(samples, places):
    """Dicts of both, sample by sample."""
    both = tf.data.Dataset.zip(samples, places)
    return both.map(lambda sample, place: sample | place)
