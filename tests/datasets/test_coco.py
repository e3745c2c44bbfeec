"""A miniature of MS-COCO: polygons by hand, run lengths by pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from datasets.catalog import prepare
from datasets.coco import canonical_category, find_coco
from datasets.coco_masks import mask_of
from datasets.errors import DataError
from datasets.records import examples

SIZE = (12, 16)


def square(y0, x0, y1, x1):
    """The polygon round the pixels y0..y1-1, x0..x1-1."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def pixels(y0, x0, y1, x1):
    mask = np.zeros(SIZE, np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def run_lengths(mask):
    """Column by column, beginning with zeros: by a loop."""
    counts, value = [0], 0
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"size": list(mask.shape), "counts": counts}


class Annotations:
    """Content of an instances file in the making."""

    def __init__(self, *ids):
        self.values = {
            "images": [
                {"id": i, "file_name": f"{i:012d}.png", "height": 12, "width": 16}
                for i in ids
            ],
            "annotations": [],
            "categories": [
                {"id": 1, "name": "person", "supercategory": "person"},
                {"id": 19, "name": "horse", "supercategory": "animal"},
                {"id": 24, "name": "zebra", "supercategory": "animal"},
            ],
        }

    def add(self, image, category, segmentation, iscrowd=0):
        number = len(self.values["annotations"]) + 1
        self.values["annotations"].append(
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "segmentation": segmentation,
                "iscrowd": iscrowd,
            }
        )
        return self.values["annotations"][-1]

    def save(self, root, split="val", year="2017", images=True):
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        path = root / "annotations" / f"instances_{split}{year}.json"
        path.write_text(json.dumps(self.values))
        if images:
            (root / f"{split}{year}").mkdir(exist_ok=True)
            for image in self.values["images"]:
                Image.fromarray(photo(image["id"])).save(
                    root / f"{split}{year}" / image["file_name"]
                )
        return root


def photo(number):
    return np.random.default_rng(number).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def example_of(*segmentations, tmp_path):
    """The label map of one image of zebras, and what was noted."""
    annotations = Annotations(5)
    for segmentation in segmentations:
        annotations.add(5, 24, segmentation)
    source = find_coco(annotations.save(tmp_path / "coco"))
    example, notes = source.read(source.items[0])
    return example.labels, notes


@pytest.fixture
def coco(tmp_path):
    """Image 7: zebra, person, horse; 8: a person; 9: nothing; 10: a crowd of zebras."""
    annotations = Annotations(7, 8, 9, 10)
    annotations.add(7, 24, square(1, 1, 5, 6))
    annotations.add(7, 1, compressed(pixels(6, 2, 9, 4)))
    annotations.add(7, 19, run_lengths(pixels(6, 8, 11, 14)))
    annotations.add(8, 1, square(0, 0, 12, 16))
    annotations.add(10, 24, run_lengths(pixels(0, 0, 6, 6)), iscrowd=1)
    annotations.add(7, 24, run_lengths(pixels(0, 0, 6, 16)), iscrowd=1)
    return annotations.save(tmp_path / "coco")


def test_all_categories(coco, tmp_path):
    manifest = prepare("coco", coco, tmp_path / "r", min_area=1)
    assert manifest.ids == ["000000000007", "000000000008"]
    assert manifest.class_names == ("person", "horse", "zebra")
    first, second = examples(manifest)
    expected = pixels(1, 1, 5, 6) + 2 * pixels(6, 2, 9, 4) + 3 * pixels(6, 8, 11, 14)
    np.testing.assert_array_equal(first.labels, expected)
    assert (first.classes, second.classes) == ((3, 1, 2), (1,))
    np.testing.assert_array_equal(first.image, photo(7))
    # Only val is there: who validates is left to the seeded split.
    assert [image.split for image in manifest.images] == ["", ""]
    assert manifest.summary == {
        "images": 2,
        "objects": 4,
        "images without an object of the categories, left out": 2,
        "crowd regions of images left out": 1,
        "crowd regions, not objects": 1,
    }


