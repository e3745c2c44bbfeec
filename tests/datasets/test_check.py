"""`python -m datasets.check` as a user calls it."""

import json
import logging
import sys

import numpy as np
import pytest
from PIL import Image
from test_folder import add
from tiny_plants import blocks, picture

from datasets import check
from datasets.description import histogram
from keras_recattend.command_line import run_command

# Objects of 64, 80 and 96 pixels on 40 x 32.
LABELS = blocks().repeat(2, 0).repeat(2, 1)


@pytest.fixture
def call(tmp_path, monkeypatch, caplog):
    """The command in this process: (exit status, what it told)."""
    monkeypatch.chdir(tmp_path)

    def function(*arguments):
        caplog.clear()
        monkeypatch.setattr(sys, "argv", ["check", *map(str, arguments)])
        with caplog.at_level(logging.INFO):
            try:
                run_command(check.main)
            except SystemExit as end:
                return end.code, caplog.text
        return 0, caplog.text

    return function


def own(folder, count=3):
    for i in range(count):
        image = Image.fromarray(picture(LABELS, i))
        labels = np.where(i + 1 >= LABELS, LABELS, 0)
        add(folder, f"im{i}.png", labels=labels, image=image)
    return folder


def problems(text):
    return [line for line in text.splitlines() if "problem: " in line]


def test_good_data(tmp_path, call):
    status, text = call(own(tmp_path / "own"), "--out", tmp_path / "sheet")
    assert status == 0
    assert "3 images of 40 x 32" in text
    assert "objects an image: 1 to 3, median 2, 6 in all" in text
    assert "64 to 96 pixels" in text
    assert "enough for all" in text
    assert "No problems." in text
    sheet = np.asarray(Image.open(tmp_path / "sheet" / "overlays.png"))
    # Three rows of an image beside the same with coloured objects.
    assert sheet.ndim == 3
    assert sheet.shape[0] > 3 * 40
    assert not (tmp_path / "records").exists()


def test_each_problem_is_told_and_none_stops_it(tmp_path, call):
    folder = own(tmp_path / "own", 4)
    (folder / "images" / "im0.png").write_bytes(b"")
    add(folder, "colour.png", labels=picture(LABELS), image=Image.new("RGB", (32, 40)))
    add(folder, "alone.png", label=None)
    add(
        folder,
        "dot.png",
        labels=np.ones((1, 1), np.uint8),
        image=Image.new("L", (1, 1)),
    )
    stray = LABELS.copy()
    stray[-2:, -2:] = 9
    add(folder, "stray.png", labels=stray, image=Image.new("RGB", (32, 40), "red"))
    add(folder, "same.png", labels=LABELS, image=Image.fromarray(picture(LABELS, 1)))
    status, text = call(folder)
    told = problems(text)
    assert status == 1
    for words in (
        ["im0.png", "0 bytes"],
        ["colour.png", "no index image"],
        ["alone.png", "no label map"],
        ["dot has 1 x 1 pixels"],
        ["dot has 1 objects under 25 pixels"],
        ["stray has 1 objects under 25 pixels", "9 (4 pixels)"],
        ["im1, same are the same image"],
    ):
        assert sum(all(w in line for w in words) for line in told) == 1, words
    assert len(told) == 7
    assert "7 problems." in text


def test_small_objects_are_told_and_not_counted(tmp_path, call):
    """They do not train: neither number nor size of an image's objects is theirs."""
    folder = own(tmp_path / "own")
    stray = LABELS.copy()
    stray[-2:, -2:] = 9
    add(folder, "stray.png", labels=stray, image=Image.new("RGB", (32, 40), "red"))
    _, text = call(folder)
    assert "stray has 1 objects under 25 pixels" in text
    assert "objects an image: 1 to 3, median 2.5, 9 in all" in text
    assert "64 to 96 pixels" in text


def test_objects_in_pieces_are_no_problem(tmp_path, call):
    folder = own(tmp_path / "own")
    labels = np.zeros((40, 32), np.uint8)
    labels[:8, :8] = labels[20:28, :8] = 1
    # Touching at a corner is touching.
    labels[:8, 16:24] = labels[8:16, 24:] = 2
    image = Image.new("RGB", (32, 40), "blue")
    add(folder, "pieces.png", labels=labels, image=image)
    status, text = call(folder)
    assert status == 0
    assert "objects in several unconnected pieces: 1" in text


def test_equal_images_in_two_splits(tmp_path, call):
    for split in ("train", "val"):
        own(tmp_path / split, 2)
    status, text = call(tmp_path)
    assert status == 1
    assert "train/train_im0, val/val_im0 are the same image" in text
    assert "Splits: 2 train, 2 val." in text


