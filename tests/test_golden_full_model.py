"""The whole model against the authors' code (full_model.npz): every array."""

import golden_weights
import numpy as np
import pytest
import tensorflow as tf
from golden_statistics import counts, matched_statistics
from golden_weights import WEIGHT_DECAY, assert_close, assert_same_match
from mask_truth import filled_boxes, truth_of_masks

from keras_recattend import boxes
from keras_recattend.losses import (
    matched_iou_loss,
    monotonic_score_loss,
    soft_iou_matrix,
)
from keras_recattend.matching import hungarian_match
from keras_recattend.stages.objective import kernel_decay

# Padding of true boxes in the small joint models: crop padding + 4.
PADDING = (0.2, 8.0)
COLLECT = (
    "masks",
    "scores",
    "box_iou",
    "box_masks",
    "center",
    "size",
    "patch",
    "heat",
    "attention",
    "canvas",
    "log_variance",
    "raw",
)


@pytest.mark.golden("full_model")
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_full_model(case, mode):
    glimpses = case["glimpse_attention"].shape[2]
    patch_size = case["patch"].shape[2:4]
    model = golden_weights.model(case, glimpses=glimpses, patch_size=patch_size)
    timespan = case["y_gt"].shape[1]
    assert model.config.timespan == timespan
    truth = truth_of_masks(tf.constant(case["y_gt"]), PADDING)
    off = tf.zeros([len(case["image"]), timespan])

    def unroll(image, extra):
        prepared = model.prepare(image, extra)
        return model.unroll(prepared, truth, (off, off), collect=COLLECT)

    if mode == "graph":
        unroll = tf.function(unroll)
    extra = golden_weights.extra_channels(case)
    out = unroll(
        tf.constant(case["image"]), None if extra is None else tf.constant(extra)
    )
    low, high = boxes.corners(out["center"], out["size"])
    fills = filled_boxes(
        truth.top_left, truth.bottom_right, truth.exists, model.config.image_size
    )
    iou = soft_iou_matrix(out["masks"], truth.masks)
    match = hungarian_match(iou, truth.exists, first_outputs_only=True)
    box_match = hungarian_match(out["box_iou"], truth.exists, first_outputs_only=True)
    segmentation_loss = matched_iou_loss(iou, match)
    box_loss = matched_iou_loss(out["box_iou"], box_match)
    score_loss = monotonic_score_loss(out["scores"], tf.reduce_sum(match, -1))
    decay = WEIGHT_DECAY * kernel_decay(model.trainable_variables)
    hard = matched_statistics(out["masks"].numpy() > 0.5, case["y_gt"], match.numpy())
    soft_iou_mean = -segmentation_loss
    got = {
        "s_gt": truth.exists,
        "y_out": out["masks"],
        "scores": out["scores"],
        "box_center": out["center"],
        "box_size": out["size"],
        "box_top_left": low,
        "box_bottom_right": high,
        "box_mask": out["box_masks"],
        "patch": out["patch"],
        "patch_output": out["heat"],
        "glimpse_attention": out["attention"],
        "canvas_after_step": out["canvas"],
        "log_variance": out["log_variance"],
        "head_output": out["raw"],
        "segmentation_loss": segmentation_loss,
        "box_loss": box_loss,
        "score_loss": score_loss,
        "weight_decay_loss": decay,
        "total_loss": segmentation_loss + box_loss + score_loss + decay,
        "box_gt_mask": fills,
        "box_gt_top_left": truth.top_left,
        "box_gt_bottom_right": truth.bottom_right,
        "soft_iou_mean": soft_iou_mean,
        "hard_iou_mean": hard["iou"],
        "dice_hard": hard["dice"],
        **counts(out["scores"].numpy(), case["s_gt"]),
    }
    assert_same_match(match, case["match_segmentation"], iou, "match_segmentation")
    assert_same_match(box_match, case["match_box"], out["box_iou"], "match_box")
    inputs = {"image", "y_gt", "angle_map", "foreground"}
    inputs |= {"match_segmentation", "match_box"}
    expected = {k for k in case if not k.startswith("weights/")} - inputs
    assert set(got) == expected
    for name, value in got.items():
        assert_close(value, case[name], name)


@pytest.mark.golden("full_model")
def test_infer_gives_the_unrolled_outputs(case):
    """Without stopping, the inference loop is the same model."""
    glimpses = case["glimpse_attention"].shape[2]
    patch_size = case["patch"].shape[2:4]
    model = golden_weights.model(case, glimpses=glimpses, patch_size=patch_size)
    extra = golden_weights.extra_channels(case)
    out = model.infer(
        tf.constant(case["image"]),
        None if extra is None else tf.constant(extra),
        stop=False,
        with_attention=True,
    )
    low, high = case["box_top_left"], case["box_bottom_right"]
    assert_close(out["masks"], case["y_out"], "y_out")
    assert_close(out["scores"], case["scores"], "scores")
    assert_close(out["patches"], case["patch_output"], "patch_output")
    assert_close(out["attention"], case["glimpse_attention"], "attention")
    assert_close(out["boxes"], np.concatenate([low, high], axis=-1), "boxes")
    assert_close(out["canvas"], case["canvas_after_step"][:, -1], "canvas")
    np.testing.assert_array_equal(out["count"], (case["scores"] >= 0.5).sum(axis=1))
