"""Label map metrics: hand-worked cases, plain loops, and the released scorer."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_recattend import metrics

# Two true objects: 4 pixels (id 3) and 2 pixels (id 9), in a map that is not square.
TRUTH = np.array([[3, 3, 0, 0, 9], [3, 3, 0, 0, 9]])
EMPTY = np.zeros_like(TRUTH)


def plain_metrics(truth, prediction):
    """All metrics by double loops over masks, straight from the definitions."""

    def masks(labels):
        return [labels == i for i in sorted(set(labels.ravel().tolist()) - {0})]

    def dice(a, b):
        return 2 * np.sum(a & b) / (np.sum(a) + np.sum(b))

    def iou(a, b):
        return np.sum(a & b) / np.sum(a | b)

    def best(many, others, measure):
        values = []
        for one in many:
            value = 0.0
            for other in others:
                value = max(value, measure(one, other))
            values.append(value)
        return values

    def mean_or(values, empty):
        return sum(values) / len(values) if values else empty

    def alone(many, others):
        return sum(not any(np.any(one & other) for other in others) for one in many)

    true, found = masks(truth), masks(prediction)
    both_empty = float(not true and not found)
    forward = mean_or(best(true, found, dice), both_empty)
    backward = mean_or(best(found, true, dice), both_empty)
    coverage = best(true, found, iou)
    area = sum(np.sum(mask) for mask in true)
    foreground = dice(truth > 0, prediction > 0) if true or found else 1.0
    shared = iou(truth > 0, prediction > 0) if true or found else 1.0
    return {
        "best_dice": forward,
        "symmetric_best_dice": min(forward, backward),
        "foreground_dice": foreground,
        "foreground_iou": shared,
        "difference_in_count": len(found) - len(true),
        "mean_unweighted_coverage": mean_or(coverage, 0.0),
        "mean_weighted_coverage": sum(
            value * np.sum(mask) / area
            for value, mask in zip(coverage, true, strict=True)
        ),
        "false_positives": alone(found, true),
        "false_negatives": alone(true, found),
    }


def all_metrics(truth, prediction):
    names = plain_metrics(EMPTY, EMPTY)
    return {name: getattr(metrics, name)(truth, prediction) for name in names}


def random_labels(rng, shape, most):
    """A few random rectangles with random ids, later ones on top."""
    labels = np.zeros(shape, np.int64)
    for _ in range(rng.integers(0, most + 1)):
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        height, width = rng.integers(1, 9, 2)
        labels[top : top + height, left : left + width] = rng.integers(1, 40)
    return labels


def test_overlap_table_counts_pixels():
    prediction = np.array([[7, 7, 7, 0, 1], [7, 0, 0, 0, 0]])
    table = metrics.overlap_table(TRUTH, prediction)
    np.testing.assert_array_equal(table.truth_ids, [3, 9])
    np.testing.assert_array_equal(table.prediction_ids, [1, 7])
    np.testing.assert_array_equal(table.truth_areas, [4, 2])
    np.testing.assert_array_equal(table.prediction_areas, [1, 4])
    np.testing.assert_array_equal(table.intersection, [[0, 3], [1, 0]])
    np.testing.assert_allclose(table.dice, [[0, 6 / 8], [2 / 3, 0]])
    np.testing.assert_allclose(table.iou, [[0, 3 / 5], [1 / 2, 0]])
    np.testing.assert_array_equal(table.swapped().intersection, [[0, 1], [3, 0]])


def test_overlap_table_without_background_pixels():
    table = metrics.overlap_table([[5, 5], [8, 8]], [[10**12, 1], [1, 1]])
    np.testing.assert_array_equal(table.truth_ids, [5, 8])
    np.testing.assert_array_equal(table.prediction_ids, [1, 10**12])
    np.testing.assert_array_equal(table.intersection, [[1, 1], [2, 0]])


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        pytest.param(
            np.where(TRUTH == 3, 500, np.where(TRUTH == 9, 2, 0)),
            (1, 1, 1, 1, 0, 1, 1, 0, 0),
            id="perfect, other ids",
        ),
        pytest.param(EMPTY, (0, 0, 0, 0, -2, 0, 0, 0, 2), id="empty prediction"),
        pytest.param(
            # Object 3 halved: each half has Dice 4/6 and IoU 1/2 with it.
            np.array([[1, 2, 0, 0, 3], [1, 2, 0, 0, 3]]),
            (5 / 6, (4 / 6 + 4 / 6 + 1) / 3, 1, 1, 1, 3 / 4, 4 / 6, 0, 0),
            id="split in two",
        ),
        pytest.param(
            # One object of 6 pixels: Dice 8/10 with the larger, 4/8 with the smaller.
            (TRUTH > 0).astype(int),
            (0.65, 0.65, 1, 1, -1, (4 / 6 + 2 / 6) / 2, (16 / 6 + 4 / 6) / 6, 0, 0),
            id="merged",
        ),
        pytest.param(
            # Perfect but for two objects on background: free in one direction only.
            np.array([[3, 3, 4, 0, 9], [3, 3, 0, 5, 9]]),
            (1, 1 / 2, 12 / 14, 6 / 8, 2, 1, 1, 2, 0),
            id="surplus",
        ),
        pytest.param(
            np.where(TRUTH == 3, 1, 0),
            (1 / 2, 1 / 2, 8 / 10, 4 / 6, -1, 1 / 2, 4 / 6, 0, 1),
            id="missing",
        ),
    ],
)
def test_hand_worked(prediction, expected):
    names = (
        "best_dice",
        "symmetric_best_dice",
        "foreground_dice",
        "foreground_iou",
        "difference_in_count",
        "mean_unweighted_coverage",
        "mean_weighted_coverage",
        "false_positives",
        "false_negatives",
    )
    result = all_metrics(TRUTH, prediction)
    assert result == pytest.approx(dict(zip(names, expected, strict=True)))


def test_empty_truth():
    result = all_metrics(EMPTY, TRUTH)
    assert result == {
        "best_dice": 0.0,
        "symmetric_best_dice": 0.0,
        "foreground_dice": 0.0,
        "foreground_iou": 0.0,
        "difference_in_count": 2,
        "mean_unweighted_coverage": 0.0,
        "mean_weighted_coverage": 0.0,
        "false_positives": 2,
        "false_negatives": 0,
    }


def test_both_empty():
    assert metrics.best_dice(EMPTY, EMPTY) == 1.0
    assert metrics.symmetric_best_dice(EMPTY, EMPTY) == 1.0
    assert metrics.foreground_dice(EMPTY, EMPTY) == 1.0
    assert metrics.difference_in_count(EMPTY, EMPTY) == 0
    assert metrics.false_positives(EMPTY, EMPTY) == 0
    assert metrics.false_negatives(EMPTY, EMPTY) == 0
    assert metrics.legacy_sbd(EMPTY, EMPTY) == 0.0


def test_best_dice_is_not_one_to_one():
    # Both halves of b take the one object of a; neither direction is a matching.
    a, b = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    assert metrics.best_dice(b, a) == pytest.approx(4 / 6)
    assert metrics.best_dice(a, b) == pytest.approx(4 / 6)


@pytest.mark.parametrize("seed", range(40))
def test_against_plain_loops(seed):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 20)), int(rng.integers(8, 20)))
    truth, prediction = random_labels(rng, shape, 8), random_labels(rng, shape, 8)
    expected = plain_metrics(truth, prediction)
    assert all_metrics(truth, prediction) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_symmetry_relabelling_and_bounds(seed):
    rng = np.random.default_rng(100 + seed)
    a, b = random_labels(rng, (15, 22), 7), random_labels(rng, (15, 22), 7)
    result, swapped = all_metrics(a, b), all_metrics(b, a)
    assert result["symmetric_best_dice"] == swapped["symmetric_best_dice"]
    assert result["foreground_dice"] == swapped["foreground_dice"]
    assert result["difference_in_count"] == -swapped["difference_in_count"]
    assert result["false_positives"] == swapped["false_negatives"]
    assert result["symmetric_best_dice"] <= result["best_dice"] <= 1
    order = rng.permutation(40) + 1
    order[0] += 10**9  # and far apart
    renamed = np.where(b > 0, order[b - 1], 0)
    assert all_metrics(a, renamed) == pytest.approx(result)
    assert all_metrics(a.T, b.T) == pytest.approx(result)
    assert metrics.symmetric_best_dice(a, a) == 1.0


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64, np.float32]
)
def test_dtypes_agree(dtype):
    prediction = np.array([[200, 200, 7, 0, 9], [0, 200, 0, 0, 9]])
    expected = all_metrics(TRUTH, prediction)
    assert all_metrics(TRUTH.astype(dtype), prediction.astype(dtype)) == expected
    assert all_metrics(TRUTH, prediction.astype(dtype)) == expected


def test_bool_is_one_object():
    assert metrics.symmetric_best_dice(TRUTH == 3, TRUTH == 3) == 1.0


def test_inputs_are_not_changed():
    truth, prediction = TRUTH.copy(), (TRUTH * 2).astype(np.uint8)
    truth.setflags(write=False)
    prediction.setflags(write=False)
    all_metrics(truth, prediction)


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        (TRUTH, TRUTH.T, r"one shape, received \(2, 5\) and \(5, 2\)"),
        (TRUTH[None], TRUTH, r"truth must be a 2-D .* shape \(1, 2, 5\)"),
        (TRUTH, np.zeros((2, 5, 3)), r"prediction must be a 2-D"),
        (TRUTH, TRUTH - 1, r"prediction must hold ids from 0 .* received -1"),
        (TRUTH + 0.5, TRUTH, r"truth must hold integer ids, .* float64"),
        (np.full((2, 5), np.nan), TRUTH, r"non-finite"),
        (TRUTH, TRUTH.astype(str), r"prediction must hold integers"),
        (TRUTH, np.full((2, 5), 2**63, np.uint64), r"beyond int64"),
        (np.zeros((0, 5), int), np.zeros((0, 5), int), r"truth has no pixels"),
    ],
)
def test_bad_input(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        metrics.overlap_table(truth, prediction)


def test_legacy_sbd_hand_worked():
    surplus = np.array([[1, 1, 3, 0, 2], [1, 1, 0, 4, 2]])
    assert metrics.legacy_sbd(TRUTH, surplus) == 1.0
    # The same objects in slots 1, 3, 4 and 5: slot 2, one of the first two, is empty.
    gap = np.array([[1, 1, 4, 0, 3], [1, 1, 0, 5, 3]])
    assert metrics.legacy_sbd(TRUTH, gap) == 0.5
    assert metrics.symmetric_best_dice(TRUTH, gap) == 0.5
    assert metrics.legacy_sbd(TRUTH, EMPTY) == 0.0
    assert metrics.legacy_sbd(EMPTY, TRUTH) == 0.0


def test_recall_of_single_objects_hand_worked():
    # Object 3: three of its four pixels in two predictions, the better one's IoU 2/4.
    # Object 9: both pixels, IoU 2/3.
    prediction = np.array([[1, 0, 2, 9, 9], [1, 2, 2, 0, 9]])
    table = metrics.overlap_table(TRUTH, prediction)
    np.testing.assert_allclose(table.pixel_recall, [3 / 4, 1.0])
    np.testing.assert_array_equal(table.object_recall, [False, True])
    found = table.swapped()
    np.testing.assert_allclose(found.pixel_recall, [1.0, 1 / 3, 2 / 3])
    np.testing.assert_array_equal(found.object_recall, [False, False, True])


def test_needs_no_tensorflow():
    # The package's own __init__ may import it; the metrics' modules do not.
    folder = str(Path(metrics.__file__).parents[1])
    program = (
        "import sys, types\n"
        "package = types.ModuleType('keras_recattend')\n"
        f"package.__path__ = [{folder!r}]\n"
        "sys.modules['keras_recattend'] = package\n"
        "import keras_recattend.metrics\n"
        "assert not {'tensorflow', 'keras', 'cv2'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
