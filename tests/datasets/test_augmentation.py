import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from datasets import augmentation as augment
from keras_recattend.config import Augmentation

SIZE = (12, 12)
EVERYTHING = Augmentation(
    flip_vertical=True,
    flip_horizontal=True,
    transpose=True,
    rotation=180,
    scale=(0.8, 1.25),
    aspect=0.08,
    shift=0.06,
    gain=0.2,
    channel_gain=0.06,
    offset=0.06,
    hue=0.1,
    saturation=0.1,
    contrast=0.1,
    brightness=0.1,
)
MEDIAN = tf.constant([10.0, 20.0, 30.0])
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 4, SIZE).astype(np.uint8)


@pytest.fixture
def numbers(monkeypatch):
    """Set what is drawn: names and uniform numbers; 0.5 (= no change) elsewhere."""
    drawn = dict.fromkeys(augment._NUMBERS, 0.5)
    monkeypatch.setattr(
        tf.random,
        "stateless_uniform",
        lambda *_, **__: tf.constant([drawn[name] for name in augment._NUMBERS]),
    )
    return drawn


def change(augmentation, image=IMAGE, labels=LABELS, seed=(0, 0), median=MEDIAN):
    size = image.shape[:2]
    transform = augment.draw(augmentation, tf.constant(seed, tf.int64), size)
    changed = augment.apply(
        augmentation, transform, tf.constant(image), tf.constant(labels), median
    )
    return tuple(value.numpy() for value in changed)


def draw_many(augmentation, count=300):
    """A `Transform` of arrays with `count` draws along the first axis."""
    numbers = tf.data.Dataset.range(count)
    draws = numbers.map(
        lambda i: augment.draw(
            augmentation, tf.stack([tf.constant(7, tf.int64), i]), SIZE
        )
    )
    return next(draws.batch(count).as_numpy_iterator())


def warped_by_loop(image, labels, matrix, outside):
    """The definition: look up every pixel of the result in the source."""
    height, width = labels.shape

    def pixel(y, x):
        inside = 0 <= y < height and 0 <= x < width
        return image[y, x].astype(np.float64) if inside else outside

    new_image = np.zeros(image.shape)
    new_labels = np.zeros_like(labels)
    for i in range(height):
        for j in range(width):
            y, x = matrix @ [i, j, 1]
            y0, x0 = int(np.floor(y)), int(np.floor(x))
            b, a = y - y0, x - x0
            new_image[i, j] = (
                (1 - b) * (1 - a) * pixel(y0, x0)
                + (1 - b) * a * pixel(y0, x0 + 1)
                + b * (1 - a) * pixel(y0 + 1, x0)
                + b * a * pixel(y0 + 1, x0 + 1)
            )
            y, x = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
            if 0 <= y < height and 0 <= x < width:
                new_labels[i, j] = labels[y, x]
    return new_image, new_labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [(12, 12), (9, 14)])
def test_warp_equals_the_loop(seed, shape):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = rng.integers(0, 9, shape).astype(np.uint8)
    geometry = Augmentation(
        flip_vertical=True, rotation=180, scale=(0.6, 1.6), aspect=0.3, shift=0.2
    )
    new_image, new_labels = change(geometry, image, labels, (seed, 5))
    matrix = augment.draw(geometry, tf.constant([seed, 5]), shape).matrix.numpy()
    expected = warped_by_loop(image, labels, matrix.astype(np.float64), MEDIAN.numpy())
    np.testing.assert_allclose(new_image * 255, expected[0], atol=0.02)
    np.testing.assert_array_equal(new_labels, expected[1])


