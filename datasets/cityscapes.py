"""Cityscapes: street scenes with eight classes of things.

```
DIR/leftImg8bit/{train,val,test}/CITY/CITY_SEQ_FRAME_leftImg8bit.png
DIR/gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_instanceIds.png
DIR/gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_polygons.json
```
DIR may also be a folder inside, the folder that holds `cityscapes`, or the one in which
`leftImg8bit_trainvaltest` and `gtFine_trainvaltest` were unpacked. The polygons are
drawn, by the benchmark's own program, where the instanceIds are missing. The labels of
the test images are kept by the benchmark: those images are unlabelled.
"""

import contextlib
import io
from functools import partial
from pathlib import Path

import numpy as np

from datasets.errors import DataError
from datasets.example import Example
from datasets.images import read_labels
from datasets.pairs import read_pair
from datasets.readable import readable
from datasets.source import Item, Source, file_sizes, visible

__all__ = ["CLASSES", "draw_polygons", "find_cityscapes", "split_instances"]

# Label id of the benchmark: name. Class 1 of the records is the first, and so on.
CLASSES = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
# instanceIds hold label * 1000 + number for an object, the label alone for a region.
PER_LABEL = 1000
SPLITS = ("train", "val", "test")
_IMAGE = "_leftImg8bit.png"
_IDS, _POLYGONS = "_gtFine_instanceIds.png", "_gtFine_polygons.json"
_HELP = (
    "Expected DIR/leftImg8bit/{train,val,test}/CITY/CITY_SEQ_FRAME_leftImg8bit.png and "
    "DIR/gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_instanceIds.png (or "
    "..._gtFine_polygons.json). Both are free for research after registration at "
    "https://www.cityscapes-dataset.com/downloads/ (leftImg8bit_trainvaltest.zip, "
    "gtFine_trainvaltest.zip); unpack them into DIR and give it with --data-dir DIR."
)
_PIP = "pip install cityscapesscripts"


@readable()
def find_cityscapes(data_dir: str | Path | None) -> Source:
    """Find images and labels under a folder.

    Args:
        data_dir: a folder as shown above.

    Returns:
        The source; images are named CITY_SEQ_FRAME. With validation images but no
        training images, the former belong to no split.

    Raises:
        DataError: nothing there, an image of train or val without labels, labels
            without image, or only polygons without the program that draws them.
    """
    if data_dir is None:
        raise DataError("The cityscapes data set needs its raw files. " + _HELP)
    root = Path(data_dir).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. " + _HELP)
    root, images, labels = _base(root)
    found = {split: _names(images / split, _IMAGE) for split in SPLITS}
    if not any(found.values()):
        raise DataError(f"{images} has no image of train, val or test. " + _HELP)
    items, without_images = [], 0
    for split in SPLITS:
        partners = {} if split == "test" else _partners(labels / split)
        if not found[split]:
            without_images += len(partners)
            continue
        _check_partners(split, found[split], partners, labels)
        alone = split == "val" and not found["train"]
        for name, image in found[split].items():
            files = [image, *([partners[name]] if name in partners else [])]
            split_name = "" if alone else split
            items.append(Item(name, split_name, file_sizes(files, root)))
    _check_program(items)
    return Source(
        dataset="cityscapes",
        location=str(root),
        options={},
        items=tuple(items),
        read=partial(_read, root),
        class_names=tuple(CLASSES.values()),
        left_out={"labels of splits without images, left out": without_images},
    )


def split_instances(
    instance_ids: np.ndarray,
) -> tuple[np.ndarray, tuple[int, ...], dict[str, int]]:
    """Divide the benchmark's ids into objects and what is none.

    Args:
        instance_ids: integers [H, W], label * 1000 + number for an object, a label
            alone for everything else.

    Returns:
        The label map, uint16 [H, W], 0 = background and 1..n in the order of the
        ids; the class of each object, 1 = person to 8 = bicycle; and a count of the
        regions that a class's group label covers and of the objects of classes that
        the benchmark does not score (caravan, trailer).
    """
    numbers = {label: i for i, label in enumerate(CLASSES, start=1)}
    ids, inverse = np.unique(instance_ids, return_inverse=True)
    labels = ids // PER_LABEL
    kept = np.isin(labels, list(CLASSES))
    table = np.zeros(ids.shape, np.uint16)
    table[kept] = np.arange(1, kept.sum() + 1)
    notes = {
        "group regions, not objects": int(np.isin(ids, list(CLASSES)).sum()),
        "objects of classes that are not scored": int(((labels > 0) & ~kept).sum()),
    }
    classes = tuple(numbers[int(label)] for label in labels[kept])
    return table[inverse].reshape(instance_ids.shape), classes, notes


