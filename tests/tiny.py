"""Tiny models and pictures of ellipses, for the tests that train."""

import types

import numpy as np
import tensorflow as tf

from keras_recattend import presets
from keras_recattend import stages as all_stages
from keras_recattend.config import Stage

SIZE = (32, 32)
SLOTS = 3
# Of a model without a pre-processing network.
STAGES = tuple(name for name in all_stages.STAGES if name != "preprocess")
# A pre-processing network of a few thousand weights.
PREPROCESSOR = {
    "depths": (6, 8, 8),
    "pools": (2, 2, 1),
    "transposed_depths": (8, 6, 9),
    "transposed_factors": (2, 2, 1),
    "skips": ((2, 1), (1, 2)),
}


def config(stage=None, stages=STAGES, preprocessor=None, **changes):
    """A few thousand weights, in the manner of the preset `leaves`.

    Args:
        stage: options of all stages. stages: their names.
        preprocessor: options of a pre-processing network, or None.
        changes: as `Config.replace` takes them.
    """
    options = {
        "steps": 2,
        "batch_size": 2,
        "canvases": 2,
        "steps_per_epoch": 1,
        "validate_every": 1,
    }
    tiny = presets.get("leaves").replace(
        name="tiny",
        image_size=SIZE,
        max_instances=SLOTS,
        normalization="batch",
        min_object_area=4,
        preprocessor=preprocessor,
        box_network={
            "depths": (6, 8),
            "pools": (2, 2),
            "space_to_depth": 2,
            "context_depths": (),
            "feature_depth": 8,
            "canvas_depth": 4,
            "joint_layers": 2,
            "glimpses": 2,
            "lstm_units": 8,
            "mlp_units": 8,
        },
        segmentation={
            "patch_size": (16, 16),
            "depths": (6, 8),
            "pools": (2, 2),
            "transposed_depths": (8, 6, 1),
            "transposed_factors": (2, 2, 1),
        },
        inference={"refinements": 1, "zoom": 1.0, "min_area": 2},
        stages={
            name: Stage(
                **(
                    options
                    # Shared batch normalisation may not be unrolled otherwise.
                    | {"freeze_normalization": name == "joint"}
                    | (stage or {})
                )
            )
            for name in stages
        },
    )
    return tiny.replace(**changes)


def preprocessed(stage=None, stages=all_stages.STAGES, preprocessor=None, **changes):
    """The same with a pre-processing network in front.

    Args:
        preprocessor: further options of it.
    """
    network = PREPROCESSOR | (preprocessor or {})
    return config(stage, stages, preprocessor=network, name="tiny_maps", **changes)


def paper_config(stage=None, **changes):
    """The same size in the paper's own manner (preset `cvppp_paper`)."""
    options = {"steps": 2, "batch_size": 2, "canvases": 0, "steps_per_epoch": 1}
    tiny = presets.get("cvppp_paper").replace(
        name="tiny_paper",
        image_size=SIZE,
        max_instances=SLOTS,
        initializer="he",
        box_network={
            "depths": (6, 8),
            "pools": (4, 2),
            "glimpses": 2,
            "lstm_units": 8,
            "mlp_units": 8,
        },
        segmentation={
            "patch_size": (16, 16),
            "depths": (6, 8),
            "pools": (2, 2),
            "transposed_depths": (8, 6, 1),
            "transposed_factors": (2, 2, 1),
        },
        stages={n: Stage(**(options | (stage or {}))) for n in ("box", "joint")},
    )
    return tiny.replace(**changes)


def ellipses(seed, count, size=SIZE):
    """Return an image uint8 [H, W, 3] and its labels int32 [H, W].

    Bright ellipses on a dark ground, ids 1..count by area, the largest first.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    image = rng.uniform(0.0, 0.2, (height, width, 3))
    while True:
        labels = np.zeros(size, np.int32)
        colours = rng.uniform(0.4, 1.0, (count + 1, 3))
        for i in range(1, count + 1):
            radius = rng.uniform(0.12, 0.2, 2) * size
            center = rng.uniform(radius, np.array(size) - 1 - radius)
            distance = ((rows - center[0]) / radius[0]) ** 2
            distance += ((columns - center[1]) / radius[1]) ** 2
            labels[distance <= 1] = i
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        if (areas[1:] >= 12).all():
            break
    image += np.where(labels[..., np.newaxis] > 0, colours[labels] * 0.8, 0.0)
    order = np.argsort(-areas[1:], kind="stable")
    table = np.zeros(count + 1, np.int32)
    table[order + 1] = np.arange(1, count + 1)
    return np.uint8(np.clip(image, 0, 1) * 255), table[labels]


def batch(counts=(3, 2), seed=0, size=SIZE):
    """Return a training batch, one image for each number of objects."""
    pairs = [ellipses((seed, i), count, size) for i, count in enumerate(counts)]
    images, labels = zip(*pairs, strict=True)
    return {
        "image": tf.constant(np.stack(images).astype(np.float32) / 255.0),
        "labels": tf.constant(np.stack(labels)),
    }


def repeated(one_batch):
    """The batch again and again."""
    return tf.data.Dataset.from_tensors(one_batch).repeat()


def sample(number, seed):
    """Training sample `number`: what it is depends on number and seed alone."""
    rng = np.random.default_rng([seed, number])
    return ellipses(rng.integers(6), 1 + int(rng.integers(SLOTS)))


def stream(batch_size, start, seed, spoil=None):
    """Endless batches from sample `start` on, as `Training` asks for them.

    Args:
        spoil: function of the number of a batch's first sample and of its images,
            which may change the images or raise.
    """

    def batches():
        number = start
        while True:
            pairs = [sample(number + i, seed) for i in range(batch_size)]
            images, labels = (np.stack(values) for values in zip(*pairs, strict=True))
            images = images.astype(np.float32) / 255.0
            if spoil:
                spoil(number, images)
            yield {"image": images, "labels": labels}
            number += batch_size

    signature = {
        "image": tf.TensorSpec([batch_size, *SIZE, 3], tf.float32),
        "labels": tf.TensorSpec([batch_size, *SIZE], tf.int32),
    }
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def validation(batch_size):
    """Three images: the last batch is not full."""
    whole = batch((3, 2, 1), seed=99)
    return tf.data.Dataset.from_tensor_slices(whole).batch(batch_size)


def examples(sizes=((32, 32), (40, 48))):
    """Labelled images at their own sizes."""
    made = []
    for i, size in enumerate(sizes):
        image, labels = ellipses(100 + i, 2, size)
        labels = labels.astype(np.uint16)
        made.append(types.SimpleNamespace(name=f"e{i}", image=image, labels=labels))
    return made
