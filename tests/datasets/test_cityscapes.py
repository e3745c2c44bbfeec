"""Miniatures in the benchmark's layout, their ids drawn by its own program."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from datasets.catalog import prepare
from datasets.cityscapes import CLASSES, find_cityscapes, split_instances
from datasets.errors import DataError
from datasets.records import examples

SIZE = (20, 32)


def box(label, y0, x0, y1, x1):
    """A rectangle, both ends inclusive, as an object of a polygons file."""
    return {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}


SCENE = [
    box("road", 0, 0, 19, 31),
    box("car", 2, 2, 5, 9),
    box("person", 2, 12, 9, 14),
    box("car", 4, 6, 7, 13),
    box("cargroup", 12, 2, 14, 20),
    box("bicycle", 12, 24, 15, 29),
    box("trailer", 17, 2, 18, 8),
    box("license plate", 3, 3, 3, 4),
    box("out of roi", 19, 0, 19, 31),
]


def drawn():
    """The scene's objects by hand: later ones cover earlier ones."""
    labels = np.zeros(SIZE, int)
    labels[2:6, 2:10] = 2  # car 0
    labels[2:10, 12:15] = 1  # person 0
    labels[4:8, 6:14] = 3  # car 1
    labels[12:16, 24:30] = 4  # bicycle 0
    return labels


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def add(root, split, name, objects, ids=True):
    """Image, polygons and, by the benchmark's program, instanceIds.

    Returns the path of the polygons.
    """
    city = name.split("_")[0]
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    polygons = root / "gtFine" / split / city / f"{name}_gtFine_polygons.json"
    for path in (image, polygons):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(len(name))).save(image)
    about = {"imgHeight": SIZE[0], "imgWidth": SIZE[1], "objects": objects}
    polygons.write_text(json.dumps(about))
    if ids:
        to = polygons.with_name(f"{name}_gtFine_instanceIds.png")
        # json2instanceImg itself saves 32 bits, which Pillow 13 refuses.
        annotation = pytest.importorskip("cityscapesscripts.helpers.annotation")
        program = pytest.importorskip("cityscapesscripts.preparation.json2instanceImg")
        objects = annotation.Annotation()
        objects.fromJsonFile(str(polygons))
        ids = np.array(program.createInstanceImage(objects, "ids"))
        Image.fromarray(ids.astype(np.uint16)).save(to)
    return polygons


@pytest.fixture
def streets(tmp_path):
    root = tmp_path / "cityscapes"
    add(root, "train", "aachen_000000_000019", SCENE)
    add(root, "train", "bochum_000000_000313", [box("road", 0, 0, 19, 31)])
    add(root, "val", "munster_000001_000019", [box("train", 0, 0, 9, 9)])
    # The labels of the test images say nothing.
    add(root, "test", "berlin_000000_000019", [box("out of roi", 0, 0, 19, 31)])
    return root


def test_objects_classes_and_splits(streets, tmp_path):
    manifest = prepare("cityscapes", streets, tmp_path / "r", min_area=1)
    assert manifest.ids == [
        "aachen_000000_000019",
        "bochum_000000_000313",
        "munster_000001_000019",
        "berlin_000000_000019",
    ]
    assert [i.split for i in manifest.images] == ["train", "train", "val", "test"]
    assert [i.objects for i in manifest.images] == [4, 0, 1, None]
    assert manifest.class_names == (
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    )  # fmt: skip
    first, empty, val, test = examples(manifest)
    np.testing.assert_array_equal(first.labels, drawn())
    assert first.classes == (1, 3, 3, 8)
    assert (empty.classes, val.classes, test.labels) == ((), (6,), None)
    np.testing.assert_array_equal(first.image, picture(20))
    assert manifest.summary["group regions, not objects"] == 1
    assert manifest.summary["objects of classes that are not scored"] == 1


def test_small_objects_go_with_their_class(streets, tmp_path):
    # Seen of the person 24 - 8 pixels, of the cars 32 - 8 and 32, of the bicycle 24.
    manifest = prepare("cityscapes", streets, tmp_path / "r", min_area=17)
    first = next(examples(manifest))
    assert first.classes == (3, 3, 8)
    assert [d["area"] for d in manifest.small] == [16]


