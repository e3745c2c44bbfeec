"""COCO's results file, and the annotations it refers to."""

import json

import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from keras_recattend.errors import UserError
from keras_recattend.metrics.coco import results_of_image
from keras_recattend.submissions.coco import (
    category_ids,
    find_annotations,
    image_id,
    write_results,
)

CATEGORIES = [{"id": 24, "name": "zebra"}, {"id": 18, "name": "dog"}]


def annotations(*ids):
    images = [{"id": i, "height": 6, "width": 9} for i in ids]
    return {"images": images, "annotations": [], "categories": CATEGORIES}


@pytest.fixture
def benchmark(tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "instances_train2017.json").write_text(json.dumps(annotations(1, 2)))
    (folder / "instances_val2017.json").write_text(json.dumps(annotations(3, 4)))
    (folder / "captions_val2017.json").write_text("{}")
    return tmp_path


def test_results_are_read_by_pycocotools(tmp_path, random):
    labels = random.integers(0, 3, (6, 9)).astype(np.uint16)
    results = results_of_image(7, labels, np.float32([0.25, 0.5]), 24)
    write_results(results, tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    assert [sorted(entry) for entry in written] == [
        ["category_id", "image_id", "score", "segmentation"]
    ] * 2
    assert [entry["score"] for entry in written] == [0.25, 0.5]
    truth = COCO()
    truth.dataset = annotations(7)
    truth.createIndex()
    read = truth.loadRes(str(tmp_path / "results.json"))
    for i, entry in enumerate(read.loadAnns(read.getAnnIds(catIds=[24])), start=1):
        mask = run_lengths.decode(entry["segmentation"])
        np.testing.assert_array_equal(mask, labels == i)


def test_no_object_at_all(tmp_path):
    write_results([], tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_image_ids():
    assert image_id("000000000139") == 139
    assert image_id("val2017/000000000139") == 139
    with pytest.raises(UserError, match="'plant003' is no image of COCO"):
        image_id("plant003")


def test_annotations_of_the_images(benchmark):
    assert find_annotations(benchmark, [4])["images"][0]["id"] == 3
    assert find_annotations(benchmark, [1, 2])["images"][0]["id"] == 1
    assert len(find_annotations(benchmark, [])["images"]) == 2
    assert find_annotations(benchmark, [4])["total"] == 2
    with pytest.raises(UserError, match=r"1 images are in none .*_train2017"):
        find_annotations(benchmark, [2, 9])
    with pytest.raises(UserError, match=r"no instances_\*\.json"):
        find_annotations(benchmark / "annotations", [2])


def test_annotations_of_images_in_two_files(benchmark):
    """All images of the records, for instance: numbers stay unique."""
    for split, image in (("train", 2), ("val", 3)):
        file = benchmark / "annotations" / f"instances_{split}2017.json"
        content = json.loads(file.read_text())
        content["annotations"] = [{"id": 1, "image_id": image, "category_id": 18}]
        file.write_text(json.dumps(content))
    both = find_annotations(benchmark, [2, 3])
    assert sorted(image["id"] for image in both["images"]) == [2, 3]
    assert sorted(entry["id"] for entry in both["annotations"]) == [1, 2]
    assert {entry["image_id"] for entry in both["annotations"]} == {2, 3}
    assert both["categories"] == CATEGORIES
    assert both["total"] == 4


def test_an_image_that_is_in_two_files_is_taken_from_one(benchmark):
    """Images of 2017 are in the files of 2014, with the same objects."""
    content = annotations()
    content["images"] = [{"id": 1}, {"id": 2}]
    content["annotations"] = [
        {"id": 7, "image_id": 1, "category_id": 18},
        {"id": 8, "image_id": 2, "category_id": 24},
    ]
    folder = benchmark / "annotations"
    (folder / "instances_val2014.json").write_text(json.dumps(content))
    content["images"] = [{"id": 2}]
    del content["annotations"][0]
    (folder / "instances_val2017.json").write_text(json.dumps(content))
    both = find_annotations(benchmark, [1, 2])
    assert sorted(image["id"] for image in both["images"]) == [1, 2]
    assert sorted(entry["image_id"] for entry in both["annotations"]) == [1, 2]
    assert both["total"] == 2


def test_damaged_annotations(benchmark):
    (benchmark / "annotations" / "instances_val2017.json").write_text('{"images": 1')
    with pytest.raises(UserError, match=r"instances_val2017\.json is not in COCO's"):
        find_annotations(benchmark, [4])


def test_categories_by_name():
    assert category_ids(annotations(), ["dog", "zebra"]) == [18, 24]
    # Records have names in small letters.
    capitals = {"categories": [{"id": 3, "name": "Leaf"}]}
    assert category_ids(capitals, ["leaf"]) == [3]
    with pytest.raises(UserError, match="no category horse; they have dog, zebra"):
        category_ids(annotations(), ["dog", "horse"])
