"""The pre-processing stage: its targets, its losses, what it trains."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import stages
from keras_recattend.model import RecurrentAttention
from keras_recattend.stages.preprocess import foreground_iou, pixel_classes
from keras_recattend.training import make_optimizer

SEMANTIC = {"foreground_classes": 4, "transposed_depths": (8, 6, 12)}
FOREGROUND = {"angle_classes": 0, "transposed_depths": (8, 6, 1)}


def stage_of(config, **options):
    return stages.objective("preprocess", config, **options)


def test_terms_are_named_by_what_the_network_says():
    both = stage_of(tiny.preprocessed())
    assert both.terms == ("foreground", "angle")
    assert both.measures == ("foreground_iou", "angle_accuracy")
    alone = stage_of(tiny.preprocessed(preprocessor=FOREGROUND))
    assert alone.terms == ("foreground",)
    assert alone.measures == ("foreground_iou",)


@pytest.mark.parametrize("preprocessor", [{}, SEMANTIC, FOREGROUND])
def test_losses_against_loops(preprocessor):
    """Pixel after pixel, in the words of sections 6 and 8."""
    config = tiny.preprocessed(preprocessor=preprocessor)
    model = RecurrentAttention(config)
    batch = tiny.batch((3, 1))
    classes = np.array([[1, 3, 2], [2, 0, 0]], np.int32)
    maps = model.maps(batch["image"])
    objective = stage_of(config)
    terms, measures = objective(
        model, batch | {"classes": tf.constant(classes)}, 0, training=False
    )
    assert set(terms) == set(objective.terms)
    labels = batch["labels"].numpy()
    foreground, angles, right, over = [], [], [], [0, 0]
    for index in np.ndindex(labels.shape):
        label, p = labels[index], float(maps.foreground[index])
        if maps.semantic is not None:
            target = classes[index[0], label - 1] if label else 0
            foreground.append(-np.log(float(maps.semantic[index][target]) + 1e-5))
        else:
            foreground.append(-np.log((p if label else 1 - p) + 1e-5))
        over[0] += label > 0 and p > 0.5
        over[1] += label > 0 or p > 0.5
        if label and config.preprocessor.angle_classes:
            pixels = np.argwhere(labels[index[0]] == label)
            dy, dx = index[1:] - pixels.mean(axis=0)
            angle = np.arctan2(dy, dx) + np.pi + np.pi / 8
            target = int(np.floor(angle / (np.pi / 4))) % 8
            angles.append(-np.log(float(maps.angles[index][target]) + 1e-5))
            right.append(np.argmax(maps.angles[index]) == target)
    np.testing.assert_allclose(terms["foreground"], np.mean(foreground), rtol=1e-4)
    np.testing.assert_allclose(measures["foreground_iou"], over[0] / over[1], 1e-5)
    if angles:
        np.testing.assert_allclose(terms["angle"], np.mean(angles), rtol=1e-4)
        np.testing.assert_allclose(measures["angle_accuracy"], np.mean(right), 1e-4)


def test_the_class_of_a_pixel_is_that_of_its_object():
    labels = tf.constant([[[0, 1], [2, 1]], [[1, 0], [0, 0]]])
    classes = tf.constant([[7, 3, 0], [8, 0, 0]])
    expected = [[[0, 7], [3, 7]], [[8, 0], [0, 0]]]
    np.testing.assert_array_equal(pixel_classes(labels, classes, 9), expected)
    ones = [[[0, 1], [1, 1]], [[1, 0], [0, 0]]]
    np.testing.assert_array_equal(pixel_classes(labels, None, 9), ones)


def test_a_class_that_the_network_does_not_have_is_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError, match="A class is above 8"):
        pixel_classes(tf.constant([[[1]]]), tf.constant([[9]]), 9)


def test_foreground_iou():
    truth = tf.constant([[[1.0, 1.0, 0.0, 0.0]]])
    found = tf.constant([[[0.9, 0.4, 0.6, 0.1]]])
    np.testing.assert_allclose(foreground_iou(found, truth), 1 / 3)
    # Nothing to find, and nothing found.
    assert foreground_iou(tf.zeros([1, 2, 2]), tf.zeros([1, 2, 2])) == 1.0


def test_images_without_objects_have_no_angles_to_learn():
    config = tiny.preprocessed()
    model = RecurrentAttention(config)
    empty = {
        "image": tf.zeros([2, *tiny.SIZE, 3]),
        "labels": tf.zeros([2, *tiny.SIZE], tf.int32),
    }
    terms, measures = stage_of(config)(model, empty, 0, training=False)
    assert terms["angle"] == 0
    assert np.isfinite(list((terms | measures).values())).all()


def train(model, name):
    """Make one step of the model's stage `name`."""
    objective = stages.objective(name, model.config)
    model.compile(make_optimizer(objective.stage), objective=objective)
    model.optimizer.build(objective.variables(model))
    model.train_step(tiny.batch())


def test_the_stage_trains_the_network_and_nothing_else():
    model = RecurrentAttention(tiny.preprocessed())
    weights = [v for v in model.weights if "seed" not in v.path]
    before = [v.numpy() for v in weights]
    train(model, "preprocess")
    own = {v.path for v in model.preprocessor.weights}
    for old, variable in zip(before, weights, strict=True):
        changed = not np.array_equal(old, variable)
        # A bias before a normalisation has no effect, and no gradient.
        if "bias" not in variable.path:
            assert changed == (variable.path in own), variable.path


@pytest.mark.parametrize("name", tiny.STAGES)
def test_the_other_stages_leave_the_network_as_it_is(name):
    """Kernels and moving statistics: what the maps say must not drift."""
    model = RecurrentAttention(tiny.preprocessed())
    before = [v.numpy() for v in model.preprocessor.variables]
    calls = []
    maps = model.maps
    model.maps = lambda image: calls.append(1) or maps(image)
    train(model, name)
    for old, new in zip(before, model.preprocessor.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    # Asked once for all that a step looks at.
    assert len(calls) == 1


def test_momentum_is_what_the_paper_trained_it_with():
    stage = {"optimizer": "momentum", "learning_rate": 0.1, "weight_decay": 5e-5}
    config = tiny.preprocessed(stage)
    optimizer = make_optimizer(config.stages["preprocess"])
    assert isinstance(optimizer, keras.optimizers.SGD)
    # Two steps with the same gradient g: w - lr g, then w - lr (0.9 g + g).
    variable = tf.Variable([1.0])
    optimizer = keras.optimizers.SGD(0.1, optimizer.momentum)
    for expected in (0.9, 0.71):
        optimizer.apply_gradients([(tf.constant([1.0]), variable)])
        np.testing.assert_allclose(variable, [expected], rtol=1e-6)
    # Its weight decay is a loss.
    assert "decay" in stage_of(config).terms