@pytest.mark.parametrize(
    ("category", "ids", "classes", "names"),
    [
        ("zebra", [7], [(1,)], ("zebra",)),
        ("Zebra, person", [7, 8], [(2, 1), (1,)], ("person", "zebra")),
        ("horse,all", [7, 8], [(3, 1, 2), (1,)], ("person", "horse", "zebra")),
    ],
)
def test_chosen_categories(coco, tmp_path, category, ids, classes, names):
    manifest = prepare("coco", coco, tmp_path / "r", min_area=1, category=category)
    assert [int(name) for name in manifest.ids] == ids
    assert [e.classes for e in examples(manifest)] == classes
    assert manifest.class_names == names


def test_all_images(coco, tmp_path):
    """Also those without a zebra, of which one has a crowd of them."""
    (coco / "test2017").mkdir()
    tests = [{"id": 3, "file_name": "000000000003.png", "height": 12, "width": 16}]
    Image.fromarray(photo(3)).save(coco / "test2017" / "000000000003.png")
    (coco / "annotations" / "image_info_test-dev2017.json").write_text(
        json.dumps({"images": tests, "categories": [{"id": 24, "name": "zebra"}]})
    )
    # The larger list, of which the server's is a part.
    (coco / "annotations" / "image_info_test2017.json").write_text("not read")
    options = {"min_area": 1, "category": "zebra", "all_images": True}
    manifest = prepare("coco", coco, tmp_path / "r", **options)
    assert [int(name) for name in manifest.ids] == [7, 8, 9, 10, 3]
    assert [i.objects for i in manifest.images] == [1, 0, 0, 0, None]
    assert [i.split for i in manifest.images] == [""] * 4 + ["test"]
    found = list(examples(manifest))
    np.testing.assert_array_equal(found[0].labels, pixels(1, 1, 5, 6))
    assert not found[3].labels.any()
    assert found[4].labels is None
    np.testing.assert_array_equal(found[4].image, photo(3))
    assert manifest.summary["crowd regions, not objects"] == 2
    assert "images without an object of the categories, left out" not in (
        manifest.summary
    )
    # Asked for otherwise, they are other records.
    with pytest.raises(DataError, match="all_images True, not None"):
        prepare("coco", coco, tmp_path / "r", min_area=1, category="zebra")


def test_all_images_without_the_test_images(coco):
    (coco / "annotations" / "image_info_test2017.json").write_text("{}")
    assert find_coco(coco, "zebra", all_images=True).total == 4
    assert find_coco(coco, "zebra").total == 1


def test_a_test_image_that_is_missing(coco):
    (coco / "test2017").mkdir()
    tests = [{"id": 3, "file_name": "3.png", "height": 12, "width": 16}]
    (coco / "annotations" / "image_info_test2017.json").write_text(
        json.dumps({"images": tests, "categories": []})
    )
    with pytest.raises(DataError, match=r"image_info_test2017.*not in .*test2017.*3"):
        find_coco(coco, "zebra", all_images=True)


def test_the_order_of_categories_is_no_other_data_set(coco, tmp_path):
    first = prepare("coco", coco, tmp_path / "r", category="zebra,person")
    assert prepare("coco", coco, tmp_path / "r", category="person, Zebra") == first
    assert prepare("coco", None, tmp_path / "r", category="person,zebra") == first
    with pytest.raises(DataError, match="category person,zebra, not zebra"):
        prepare("coco", None, tmp_path / "r", category="zebra")


def test_unknown_category(coco):
    with pytest.raises(DataError, match=r"no category 'zebar'. Did you mean 'zebra'"):
        find_coco(coco, "person,zebar")
    with pytest.raises(DataError, match="takes a name"):
        canonical_category(" , ")


def test_a_category_without_an_object(tmp_path):
    root = Annotations(1).save(tmp_path / "coco")
    with pytest.raises(DataError, match=r"No image of .* has an object of horse"):
        find_coco(root, "horse")


# -- drawing ---------------------------------------------------------------------------


def test_the_smaller_lies_on_top_whatever_the_order(tmp_path):
    large, small = (2, 2, 10, 12), (4, 4, 6, 6)
    expected = pixels(*large).astype(int)
    expected[4:6, 4:6] = 2
    labels, notes = example_of(square(*large), square(*small), tmp_path=tmp_path / "a")
    np.testing.assert_array_equal(labels, expected)
    assert notes["objects partly under smaller ones"] == 1
    labels, _ = example_of(square(*small), square(*large), tmp_path=tmp_path / "b")
    np.testing.assert_array_equal(labels, np.array([0, 2, 1])[expected])


