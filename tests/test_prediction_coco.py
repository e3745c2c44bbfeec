"""COCO json, read back by pycocotools."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask
from pycocotools.coco import COCO
from stub_predictor import Stub, found

from keras_recattend import coco_export
from keras_recattend.errors import UserError
from keras_recattend.predict_files import predict_files
from keras_recattend.prediction_folder import PredictionFolder

# An L, a ring, a line, a dot, and an object in two parts.
LABELS = np.zeros((14, 20), np.uint16)
LABELS[1:6, 1:3] = LABELS[4:6, 1:7] = 1
LABELS[1:6, 10:15] = 2
LABELS[3, 12] = 0
LABELS[8, 2:9] = 3
LABELS[10, 15] = 4
LABELS[12:, 0:3] = LABELS[12:, 5:8] = 5
SCORES = [0.9, 0.8, 0.7, 0.6, 0.5]


class Fixed(Stub):
    def __call__(self, images):
        return [found(LABELS, SCORES) for _ in images]


@pytest.fixture
def export(tmp_path):
    """Function that predicts two pictures and returns the json."""

    def run(again=False):
        files = [tmp_path / "a.png", tmp_path / "b.png"]
        for file in files:
            if not again:
                Image.new("RGB", (20, 14)).save(file)
        folder = PredictionFolder(tmp_path / "out")
        folder.prepare({}, files)
        predict_files(Fixed(), folder, files, coco=tmp_path / "x" / "coco.json")
        return json.loads((tmp_path / "x" / "coco.json").read_bytes())

    return run


def assert_rest(data, tmp_path):
    assert data["categories"] == [{"id": 1, "name": "object"}]
    assert [(i["id"], i["height"], i["width"]) for i in data["images"]] == [
        (1, 14, 20),
        (2, 14, 20),
    ]
    assert data["images"][0]["file_name"] == str(tmp_path / "a.png")
    assert [a["id"] for a in data["annotations"]] == list(range(1, 11))
    assert [a["image_id"] for a in data["annotations"]] == [1] * 5 + [2] * 5
    assert [a["area"] for a in data["annotations"][:5]] == [18, 24, 7, 1, 12]
    assert [a["bbox"] for a in data["annotations"][:5]] == [
        [1, 1, 6, 5],
        [10, 1, 5, 5],
        [2, 8, 7, 1],
        [15, 10, 1, 1],
        [0, 12, 8, 2],
    ]
    scores = [a["score"] for a in data["annotations"][:5]]
    assert scores == pytest.approx(SCORES)


def test_run_lengths_round_trip(export, tmp_path):
    data = export()
    assert_rest(data, tmp_path)
    read = COCO(tmp_path / "x" / "coco.json")
    for i, annotation in enumerate(read.loadAnns(read.getAnnIds([2]))):
        np.testing.assert_array_equal(read.annToMask(annotation), i + 1 == LABELS)
        box = mask.toBbox(read.annToRLE(annotation))
        np.testing.assert_array_equal(box, annotation["bbox"])


def test_a_corrected_label_map_goes_in_corrected(export, tmp_path):
    export()
    corrected = np.zeros((14, 20), np.uint8)
    corrected[2:4, 5:9] = 3
    Image.fromarray(corrected).save(tmp_path / "out" / "labels" / "b.png")
    data = export(again=True)
    (annotation,) = (a for a in data["annotations"] if a["image_id"] == 2)
    assert annotation["bbox"] == [5, 2, 4, 2]
    assert annotation["area"] == 8
    assert "score" not in annotation


def test_a_palette_that_an_editor_saved_is_read_as_indices(export, tmp_path):
    export()
    corrected = Image.fromarray(LABELS.astype(np.uint8))
    corrected.putpalette([v for k in range(256) for v in (k, 255 - k, k * 7 % 256)])
    corrected.save(tmp_path / "out" / "labels" / "b.png")
    data = export(again=True)
    assert [a["area"] for a in data["annotations"][5:]] == [18, 24, 7, 1, 12]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image.new("RGB", (20, 14)), r"b\.png is no index image"),
        (Image.new("L", (5, 6)), r"b\.png has 5 x 6 pixels, its picture 20 x 14"),
    ],
)
def test_a_label_map_that_is_none_any_more(export, tmp_path, image, words):
    export()
    image.save(tmp_path / "out" / "labels" / "b.png")
    with pytest.raises(UserError, match=words):
        export(again=True)


def test_a_label_map_that_is_not_there(export, tmp_path):
    """Moved away, say, and another call does not name its picture."""
    export()
    (tmp_path / "out" / "labels" / "b.png").unlink()
    folder = PredictionFolder(tmp_path / "out")
    records = list(folder.records().values())
    with pytest.raises(UserError, match=r"b\.png does not exist.*records/b\.json"):
        coco_export.write_coco(folder, records, tmp_path / "x" / "coco.json")


def test_only_our_own_file_is_replaced(export, tmp_path):
    coco_export.check_free(tmp_path / "new.json")
    export()
    coco_export.check_free(tmp_path / "x" / "coco.json")
    (tmp_path / "theirs.json").write_text('{"info": {"description": "mine"}}')
    with pytest.raises(UserError, match="another file"):
        coco_export.check_free(tmp_path / "theirs.json")
    with pytest.raises(UserError, match="is a folder"):
        coco_export.check_free(tmp_path)
