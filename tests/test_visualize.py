"""Pictures: sizes, what is drawn where, and that inputs stay as they are."""

import cv2
import numpy as np
import pytest

from keras_recattend import visualize
from keras_recattend.visualize import (
    colour_of,
    comparison,
    overlay,
    reduced,
    sheet,
)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.fixture
def labels():
    labels = np.zeros((60, 90), np.uint16)
    labels[5:25, 5:35] = 4
    labels[5:25, 35:60] = 300
    labels[30:60, 60:90] = 7
    return labels


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max(axis=-1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_overlay_keeps_the_size_and_the_background(image, labels, dtype):
    labels = (labels % 256).astype(dtype)
    picture = overlay(image, labels, numbers=False, min_height=None)
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[labels == 0], image[labels == 0])
    assert (difference(picture, image)[labels > 0] > 0).mean() > 0.9


def test_overlay_enlarges_small_images_by_a_whole_factor(image, labels):
    picture = overlay(image, labels)
    assert picture.shape == (360, 540, 3)
    assert overlay(image, labels, min_height=61).shape == (120, 180, 3)
    assert overlay(image, labels, min_height=60).shape == image.shape


def test_overlay_does_not_change_its_inputs(image, labels):
    image.setflags(write=False)
    labels.setflags(write=False)
    overlay(image, labels, [0.1, 0.2, 0.3], min_height=None)
    comparison(image, labels, labels, min_height=None)
    empty = np.zeros_like(labels)
    picture = overlay(image, empty, min_height=None)
    np.testing.assert_array_equal(picture, image)
    assert not np.shares_memory(picture, image)


def test_overlay_outlines_and_fills(labels):
    grey = np.full((60, 90), 128, np.uint8)
    picture = overlay(grey, labels, numbers=False, min_height=None)
    inner, edge, neighbour = picture[15, 20], picture[5, 20], picture[15, 34]
    assert (inner != 128).any()
    np.testing.assert_array_equal(edge, neighbour)  # both are outline
    assert edge.astype(int).sum() > inner.astype(int).sum()
    # The picture's own edge is no outline: object 7 runs out of it.
    np.testing.assert_array_equal(picture[59, 75], picture[45, 75])


def test_colours_depend_on_the_id_alone(labels):
    grey = np.full((60, 90), 128, np.uint8)
    first = overlay(grey, labels, numbers=False, min_height=None)
    other = np.where(labels == 4, 0, labels)
    second = overlay(grey, other, numbers=False, min_height=None)
    np.testing.assert_array_equal(first[45, 75], second[45, 75])


def test_colours_are_distinct():
    colours = np.array([colour_of(i) for i in range(1, 31)], np.float32) / 255
    lab = cv2.cvtColor(colours[None], cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None, :], axis=-1)
    apart[np.diag_indices(30)] = np.inf
    assert apart.min() > 20  # a difference of 10 is seen at a glance
    assert all(isinstance(value, int) for value in colour_of(10**9))


def test_numbers_are_written_at_the_inner_point(labels):
    grey = np.full((60, 90), 128, np.uint8)
    plain = overlay(grey, labels, numbers=False)
    numbered = overlay(grey, labels)
    changed = difference(plain, numbered) > 0
    for top, left, bottom, right in [
        (5, 5, 25, 35),
        (5, 35, 25, 60),
        (30, 60, 60, 90),
    ]:
        rows, columns = np.nonzero(changed[6 * top : 6 * bottom, 6 * left : 6 * right])
        assert len(rows)
        # Centred on the rectangle to within a few of the enlarged pixels.
        centre = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
        assert centre == pytest.approx((3 * (bottom - top), 3 * (right - left)), abs=6)
    labels_large = np.kron(labels, np.ones((6, 6), labels.dtype))
    assert not changed[labels_large == 0].any()


def test_scores_as_mapping_or_sequence(image, labels):
    by_order = overlay(image, labels, [0.91, 0.72, 0.53])
    by_id = overlay(image, labels, {300: 0.53, 4: 0.91, 7: 0.72})
    np.testing.assert_array_equal(by_order, by_id)
    assert (by_order != overlay(image, labels)).any()
    partly = overlay(image, labels, {7: 0.72})
    assert (partly != by_id).any()
    with pytest.raises(ValueError, match="each of the 3 objects, received 2"):
        overlay(image, labels, [0.5, 0.5])


def test_grey_and_float_images(image, labels):
    grey = image[..., 0]
    expected = overlay(np.stack([grey] * 3, axis=-1), labels)
    np.testing.assert_array_equal(overlay(grey, labels), expected)
    np.testing.assert_array_equal(overlay(grey[..., None], labels), expected)
    as_float = image.astype(np.float32) / 255
    np.testing.assert_array_equal(overlay(as_float, labels), overlay(image, labels))


def test_tiny_objects_and_tiny_pictures():
    labels = np.zeros((9, 12), int)
    labels[0, 0] = 1
    labels[8, 11] = 123456
    image = np.zeros((9, 12, 3), np.uint8)
    assert overlay(image, labels).shape == (324, 432, 3)
    assert overlay(image, labels, min_height=None).shape == (9, 12, 3)
    full = np.ones((9, 12), int)
    assert overlay(image, full, min_height=None).shape == (9, 12, 3)