def draw_polygons(path: Path) -> np.ndarray:
    """Draw a polygons file as instance ids, by the benchmark's own program.

    Returns:
        int32 [H, W], as in the instanceIds files.

    Raises:
        DataError: the file is damaged or names an unknown label.
    """
    from cityscapesscripts.helpers.annotation import Annotation
    from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    said = io.StringIO()
    try:
        # It prints what is wrong and ends the program.
        with contextlib.redirect_stdout(said):
            annotation = Annotation()
            annotation.fromJsonText(path.read_text(encoding="utf-8"))
            return np.array(createInstanceImage(annotation, "ids"), np.int32)
    except (SystemExit, ValueError, KeyError, TypeError, IndexError) as error:
        reason = said.getvalue().strip().split("\n")[0] or repr(error)
        raise DataError(
            f"{path} cannot be drawn ({reason}). Copy or download it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error


def _base(root):
    """(folder above both, folder of images, folder of labels)."""
    inside, half = ("leftImg8bit", "gtFine"), ""
    for folder in (root, root / "cityscapes", *list(root.parents)[:4]):
        if folder in root.parents and not root.relative_to(folder).parts[0].startswith(
            inside
        ):
            continue
        parts = [_first(folder, name) for name in inside]
        if all(parts):
            return folder, *parts
        if any(parts) and not half:
            half = f"{folder} has no folder {inside[0 if parts[0] is None else 1]}. "
    if half:
        raise DataError(half + _HELP)
    seen = sorted(path.name for path in root.iterdir())[:5]
    raise DataError(
        f"{root} holds no Cityscapes folders (it has: {', '.join(seen) or 'nothing'}). "
        + _HELP
    )


def _first(folder, name):
    for part in (folder / name, folder / f"{name}_trainvaltest" / name):
        if part.is_dir():
            return part
    return None


def _names(folder, suffix):
    """{CITY_SEQ_FRAME: path} of the files in the folders of the cities."""
    paths = visible(folder.glob("*/*" + suffix))
    return {path.name.removesuffix(suffix): path for path in paths}


def _partners(folder):
    return _names(folder, _POLYGONS) | _names(folder, _IDS)


def _check_partners(split, images, labels, folder):
    if split == "test":
        return
    for name, image in images.items():
        if name not in labels:
            count = len(images.keys() - labels.keys())
            raise DataError(
                f"{image} has no labels: expected {name}{_IDS} or {name}{_POLYGONS} in "
                f"{folder / split / image.parent.name} ({count} such images in "
                f"{split}). Unpack gtFine_trainvaltest.zip again, or take the image "
                "away."
            )
    alone = sorted(labels.keys() - images.keys())
    if alone:
        raise DataError(
            f"{labels[alone[0]]} has no image {alone[0]}{_IMAGE} ({len(alone)} such "
            f"files in {split}). Unpack leftImg8bit_trainvaltest.zip again, or take "
            "the labels away."
        )


def _check_program(items):
    drawn = [path for item in items for path, _ in item.files if path.endswith("json")]
    if not drawn:
        return
    try:
        import cityscapesscripts.preparation.json2instanceImg  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{len(drawn)} images have polygons but no {_IDS} (as {drawn[0]}); drawing "
            f"them needs the benchmark's own program ({error}): {_PIP}"
        ) from error


def _read(root, item):
    image, *partner = [root / path for path, _ in item.files]
    if not partner:
        return read_pair(item.name, image, None, read_labels), {}
    draw = draw_polygons if partner[0].suffix == ".json" else read_labels
    pair = read_pair(item.name, image, partner[0], draw)
    labels, classes, notes = split_instances(pair.labels)
    return Example(item.name, pair.image, labels, classes), notes
