"""Predicted objects as COCO json."""

import json
import os

from keras_recattend.corrections import current_labels
from keras_recattend.errors import UserError
from keras_recattend.prediction_folder import writing_to
from keras_recattend.regions import regions_of
from keras_recattend.run_lengths import encoded_object
from keras_recattend.whole_files import write_atomically

__all__ = ["check_free", "write_coco"]

DESCRIPTION = "Predicted by keras_recattend"
# The first bytes of a file of ours, which may be replaced.
START = json.dumps({"info": {"description": DESCRIPTION}}).encode()[:-2]


def check_free(path):
    """Raise UserError where the path holds something else than an earlier export."""
    with writing_to(path):
        if path.is_dir():
            raise UserError(f"--coco {path} is a folder; name a file.")
        if not path.exists():
            return
        with open(path, "rb") as file:
            ours = file.read(len(START)) == START
    if not ours:
        raise UserError(
            f"{path} exists and predict.py did not write it. Name another file with "
            "--coco."
        )


def write_coco(folder, records, path):
    """Write all objects of the records as COCO json; one category, `object`.

    Masks are run lengths (RLE). Label maps are taken as they are now: a corrected one
    goes in corrected, without scores.

    Args:
        folder: a `PredictionFolder`. records: of its pictures.
        path: the file.

    Raises:
        UserError: a label map cannot be read.
    """
    images, annotations = [], []
    for image_id, record in enumerate(records, start=1):
        images.append(
            {
                "id": image_id,
                # Everywhere, as the benchmark's are.
                "file_name": record.file.replace(os.sep, "/"),
                "height": record.height,
                "width": record.width,
            }
        )
        labels = current_labels(folder, record)
        regions = regions_of(labels) if folder.was_corrected(record) else record.regions
        for region in regions:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": region.area,
                    # Edges of pixels, not centres, are COCO's coordinates.
                    "bbox": [
                        region.left,
                        region.top,
                        region.right - region.left + 1,
                        region.bottom - region.top + 1,
                    ],
                    "segmentation": encoded_object(
                        labels, region.id, slice(region.left, region.right + 1)
                    ),
                    **({} if region.score is None else {"score": region.score}),
                }
            )
    data = {
        "info": {"description": DESCRIPTION},
        "images": images,
        "categories": [{"id": 1, "name": "object"}],
        "annotations": annotations,
    }
    write_atomically(path, json.dumps(data).encode())
