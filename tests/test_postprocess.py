"""Patches and masks to label maps, against loops over pixels."""

import cv2
import numpy as np
import pytest

from keras_recattend.postprocess import (
    Found,
    Window,
    label_map_of_masks,
    label_map_of_patches,
    upsampled,
    within_foreground,
)


def boxes_of(*boxes):
    return np.array(boxes, np.float32)


def ones(count, size=(8, 8)):
    return np.ones((count, *size), np.float32)


# -- patches -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "box",
    [
        (10.0, 5.0, 30.0, 19.0),
        (9.5, 4.5, 30.5, 19.5),  # pixel 10 reaches from 9.5 to 10.5
        (10.3, 5.7, 29.6, 18.2),
        (-7.0, -3.2, 8.4, 12.0),  # partly outside
        (35.2, 50.0, 55.0, 75.0),
        (-20.0, -20.0, 90.0, 90.0),  # all of the image
    ],
)
def test_a_patch_of_ones_covers_the_pixels_inside_its_box(box):
    found = label_map_of_patches(ones(1), boxes_of(box), [0.9], (40, 60))
    assert found.labels.dtype == np.uint16
    for y in range(40):
        for x in range(60):
            inside = box[0] <= y <= box[2] and box[1] <= x <= box[3]
            assert found.labels[y, x] == inside, (y, x)


