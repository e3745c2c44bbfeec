"""Matching and losses against the authors' code (losses.npz)."""

import numpy as np
import pytest
import tensorflow as tf
from golden_statistics import counts, coverage, iou_and_dice, matched_statistics
from golden_weights import assert_close, assert_same_match
from mask_truth import filled_boxes, truth_of_masks

from keras_recattend.boxes import box_iou
from keras_recattend.losses import (
    matched_iou_loss,
    monotonic_score_loss,
    score_bounds,
    soft_iou,
    soft_iou_matrix,
)
from keras_recattend.matching import greedy_match, hungarian_match

# Minimum padding of the true boxes in these cases.
PADDING = (0.2, 8.0)


def check(case, got, inputs):
    """Compare `got`; together with the inputs it is all that the case has."""
    assert set(got) <= set(case)
    assert set(case) - set(got) == set(inputs) & set(case)
    for name, value in got.items():
        assert_close(value, case[name], name)


@pytest.mark.golden("losses", "matching_")
def test_matching(case):
    weights, exists = case["weights"], case["s_gt"]
    match = hungarian_match(weights, exists, first_outputs_only=True).numpy()
    unique = case["unique_optimum"].astype(bool)
    np.testing.assert_array_equal(match[unique], case["match"][unique])
    total = (match.astype(np.float64) * weights).sum((1, 2))
    # The authors' solver works on weights rounded to 1e-6.
    pairs = exists.sum()
    np.testing.assert_allclose(total, case["total_weight"], 1e-6, 1e-6 * pairs)
    np.testing.assert_allclose(total, case["optimal_total_weight"], 1e-6, 1e-6 * pairs)
    # The n x n block is a permutation in all cases.
    np.testing.assert_array_equal(match.sum(2), exists)
    np.testing.assert_array_equal(match.sum(1), exists)
    assert case["match"].shape == match.shape


@pytest.mark.golden("losses", "greedy_")
def test_greedy(case):
    match = greedy_match(
        tf.constant(case["score"]), tf.constant(case["already_matched"])
    )
    check(case, {"match": match}, ["score", "already_matched"])


@pytest.mark.golden("losses", "score_")
def test_score(case):
    scores = tf.constant(case["scores"])
    target = tf.reduce_sum(case["match"], axis=-1)
    lower, upper = score_bounds(scores)
    epsilon = 1e-5
    entropy = -target * tf.math.log(scores + epsilon) - (1 - target) * tf.math.log(
        1 - scores + epsilon
    )
    got = {
        "score_target": target,
        "lower_bound": lower,
        "upper_bound": upper,
        "score_loss": monotonic_score_loss(scores, target),
        "plain_cross_entropy": tf.reduce_mean(entropy),
    }
    check(case, got, ["scores", "match"])


@pytest.mark.golden("losses", "iou_")
def test_iou(case):
    a, b = tf.constant(case["masks_a"]), tf.constant(case["masks_b"])
    iou = soft_iou_matrix(a, b)
    _, dice = iou_and_dice(case["masks_a"], case["masks_b"])
    weighted, unweighted = coverage(iou.numpy(), case["masks_b"], case["object_count"])
    got = {"soft_iou": iou, "dice": dice, "unweighted_coverage": unweighted}
    if a.shape[1] == b.shape[1]:
        got["soft_iou_aligned"] = soft_iou(a, b)
    if "weighted_coverage" in case:
        got["weighted_coverage"] = weighted
    check(case, got, ["masks_a", "masks_b", "object_count"])


@pytest.mark.golden("losses", "boxiou_")
def test_box_iou(case):
    inputs = ["top_left_a", "bottom_right_a", "top_left_b", "bottom_right_b"]
    a_low, a_high, b_low, b_high = (tf.constant(case[name]) for name in inputs)
    check(case, {"box_iou": box_iou((a_low, a_high), (b_low, b_high))}, inputs)


@pytest.mark.golden("losses", "losses_")
def test_losses(case):
    image_size = case["y_gt"].shape[2:]
    truth = truth_of_masks(tf.constant(case["y_gt"]), PADDING)
    fills = filled_boxes(truth.top_left, truth.bottom_right, truth.exists, image_size)
    iou = soft_iou_matrix(tf.constant(case["y_out"]), truth.masks)
    box_iou_matrix = soft_iou_matrix(tf.constant(case["box_mask_out"]), fills)
    match = hungarian_match(iou, truth.exists, first_outputs_only=True)
    box_match = hungarian_match(box_iou_matrix, truth.exists, first_outputs_only=True)
    count = case["s_gt"].sum(-1)
    hard = case["y_out"] > 0.5
    matched = matched_statistics(hard, case["y_gt"], match.numpy())
    hard_iou, _ = iou_and_dice(hard, case["y_gt"])
    weighted_soft, unweighted_soft = coverage(iou.numpy(), case["y_gt"], count)
    weighted_hard, unweighted_hard = coverage(hard_iou, case["y_gt"], count)
    segmentation_loss = matched_iou_loss(iou, match)
    got = {
        "segmentation_loss": segmentation_loss,
        "box_loss": matched_iou_loss(box_iou_matrix, box_match),
        "score_loss": monotonic_score_loss(
            tf.constant(case["scores"]), tf.reduce_sum(match, axis=-1)
        ),
        "box_mask_gt": fills,
        "box_gt_top_left": truth.top_left,
        "box_gt_bottom_right": truth.bottom_right,
        "soft_iou_mean": -segmentation_loss,
        "hard_iou_mean": matched["iou"],
        "dice_hard": matched["dice"],
        "weighted_coverage_soft": weighted_soft,
        "unweighted_coverage_soft": unweighted_soft,
        "weighted_coverage_hard": weighted_hard,
        "unweighted_coverage_hard": unweighted_hard,
        **counts(case["scores"], case["s_gt"]),
    }
    assert_same_match(match, case["match_segmentation"], iou, "match_segmentation")
    assert_same_match(box_match, case["match_box"], box_iou_matrix, "match_box")
    inputs = ["y_gt", "s_gt", "y_out", "box_mask_out", "scores"]
    check(case, got, [*inputs, "match_segmentation", "match_box"])
