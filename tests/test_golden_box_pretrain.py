"""The box network's pre-training model against the authors' (box_pretrain.npz)."""

import golden_weights
import pytest
import tensorflow as tf
from golden_weights import WEIGHT_DECAY, assert_close, assert_same_match
from mask_truth import filled_boxes, truth_of_masks

from keras_recattend import boxes
from keras_recattend.losses import matched_iou_loss, monotonic_score_loss
from keras_recattend.matching import hungarian_match
from keras_recattend.stages.objective import kernel_decay

PADDING = (0.2, 10.0)
COLLECT = (
    "scores",
    "box_iou",
    "box_masks",
    "center",
    "size",
    "attention",
    "canvas",
    "greedy",
)


@pytest.mark.golden("box_pretrain")
def test_box_pretraining(case):
    glimpses = case["glimpse_attention"].shape[2]
    model = golden_weights.model(case, glimpses=glimpses)
    trained = golden_weights.load(case, golden_weights.places(model))
    truth = truth_of_masks(tf.constant(case["y_gt"]), PADDING)
    off = tf.zeros(case["s_gt"].shape)
    extra = golden_weights.extra_channels(case)
    prepared = model.prepare(
        tf.constant(case["image"]), None if extra is None else tf.constant(extra)
    )
    out = model.unroll(
        prepared, truth, (off, off), segment_objects=False, collect=COLLECT
    )
    low, high = boxes.corners(out["center"], out["size"])
    match = hungarian_match(out["box_iou"], truth.exists, first_outputs_only=True)
    box_loss = matched_iou_loss(out["box_iou"], match)
    score_loss = monotonic_score_loss(out["scores"], tf.reduce_sum(match, axis=-1))
    # The score's second kernel, for the segmentation's map, is no part of this stage.
    kernels = [v for v in trained if v is not model.scoring.features_kernel]
    decay = WEIGHT_DECAY * kernel_decay(kernels)
    got = {
        "s_gt": truth.exists,
        "scores": out["scores"],
        "box_mask": out["box_masks"],
        "box_center": out["center"],
        "box_size": out["size"],
        "box_top_left": low,
        "box_bottom_right": high,
        "glimpse_attention": out["attention"],
        "canvas_after_step": out["canvas"],
        "greedy_match": out["greedy"],
        "soft_box_iou": out["box_iou"],
        "box_gt_mask": filled_boxes(
            truth.top_left, truth.bottom_right, truth.exists, model.config.image_size
        ),
        "box_gt_top_left": truth.top_left,
        "box_gt_bottom_right": truth.bottom_right,
        "box_loss": box_loss,
        "score_loss": score_loss,
        "total_loss": box_loss + score_loss + decay,
    }
    assert_same_match(match, case["match_box"], out["box_iou"], "match_box")
    inputs = {"image", "y_gt", "angle_map", "foreground", "match_box"}
    assert set(got) == {k for k in case if not k.startswith("weights/")} - inputs
    for name, value in got.items():
        assert_close(value, case[name], name)
