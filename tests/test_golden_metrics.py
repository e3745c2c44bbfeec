"""The authors' scorer, and the challenge's own definition (metrics.npz)."""

import numpy as np
import pytest
from golden_weights import assert_close

from keras_recattend.metrics import overlap_table
from keras_recattend.postprocess import label_map_of_masks, upsampled


def labels_of(masks):
    """Label maps [B, H, W] of binary masks [B, T, H, W]: id = slot, from 1."""
    ids = np.arange(1, masks.shape[1] + 1)[:, np.newaxis, np.newaxis]
    return (masks.astype(int) * ids).max(axis=1)


@pytest.mark.golden("metrics", having="label_gt")
def test_metrics(case):
    np.testing.assert_array_equal(labels_of(case["masks_gt"]), case["label_gt"])
    np.testing.assert_array_equal(labels_of(case["masks_pred"]), case["label_pred"])
    pairs = zip(case["label_gt"], case["label_pred"], strict=True)
    tables = [overlap_table(truth, found) for truth, found in pairs]
    swapped = [table.swapped() for table in tables]
    np.testing.assert_array_equal([t.true_count for t in tables], case["s_gt"].sum(-1))
    # The authors give two empty foregrounds 0, we give 1.
    exists = np.array([t.true_count + t.predicted_count > 0 for t in tables])
    difference = np.array([table.difference_in_count() for table in tables])
    got = {
        "sbd": [table.legacy_sbd() for table in tables],
        "weighted_coverage": [t.mean_weighted_coverage() for t in tables],
        "unweighted_coverage": [t.mean_unweighted_coverage() for t in tables],
        "foreground_dice": exists * [table.foreground_dice() for table in tables],
        "foreground_iou": exists * [table.foreground_iou() for table in tables],
        "false_positives": [table.false_positives() for table in tables],
        "false_negatives": [table.false_negatives() for table in tables],
        "count_accuracy": difference == 0,
        "count_squared_error": difference**2,
        "count_difference": difference,
        "count_difference_abs": np.abs(difference),
        "object_precision_list": np.concatenate([t.object_recall for t in swapped]),
        "object_recall_list": np.concatenate([t.object_recall for t in tables]),
        "pixel_precision_list": np.concatenate([t.pixel_recall for t in swapped]),
        "pixel_recall_list": np.concatenate([t.pixel_recall for t in tables]),
        "official_sbd": [table.symmetric_best_dice() for table in tables],
        "official_best_dice_gt_to_pred": [table.best_dice() for table in tables],
        "official_best_dice_pred_to_gt": [table.best_dice() for table in swapped],
        "official_count_difference": difference,
        "official_count_difference_abs": np.abs(difference),
    }
    for name, value in got.items():
        assert_close(value, case[name], name)
    inputs = {"masks_gt", "masks_pred", "label_gt", "label_pred", "s_gt"}
    assert set(case) == set(got) | inputs


@pytest.mark.golden("metrics", having="soft_masks")
def test_postprocess(case):
    soft, scores = case["soft_masks"], case["scores"]
    threshold = float(case["threshold"])
    weighted = soft * scores[..., np.newaxis, np.newaxis]
    assert_close(weighted, case["weighted_masks"], "weighted_masks")
    np.testing.assert_array_equal(scores > 0.5, case["hard_scores"])
    # Objects found twice are left in, as there: nothing but the rule of a pixel.
    for masks, score, binary in zip(soft, scores, case["binary_masks"], strict=True):
        found = label_map_of_masks(
            masks, score, masks.shape[1:], threshold, least_kept=0.0
        )
        kept = binary.any(axis=(1, 2))
        np.testing.assert_array_equal(found.labels, labels_of(binary[kept][None])[0])
        np.testing.assert_array_equal(found.scores, score[kept])
    large = [name for name in case if name.startswith("upsampled_first_image")]
    assert large
    for name in large:
        shape = case[name].shape[-2:]
        got = [upsampled(mask, shape, bilateral=True) for mask in weighted[0]]
        assert_close(got, case[name], name)