def geometry_by_matrices(uniform, augmentation, shape):
    """Source to result, built forwards: transpose, flip, scale, turn, shift."""

    def signed(name, extent):
        return (2 * uniform[name] - 1) * extent

    def flip(name):
        return -1 if getattr(augmentation, name) and uniform[name] < 0.5 else 1

    low, high = np.log(augmentation.scale)
    size = np.exp(low + uniform["scale"] * (high - low))
    ratio = np.exp(signed("aspect", augmentation.aspect))
    angle = np.deg2rad(signed("rotation", augmentation.rotation))
    forward = np.eye(2)
    if augmentation.transpose and uniform["transpose"] < 0.5:
        forward = np.array([[0, 1], [1, 0]]) @ forward
    forward = np.diag([flip("flip_vertical"), flip("flip_horizontal")]) @ forward
    forward = np.diag([size * np.sqrt(ratio), size / np.sqrt(ratio)]) @ forward
    # Counter-clockwise for the eye, with y downwards.
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    forward = np.array(turn) @ forward
    center = (np.array(shape) - 1) / 2
    shift = [
        signed("shift_y", augmentation.shift),
        signed("shift_x", augmentation.shift),
    ]
    return lambda p: forward @ (p - center) + center + np.array(shift) * shape


@pytest.mark.parametrize("seed", range(5))
def test_matrix_undoes_the_forward_map(numbers, seed):
    values = np.random.default_rng(seed).random(len(numbers)).astype(np.float32)
    numbers.update(zip(augment._NUMBERS, values, strict=True))
    transform = augment.draw(EVERYTHING, tf.constant([0, 0]), SIZE)
    forward = geometry_by_matrices(numbers, EVERYTHING, SIZE)
    for point in ([0, 0], [3, 7], [11, 2]):
        result = forward(np.array(point))
        source = transform.matrix.numpy() @ [*result, 1]
        np.testing.assert_allclose(source, point, atol=1e-4)


def test_quarter_turn_moves_whole_pixels(numbers):
    numbers["rotation"] = 0.75
    image, labels = change(Augmentation(rotation=180))
    np.testing.assert_allclose(image * 255, np.rot90(IMAGE), atol=0.01)
    np.testing.assert_array_equal(labels, np.rot90(LABELS))


@pytest.mark.parametrize("name", ["flip_vertical", "flip_horizontal", "transpose"])
def test_flips_are_exact(numbers, name):
    numbers[name] = 0.1
    expected = {
        "flip_vertical": lambda a: a[::-1],
        "flip_horizontal": lambda a: a[:, ::-1],
        "transpose": lambda a: a.swapaxes(0, 1),
    }[name]
    image, labels = change(Augmentation(**{name: True}))
    np.testing.assert_allclose(image * 255, expected(IMAGE), atol=1e-4)
    np.testing.assert_array_equal(labels, expected(LABELS))
    numbers[name] = 0.9
    np.testing.assert_array_equal(change(Augmentation(**{name: True}))[1], LABELS)


def test_scale_enlarges_objects(numbers):
    numbers["scale"] = 1.0
    labels = np.zeros((40, 40), np.uint8)
    labels[15:25, 15:25] = 1
    image = np.zeros((40, 40, 3), np.uint8)
    both = Augmentation(scale=(0.5, 2.0))
    _, larger = change(both, image, labels)
    assert larger.sum() == 400
    zoom = augment.draw(both, tf.constant([0, 0]), (40, 40)).zoom
    assert zoom.numpy() == pytest.approx(4)
    numbers["scale"] = 0.0
    assert change(both, image, labels)[1].sum() == 25


def test_aspect_makes_taller_and_narrower(numbers):
    numbers["aspect"] = 1.0
    labels = np.zeros((60, 60), np.uint8)
    labels[20:40, 20:40] = 1
    _, changed = change(
        Augmentation(aspect=np.log(4)), np.zeros((60, 60, 3), np.uint8), labels
    )
    rows, columns = np.nonzero(changed)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (40, 10)


def test_shift_is_a_share_of_the_sides(numbers):
    numbers["shift_y"], numbers["shift_x"] = 1.0, 0.0
    image, labels = change(Augmentation(shift=0.25))
    np.testing.assert_array_equal(labels[3:, :-3], LABELS[:-3, 3:])
    assert not labels[:3].any()
    assert not labels[:, -3:].any()
    np.testing.assert_allclose(image[0, 0] * 255, MEDIAN, atol=1e-4)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.999)])