def test_equal_images_of_one_split_stay_together(tmp_path, call):
    own(tmp_path / "train", 2)
    for name in ("x.png", "y.png"):
        image = Image.new("RGB", (32, 40), "green")
        add(tmp_path / "train", name, labels=LABELS, image=image)
    add(
        tmp_path / "val",
        "v.png",
        labels=LABELS,
        image=Image.new("RGB", (32, 40), "red"),
    )
    assert call(tmp_path)[0] == 0


def test_equal_images_in_training_images_that_will_be_divided(tmp_path, call):
    own(tmp_path / "train", 2)
    for name in ("x.png", "y.png"):
        image = Image.new("RGB", (32, 40), "green")
        add(tmp_path / "train", name, labels=LABELS, image=image)
    status, text = call(tmp_path)
    assert status == 1
    assert "train/x, train/y are the same image" in text


def test_more_objects_than_the_preset_finds(tmp_path, call):
    folder = own(tmp_path / "own")
    # 25 objects of 8 x 8.
    labels = np.arange(1, 26, dtype=np.uint8).reshape(5, 5).repeat(8, 0).repeat(8, 1)
    add(folder, "full.png", labels=labels, image=Image.new("RGB", (40, 40)))
    status, text = call(folder)
    assert status == 0
    assert "40 x 32 to 40 x 40" in text
    # train.py makes room for own data's.
    assert "up to 25 objects: enough for all" in text


def test_how_large_the_network_sees_the_objects(tmp_path, call):
    """`leaves` sees 224 x 224: of 40 x 32 pixels each is 39.2 there."""
    _, text = call(own(tmp_path / "own"))
    # Each image's smallest object has 64 pixels.
    assert "an image's smallest object has 2509 pixels or more" in text
    assert "most are missed" not in text
    labels = np.zeros((900, 900), np.uint8)
    labels[:10, :10] = 1
    for i in range(5):
        image = Image.new("RGB", (900, 900), (i, 0, 0))
        add(tmp_path / "wide", f"{i}.png", labels=labels, image=image)
    _, text = call(tmp_path / "wide")
    assert "has 6 pixels or more, in half of the images 6 or more" in text
    assert "a larger --image-size" in text


def test_coco_and_labelme(tmp_path, call):
    images, annotations = [], []
    square = [4, 4, 20, 4, 20, 20, 4, 20]
    for i in range(2):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(tmp_path / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png"})
        annotations.append({"image_id": i, "category_id": 0, "segmentation": [square]})
        points = np.reshape(square, (4, 2)).tolist()
        shapes = [{"label": "leaf", "points": points}]
        (tmp_path / f"{i}.json").write_text(json.dumps({"shapes": shapes}))
    assert call(tmp_path)[0] == 0
    outside = [60, 4, 80, 4, 80, 20]
    annotations.append({"image_id": 1, "category_id": 0, "segmentation": [outside]})
    annotations.append({"image_id": 0, "category_id": 0, "segmentation": []})
    file = tmp_path / "sub" / "coco.json"
    file.parent.mkdir()
    file.write_text(
        json.dumps(
            {
                "images": images,
                "annotations": annotations,
                "categories": [{"id": 0, "name": "leaf"}],
            }
        )
    )
    status, text = call("--annotations", file, "--images", tmp_path)
    assert status == 1
    assert len(problems(text)) == 2
    assert "objects without a segmentation" in problems(text)[0]
    assert "objects outside the image" in problems(text)[1]
    assert "2 in all" in text


def test_wrong_use(tmp_path, call, capfd):
    folder = own(tmp_path / "own")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "overlays.png").write_text("mine")
    for arguments, words in (
        ([], "give DIR"),
        ([tmp_path / "no"], "no folder"),
        ([tmp_path / "empty"], "it has: nothing"),
        ([folder, "--dataset", "foldre"], "'folder'"),
        ([folder, "--dataset", "folder", "--category", "x"], "'category'"),
        ([folder, "--out", tmp_path / "file" / "sheet"], "Nothing can be written"),
        ([folder, "--out", tmp_path / "old"], "exists already"),
        ([folder, "--workers", "0"], "--workers"),
    ):
        assert call(*arguments)[0] == 2, arguments
        message = capfd.readouterr().err
        assert words in message
        assert "Traceback" not in message
    assert (tmp_path / "old" / "overlays.png").read_text() == "mine"


def test_histogram():
    assert histogram([2, 2, 4]) == [
        "        2 objects      2 " + "#" * 40,
        "        3 objects      0",
        "        4 objects      1 " + "#" * 20,
    ]
    wide = histogram(list(range(100)))
    assert len(wide) == 20
    assert wide[0].split()[0] == "0-4"
    assert histogram([]) == []
