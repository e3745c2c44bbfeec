"""Overlays and thumbnails, bounded in size."""

import io

from PIL import Image

from keras_recattend.visualize import height_within, overlay, reduced

__all__ = ["picture_of", "thumbnail_of"]

THUMBNAIL = 160  # pixels, the longest side
MOST_BYTES = 12_000  # of a thumbnail


def picture_of(image, labels, longest):
    """Return the overlay of an image, reduced to `longest` pixels on its longer side.

    Small images are enlarged by a whole factor as `visualize.overlay` does, but not
    beyond `longest` either.

    Args:
        image: uint8 [H, W, 3]. labels: [H, W].
    """
    image, labels = reduced(longest, image, labels)
    return overlay(image, labels, min_height=height_within(longest, image))


def thumbnail_of(picture):
    """Return a JPEG of at most `MOST_BYTES` bytes; fine detail loses quality."""
    image = Image.fromarray(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL), reducing_gap=3.0)
    for quality in (80, 60, 40, 20, 1):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        if data.tell() <= MOST_BYTES:
            break
    return data.getvalue()