@pytest.mark.parametrize(
    "box", [(-30.0, 5.0, -10.0, 20.0), (50.0, 5.0, 70.0, 20.0), (5.2, 5.2, 5.8, 5.8)]
)
def test_a_box_that_holds_no_pixel_is_no_object(box):
    found = label_map_of_patches(ones(1), boxes_of(box), [0.9], (40, 60))
    assert found.count == 0
    assert not found.labels.any()
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize("length", [8, 9, 32])
def test_a_cell_lands_where_it_was_cut(length):
    """One bright cell's centre of mass lies at the cell's place in the box."""
    box = np.array([10.0, 20.0, 90.0, 60.0])
    for row, column in ((2, 3), (length - 2, 1), (length // 2, length // 2)):
        patch = np.zeros((1, length, length), np.float32)
        patch[0, row - 1 : row + 2, column - 1 : column + 2] = 1.0
        found = label_map_of_patches(patch, boxes_of(box), [1.0], (100, 80))
        rows, columns = np.nonzero(found.labels)
        spacing = (box[2:] - box[:2]) / length
        expected = box[:2] + spacing * (np.array([row, column]) + 0.5)
        np.testing.assert_allclose(rows.mean(), expected[0], atol=0.3 * spacing[0])
        np.testing.assert_allclose(columns.mean(), expected[1], atol=0.3 * spacing[1])


def disc(size, center, radius):
    """Which pixels have their centre in an ellipse, in any pixel unit."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    distance = ((rows - center[0]) / radius[0]) ** 2
    return distance + ((columns - center[1]) / radius[1]) ** 2 <= 1


def cut(mask, box, length):
    """The mask's mean in every cell of a patch of the box, by fine sampling."""
    patch = np.zeros((length, length), np.float32)
    spacing = (box[2:] - box[:2]) / length
    steps = (np.arange(16) + 0.5) / 16
    for i in range(length):
        for j in range(length):
            ys = box[0] + spacing[0] * (i + steps)
            xs = box[1] + spacing[1] * (j + steps)
            ys = np.clip(np.rint(ys), 0, mask.shape[0] - 1).astype(int)
            xs = np.clip(np.rint(xs), 0, mask.shape[1] - 1).astype(int)
            patch[i, j] = mask[np.ix_(ys, xs)].mean()
    return patch


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("factor", [(2, 2), (3, 2)], ids=["square", "not square"])
def test_input_and_original_are_aligned(factor):
    """A shape cut at the input's resolution returns to its place in the original."""
    factor = np.array(factor)
    size = np.array([64, 64])
    original = size * factor
    center, radius = original * (0.43, 0.55), original * (0.22, 0.17)
    truth = disc(original, center, radius)
    # Pixel a of the input covers a * factor to (a + 1) * factor - 1 of the original.
    blocks = truth.reshape(size[0], factor[0], size[1], factor[1])
    coarse = blocks.mean(axis=(1, 3))
    middle, reach = (center + 0.5) / factor - 0.5, 1.3 * radius / factor
    box = np.concatenate([middle - reach, middle + reach])
    patch = cut(coarse, box, 48)
    window = Window.whole(tuple(original), tuple(size))
    found = label_map_of_patches(
        patch[np.newaxis], window.to_image(boxes_of(box)), [1.0], tuple(original)
    )
    assert iou(found.labels > 0, truth) > 0.97
    rows, columns = np.nonzero(found.labels)
    np.testing.assert_allclose(rows.mean(), center[0], atol=0.2)
    np.testing.assert_allclose(columns.mean(), center[1], atol=0.2)


def test_each_pixel_goes_to_the_surest_object():
    patches = np.stack([np.full((8, 8), 0.6), np.full((8, 8), 0.9)]).astype(np.float32)
    boxes = boxes_of((0, 0, 20, 20), (10, 10, 30, 30))
    found = label_map_of_patches(patches, boxes, [0.9, 0.8], (40, 40))
    for y in range(40):
        for x in range(40):
            expected = 2 if min(y, x) >= 10 and max(y, x) <= 30 else 0
            if expected == 0 and max(y, x) <= 20:
                expected = 1
            assert found.labels[y, x] == expected


def test_threshold():
    boxes = boxes_of((5, 5, 15, 15))
    patches = 0.4 * ones(1)
    assert label_map_of_patches(patches, boxes, [1.0], (20, 20)).count == 0
    assert label_map_of_patches(patches, boxes, [1.0], (20, 20), 0.3).count == 1


def test_steps_without_a_score_are_not_used():
    boxes = boxes_of((2, 2, 8, 8), (12, 2, 18, 8), (2, 12, 8, 18))
    found = label_map_of_patches(ones(3), boxes, [0.8, 0.0, 0.6], (20, 20))
    assert found.count == 2
    np.testing.assert_allclose(found.scores, [0.8, 0.6])
    np.testing.assert_array_equal(found.boxes, [[2, 2, 8, 8], [2, 12, 8, 18]])
    assert found.labels[15, 5] == 0


def test_small_objects_are_dropped():
    boxes = boxes_of((0, 0, 9, 9), (12, 12, 14, 15))  # 100 and 12 pixels
    for least, count in ((12, 2), (13, 1), (101, 0)):
        found = label_map_of_patches(
            ones(2), boxes, [1.0, 1.0], (20, 20), min_area=least
        )
        assert found.count == count
        assert found.labels.max() == count


def test_duplicates_are_dropped():
    """The second of two equal objects keeps nothing, or too little of itself."""
    patches = np.stack([0.9 * ones(1)[0], 0.8 * ones(1)[0], 0.8 * ones(1)[0]])
    boxes = boxes_of((5, 5, 24, 24), (5, 5, 24, 24), (9, 5, 28, 24))
    found = label_map_of_patches(patches, boxes, [0.9, 0.9, 0.9], (40, 40))
    assert found.count == 1
    np.testing.assert_array_equal(np.unique(found.labels), [0, 1])
    kept = label_map_of_patches(patches, boxes, [0.9] * 3, (40, 40), least_kept=0.0)
    # The third keeps its 4 columns beyond the first; the second keeps nothing.
    assert np.bincount(kept.labels.ravel())[1:].tolist() == [400, 80]
    # Half of itself is enough.
    boxes[2] = (15, 5, 34, 24)
    assert label_map_of_patches(patches, boxes, [0.9] * 3, (40, 40)).count == 2


def test_nothing_found():
    found = label_map_of_patches(ones(2), np.zeros((2, 4)), [0.0, 0.0], (20, 30))
    assert found.labels.shape == (20, 30)
    assert found.count == 0


# -- masks -------------------------------------------------------------------------


def test_masks_against_a_loop():
    """At their own size: score times mask, one label a pixel, the greatest wins."""
    rng = np.random.default_rng(0)
    masks = rng.uniform(0, 1, (4, 20, 30)).astype(np.float32)
    scores = np.array([0.9, 0.0, 0.7, 1.0], np.float32)
    found = label_map_of_masks(masks, scores, (20, 30), 0.3)
    raw = np.zeros((20, 30), int)
    for y in range(20):
        for x in range(30):
            values = [s * m[y, x] for s, m in zip(scores, masks, strict=True)]
            if max(values) > 0.3:
                raw[y, x] = int(np.argmax(values)) + 1
    expected, number, kept = np.zeros((20, 30), int), 0, []
    for t in range(4):
        own = (scores[t] * masks[t] > 0.3).sum()
        area = (raw == t + 1).sum()
        if scores[t] > 0 and area >= max(1, 0.3 * own):
            number += 1
            expected[raw == t + 1] = number
            kept.append(scores[t])
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_array_equal(found.scores, np.float32(kept))


@pytest.mark.parametrize("shape", [(128, 128), (96, 160)])
def test_masks_are_scaled_to_the_image(shape):
    size = shape[0] // 2, shape[1] // 4
    truth = disc(shape, np.array(shape) * (0.4, 0.55), np.array(shape) * (0.2, 0.3))
    mask = truth.reshape(size[0], 2, size[1], 4).mean(axis=(1, 3), dtype=np.float32)
    found = label_map_of_masks(mask[np.newaxis], [1.0], shape, 0.5)
    assert found.labels.shape == shape
    assert iou(found.labels > 0, truth) > 0.97


def test_bilateral_filter_is_the_authors():
    rng = np.random.default_rng(1)
    mask = rng.uniform(0.2, 0.8, (1, 24, 24)).astype(np.float32)
    found = label_map_of_masks(mask, [1.0], (24, 24), 0.5, bilateral=True)
    smooth = cv2.bilateralFilter(mask[0], d=5, sigmaColor=10, sigmaSpace=10)
    np.testing.assert_array_equal(found.labels > 0, smooth > 0.5)


def test_a_low_score_hides_a_mask():
    masks = np.ones((1, 10, 10), np.float32)
    assert label_map_of_masks(masks, [0.25], (10, 10), 0.3).count == 0
    assert label_map_of_masks(masks, [0.35], (10, 10), 0.3).count == 1
    assert label_map_of_masks(masks, [0.25], (10, 10), 0.3, weighted=False).count == 1


def test_small_objects_of_masks_are_dropped():
    masks = np.zeros((2, 20, 20), np.float32)
    masks[0, :10, :10] = 1.0
    masks[1, 12:15, 12:16] = 1.0
    for least, areas in ((12, [100, 12]), (13, [100]), (101, [])):
        found = label_map_of_masks(masks, [0.9, 0.9], (20, 20), 0.5, min_area=least)
        assert np.bincount(found.labels.ravel())[1:].tolist() == areas


def test_objects_found_twice_may_stay():
    """The second of two nearly equal masks keeps one pixel of its hundred."""
    masks = np.zeros((2, 20, 20), np.float32)
    masks[0, :10, :10] = 0.9
    masks[1, :10, :10] = 0.8
    masks[0, 9, 9] = 0.0
    options = {"scores": [1.0, 1.0], "shape": (20, 20), "threshold": 0.5}
    assert label_map_of_masks(masks, **options).count == 1
    found = label_map_of_masks(masks, **options, least_kept=0.0)
    assert np.bincount(found.labels.ravel())[1:].tolist() == [99, 1]


# -- scaling -----------------------------------------------------------------------


def test_upsampling_by_hand():
    """Twice the width: pixel centres at -1/4, 1/4, 3/4, 5/4 of the coarse ones."""
    large = upsampled(np.array([[0.0, 1.0], [0.0, 1.0]]), (2, 4))
    np.testing.assert_allclose(large, [[0.0, 0.25, 0.75, 1.0]] * 2, atol=1e-6)
    assert large.dtype == np.float32


def bilateral_loop(mask, reach=2, sigma_value=10.0, sigma_place=10.0):
    """The bilateral filter of diameter 5 from its definition, over a disc."""
    padded = np.pad(mask.astype(np.float64), reach, mode="reflect")
    result = np.zeros(mask.shape)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            total = weight = 0.0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    if dy * dy + dx * dx > reach * reach:
                        continue
                    value = padded[y + reach + dy, x + reach + dx]
                    w = np.exp(-((value - mask[y, x]) ** 2) / (2 * sigma_value**2))
                    w *= np.exp(-(dy * dy + dx * dx) / (2 * sigma_place**2))
                    total, weight = total + w * value, weight + w
            result[y, x] = total / weight
    return result


def test_smoothing_against_a_loop(random):
    mask = random.uniform(0, 1, (9, 11)).astype(np.float32)
    smooth = upsampled(mask, mask.shape, bilateral=True)
    np.testing.assert_allclose(smooth, bilateral_loop(mask), atol=1e-4)
    np.testing.assert_array_equal(upsampled(mask, mask.shape), mask)


# -- windows -----------------------------------------------------------------------


def test_window_of_the_whole_image_by_hand():
    window = Window.whole((100, 300, 3), (50, 100))
    # Input pixel 0 covers original pixels 0 and 1: its centre is at 0.5, and along x
    # pixels 0, 1 and 2: its centre is at 1.
    points = window.to_image(boxes_of((0.0, 0.0, 49.0, 99.0)))
    np.testing.assert_allclose(points, [[0.5, 1.0, 98.5, 298.0]])
    # The input's outer edges are the original's.
    edges = window.to_image(boxes_of((-0.5, -0.5, 49.5, 99.5)))
    np.testing.assert_allclose(edges, [[-0.5, -0.5, 99.5, 299.5]])


def test_window_of_a_crop_by_hand():
    window = Window(20.0, 40.0, 25.0, 50.0, (50, 50))
    edges = window.to_image(boxes_of((-0.5, -0.5, 49.5, 49.5), (9.5, 19.5, 9.5, 19.5)))
    np.testing.assert_allclose(
        edges, [[19.5, 39.5, 44.5, 89.5], [24.5, 59.5, 24.5, 59.5]]
    )


def test_window_of_the_same_size_changes_nothing():
    box = boxes_of((1.25, 2.5, 30.0, 17.0))
    window = Window.whole((64, 48), (64, 48))
    np.testing.assert_allclose(window.to_image(box), box)


# -- the foreground ------------------------------------------------------------------


def found_with(foreground):
    """Two objects of 3 x 4 pixels, side by side, and a foreground."""
    labels = np.zeros((6, 10), np.uint16)
    labels[1:4, 1:5], labels[1:4, 5:9] = 1, 2
    boxes = boxes_of((1, 1, 3, 4), (1, 5, 3, 8))
    return Found(labels, np.array([0.9, 0.8], np.float32), boxes, foreground)


def test_objects_keep_the_pixels_of_the_foreground():
    foreground = np.zeros((6, 10), np.float32)
    foreground[2, 3:8] = 0.4
    found = within_foreground(found_with(foreground), 0.3)
    expected = np.zeros((6, 10), int)
    expected[2, 3:5], expected[2, 5:8] = 1, 2
    np.testing.assert_array_equal(found.labels, expected)
    np.testing.assert_array_equal(found.boxes, [[2, 3, 2, 4], [2, 5, 2, 7]])
    assert found.foreground is foreground
    assert within_foreground(found_with(foreground), 0.4).count == 0


def test_an_object_outside_the_foreground_is_gone():
    foreground = np.zeros((6, 10), np.float32)
    foreground[:, 5:] = 1.0
    foreground[1, 1] = 1.0
    whole = within_foreground(found_with(foreground), 0.5)
    np.testing.assert_allclose(whole.scores, [0.9, 0.8])
    left = within_foreground(found_with(foreground), 0.5, min_area=2)
    assert left.count == 1
    np.testing.assert_allclose(left.scores, [0.8])
    assert set(np.unique(left.labels)) == {0, 1}
    assert (left.labels[1:4, 5:9] == 1).all()


@pytest.mark.parametrize(("dilation", "reach"), [(0, 0), (3, 1), (5, 2)])
def test_the_foreground_grows_by_a_square(dilation, reach):
    foreground = np.zeros((6, 10), np.float32)
    foreground[2, 3] = 1.0
    found = within_foreground(found_with(foreground), 0.5, dilation)
    for y, x in np.ndindex(6, 10):
        near = max(abs(y - 2), abs(x - 3)) <= reach
        kept = found_with(foreground).labels[y, x] > 0 and near
        assert (found.labels[y, x] > 0) == kept


def test_objects_know_their_steps_through_every_loss():
    """Step 1 finds nothing, step 2's object is outside the foreground."""
    shape = (12, 30)
    masks = np.zeros((5, *shape), np.float32)
    for step, left in ((0, 1), (2, 11), (4, 21)):
        masks[step, 2:10, left : left + 6] = 1.0
    found = label_map_of_masks(masks, [0.9, 0.8, 0.8, 0.0, 0.7], shape, 0.5)
    np.testing.assert_array_equal(found.steps, [0, 2, 4])
    foreground = np.ones(shape, np.float32)
    foreground[:, 10:20] = 0.0
    left = within_foreground(found._replace(foreground=foreground), 0.5)
    np.testing.assert_array_equal(left.steps, [0, 4])
    assert left.labels[5, 23] == 2
