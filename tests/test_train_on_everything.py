"""`train.py --val-fraction 0`: every labelled image trains, none is scored."""

import csv
import importlib
import json
import logging
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
import tiny_command
from eager import eagerly

from keras_recattend import presets
from keras_recattend.command_line import run_command
from keras_recattend.history_columns import history_columns
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunFolder

pytestmark = pytest.mark.filterwarnings(
    "ignore:Even though the .*run_functions_eagerly"
)


def tiny_preset():
    stage = {"steps": 3, "steps_per_epoch": 1, "validate_every": 2}
    return tiny.config(stage, stages=["segmentation"])


@pytest.fixture(scope="module", autouse=True)
def eager_and_tiny():
    with pytest.MonkeyPatch.context() as patch, eagerly():
        patch.setitem(presets.PRESETS, "tiny", tiny_preset)
        yield


def call(name, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            run_command(importlib.import_module(name).main)
        except SystemExit as end:
            return end.code
    return 0


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    tiny_command.write_pictures(folder)
    return folder


def options(pictures, run):
    given = ["--dataset", "folder", "--data-dir", pictures, "--run-dir", run]
    given += ["--records-dir", run.parent / "records", "--preset", "tiny"]
    return [*given, "--val-fraction", "0"]


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert call("train", *options(pictures, folder)) == 0
    return folder


def test_every_image_trains(run):
    split = json.loads((run / "split.json").read_text())
    names = [f"p{i}" for i in range(tiny_command.IMAGES)]
    assert split["train"] == split["all"] == names
    assert split["val"] == []


def test_the_best_weights_are_the_last(run):
    folder, weights = RunFolder(run), []
    for path in (folder.best_weights, folder.last_weights):
        model = RecurrentAttention(tiny_preset())
        folder.load_weights(model, path)
        weights.append(model.get_weights())
    for best, last in zip(*weights, strict=True):
        np.testing.assert_array_equal(best, last)


def test_nothing_is_scored_and_the_files_say_so(run):
    assert json.loads((run / "metrics.json").read_text()) == {
        "n_images": 0,
        "n_images_without_labels": 0,
        "split": "val",
        "preset": "tiny",
    }
    assert not (run / "images.csv").exists()
    assert (run / "history.png").is_file()
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert list(rows[0]) == history_columns(tiny_preset())
    scores = ("sbd", "abs_dic", "fbd", "mucov")
    for row in rows:
        assert np.isfinite(float(row["loss"]))
        assert not any(v for k, v in row.items() if k.startswith("val_") or k in scores)


def test_tensorboard_has_the_training_alone(run):
    tags = set()
    for path in (run / "logs").glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            tags |= {value.tag for value in event.summary.value}
    assert "segmentation/loss" in tags
    assert not [tag for tag in tags if "val_" in tag or "sbd" in tag or "_steps" in tag]


def test_that_it_is_not_scored_is_told(run, caplog):
    """A run that is done is not trained again, and says the same again."""
    with caplog.at_level(logging.INFO):
        assert call("train", "--resume", "--run-dir", run) == 0
    assert f"{tiny_command.IMAGES} images train, 0 validate." in caplog.text
    assert "Every labelled image trained: no scores" in caplog.text
    assert "keras_recattend.cross_validation" in caplog.text


def test_evaluate_has_no_validation_images(run, capfd, tmp_path):
    assert call("evaluate", "--run", run, "--split", "val", "--out", tmp_path) == 2
    message = capfd.readouterr().err
    assert "--val-fraction 0" in message
    assert "--split all" in message
    assert not list(tmp_path.iterdir())


def test_neither_where_the_split_is_not_there(run, pictures, capfd, tmp_path):
    """As shipped weights: what they were trained on must not pass for unseen."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("config.json", "best.weights.h5"):
        shutil.copy(run / name, shipped / name)
    given = ["--weights", shipped, "--dataset", "folder", "--data-dir", pictures]
    given += ["--records-dir", run.parent / "records", "--out", tmp_path / "out"]
    assert call("evaluate", *given) == 2
    assert "trained on every labelled image" in capfd.readouterr().err
    assert call("evaluate", *given, "--split", "all", "--no-labels") == 0
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert summary["n_images"] == tiny_command.IMAGES


def test_a_single_image_is_enough_for_all(run, pictures, tmp_path):
    for kind in ("images", "labels"):
        (tmp_path / "one" / kind).mkdir(parents=True)
        shutil.copy(pictures / kind / "p1.png", tmp_path / "one" / kind)
    given = ["--run", run, "--dataset", "folder", "--data-dir", tmp_path / "one"]
    given += ["--records-dir", tmp_path / "records", "--out", tmp_path / "out"]
    assert call("evaluate", *given, "--split", "all", "--no-labels") == 0
    summary = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert summary["n_images"] == 1


def test_a_validation_folder_stays(pictures, tmp_path, caplog):
    """The user made it; none of its images trains."""
    data, run = tmp_path / "data", tmp_path / "run"
    for split, numbers in (("train", (0, 1, 2, 3)), ("val", (4, 5))):
        for kind in ("images", "labels"):
            (data / split / kind).mkdir(parents=True)
            for i in numbers:
                shutil.copy(pictures / kind / f"p{i}.png", data / split / kind)
    assert call("train", *options(data, run), "--max-steps", "1") == 0
    assert "has a validation split of its own" in caplog.text
    split = json.loads((run / "split.json").read_text())
    assert (len(split["train"]), len(split["val"])) == (4, 2)
    assert json.loads((run / "metrics.json").read_text())["n_images"] == 2
    assert (run / "images.csv").is_file()