def test_pad_crop_is_zero_padding_and_a_crop(numbers, low, high):
    numbers["shift_y"], numbers["shift_x"] = low, high
    image, labels = change(Augmentation(pad_crop=2))
    padded = np.pad(LABELS, 2)
    # Shifted by -2 and +2: the crop starts at row 4 and column 0 of the padded map.
    np.testing.assert_array_equal(labels, padded[4:16, 0:12])
    padded = np.pad(IMAGE, ((2, 2), (2, 2), (0, 0)))
    np.testing.assert_allclose(image * 255, padded[4:16, 0:12], atol=1e-4)


def test_pad_crop_reaches_every_offset_alike():
    shifts = draw_many(Augmentation(pad_crop=1)).matrix[:, :, 2]
    values, counts = np.unique(shifts, return_counts=True)
    np.testing.assert_array_equal(values, [-1, 0, 1])
    assert counts.min() > 150


def test_colour_is_a_factor_and_an_offset(numbers):
    numbers.update(gain=1.0, red=0.0, green=0.5, blue=1.0, offset=0.0)
    image, labels = change(Augmentation(gain=0.2, channel_gain=0.1, offset=0.05))
    factors = np.array([1.2 * 0.9, 1.2, 1.2 * 1.1])
    expected = np.clip(IMAGE / 255 * factors - 0.05, 0, 1)
    np.testing.assert_allclose(image, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, LABELS)


def test_colour_reaches_the_outside_as_well(numbers):
    numbers.update(shift_y=1.0, gain=1.0)
    image, _ = change(Augmentation(shift=0.25, gain=0.5))
    np.testing.assert_allclose(image[0, 0] * 255, MEDIAN * 1.5, atol=1e-3)


def test_contrast_and_brightness(numbers):
    numbers.update(contrast=1.0, brightness=0.0)
    image, _ = change(Augmentation(contrast=0.1, brightness=0.1))
    values = IMAGE / 255
    mean = values.mean((0, 1))
    expected = np.clip((values - mean) * 1.1 + mean - 0.1, 0, 1)
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_hue_and_saturation(numbers):
    import colorsys

    numbers.update(hue=1.0, saturation=0.0)
    image, _ = change(Augmentation(hue=0.1, saturation=0.2))
    for colour, source in zip(image[0], IMAGE[0] / 255, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*source)
        expected = colorsys.hsv_to_rgb((hue + 0.1) % 1, saturation * 0.8, value)
        np.testing.assert_allclose(colour, expected, atol=1e-4)


def test_nothing_switched_on_changes_nothing():
    image, labels = change(Augmentation())
    np.testing.assert_allclose(image * 255, IMAGE, atol=1e-4)
    np.testing.assert_array_equal(labels, LABELS)


def test_the_seed_decides_everything():
    first, second = change(EVERYTHING, seed=(3, 8)), change(EVERYTHING, seed=(3, 8))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert np.any(change(EVERYTHING, seed=(3, 9))[0] != first[0])
    assert np.any(change(EVERYTHING, seed=(4, 8))[0] != first[0])


def test_one_option_does_not_disturb_the_others():
    alone = Augmentation(rotation=30)
    more = Augmentation(rotation=30, gain=0.2, hue=0.1)
    seed = tf.constant([1, 2])
    np.testing.assert_array_equal(
        augment.draw(alone, seed, SIZE).matrix, augment.draw(more, seed, SIZE).matrix
    )


