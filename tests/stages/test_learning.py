"""Every stage learns one batch by heart, and inference shows what training learned."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import ablation, boxes, stages
from keras_recattend.losses import soft_iou_matrix
from keras_recattend.matching import hungarian_match
from keras_recattend.model import RecurrentAttention
from keras_recattend.training import make_optimizer
from keras_recattend.truth import Truth


def whole_image(make):
    """The config of `make` without boxes."""
    return lambda stage: ablation.apply(make(stage), "no_box_net")


EPOCHS, STEPS = 6, 6
# Steps after which the moving statistics have forgotten (0.9^40 = 1.5%).
SETTLING = 40
COUNTS = (3, 2)
OPTIONS = {"learning_rate": 1e-2, "jitter": (0.0, 0.0)}
# (configuration, stage, its options, by how much the loss must fall)
CASES = {
    "preprocess": (tiny.preprocessed, "preprocess", {}, 1.0),
    "the paper's preprocess": (
        tiny.preprocessed,
        "preprocess",
        {"optimizer": "momentum", "weight_decay": 5e-5, "learning_rate": 0.4},
        1.0,
    ),
    "box": (tiny.config, "box", {}, 1.0),
    "unrolled box": (tiny.paper_config, "box", {"weight_decay": 0.0}, 0.2),
    "segmentation": (tiny.config, "segmentation", {}, 0.4),
    "own canvases": (tiny.config, "own_canvases", {}, 1.0),
    "joint": (tiny.config, "joint", {"freeze_normalization": True}, 0.2),
    "the paper's joint": (tiny.paper_config, "joint", {"weight_decay": 0.0}, 0.2),
    "segmentation without boxes": (whole_image(tiny.config), "segmentation", {}, 0.4),
    "own canvases without boxes": (whole_image(tiny.config), "own_canvases", {}, 0.4),
    "the paper's joint without boxes": (
        whole_image(tiny.paper_config),
        "joint",
        {"weight_decay": 0.0},
        0.1,
    ),
}


def trained(case):
    """Return (model, batch, losses of the first and last steps, stage)."""
    make, name, options, _ = CASES[case]
    keras.utils.set_random_seed(0)
    config = make(OPTIONS | options)
    model = RecurrentAttention(config)
    objective = stages.objective(name, config)
    model.compile(make_optimizer(objective.stage), objective=objective)
    batch = tiny.batch(COUNTS)
    losses = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: losses.append(logs["loss"])
    )
    model.fit(
        tiny.repeated(batch),
        steps_per_epoch=STEPS,
        epochs=EPOCHS,
        callbacks=[keep],
        shuffle=False,
        verbose=0,
    )
    return model, batch, losses, objective


def maps_agreement(model, objective, batch):
    """Foreground IoU and angle accuracy in training mode and in inference mode."""
    return [
        np.array(list(objective(model, batch, 0, training=training)[1].values()), float)
        for training in (True, False)
    ]


def box_agreement(model, batch):
    """IoU of the boxes of training mode with those of inference mode, on one canvas."""
    blank = tf.zeros([2, *tiny.SIZE])
    looks = []
    for training in (True, False):
        prepared = model.prepare(batch["image"], training=training)
        box = model.look(prepared, blank, training=training)
        looks.append(boxes.corners(box.center, box.size))
    return boxes.box_iou(*looks).numpy()


def segment_agreement(model, objective, batch):
    """The segmentation's measure in training mode and in inference mode."""
    return [
        float(objective(model, batch, 0, training=training)[1]["patch_iou"])
        for training in (True, False)
    ]


def loop_agreement(model, batch):
    """The matched IoU of the loop's masks in training mode and in inference mode."""
    padding = model.objective.stage.box_padding
    truth = Truth.of_labels(batch["labels"], model.config.timespan, padding)
    off = tf.zeros_like(truth.exists)
    values = []
    for training in (True, False):
        prepared = model.prepare(batch["image"], training=training)
        out = model.unroll(prepared, truth, (off, off), training=training)
        iou = soft_iou_matrix(out["masks"], truth.masks)
        match = hungarian_match(iou, truth.exists)
        values.append(float(tf.reduce_sum(iou * match) / tf.reduce_sum(match)))
    return values


def settle(model, batch):
    """Steps that move the statistics alone."""
    model.optimizer.learning_rate = 0.0
    model.fit(tiny.repeated(batch), steps_per_epoch=SETTLING, shuffle=False, verbose=0)


SLOW = ("joint",)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=pytest.mark.slow) if c in SLOW else c for c in CASES],
)
def test_a_stage_learns_one_batch(case):
    """... and a model at rest gives in inference no less than it gives in training.

    After steps with a learning rate of 0, which move the statistics alone. A model
    that scores well in training mode and collapses in inference mode is a defect.
    """
    model, batch, losses, objective = trained(case)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - CASES[case][-1]
    settle(model, batch)
    if objective.name == "preprocess":
        training, inference = maps_agreement(model, objective, batch)
        assert (inference > training - 0.05).all()
        assert inference.min() > 0.6  # chance: 1/8 of the angles
    if objective.name in ("box", "own_canvases"):
        assert box_agreement(model, batch).min() > 0.9
    if objective.name in ("segmentation", "own_canvases"):
        training, inference = segment_agreement(model, objective, batch)
        # Their boxes differ, so inference may well be ahead.
        assert inference > training - 0.1
    if objective.name == "joint":
        training, inference = loop_agreement(model, batch)
        assert inference > training - 0.1