@pytest.mark.parametrize(
    ("bad_image", "bad_labels", "message"),
    [
        (np.zeros((6, 9, 4), np.uint8), np.zeros((6, 9), int), "alpha"),
        (np.full((6, 9), 2.0), np.zeros((6, 9), int), "float from 0 to 1"),
        (np.zeros((6, 9), np.int32), np.zeros((6, 9), int), "uint8 or float"),
        (np.zeros((6, 9), np.uint8), np.zeros((9, 6), int), "image's size"),
        (np.zeros((6, 9), np.uint8), np.full((6, 9), -1), "ids from 0"),
        (np.zeros((6, 9), np.uint8), np.full((6, 9), 0.5), "integer ids"),
    ],
)
def test_bad_input(bad_image, bad_labels, message):
    with pytest.raises(ValueError, match=message):
        overlay(bad_image, bad_labels)
    with pytest.raises(ValueError, match=message):
        comparison(bad_image, bad_labels, bad_labels)


def test_comparison_has_three_panels_and_a_caption(image, labels):
    row = comparison(image, labels, labels, title="plant001")
    assert row.dtype == np.uint8
    assert row.shape[2] == 3
    assert row.shape[0] > 360
    assert row.shape[1] > 3 * 540
    assert (row[0] == 255).all()
    assert (row != comparison(image, labels, labels)).any()


def test_comparison_of_large_images_is_reduced_and_its_counts_are_not(monkeypatch):
    image = np.full((900, 1200, 3), 128, np.uint8)
    labels = np.zeros((900, 1200), np.int64)
    labels[100:400, 100:400] = 1
    labels[777, 777] = 2**40  # one pixel, which the drawing loses
    captions = []
    draw = visualize._panel

    def panel(picture, title, *rest):
        captions.append((picture.shape, title, rest[0]))
        return draw(picture, title, *rest)

    monkeypatch.setattr(visualize, "_panel", panel)
    comparison(image, labels, labels, longest=440)
    assert [shape for shape, *_ in captions] == 3 * [(330, 440, 3)]
    assert captions[1][1] == "truth 2"
    assert captions[2][1:] == ("found 2", "SBD 100.0")
    smaller = reduced(400, image, labels)
    assert [one.shape[:2] for one in smaller] == 2 * [(300, 400)]
    assert set(np.unique(smaller[1])) <= {0, 1, 2**40}
    assert reduced(1200, image, labels)[1] is labels


@pytest.mark.parametrize(
    ("shape", "longest", "drawn"),
    [
        ((3, 5000), 1000, (1, 1000)),
        ((3, 500), 1000, (6, 1000)),
        ((5000, 3), 1000, (1000, 1)),
        ((60, 90), 1000, (360, 540)),
        ((60, 90), 200, (120, 180)),
        ((60, 90), 89, (59, 89)),
    ],
)
def test_comparison_enlarges_no_further_than_to_the_longest_side(
    monkeypatch, shape, longest, drawn
):
    """A flat picture of 3 x 5000 would become one of 320 x 320,000."""
    sizes = []
    draw = visualize._panel

    def panel(picture, *rest):
        sizes.append(picture.shape)
        return draw(picture, *rest)

    monkeypatch.setattr(visualize, "_panel", panel)
    labels = np.ones(shape, np.uint8)
    comparison(np.zeros((*shape, 3), np.uint8), labels, labels, longest=longest)
    assert sizes == 3 * [(*drawn, 3)]


def test_comparison_gives_matched_objects_the_same_colour(labels):
    grey = np.full((60, 90), 128, np.uint8)
    renamed = np.zeros_like(labels)
    for old, new in [(4, 2), (300, 1), (7, 9)]:
        renamed[labels == old] = new
    # An object of its own, which must not take a colour that is in use.
    renamed[40:55, 5:20] = 4
    row = comparison(grey, labels, renamed, min_height=None)
    colours = {tuple(c) for c in row.reshape(-1, 3) if len(set(c.tolist())) > 1}
    only_truth = comparison(grey, labels, labels, min_height=None)
    known = {tuple(c) for c in only_truth.reshape(-1, 3) if len(set(c.tolist())) > 1}
    fills = {tuple(overlay(grey, labels, numbers=False, min_height=None)[15, 10])}
    assert fills <= known & colours
    assert len(colours - known) >= 2  # fill and outline of the surplus object


def test_comparison_of_tall_and_empty_maps():
    image = np.zeros((400, 60, 3), np.uint8)
    empty = np.zeros((400, 60), np.uint8)
    row = comparison(image, empty, empty, title="a name far longer than its panel")
    assert row.shape[1] > 3 * 60


def test_comparison_without_truth_has_two_panels(image, labels):
    known = comparison(image, labels, labels, title="plant001")
    row = comparison(image, None, labels, title="plant001")
    assert row.shape[0] == known.shape[0]
    assert row.shape[1] == pytest.approx(known.shape[1] * 2 / 3, rel=0.02)
    width = row.shape[1] // 2
    np.testing.assert_array_equal(row[:, :width], known[:, :width])
    # Nothing is said about a score.
    assert (row[:, width:] != known[:, -row.shape[1] + width :]).any()


def test_sheet_stacks_and_writes(tmp_path, image, labels):
    narrow = np.full((20, 30, 3), 7, np.uint8)
    path = tmp_path / "pictures" / "sheet.png"
    picture = sheet([image, narrow], path)
    assert picture.shape == (80, 90, 3)
    np.testing.assert_array_equal(picture[:60], image)
    np.testing.assert_array_equal(picture[60:, :30], narrow)
    assert (picture[60:, 30:] == 255).all()
    read = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read, picture)
    assert [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_sheet_bad_input(tmp_path, image):
    with pytest.raises(ValueError, match="at least one picture"):
        sheet([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="is a PNG"):
        sheet([image], tmp_path / "a.jpg")