def test_a_hidden_object_is_dropped_with_its_class(tmp_path):
    annotations = Annotations(5)
    annotations.add(5, 1, square(2, 2, 6, 6))
    annotations.add(5, 24, square(2, 2, 6, 6))
    root = annotations.save(tmp_path / "coco")
    manifest = prepare("coco", root, tmp_path / "r", min_area=1)
    (example,) = examples(manifest)
    # Equal areas: the later annotation is seen.
    np.testing.assert_array_equal(example.labels, pixels(2, 2, 6, 6))
    assert example.classes == (3,)
    assert manifest.summary["objects hidden by smaller ones, dropped"] == 1


def test_an_object_of_several_polygons_is_one(tmp_path):
    two = square(1, 1, 3, 3) + square(8, 8, 10, 12)
    labels, notes = example_of(two, tmp_path=tmp_path)
    np.testing.assert_array_equal(labels, pixels(1, 1, 3, 3) + pixels(8, 8, 10, 12))
    assert notes == {"crowd regions, not objects": 0}


def test_polygons_are_cut_off_at_the_edge(tmp_path):
    labels, notes = example_of(
        square(-4, 10, 3, 40), square(8, -9, 30, 2), tmp_path=tmp_path
    )
    np.testing.assert_array_equal(
        labels, pixels(0, 10, 3, 16) + 2 * pixels(8, 0, 12, 2)
    )
    assert notes["objects clipped at the image's edge"] == 2


@pytest.mark.parametrize(
    ("segmentation", "what"),
    [
        (square(20, 20, 25, 25), "objects outside the image, dropped"),
        (square(4, 4, 4, 9), "objects of 0 area, dropped"),
        ([[3, 3, 8, 8]], "objects of 0 area, dropped"),
        (run_lengths(pixels(0, 0, 0, 0)), "objects of 0 area, dropped"),
        ([], "objects without a segmentation, dropped"),
        (None, "objects without a segmentation, dropped"),
    ],
    ids=["outside", "flat", "two points", "no pixel", "no polygon", "none"],
)
def test_objects_without_a_pixel_are_dropped(tmp_path, segmentation, what):
    labels, notes = example_of(segmentation, square(1, 1, 3, 3), tmp_path=tmp_path)
    np.testing.assert_array_equal(labels, 2 * pixels(1, 1, 3, 3))
    assert notes[what] == 1


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_of_any_mask(tmp_path, seed):
    """Long runs, short ones, and objects that begin at the first pixel."""
    size = (40 + seed, 300)
    mask = np.random.default_rng(seed).random(size) < 0.3
    mask[:, 20 : 20 + 90 * seed] = True
    mask[0, 0] = seed == 1
    for made in (compressed(mask.astype(np.uint8)), run_lengths(mask)):
        found, clipped = mask_of(made, size)
        np.testing.assert_array_equal(found, mask)
        assert not clipped


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4, 5]], "list of numbers"),
        ([[1, 2, 3, 4, "5", 6]], "list of numbers"),
        ([1, 2, 3, 4, 5, 6], "list of numbers"),
        (square(0, 0, 1e9, 1e9), "far outside the image"),
        ({"counts": [3]}, "neither"),
        ("polygon", "neither"),
        ({"counts": [3, 4], "size": [12, 16]}, "cover 7 pixels of 192"),
        ({"counts": [192], "size": [16, 12]}, "made for"),
        ({"counts": "~~~~", "size": [12, 16]}, "the character '~'"),
        ({"counts": "oo", "size": [12, 16]}, "middle of a number"),
        ({"counts": "11", "size": [12, 16]}, "cover 2 pixels"),
        ({"counts": None, "size": [12, 16]}, "lengths or text"),
        ({"counts": [-3, 195], "size": [12, 16]}, "lengths or text"),
    ],
    ids=str,
)
def test_malformed_segmentations(tmp_path, segmentation, message):
    with pytest.raises(
        DataError, match=rf"val2017.json, image 000000000005, annotation 1: .*{message}"
    ):
        example_of(segmentation, tmp_path=tmp_path)