def test_ids_by_hand():
    ids = np.array([[26_000, 26_001, 26, 33, 24_999, 0, 7, 29_003, 1, 33_000, 25]])
    labels, classes, notes = split_instances(ids)
    assert labels.tolist() == [[2, 3, 0, 0, 1, 0, 0, 0, 0, 4, 0]]
    assert classes == (1, 3, 3, 8)
    assert notes == {
        "group regions, not objects": 3,
        "objects of classes that are not scored": 1,
    }


def test_classes_are_those_that_the_benchmark_scores():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    scored = {x.id: x.name for x in labels if x.hasInstances and not x.ignoreInEval}
    assert scored == CLASSES


def test_polygons_stand_in_for_missing_ids(streets, tmp_path):
    with_ids = next(find_cityscapes(streets).examples())[0]
    next(streets.glob("gtFine/train/aachen/*_instanceIds.png")).unlink()
    drawn_here = next(find_cityscapes(streets).examples())[0]
    np.testing.assert_array_equal(drawn_here.labels, with_ids.labels)
    assert drawn_here.classes == with_ids.classes


def test_polygons_without_the_program_that_draws_them(streets, monkeypatch):
    next(streets.glob("gtFine/train/aachen/*_instanceIds.png")).unlink()
    module = "cityscapesscripts.preparation.json2instanceImg"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r"1 images have .*pip install cityscapes"):
        find_cityscapes(streets)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be drawn"), ('{"imgHeight": 20}', "imgWidth"), (None, "unicorn")],
)
def test_bad_polygons(streets, text, message):
    polygons = add(
        streets,
        "train",
        "zurich_000000_000000",
        [box("unicorn", 0, 0, 3, 3)],
        ids=False,
    )
    if text:
        polygons.write_text(text)
    with pytest.raises(DataError, match=message):
        list(find_cityscapes(streets).examples())


@pytest.mark.parametrize(
    "level", [".", "..", "leftImg8bit", "gtFine", "leftImg8bit/train/aachen"]
)
def test_levels_of_the_folder(streets, level):
    source = find_cityscapes((streets / level).resolve())
    assert (source.total, source.location) == (4, str(streets))


def test_as_the_archives_are_unpacked(streets):
    for name in ("leftImg8bit", "gtFine"):
        (streets / f"{name}_trainvaltest").mkdir()
        (streets / name).rename(streets / f"{name}_trainvaltest" / name)
    assert find_cityscapes(streets).total == 4
    inside = streets / "gtFine_trainvaltest" / "gtFine"
    assert find_cityscapes(inside).total == 4


def test_only_val_belongs_to_no_split(streets):
    (streets / "leftImg8bit" / "train").rename(streets / "elsewhere")
    source = find_cityscapes(streets)
    assert [item.split for item in source.items] == ["", "test"]
    assert source.left_out == {"labels of splits without images, left out": 2}


def remove(pattern):
    def change(root):
        for path in root.glob(pattern):
            path.unlink()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("gtFine/train/bochum/*"), r"bochum_000000_000313_left.* has no labels"),
        (remove("leftImg8bit/val/*/*"), None),
        (remove("leftImg8bit/train/bochum/*"), r"has no image bochum_000000_000313_"),
        (remove("leftImg8bit/*/*/*"), r"no image of train, val or test.*downloads"),
        (lambda r: (r / "gtFine").rename(r / "gt"), r"no folder gtFine"),
        (lambda r: (r / "leftImg8bit").rename(r / "x"), r"no folder leftImg8bit"),
    ],
    ids=["labels", "no val", "image", "images", "gtFine", "leftImg8bit"],
)
def test_what_is_missing_is_named(streets, change, message):
    change(streets)
    if message is None:
        assert find_cityscapes(streets).total == 3
        return
    with pytest.raises(DataError, match=message):
        find_cityscapes(streets)


def test_labels_of_another_size(streets):
    path = next(streets.glob("gtFine/train/aachen/*_instanceIds.png"))
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(path)
    with pytest.raises(DataError, match=r"aachen.*instanceIds.png.*\(20, 30\)"):
        list(find_cityscapes(streets).examples())


@pytest.mark.parametrize("folder", [None, "nowhere", "."])
def test_where_it_is_obtained(tmp_path, folder):
    with pytest.raises(DataError, match=r"leftImg8bit.*gtFine.*cityscapes-dataset.com"):
        find_cityscapes(folder and tmp_path / folder)
