"""Label maps that somebody corrected: counted and drawn as they are, never written."""

import dataclasses
import logging

from keras_recattend.image_files import ImageError, read_image
from keras_recattend.label_files import read_labels
from keras_recattend.regions import regions_of

__all__ = ["corrected", "current_labels", "redraw"]

_LOG = logging.getLogger(__name__)


def current_labels(folder, record):
    """Return the label map of a picture as it is now, integers [H, W].

    Args:
        folder: a `PredictionFolder`. record: of the picture.

    Raises:
        ImageError: it is missing, no label map, or of another size than the picture.
    """
    path = folder.current_labels(record.name)
    if not path.exists():
        raise ImageError(
            f"{path} does not exist. Give {record.file}, too, to predict it again, or "
            f"delete records/{record.name}.json to be rid of it."
        )
    labels = read_labels(path)
    if labels.shape != (record.height, record.width):
        raise ImageError(
            f"{path} has {labels.shape[1]} x {labels.shape[0]} pixels, its picture "
            f"{record.width} x {record.height}. Save it at that size, or delete it and "
            "run again."
        )
    return labels


def corrected(folder, record):
    """Return the `Record` with the objects of the label map as it is now, unscored.

    Raises:
        ImageError: as for `current_labels`.
    """
    regions = regions_of(current_labels(folder, record))
    return dataclasses.replace(record, regions=regions)


def redraw(folder, longest):
    """Draw the overlays anew whose label maps were changed since, or that are missing.

    Those of pictures that are gone or were changed stay as they are, and so do those
    whose label maps cannot be read.

    Args:
        folder: a `PredictionFolder` after `prepare`.
        longest: side of an overlay in pixels; larger pictures are reduced.

    Raises:
        OutputError: the file system refuses.
    """
    number = 0
    for record in folder.records().values():
        digest = folder.labels_digest(record.name)
        is_drawn = digest == (record.drawn or record.labels_sha256)
        whole = is_drawn and folder.overlay_file(record.name).is_file()
        if digest is None or whole or not folder.has_picture(record):
            continue
        try:
            labels = current_labels(folder, record)
            image = read_image(record.source)
        except ImageError:
            continue  # tables and COCO json tell of it
        folder.redraw(record, image, labels, longest, digest)
        number += 1
    if number:
        _LOG.info("%d overlays were drawn anew.", number)
