"""A Cityscapes of three tiny streets; the benchmark's own program draws its labels."""

import json

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from PIL import Image

SIZE = (200, 400)
BUSY, QUIET, EMPTY = NAMES = (
    "aachen_000000_000019",
    "aachen_000001_000019",
    "bochum_000000_000019",
)
# Label: corners (y0, x0, y1, x1), both inclusive, as the program fills polygons.
OBJECTS = {
    BUSY: [
        ("road", (0, 0, 199, 399)),
        ("car", (10, 10, 59, 79)),
        ("car", (100, 20, 149, 89)),
        ("person", (20, 200, 79, 229)),
        ("cargroup", (150, 200, 189, 379)),
        ("out of roi", (0, 340, 99, 399)),
    ],
    QUIET: [
        ("building", (0, 0, 99, 399)),
        ("bus", (50, 100, 149, 249)),
        ("bicycle", (150, 20, 189, 59)),
    ],
    EMPTY: [("road", (0, 0, 199, 399)), ("sky", (0, 0, 50, 399))],
}


def make(root, split="val"):
    """Write gtFine of the three streets; return {name: instanceIds file}."""
    files = {}
    for name, objects in OBJECTS.items():
        folder = root / "gtFine" / split / name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        polygons = folder / f"{name}_gtFine_polygons.json"
        files[name] = folder / f"{name}_gtFine_instanceIds.png"
        polygons.write_text(json.dumps(polygons_of(objects)))
        annotation = Annotation()
        annotation.fromJsonFile(str(polygons))
        # Its own 32 bits are more than Pillow writes to a PNG.
        ids = np.uint16(createInstanceImage(annotation, "ids"))
        Image.fromarray(ids).save(files[name])
    return files


def polygons_of(objects):
    entries = [
        {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
        for label, (y0, x0, y1, x1) in objects
    ]
    return {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": entries}


def boxes(*corners):
    """A label map with filled boxes, corners as above, ids in their order."""
    labels = np.zeros(SIZE, np.uint16)
    for i, (y0, x0, y1, x1) in enumerate(corners, start=1):
        labels[y0 : y1 + 1, x0 : x1 + 1] = i
    return labels


def objects_of(name, *labels):
    """Corners of the objects with these labels."""
    return [corners for label, corners in OBJECTS[name] if label in labels]


def add_distances(root, disparities, split="val"):
    """Write disparity images and cameras; {name: {corners: stored value}}."""
    for name in NAMES:
        values = np.zeros(SIZE, np.uint16)
        for (y0, x0, y1, x1), value in disparities.get(name, {}).items():
            values[y0 : y1 + 1, x0 : x1 + 1] = value
        for kind in ("disparity", "camera"):
            folder = root / kind / split / name.split("_")[0]
            folder.mkdir(parents=True, exist_ok=True)
            if kind == "disparity":
                Image.fromarray(values).save(folder / f"{name}_disparity.png")
            else:
                camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000.0}}
                (folder / f"{name}_camera.json").write_text(json.dumps(camera))