# -- files and ids ---------------------------------------------------------------------


def test_train_and_val(tmp_path):
    for number, split in ((1, "train"), (2, "val")):
        annotations = Annotations(number)
        annotations.add(number, 24, square(1, 1, 3, 3))
        annotations.save(tmp_path, split)
    assert [(i.name[-1], i.split) for i in find_coco(tmp_path).items] == [
        ("1", "train"),
        ("2", "val"),
    ]


def test_annotations_without_their_images_are_left_out(coco, caplog):
    annotations = Annotations(1)
    annotations.add(1, 24, square(1, 1, 3, 3))
    annotations.save(coco, "train", images=False)
    source = find_coco(coco)
    assert [item.name[-1] for item in source.items] == ["7", "8"]
    assert "instances_train2017.json without a folder" in caplog.text


def test_the_latest_year(coco, tmp_path):
    annotations = Annotations(14)
    annotations.add(14, 24, square(1, 1, 3, 3))
    annotations.save(coco, "val", "2014")
    assert find_coco(coco).total == 2
    # Annotations of 2017 come with images of 2014.
    (coco / "val2017").rename(coco / "elsewhere")
    assert [item.name[-2:] for item in find_coco(coco).items] == ["14"]


@pytest.mark.parametrize("level", [".", "..", "annotations", "val2017"])
def test_levels_of_the_folder(coco, level):
    source = find_coco((coco / level).resolve())
    assert (source.total, source.location) == (2, str(coco))


def test_images_in_a_folder_of_their_own(coco):
    (coco / "images").mkdir()
    (coco / "val2017").rename(coco / "images" / "val2017")
    assert find_coco(coco).total == 2
    assert find_coco(coco / "images" / "val2017").total == 2


def test_images_without_annotations_are_counted(coco):
    (coco / "val2017" / "000000000077.png").write_bytes(b"")
    key = "image files without an entry in the annotations, left out"
    assert find_coco(coco).left_out[key] == 1


def test_a_missing_image_is_named(coco):
    (coco / "val2017" / "000000000008.png").unlink()
    with pytest.raises(DataError, match=r"names 1 images \(of 2 .*as 000000000008.png"):
        find_coco(coco)
    # Images that are left out may be missing.
    assert find_coco(coco, "zebra").total == 1


def test_an_image_of_another_size(coco):
    Image.fromarray(photo(8)[:10]).save(coco / "val2017" / "000000000008.png")
    with pytest.raises(DataError, match=r"0008.png has .*\(10, 16\).*says \(12, 16\)"):
        list(find_coco(coco).examples())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v["annotations"][0].update(image_id=70),
            "no entry in images .*: image_id",
        ),
        (
            lambda v: v["annotations"][0].update(category_id=2),
            "no entry in categories .*: category_id 2",
        ),
        (lambda v: v["annotations"][0].pop("id"), "annotations has id = None"),
        (lambda v: v["images"].append(v["images"][0]), "the id 7 twice in images"),
        (lambda v: v["images"][0].update(height="12"), "height = '12'"),
        (lambda v: v.pop("annotations"), "no list 'annotations'"),
        (lambda v: v.update(categories={}), "no list 'categories'"),
    ],
)
def test_ids_that_do_not_match(coco, change, message):
    path = coco / "annotations" / "instances_val2017.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"{path.name}.*{message}"):
        find_coco(coco)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_file(coco, text):
    (coco / "annotations" / "instances_val2017.json").write_text(text)
    with pytest.raises(DataError, match=r"instances_val2017.json (is no JSON|holds a)"):
        find_coco(coco)


def test_nothing_is_printed(coco, capsys):
    find_coco(coco)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("folder", [None, "nowhere", "."])
def test_where_it_is_obtained(tmp_path, folder):
    with pytest.raises(DataError, match=r"instances_train2017.json.*cocodataset.org"):
        find_coco(folder and tmp_path / folder)


def test_no_image_folder(coco):
    (coco / "val2017").rename(coco / "photos")
    with pytest.raises(DataError, match=r"annotations but no images.*cocodataset.org"):
        find_coco(coco)
