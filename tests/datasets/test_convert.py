"""`python -m datasets.convert` as a user calls it."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import convert, writer
from datasets.manifest import Manifest
from keras_recattend.command_line import run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments):
    """The command in this process; returns its exit status."""
    old, sys.argv = sys.argv, ["convert", *map(str, arguments)]
    try:
        run_command(convert.main)
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = old
    return 0


def cars(folder, count):
    """A KITTI folder with `count` images of 30 x 40 and one car each."""
    for name in ("images", "gt"):
        (folder / name).mkdir(parents=True)
    mask = np.zeros((30, 40), np.uint8)
    mask[4:14, 5:17] = 9
    for i in range(count):
        Image.new("RGB", (40, 30), (i, 0, 0)).save(folder / "images" / f"{i:06d}.png")
        Image.fromarray(mask).save(folder / "gt" / f"{i:06d}.png")
    ids = [f"{i:06d}" for i in range(count)]
    (folder / "train.txt").write_text("\n".join(ids[:-2]))
    (folder / "valid.txt").write_text(ids[-2])
    (folder / "test.txt").write_text(ids[-1])
    return folder


def test_as_a_process(tmp_path):
    """More images than are worth several processes."""
    folder = cars(tmp_path / "kitti", 18)
    options = ["--dataset", "kitti", "--data-dir", folder, "--out", "r", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "datasets.convert", *options, "--workers", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "18 images with at most 1 objects in r" in done.stderr
    assert "train images: 16; val images: 1; test images: 1" in done.stderr
    manifest = Manifest.load(tmp_path / "r")
    assert [image.objects for image in manifest.images] == [1] * 18


def test_the_least_area(tmp_path):
    folder = cars(tmp_path / "kitti", 3)
    options = ("--dataset", "kitti", "--data-dir", folder, "--quiet")
    assert call(*options, "--out", "a", "--min-area", 121) == 0
    assert call(*options, "--out", "b", "--min-area", 120) == 0
    assert Manifest.load("a").max_objects == 0
    assert Manifest.load("b").max_objects == 1


def test_without_out_the_records_lie_where_training_looks(plant_folder, tmp_path):
    assert call("--dataset", "cvppp", "--data-dir", plant_folder, "--quiet") == 0
    (folder,) = (tmp_path / "records").iterdir()
    assert folder.name.startswith("cvppp-")


def test_more_objects_than_the_preset_has_outputs_for(tmp_path, caplog):
    folder = tmp_path / "A1"
    folder.mkdir()
    labels = np.arange(25, dtype=np.uint8).reshape(5, 5).repeat(8, 0).repeat(8, 1)
    Image.new("RGB", (40, 40)).save(folder / "plant001_rgb.png")
    Image.fromarray(labels).save(folder / "plant001_label.png")
    with caplog.at_level(logging.WARNING):
        assert call("--dataset", "cvppp", "--data-dir", folder, "--out", "r") == 0
    assert "1 images have more than the 20 objects of the preset cvppp" in caplog.text


def test_a_bad_file_stops_it_and_the_next_call_goes_on(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_IMAGES", 2)
    folder = cars(tmp_path / "kitti", 6)
    good = (folder / "gt" / "000003.png").read_bytes()
    (folder / "gt" / "000003.png").write_bytes(good[:40])
    options = ("--dataset", "kitti", "--data-dir", folder, "--out", "r", "--quiet")
    assert call(*options, "--workers", 1) == 2
    message = capfd.readouterr().err
    assert "gt/000003.png" in message
    assert "Traceback" not in message
    rows = sorted((tmp_path / ".r-partial" / "progress").glob("*.json"))
    done = [len(json.loads(r.read_text())) for r in rows if r.name.startswith("kitti")]
    assert done == [2, 1]
    (folder / "gt" / "000003.png").write_bytes(good)
    assert call(*options) == 0
    assert len(Manifest.load("r").images) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--dataset"]),
        (["--dataset", "kity"], ["'kity'", "'kitti'"]),
        (["--dataset", "kitti"], ["gt/NNNNNN.png", "cvlibs"]),
        (["--dataset", "cityscapes", "--data-dir", "no"], ["no folder", "gtFine"]),
        (["--dataset", "coco", "--data-dir", "."], ["instances_train2017.json"]),
        (["--dataset", "kitti", "--category", "x"], ["kitti", "'category'"]),
        (["--dataset", "cvppp", "--subset", "A9", "--data-dir", "."], ["A9", "A1"]),
        (["--dataset", "leaves", "--workers", "0"], ["workers", "0"]),
        (["--dataset", "leaves", "--min-area", "-1"], ["area", "-1"]),
        (["--dataset", "leaves", "--min-area", "x"], ["--min-area", "x"]),
        (["--dataset", "leaves", "--ot", "r"], ["--ot", "--out"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_mistakes(capfd, tmp_path, arguments, words):
    assert call(*arguments) == 2
    message = capfd.readouterr().err
    assert "Traceback" not in message
    assert "error: " in message
    for word in words:
        assert word in message
    assert not list(tmp_path.iterdir())


def test_help_names_every_data_set_and_option(capfd):
    assert call("--help") == 0
    text = capfd.readouterr().out
    for word in ("kitti", "cityscapes", "coco", "cvppp", "leaves", "--category"):
        assert word in text
    for word in ("--data-dir", "--out", "--subset", "--min-area", "--workers"):
        assert word in text
