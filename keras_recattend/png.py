"""Arrays as the bytes of PNG files, without loss."""

import cv2
import numpy as np

__all__ = ["encoded_png", "png_of_labels"]


def encoded_png(values: np.ndarray, compression: int | None = None) -> bytes:
    """Return the bytes of a PNG.

    Args:
        values: uint8 [H, W, 3] RGB, or uint8 or uint16 [H, W].
        compression: 0 (quick) to 9 (small); None = OpenCV's own choice.

    Raises:
        ValueError: an array of another kind.
    """
    if values.ndim == 3:
        values = values[..., ::-1]  # OpenCV has blue first
    options = [] if compression is None else [cv2.IMWRITE_PNG_COMPRESSION, compression]
    try:
        done, data = cv2.imencode(".png", np.ascontiguousarray(values), options)
    except cv2.error:
        done = False
    if not done:
        kind = f"{values.dtype} {list(values.shape)}"
        raise ValueError(f"An array of {kind} cannot be encoded as PNG.")
    return data.tobytes()


def png_of_labels(labels: np.ndarray, compression: int | None = None) -> bytes:
    """Return a label map as a grey PNG: 8 bits up to id 255, else 16.

    Args:
        labels: integers [H, W] from 0 to 65535. compression: as of `encoded_png`.
    """
    narrow = labels.max(initial=0) < 256
    return encoded_png(labels.astype(np.uint8 if narrow else np.uint16), compression)
