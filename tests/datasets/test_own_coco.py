"""COCO files as annotation tools export them."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.annotated_pictures import PictureFinder
from datasets.catalog import prepare
from datasets.errors import DataError
from datasets.own_coco import find_own_coco, survey_own_coco

# The pixels 2..5, 3..8 (rows, columns).
SQUARE = [3, 2, 9, 2, 9, 6, 3, 6]
MASK = np.zeros((12, 16), bool)
MASK[2:6, 3:9] = True


def export(folder, name="a.png", changes=(), **entry):
    """A picture in `folder`, and a file that annotates it with one square."""
    folder.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (16, 12), (9, 8, 7)).save(folder / "a.png")
    values = {
        "images": [{"id": 1, "file_name": name, "height": 12, "width": 16}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 0, "segmentation": [SQUARE]}
        ],
        "categories": [{"id": 0, "name": "Leaf"}, {"id": 1, "name": "pot"}],
    }
    values["annotations"][0] |= entry
    values |= dict(changes)
    path = folder.parent / "export.json"
    path.write_text(json.dumps(values))
    return path


def one(path, folder):
    ((example, _),) = find_own_coco(None, path, folder).examples()
    return example


def test_records_go_with_images_and_file_that_were_moved_together(tmp_path):
    file = export(tmp_path / "here" / "images")
    options = {"records_dir": tmp_path / "records"}
    first = prepare("coco", annotations=file, images=file.parent / "images", **options)
    moved = (tmp_path / "here").rename(tmp_path / "there")
    options |= {"images": moved / "images"}
    second = prepare("coco", annotations=moved / "export.json", **options)
    assert second.images == first.images
    assert second.source["location"] == str(moved / "images")
    # As many bytes, another category.
    text = (moved / "export.json").read_text()
    (moved / "export.json").write_text(text.replace('"Leaf"', '"Lead"'))
    with pytest.raises(DataError, match=r"1 changed \(.*export\.json\)"):
        prepare("coco", annotations=moved / "export.json", **options)
    # The records alone are enough, by their own name.
    assert prepare("own_coco", records_dir=tmp_path / "records").images == first.images
    with pytest.raises(DataError, match="give --dataset own_coco"):
        prepare("coco", records_dir=tmp_path / "records")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        # Without ids, sizes and crowds; the image's id is text.
        {
            "images": [{"id": "x-1", "file_name": "a.png"}],
            "annotations": [
                {"image_id": "x-1", "category_id": 0, "segmentation": [SQUARE]}
            ],
        },
        # Numbers here, text there; the polygon without a list around it.
        {
            "images": [{"id": 7, "file_name": "a.png", "width": None}],
            "annotations": [
                {
                    "id": "u",
                    "image_id": "7",
                    "category_id": "0",
                    "segmentation": SQUARE,
                    "iscrowd": None,
                }
            ],
        },
    ],
)
def test_what_tools_leave_out(tmp_path, changes):
    folder = tmp_path / "pictures"
    example = one(export(folder, changes=changes), folder)
    np.testing.assert_array_equal(example.labels > 0, MASK)
    assert example.name == "a"
    assert example.classes == (1,)


@pytest.mark.parametrize(
    "name",
    [
        "a.png",
        "images/a.png",
        "..\\pictures\\a.png",
        "/data/upload/3/0f3a9c1b-a.png",
        "/data/local-files/?d=pictures/a.png",
        "http://localhost:8080/images/a.png?token=1",
        "s3://bucket/pictures/a.png",
    ],
)
def test_names_of_pictures(tmp_path, name):
    folder = tmp_path / "pictures"
    assert one(export(folder, name), folder).name == "a"


def test_of_two_pictures_the_longest_path_decides(tmp_path):
    for sub in ("x", "y"):
        (tmp_path / sub).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / sub / "a b.png")
    finder = PictureFinder(tmp_path)
    assert finder.find("http://h/y/a%20b.png") == tmp_path / "y" / "a b.png"
    with pytest.raises(DataError, match="may be"):
        finder.find("z/a b.png")
    with pytest.raises(DataError, match="--images"):
        finder.find("other.png")
    with pytest.raises(DataError, match="--images"):
        finder.find("")


def test_nothing_outside_the_folder_is_read(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    (tmp_path / "in").mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        with pytest.raises(DataError, match="is not in"):
            PictureFinder(tmp_path / "in").find(name)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"image_id": 5}, "image_id 5"),
        ({"category_id": 9}, "category_id 9"),
        ({"iscrowd": 1}, "iscrowd = 1"),
    ],
)
def test_annotations_that_do_not_fit(tmp_path, entry, words):
    folder = tmp_path / "pictures"
    with pytest.raises(DataError, match=words):
        find_own_coco(None, export(folder, **entry), folder)


def test_painted_objects_of_cvat_are_no_crowds(tmp_path):
    """Datumaro stores painted ones as run lengths with iscrowd = 1, drawn ones not."""
    folder = tmp_path / "pictures"
    path = export(folder)
    values = json.loads(path.read_text())
    # Column by column: the first 2 columns of rows 8 to 11, then the rest.
    painted = {"counts": [8, 4, 8, 4, 168], "size": [12, 16]}
    values["annotations"].append(
        values["annotations"][0] | {"id": 2, "iscrowd": 1, "segmentation": painted}
    )
    path.write_text(json.dumps(values))
    ((example, _),) = find_own_coco(None, path, folder).examples()
    assert example.labels.max() == 1

    values["licenses"] = [{"name": "", "id": 0, "url": ""}]
    path.write_text(json.dumps(values))
    source = find_own_coco(None, path, folder)
    assert not source.left_out
    ((example, _),) = source.examples()
    expected = MASK.astype(int)
    expected[8:12, :2] = 2
    np.testing.assert_array_equal(example.labels, expected)


def test_a_missing_picture_is_a_problem_among_others(tmp_path):
    folder = tmp_path / "pictures"
    survey = survey_own_coco(None, export(folder, "b.png"), folder)
    assert len(survey.problems) == 1
    assert "'b.png' is not in" in survey.problems[0]


def test_size_that_differs(tmp_path):
    folder = tmp_path / "pictures"
    image = {"id": 1, "file_name": "a.png", "height": 16, "width": 12}
    with pytest.raises(DataError, match="resized or turned"):
        one(export(folder, changes={"images": [image]}), folder)


def test_as_the_data_set_coco(tmp_path, monkeypatch):
    """Records of the chosen category; made again only if the file has changed."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    export(folder)
    options = {"images": "pictures", "category": "leaf", "min_area": 1}
    manifest = prepare("coco", annotations="export.json", **options)
    assert manifest.dataset == "own_coco"
    assert manifest.class_names == ("leaf",)
    assert manifest.max_objects == 1
    again = prepare("coco", annotations=str(tmp_path / "export.json"), **options)
    assert again == manifest
    with pytest.raises(DataError, match="'plant'"):
        prepare("coco", annotations="export.json", category="plant")
    text = (tmp_path / "export.json").read_text()
    (tmp_path / "export.json").write_text(text + " ")
    with pytest.raises(DataError, match="raw files differ"):
        prepare("coco", annotations="export.json", **options)


def test_no_coco(tmp_path):
    path = tmp_path / "a.json"
    for text, words in (("[]", "'images'"), ("{", "no JSON"), ("{}", "'images'")):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            find_own_coco(tmp_path, path)
    with pytest.raises(DataError, match="--annotations"):
        find_own_coco(tmp_path)
