"""PNGs, read by another library than the one that wrote them."""

import io

import numpy as np
import pytest
from PIL import Image

from keras_recattend.png import encoded_png, png_of_labels

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (5, 7, 3)).astype(np.uint8)
DEEP = RANDOM.integers(0, 65_536, (5, 7)).astype(np.uint16)


def read(data):
    with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
        return np.array(file)


@pytest.mark.parametrize("compression", [None, 0, 9])
@pytest.mark.parametrize(
    "values",
    [COLOURS, COLOURS[..., 0], DEEP, COLOURS[::-1, ::2]],
    ids=["rgb", "grey", "deep", "part"],
)
def test_what_is_written_is_read(values, compression):
    np.testing.assert_array_equal(read(encoded_png(values, compression)), values)


def test_compression():
    flat = np.zeros((99, 99), np.uint8)
    assert len(encoded_png(flat, 9)) < len(encoded_png(flat, 0))


@pytest.mark.parametrize(("most", "mode"), [(0, "L"), (255, "L"), (256, "I;16")])
def test_labels_take_the_bits_that_they_need(most, mode):
    labels = np.array([[0, 1], [most, 3]], np.int64)
    data = png_of_labels(labels)
    with Image.open(io.BytesIO(data)) as file:
        assert file.mode == mode
    np.testing.assert_array_equal(read(data), labels)


@pytest.mark.parametrize("shape", [(2, 3, 2), (0, 4)])
def test_what_is_no_picture(shape):
    with pytest.raises(ValueError, match="cannot be encoded as PNG"):
        encoded_png(np.zeros(shape, np.uint8))