def test_draws_fill_their_ranges():
    draws = draw_many(Augmentation(rotation=30, scale=(0.5, 2.0)))
    scales = np.sqrt(draws.zoom)
    assert 0.5 <= scales.min() < 0.53
    assert 1.9 < scales.max() <= 2.0
    assert np.median(scales) == pytest.approx(1, abs=0.15)
    degrees = np.rad2deg(np.arctan2(draws.matrix[:, 0, 1], draws.matrix[:, 0, 0]))
    assert -30 <= degrees.min() < -28
    assert 28 < degrees.max() <= 30


def test_images_stay_in_range():
    strong = dataclasses.replace(EVERYTHING, gain=0.9, offset=0.5, brightness=0.9)
    for i in range(10):
        image, _ = change(strong, seed=(0, i))
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.dtype == np.float32


def test_eager_equals_tf_data():
    def one(number):
        transform = augment.draw(EVERYTHING, tf.stack([0, number]), SIZE)
        return augment.apply(
            EVERYTHING, transform, tf.constant(IMAGE), tf.constant(LABELS), MEDIAN
        )

    numbers = tf.data.Dataset.range(6)
    for i, (image, labels) in enumerate(
        numbers.map(lambda number: one(tf.cast(number, tf.int32)))
    ):
        eager = one(tf.constant(i))
        np.testing.assert_allclose(image, eager[0], atol=1e-5)
        np.testing.assert_array_equal(labels, eager[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_labels_keep_their_type(dtype):
    labels = LABELS.astype(dtype) * 60
    changed = change(EVERYTHING, labels=labels)[1]
    assert changed.dtype == dtype
    assert set(np.unique(changed)) <= set(np.unique(labels))


def ordered(labels, least=None, most=5, max_instances=5):
    result, count, old = augment.order_objects(
        tf.constant(labels), least, most, max_instances
    )
    assert result.dtype == old.dtype == tf.int32
    # The old id of each new one, by looking at a pixel of it.
    expected = [labels[result == i][0] for i in range(1, int(count) + 1)]
    assert old.numpy().tolist() == expected + [0] * (max_instances - int(count))
    return result.numpy().tolist(), int(count)


def test_objects_are_numbered_by_area():
    labels = np.array([[0, 2, 2, 5], [4, 4, 4, 4]], np.uint8)
    assert ordered(labels) == ([[0, 2, 2, 3], [1, 1, 1, 1]], 3)


def test_equal_areas_keep_their_order():
    assert ordered(np.array([[5, 3, 1, 0]], np.uint8)) == ([[3, 2, 1, 0]], 3)


def test_the_largest_are_kept():
    labels = np.array([[1, 2, 2, 3, 3, 3]], np.uint8)
    assert ordered(labels, max_instances=2) == ([[0, 2, 2, 1, 1, 1]], 2)


def test_hardly_visible_objects_are_dropped():
    labels = np.array([[1, 2, 2, 3, 3, 3]], np.uint8)
    least = tf.constant([1.0, 2.5, 3.0, 0.0, 0.0])
    assert ordered(labels, least) == ([[2, 0, 0, 1, 1, 1]], 2)


@pytest.mark.parametrize("most", [0, 3])
def test_no_object(most):
    assert ordered(np.zeros((1, 3), np.uint8), most=most) == ([[0, 0, 0]], 0)


def test_many_objects():
    labels = np.repeat(np.arange(1, 301, dtype=np.int32), np.arange(1, 301))[None]
    result, count = ordered(labels, most=300, max_instances=300)
    assert count == 300
    np.testing.assert_array_equal(result, 301 - labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": (1.5, 1.0)}, "low <= high"),
        ({"scale": (0.0, 1.0)}, "low <= high"),
        ({"pad_crop": -1}, "0 or more"),
        ({"paste": -1}, "0 or more"),
        ({"pad_crop": 16, "rotation": 5.0}, "flips and transpose only"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        augment.check(Augmentation(**changes), SIZE)


def test_transpose_needs_squares():
    with pytest.raises(ValueError, match=r"square images, got image_size \(8, 12\)"):
        augment.check(Augmentation(transpose=True), (8, 12))
    augment.check(EVERYTHING, (8, 8))
