"""How far Cityscapes' objects are, for the precisions within 50 and 100 metres.

The benchmark's evaluator reads each object's median distance, and the share of its
pixels whose distance is known, from a file that is not published. They are computed
here from the benchmark's disparity images and camera files:

```
DIR/disparity/SPLIT/CITY/CITY_SEQ_FRAME_disparity.png    16 bits, 256 * disparity + 1
DIR/camera/SPLIT/CITY/CITY_SEQ_FRAME_camera.json         baseline and focal length
```
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from keras_recattend.errors import UserError

__all__ = ["distances", "find_distances"]

_DISPARITY, _CAMERA = "_disparity.png", "_camera.json"


def distances(
    instance_ids: np.ndarray, disparity: np.ndarray, camera: Mapping
) -> dict[int, tuple[float, float]]:
    """Return (median distance in metres, share of pixels with one) of every id.

    Args:
        instance_ids: `[H, W]` the benchmark's ids.
        disparity: `[H, W]` of its disparity image: 0 = not known, else
            256 * disparity in pixels + 1.
        camera: content of its camera file.
    """
    scale = camera["extrinsic"]["baseline"] * camera["intrinsic"]["fx"]
    known = disparity > 0
    pixels = (disparity.astype(np.float64) - 1.0) / 256.0
    with np.errstate(divide="ignore"):
        depth = scale / pixels
    result = {}
    for i in np.unique(instance_ids):
        mask = instance_ids == i
        values = depth[mask & known]
        median = float(np.median(values)) if values.size else -1.0
        result[int(i)] = (median, float(values.size / mask.sum()))
    return result


def find_distances(
    folder: str | os.PathLike, truth: Mapping[str, Path], names: Iterable[str]
) -> dict[str, dict[int, tuple[float, float]]] | None:
    """Compute the distances of all objects of some images.

    Args:
        folder: the benchmark's, with `disparity/` and `camera/`.
        truth: {name: `_gtFine_instanceIds.png`}.
        names: of the images.

    Returns:
        {name: see `distances`}; None where an image lacks one of the files.

    Raises:
        UserError: a damaged file.
    """
    names = list(names)
    disparity = _files(folder, "disparity", _DISPARITY)
    camera = _files(folder, "camera", _CAMERA)
    if not all(
        name in disparity and name in camera and truth[name].suffix == ".png"
        for name in names
    ):
        return None
    return {
        name: _of_files(truth[name], disparity[name], camera[name]) for name in names
    }


def _files(folder, kind, suffix):
    paths = Path(folder).glob(f"{kind}*/**/*{suffix}")
    return {path.name.removesuffix(suffix): path for path in paths}


def _of_files(truth, disparity, camera):
    try:
        return distances(_png(truth), _png(disparity), json.loads(camera.read_bytes()))
    except Exception as error:
        # Decoders of damaged files raise nearly every kind of exception.
        raise UserError(
            f"The distances in {disparity} or {camera} cannot be read ({error!r}). "
            "Unpack disparity_trainvaltest.zip and camera_trainvaltest.zip again."
        ) from error


def _png(path):
    # No other kind is tried: some of Pillow's readers start other programs (EPS).
    with Image.open(path, formats=["PNG"]) as file:
        return np.array(file)
