"""Label maps and overlays as the bytes of files, bounded in size."""

import io

import cv2
import numpy as np
from PIL import Image

from keras_recattend.visualize import height_within, overlay, reduced

__all__ = ["encoded_png", "picture_of", "png_of_labels", "thumbnail_of"]

THUMBNAIL = 160  # pixels, the longest side
MOST_BYTES = 12_000  # of a thumbnail


def png_of_labels(labels):
    """Return an index PNG: grey, 8 bits up to 255 objects, else 16."""
    values = np.asarray(labels, np.uint8 if labels.max() < 256 else np.uint16)
    done, data = cv2.imencode(".png", values)
    if not done:
        raise OSError("A label map could not be encoded as PNG.")
    return data.tobytes()


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


def encoded_png(picture):
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError("An overlay could not be encoded as PNG.")
    return data.tobytes()
