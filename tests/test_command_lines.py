"""`train.py` and `evaluate.py` as a user calls them, with their mistakes."""

import contextlib
import dataclasses
import errno
import importlib
import json
import pathlib
import shutil
import subprocess
import sys

import cv2
import h5py
import numpy as np
import pytest
import tensorflow as tf
import tiny
from eager import eagerly
from PIL import Image

from datasets import catalog
from keras_recattend import ablation, precision_cost, presets
from keras_recattend.ablation_table import row_of
from keras_recattend.asked_config import asked_config
from keras_recattend.command_line import run_command
from keras_recattend.fold_scores import read_fold
from keras_recattend.map_cache import MapCache
from keras_recattend.metrics.report import read_csv
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.stages import STAGES

ROOT = pathlib.Path(__file__).parents[1]
PLANTS = 6

pytestmark = pytest.mark.filterwarnings(
    "ignore:Even though the .*run_functions_eagerly"
)


def tiny_preset():
    return tiny.config({"steps": 5, "steps_per_epoch": 2}).replace(dataset="cvppp")


def short_preset():
    """It lacks two of the stages."""
    return tiny.config(stages=["box", "joint"])


@pytest.fixture(autouse=True)
def with_presets(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", tiny_preset)
    monkeypatch.setitem(presets.PRESETS, "short", short_preset)


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    """A CVPPP folder of tiny plants: palette PNGs as the benchmark has them."""
    folder = tmp_path_factory.mktemp("cvppp")
    (folder / "A1").mkdir()
    for i in range(PLANTS):
        image, labels = tiny.ellipses((7, i), 1 + i % tiny.SLOTS, (40, 44))
        Image.fromarray(image).save(folder / "A1" / f"plant{i:03d}_rgb.png")
        palette = Image.fromarray(labels.astype(np.uint8))
        palette.putpalette([v for k in range(256) for v in (k, 255 - k, k * 7 % 256)])
        palette.save(folder / "A1" / f"plant{i:03d}_label.png")
    return folder


def call(name, *arguments):
    """The command in this process; returns its exit status."""
    old, sys.argv = sys.argv, [f"{name}.py", *map(str, arguments)]
    try:
        run_command(importlib.import_module(name).main)
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = old
    return 0


def fails(capfd, name, *arguments):
    """The command's message; it must end with 2 and without a traceback."""
    capfd.readouterr()
    assert call(name, *arguments) == 2
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    assert "error: " in captured.err
    return captured.err


# -- as a process ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["train.py", "--dataset", "cvppp", "--data-dir", "/no/such/folder"],
            ["/no/such/folder", "A1", "plant-phenotyping.org"],
        ),
        (["evaluate.py", "--run", "."], ["not a run folder", "config.json"]),
    ],
    ids=["no data", "no run"],
)
def test_a_mistake_is_one_message_and_code_2(tmp_path, arguments, words):
    script, *options = arguments
    done = subprocess.run(
        [sys.executable, ROOT / script, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
    assert not list(tmp_path.iterdir())


# -- mistakes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "cvpp"], ["'cvpp'", "'cvppp'"]),
        (["--preset", "leafs"], ["'leafs'", "'leaves'"]),
        (["--stage", "bix"], ["'bix'", "box"]),
        (["--datset", "cvppp"], ["--datset", "--dataset"]),
        (["--ablation", "no_box"], ["'no_box'", "'no_box_net'"]),
        (["--ablation", "no_angles"], ["no_angles", "leaves", "no pre-processing"]),
        (["--resume"], ["--resume", "--run-dir"]),
        (["--resume", "--run-dir", "none"], ["none", "not a run folder"]),
        (["--minutes", "0"], ["--minutes"]),
        (["--batch-size", "0"], ["batch_size must be 1 or more", "0"]),
        (["--max-steps", "-3"], ["--max-steps"]),
        (["--learning-rate-factor", "0"], ["--learning-rate-factor", "above 0"]),
        (["--shares", "box=1"], ["--shares", "--minutes"]),
        (
            ["--shares", "box=1", "--minutes", "2", "--stage", "box"],
            ["--shares box=1", "--stage box", "both"],
        ),
        (["--shares", "bix=1", "--minutes", "2"], ["'bix'", "'box'"]),
        (["--seed", "-1"], ["seed"]),
        (["--precision", "mixed_float"], ["'mixed_float'", "'mixed_float16'"]),
        (["--strategy", "miror"], ["'miror'", "'mirrored'"]),
        (["--strategy", "multiworker"], ["TF_CONFIG", "docs/scaling.md"]),
        (["--deterministic", "--minutes", "3"], ["--deterministic", "--minutes"]),
        (["--seed", str(2**32)], ["seed"]),
        (["--fold", "1/5", "--val-fraction", "0"], ["--fold 1/5", "contradict"]),
        (["--dataset", "cvppp"], ["--data-dir"]),
        (["--data-dir", "somewhere"], ["--data-dir"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_train_refuses(capfd, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)

    def convert(*_, **__):
        pytest.fail("data was converted before the mistake was told")

    monkeypatch.setattr(catalog, "write_records", convert)
    message = fails(capfd, "train", *arguments)
    for word in words:
        assert word in message, message
    assert not list(tmp_path.iterdir())


def test_train_tells_of_a_precision_that_is_slow_here(capfd, caplog, monkeypatch):
    """Before anything is converted, so that there is time to think again."""
    monkeypatch.setattr(precision_cost, "slowdown", {"bfloat16": 11.7}.get)
    fails(capfd, "train", "--dataset", "cvppp", "--precision", "mixed_bfloat16")
    assert "12 times as long in bfloat16" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [["--val-fraction", "1.5"], ["--fold", "7/3"], ["--fold", "x"]],
    ids="_".join,
)
def test_train_refuses_a_bad_split(capfd, tmp_path, plants, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)

    def render(_):
        pytest.fail("plants were rendered before the mistake was told")

    monkeypatch.setattr(catalog, "companions", render)
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", "run"]
    message = fails(capfd, "train", *options, *arguments)
    assert arguments[1] in message
    assert not (tmp_path / "run").exists()


def test_a_stage_that_the_preset_lacks_leaves_no_run_folder(
    capfd, tmp_path, plants, monkeypatch
):
    """The same command, mended, must work: its folder is still free."""
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", "run"]
    message = fails(
        capfd, "train", *options, "--preset", "short", "--stage", "segmentation"
    )
    assert "box, joint" in message
    assert not (tmp_path / "run").exists()


def test_weights_to_start_from_that_are_not_there_leave_no_run_folder(
    capfd, tmp_path, plants, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", "run"]
    message = fails(capfd, "train", *options, "--init", "nothing")
    assert "'nothing' is neither a folder" in message
    assert not (tmp_path / "run").exists()
    # Of a run that is in its box stage still.
    RunFolder("start").create(tiny_preset(), options={})
    message = fails(capfd, "train", *options, "--init", "start")
    assert "start holds no weights yet" in message
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "records").exists()


def test_a_fold_is_not_scored_by_images_that_trained_its_start(
    capfd, tmp_path, plants, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    start = RunFolder("start")
    start.create(tiny_preset(), options={"dataset": "cvppp", "val_fraction": 0.0})
    start.best_weights.touch()
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", "run"]
    options += ["--preset", "tiny", "--fold", "1/2"]
    message = fails(capfd, "train", *options, "--init", "start")
    assert "have trained start" in message
    assert "cannot score the fold 1/2" in message
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_refused_before_data_is_converted(
    capfd, tmp_path, plants, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    RunFolder(tmp_path / "run").create(tiny_preset())
    before = (tmp_path / "run" / "config.json").read_bytes()

    def convert(*_, **__):
        pytest.fail("data was converted before the folder was refused")

    monkeypatch.setattr(catalog, "write_records", convert)
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", "run"]
    message = fails(capfd, "train", *options)
    assert "exists already" in message
    assert "--resume" in message
    assert (tmp_path / "run" / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--run", "--weights"]),
        (["--run", "a", "--weights", "b"], ["--weights"]),
        (["--run", "nothing"], ["nothing", "not a run folder"]),
        (["--weights", "nothing"], ["'nothing'", "neither a folder"]),
        (["--run", "x", "--split", "vla"], ["'vla'", "val"]),
        (["--run", "x", "--overlay", "3"], ["--overlays"]),
        (["--weights", "leaves", "--split", "all"], ["part of the package", "--out"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_evaluate_refuses(capfd, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    message = fails(capfd, "evaluate", *arguments)
    for word in words:
        assert word in message, message


# -- the whole chain ---------------------------------------------------------------


@pytest.fixture(scope="module")
def run(plants, tmp_path_factory):
    """A run of all stages, two steps each: its folder."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    patch = pytest.MonkeyPatch()
    patch.setitem(presets.PRESETS, "tiny", tiny_preset)
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", folder]
    options += ["--records-dir", folder.parent / "records", "--preset", "tiny"]
    options += ["--max-steps", 2, "--learning-rate-factor", 0.5]
    try:
        with eagerly():
            assert call("train", *options, "--seed", 5) == 0
    finally:
        patch.undo()
    return folder


def summary_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def assert_summary(summary, count):
    assert summary["n_images"] == count
    for name in ("sbd", "abs_dic", "dic", "fbd"):
        assert set(summary[name]) == {"mean", "std"}
        assert np.isfinite(list(summary[name].values())).all()
    assert 0 <= summary["sbd"]["mean"] <= 100
    assert 0 <= summary["fbd"]["mean"] <= 100


def test_train_leaves_a_run(run):
    files = {path.name for path in run.iterdir()}
    assert {
        "config.json",
        "split.json",
        "history.csv",
        "history.png",
        "metrics.json",
    } <= files
    assert {"best.weights.h5", "last.weights.h5", "state", "logs"} <= files
    config, about = RunFolder(run).read()
    halved = {
        name: dataclasses.replace(stage, learning_rate=0.5 * stage.learning_rate)
        for name, stage in tiny_preset().stages.items()
    }
    assert config == tiny_preset().replace(stages=halved)
    assert about["options"]["learning_rate_factor"] == 0.5
    assert about["options"]["seed"] == 5
    assert pathlib.Path(about["options"]["data_dir"]).is_absolute()
    assert "tensorflow" in about["versions"]
    split = json.loads((run / "split.json").read_text())
    assert len(split["train"]) + len(split["val"]) == PLANTS
    assert_summary(summary_of(run), len(split["val"]))
    assert summary_of(run)["split"] == "val"
    assert len(read_csv(run / "images.csv")) == len(split["val"])
    rows = (run / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["stage", *tiny.STAGES]
    assert [row.split(",")[2] for row in rows[1:]] == ["2"] * 4
    # A cross-validation reads it as the first of its folds.
    fold = read_fold(1, run)
    assert fold.summary["sbd"] == summary_of(run)["sbd"]
    assert fold.steps == [2] * 4


def test_what_the_options_say_reaches_the_training(run, plants, tmp_path, monkeypatch):
    """A step too small to see, from other weights, in bfloat16, deterministic."""
    seen, make = [], RecurrentAttention.__init__

    def making(self, *arguments, **options):
        seen.append(options.get("dtype"))
        make(self, *arguments, **options)

    monkeypatch.setattr(RecurrentAttention, "__init__", making)
    monkeypatch.setattr(precision_cost, "slowdown", lambda _: 1.0)
    monkeypatch.setattr(
        tf.config.experimental,
        "enable_op_determinism",
        lambda: seen.append("deterministic"),
    )
    folder = tmp_path / "run"
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", folder]
    options += ["--records-dir", tmp_path / "records", "--preset", "tiny"]
    options += ["--stage", "box", "--max-steps", 1, "--seed", 5]
    options += ["--init", run, "--learning-rate-factor", 1e-9]
    options += ["--precision", "mixed_bfloat16", "--deterministic"]
    with eagerly():
        assert call("train", *options) == 0
    assert seen[:2] == ["deterministic", "mixed_bfloat16"]
    config = tiny_preset()
    start, end = RecurrentAttention(config), RecurrentAttention(config)
    RunFolder(run).load_weights(start)
    RunFolder(folder).load_weights(end, folder / "last.weights.h5")
    for ours, theirs in zip(
        end.trainable_weights, start.trainable_weights, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_run_has_the_stages_that_share_its_minutes(plants, tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", tiny_preset)
    folder = tmp_path / "run"
    options = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", folder]
    options += ["--records-dir", tmp_path / "records", "--preset", "tiny"]
    options += ["--minutes", 60, "--max-steps", 1, "--shares", "segmentation=2,box=3"]
    options += ["--batch-size", 3]
    with eagerly():
        assert call("train", *options) == 0
    stages = RunFolder(folder).read()[0].stages
    assert {name: stage.share for name, stage in stages.items()} == {
        "box": 3.0,
        "segmentation": 2.0,
    }
    assert {stage.batch_size for stage in stages.values()} == {3}
    rows = (folder / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["box", "segmentation"]
    assert (folder / "metrics.json").is_file()


def test_evaluate_a_run(run, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the run knows where its data is
    assert call("evaluate", "--run", run, "--split", "val") == 0
    split = json.loads((run / "split.json").read_text())
    summary = summary_of(run / "val")
    assert_summary(summary, len(split["val"]))
    assert (summary["dataset"], summary["semantic_dir"]) == ("cvppp", None)
    assert summary["dataset_options"] == {"subset": "A1"}
    rows = read_csv(run / "val" / "images.csv")
    assert [row["name"] for row in rows] == split["val"]
    for row in rows:
        labels = cv2.imread(
            str(run / "val" / "labels" / f"{row['name']}.png"), cv2.IMREAD_UNCHANGED
        )
        assert labels.shape == (40, 44)
        assert labels.max() == row["predicted_count"]
    # The same weights on the same images: what training said in the end.
    for name in ("sbd", "abs_dic", "dic", "fbd"):
        assert summary[name] == summary_of(run)[name]
    before = (run / "val" / "metrics.json").read_bytes()
    message = fails(capfd, "evaluate", "--run", run, "--split", "val")
    assert "--out" in message
    assert (run / "val" / "metrics.json").read_bytes() == before


def test_evaluate_never_replaces_a_data_sets_own_labels(run, tmp_path, capfd):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "plant000.png").write_bytes(b"drawn by hand")
    message = fails(capfd, "evaluate", "--run", run, "--out", tmp_path)
    assert "has labels already" in message
    assert "--out" in message
    files = [path.name for path in tmp_path.rglob("*.*")]
    assert files == ["plant000.png"]
    assert (tmp_path / "labels" / files[0]).read_bytes() == b"drawn by hand"


def test_evaluate_all_images_elsewhere(run, tmp_path):
    out = tmp_path / "out"
    options = ["--run", run, "--split", "all", "--out", out]
    assert call("evaluate", *options, "--overlays", 2, "--no-labels") == 0
    assert_summary(summary_of(out), PLANTS)
    assert len(read_csv(out / "images.csv")) == PLANTS
    assert (out / "overlays.png").is_file()
    assert not (out / "labels").exists()


def test_evaluate_with_another_step_after_the_network(run, tmp_path):
    """Objects of fewer pixels than the image has: none may be left."""
    out = tmp_path / "out"
    options = ["--run", run, "--split", "all", "--out", out, "--no-labels"]
    assert call("evaluate", *options, "--inference", "min_area=99999") == 0
    summary = summary_of(out)
    assert summary["predicted_count"]["mean"] == 0
    config, _ = RunFolder(run).read()
    expected = dataclasses.asdict(config.inference) | {"min_area": 99999}
    assert summary["inference"] == expected


def test_evaluate_weights_on_given_data(run, plants, tmp_path):
    options = ["--weights", run, "--dataset", "cvppp", "--data-dir", plants]
    options += ["--records-dir", tmp_path / "records", "--out", tmp_path / "out"]
    assert call("evaluate", *options, "--split", "train") == 0
    split = json.loads((run / "split.json").read_text())
    assert_summary(summary_of(tmp_path / "out"), len(split["train"]))


def test_a_split_without_images(run, tmp_path, capfd):
    message = fails(
        capfd, "evaluate", "--run", run, "--split", "test", "--out", tmp_path
    )
    assert "'test'" in message


def test_evaluate_writes_a_submission(run, tmp_path):
    """The labels in it are those in labels/; the average precision is told."""
    out, file = tmp_path / "out", tmp_path / "leaves.h5"
    assert call("evaluate", "--run", run, "--out", out, "--submission", file) == 0
    assert {"ap", "ap50", "ap75"} <= set(summary_of(out))
    names = [row["name"] for row in read_csv(out / "images.csv")]
    with h5py.File(file) as submission:
        assert sorted(submission["A1"]) == sorted(names)
        for name in names:
            written = cv2.imread(str(out / "labels" / f"{name}.png"), -1)
            np.testing.assert_array_equal(submission[f"A1/{name}/label"], written)


def test_evaluate_images_without_labels(run, plants, tmp_path, caplog):
    """The benchmark's test images, which came after the training."""
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(plants, data)
    (data / "testing" / "A1").mkdir(parents=True)
    image = plants / "A1" / "plant000_rgb.png"
    shutil.copy(image, data / "testing" / "A1" / "plant900_rgb.png")
    options = ["--run", run, "--data-dir", data, "--records-dir", tmp_path / "records"]
    options += ["--split", "test", "--out", out, "--submission", tmp_path / "leaves.h5"]
    with caplog.at_level("INFO"):
        assert call("evaluate", *options) == 0
    assert "1 images have no labels, so no scores" in caplog.text
    assert summary_of(out)["n_images"] == 0
    assert "sbd" not in summary_of(out)
    labels = cv2.imread(str(out / "labels" / "plant900.png"), -1)
    with h5py.File(tmp_path / "leaves.h5") as submission:
        np.testing.assert_array_equal(submission["A1/plant900/label"], labels)
    # Another group, which has no training images, goes into the same file.
    (data / "testing" / "A1").rename(data / "testing" / "A5")
    options += ["--subset", "A5", "--records-dir", tmp_path / "other"]
    assert call("evaluate", *options, "--out", tmp_path / "a5") == 0
    with h5py.File(tmp_path / "leaves.h5") as submission:
        for group in ("A1", "A5"):
            np.testing.assert_array_equal(submission[f"{group}/plant900/label"], labels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--submission", "leaves.json"], ["leaves.json", "NAME.h5"]),
        (["--submission", "there.h5"], ["there.h5", "exists already"]),
        (["--semantic-dir", "."], ["--semantic-dir", "cityscapes"]),
        (["--category", "zebra"], ["cvppp", "'category'"]),
        (["--inference", "zom=2"], ["'zom'", "'zoom'"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_evaluate_refuses_before_it_predicts(
    run, tmp_path, capfd, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.h5").write_bytes(b"kept")
    message = fails(capfd, "evaluate", "--run", run, "--out", "out", *arguments)
    for word in words:
        assert word in message, message
    assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]
    assert (tmp_path / "there.h5").read_bytes() == b"kept"


def test_resuming_a_finished_run(run, capfd):
    history = (run / "history.csv").read_bytes()
    assert call("train", "--resume", "--run-dir", run) == 0
    assert (run / "history.csv").read_bytes() == history


def state_of(run):
    with np.load(RunFolder(run).state_file) as state:
        return {name: state[name] for name in state.files}


def test_a_run_that_ended_before_its_first_epoch_begins_anew(
    plants, tmp_path, caplog, capfd
):
    """Whatever it left: no state, an epoch's row, another's weights."""
    options = ["--dataset", "cvppp", "--data-dir", plants, "--preset", "tiny"]
    options += ["--records-dir", tmp_path / "records", "--max-steps", 2, "--seed", 5]
    options += ["--stage", "box", "--fold", "2/3"]
    runs = tmp_path / "whole", tmp_path / "ended"
    with eagerly():
        assert call("train", *options, "--run-dir", runs[0]) == 0
        shutil.copytree(*runs)
        (runs[1] / "state" / "training.npz").unlink()
        resume = ["--run-dir", runs[1], "--resume"]
        # Whoever deleted it does not want the rest to be trained over.
        assert "no training.npz in state" in fails(capfd, "train", *resume)
        for name in ("split.json", "metrics.json", "last.weights.h5"):
            (runs[1] / name).unlink()
        assert call("train", *resume) == 0
    assert "no saved state: it begins anew" in caplog.text
    rows = [read_csv(run / "history.csv") for run in runs]
    assert len(rows[0]) == len(rows[1])
    assert [row["loss"] for row in rows[1]] == [row["loss"] for row in rows[0]]
    assert (runs[1] / "split.json").read_text() == (runs[0] / "split.json").read_text()
    assert summary_of(runs[1]) == summary_of(runs[0])
    states = [state_of(run) for run in runs]
    for name, values in states[0].items():
        if name != "about":
            np.testing.assert_array_equal(states[1][name], values, name)


def test_a_run_that_begins_anew_has_room_for_its_data(tmp_path):
    """Its data may have grown since it was asked for."""
    import train

    folder = RunFolder(tmp_path / "run")
    about = {"options": {"seed": 3}}
    folder.create(tiny.config(), **about)
    roomy = tiny.config().replace(max_instances=17)
    options = train.parse(["--resume", "--run-dir", str(folder.path)])
    with contextlib.ExitStack() as held:
        train._begin(folder, roomy, about, {"train": [], "val": []}, options, held)
    assert folder.read() == (roomy, about)


@pytest.mark.skipif(sys.platform == "win32", reason="locks")
def test_a_run_is_trained_by_one_process(run, capfd):
    history = (run / "history.csv").read_bytes()
    with RunFolder(run).locked():
        message = fails(capfd, "train", "--resume", "--run-dir", run)
    assert f"Another process trains in {run}" in message
    assert "--run-dir" in message
    assert (run / "history.csv").read_bytes() == history


def test_a_disk_that_is_full_when_a_run_begins_or_ends(tmp_path, monkeypatch):
    """Its split, and the picture of its history, which nothing else writes."""
    import train

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = RunFolder(tmp_path / "run")
    monkeypatch.setattr("datasets.splits.save_split", full)
    options = train.parse([])
    go_on = r"No space left.*--resume --run-dir"
    with (
        contextlib.ExitStack() as held,
        pytest.raises(RunError, match=rf"split\.json .*{go_on}"),
    ):
        train._begin(folder, tiny.config(), {}, {}, options, held)
    monkeypatch.setattr("keras_recattend.history.plot_history", full)
    with pytest.raises(RunError, match=rf"history\.png .*{go_on}"):
        train._finish(tiny.config(), folder, [])


def test_what_is_trained_is_found():
    """Objects under the preset's least area, in the result as in training."""
    import train

    options = train.parse(["--min-area", "9"])
    config = asked_config(options)
    assert config.min_object_area == config.inference.min_area == 9
    # Some presets drop small finds of large images for reasons of their own.
    options = train.parse(["--min-area", "9", "--preset", "cityscapes_paper"])
    assert asked_config(options).inference.min_area == 1200


# -- a pre-processing network --------------------------------------------------------


def test_a_preset_with_a_pre_processing_network(plants, tmp_path, monkeypatch):
    """All five stages, the maps kept, the result masked by the foreground."""
    options = {"steps": 5, "steps_per_epoch": 2}
    inference = {"foreground_threshold": 1e-3, "foreground_dilation": 3}
    config = tiny.preprocessed(options, dataset="cvppp").replace(inference=inference)
    monkeypatch.setitem(presets.PRESETS, "maps", lambda: config)
    kept = []
    join = MapCache.join
    monkeypatch.setattr(
        MapCache,
        "join",
        lambda self, data: kept.append(self.folder) or join(self, data),
    )
    run = tmp_path / "run"
    arguments = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", run]
    arguments += ["--records-dir", tmp_path / "records", "--preset", "maps"]
    with eagerly():
        assert call("train", *arguments, "--max-steps", 2) == 0
    rows = read_csv(run / "history.csv")
    assert [row["stage"] for row in rows] == list(STAGES)
    assert rows[0]["val_angle_accuracy"] >= 0
    # Training and validation images of four stages, always the same two folders.
    assert len(kept) == 8
    assert len(set(kept)) == 2
    assert not (run / "maps").exists()
    assert np.isfinite(summary_of(run)["sbd"]["mean"])


# -- an ablation ---------------------------------------------------------------------


def test_an_ablation_is_a_run_like_any_other(plants, tmp_path, caplog):
    """Without boxes, from the records to a row of the table."""
    run = tmp_path / "no_box_net"
    arguments = ["--dataset", "cvppp", "--data-dir", plants, "--run-dir", run]
    arguments += ["--records-dir", tmp_path / "records", "--preset", "tiny"]
    with eagerly():
        done = call("train", *arguments, "--max-steps", 2, "--ablation", "no_box_net")
    assert done == 0
    config, about = RunFolder(run).read()
    assert config == ablation.apply(tiny_preset(), "no_box_net")
    assert about["options"]["ablation"] == "no_box_net"
    rows = read_csv(run / "history.csv")
    assert [row["stage"] for row in rows] == ["segmentation", "own_canvases", "joint"]
    assert not {"box", "numbers", "heat", "cells"} & set(rows[0])
    row = row_of("no_box_net", run)
    assert row["parameters"] == RecurrentAttention(config).count_params()
    assert row["minutes"] == pytest.approx(sum(r["minutes"] for r in rows))
    assert row["mwcov"] == summary_of(run)["mwcov"]["mean"]
    # The run's own ablation goes on.
    again = ["--resume", "--run-dir", run, "--ablation", "no_angles"]
    with eagerly():
        assert call("train", *again) == 0
    assert "--ablation no_angles is not used" in caplog.text
