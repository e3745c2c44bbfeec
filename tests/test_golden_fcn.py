"""The pre-processing network and its losses against the authors' code (fcn.npz)."""

import golden_weights
import numpy as np
import pytest
import tensorflow as tf
from golden_weights import assert_close

from keras_recattend.losses import (
    angle_loss,
    binary_cross_entropy,
    cross_entropy,
    soft_iou,
)
from keras_recattend.preprocessor import PreprocessingNetwork
from keras_recattend.stages.objective import kernel_decay
from keras_recattend.stages.preprocess import foreground_iou

# What the file's README says of its small network, counted from 1 (see `Preprocessor`):
# transposed layer 1 and 4 (from 0) take what convolution 3 and 0 (from 0) read.
POOLS, FACTORS = (1, 2, 1, 2), (2, 1, 2, 1, 1)
SKIPS = ((4, 1), (1, 4))


@pytest.fixture(scope="module")
def arrays(golden_directory):
    path = golden_directory / "fcn.npz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    with np.load(path) as file:
        return dict(file)


@pytest.fixture(scope="module")
def network(arrays):
    def depths(part, axis):
        names = [n for n in arrays if n.startswith(f"weights/{part}/")]
        count = len({name.split("/")[2] for name in names})
        return tuple(
            arrays[f"weights/{part}/layer{i}/kernel"].shape[axis] for i in range(count)
        )

    layer = PreprocessingNetwork(
        depths("cnn", 3), POOLS, depths("deconv", 2), FACTORS, SKIPS
    )
    layer.build(arrays["image"].shape)
    places = golden_weights.stack_places("cnn", layer.cnn)
    places |= golden_weights.stack_places("deconv", layer.transposed)
    # Ours have an axis for time steps, of which there is one.
    given = {n: v[np.newaxis] if "/bn_" in n else v for n, v in arrays.items()}
    loaded = golden_weights.load(given, places)
    # Every weight has its place, and every place got one.
    assert {id(v) for v in loaded} == {id(v) for v in layer.weights}
    return layer


def test_maps_and_losses(arrays, network):
    maps = network(tf.constant(arrays["image"]))
    foreground = tf.constant(arrays["foreground_gt"][..., 0])
    entropy = binary_cross_entropy(maps.foreground, foreground)
    target = tf.constant(arrays["angle_gt_one_hot"])
    terms = {
        "foreground_loss": tf.reduce_mean(entropy),
        "angle_loss": angle_loss(maps.angles, target, foreground),
    }
    decay = golden_weights.WEIGHT_DECAY * kernel_decay(network.trainable_variables)
    right = tf.equal(tf.argmax(maps.angles, -1), arrays["angle_gt_class"])
    right = tf.boolean_mask(tf.cast(right, tf.float32), foreground > 0)
    overlap = soft_iou(maps.foreground, foreground, axes=(0, 1, 2))
    got = terms | {
        "foreground": maps.foreground,
        "angle_probability": maps.angles,
        "loss_without_weight_decay": sum(terms.values()),
        "total_loss": sum(terms.values()) + decay,
        "angle_accuracy": tf.reduce_mean(right),
        "soft_iou": overlap,
        "hard_iou": foreground_iou(maps.foreground, foreground),
    }
    inputs = {"image", "foreground_gt", "angle_gt_class", "angle_gt_one_hot"}
    inputs |= {"instance_masks", "skip_sources"}
    assert set(got) == {name for name in arrays if "/" not in name} - inputs
    for name, value in got.items():
        assert_close(value, arrays[name], name)


def test_entropies(arrays):
    given = golden_weights.arrays_of(arrays, "pointwise")
    got = {
        "binary_cross_entropy": binary_cross_entropy(
            tf.constant(given["foreground_probability"]),
            tf.constant(given["foreground_gt"]),
        ),
        "cross_entropy": cross_entropy(
            tf.constant(given["class_probability"]), tf.constant(given["class_gt"])
        ),
    }
    truth = {"foreground_probability", "foreground_gt", "class_probability", "class_gt"}
    assert set(got) == set(given) - truth
    for name, value in got.items():
        assert_close(value, given[name], name)
