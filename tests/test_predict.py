"""`predict.py` as a user calls it, on a tiny network, with mistakes and bad files."""

import csv
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_run
from PIL import Image

import keras_recattend
import predict
from keras_recattend import file_lock, prediction_folder
from keras_recattend.image_files import read_image
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunFolder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a network that always finds something."""
    return tiny_run.make(tmp_path_factory.mktemp("runs") / "run")[0].path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, size in enumerate([(32, 32), (40, 48), (70, 35)]):
        Image.fromarray(tiny.ellipses(i, 2, size)[0]).save(folder / f"p{i}.png")
    return folder


@pytest.fixture
def call(caller):
    """Function from arguments to (exit code, what was printed)."""
    return caller("predict.py", predict.main)


@pytest.fixture
def once(monkeypatch, run):
    """The network is made once for all calls of a test: what `load` returns."""
    segmenter = keras_recattend.load(run)
    monkeypatch.setattr(keras_recattend, "load", lambda *_, **__: segmenter)
    return segmenter


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_as_a_process(run, photos, tmp_path):
    """Every kind of bad input at once: the others are done, code 1."""
    (photos / "empty.jpg").touch()
    (photos / "text.png").write_text("hello " * 30)
    data = (photos / "p0.png").read_bytes()
    (photos / "cut.png").write_bytes(data[: len(data) // 2])
    Image.new("RGB", (1, 1)).save(photos / "dot.png")
    picture = Image.open(photos / "p0.png")
    picture.convert("CMYK").save(photos / "cmyk.jpg")
    picture.save(
        photos / "moving.gif", save_all=True, append_images=[picture.rotate(9)]
    )
    deep = np.asarray(picture)[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(photos / "deep.png")
    picture.close()
    done = subprocess.run(
        [sys.executable, ROOT / "predict.py", "photos", "photos/gone*.png"]
        + ["--weights", run, "--out", "out", "--coco", "out/coco.json"]
        + ["--batch-size", "3", "--overlay-size", "400"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "7 predicted, 0 done before, 0 kept, 4 failed" in done.stderr
    out = tmp_path / "out"
    counts = {r["file"]: r for r in rows(out / "counts.csv")}
    failed = {name for name, row in counts.items() if row["status"] == "failed"}
    assert failed == {
        *("photos/empty.jpg", "photos/text.png", "photos/cut.png"),
        "photos/gone*.png",
    }
    assert all(name in done.stderr for name in failed)
    for name, row in counts.items():
        if name in failed:
            continue
        with (
            Image.open(tmp_path / name) as image,
            Image.open(out / "labels" / f"{row['name']}.png") as labels,
        ):
            assert labels.size == image.size
            assert np.asarray(labels).max() == int(row["count"])
    found = sum(int(row["count"] or 0) for row in counts.values())
    assert found > 0
    assert len(rows(out / "objects.csv")) == found
    coco = json.loads((out / "coco.json").read_text())
    assert len(coco["annotations"]) == found
    assert len(coco["images"]) == 7
    settings = json.loads((out / "settings.json").read_text())
    assert settings["weights"] == str(run)
    assert settings["inference"]["min_area"] == 2
    assert settings["versions"]["keras_recattend"] == keras_recattend.__version__
    assert not [p for p in out.rglob("*") if p.name.startswith(".")]


def test_the_same_as_in_python(run, photos, tmp_path, call):
    assert call(photos, "--weights", run, "--out", tmp_path / "out")[0] == 0
    model = keras_recattend.load(run)
    for path in photos.iterdir():
        result = model.segment(path)
        with Image.open(tmp_path / "out" / "labels" / path.name) as labels:
            np.testing.assert_array_equal(np.asarray(labels), result.labels)


def test_explain(once, run, photos, tmp_path, call, caplog):
    """With the results, and afterwards for those that have none."""
    options = [photos, "--weights", run, "--out", tmp_path / "out"]
    caplog.set_level(logging.INFO)
    assert call(photos / "p0.png", *options[1:], "--explain")[0] == 0
    assert call(*options)[0] == 0
    assert call(*options, "--explain")[0] == 0
    assert "3 done before (2 explained now)" in caplog.text
    for name in ("p0", "p1", "p2"):
        explanation = once.explain(photos / f"{name}.png")
        with Image.open(tmp_path / "out" / "explain" / f"{name}.png") as file:
            np.testing.assert_array_equal(np.asarray(file), explanation.plot())
        with Image.open(tmp_path / "out" / "explain" / f"{name}.gif") as file:
            assert file.n_frames == len(explanation.scores) > 1


def test_again_and_with_other_settings(run, photos, tmp_path, call):
    options = [photos, "--weights", run, "--out", tmp_path / "out"]
    code, text = call(*options, "--min-area", 5)
    assert code == 0
    code, text = call(*options)
    assert code == 2
    assert "inference min_area was 5, now 2" in text
    assert "--overwrite" in text
    everything = ["--min-area", 1000, "--score-threshold", 0.25, "--overwrite"]
    assert call(*options, *everything)[0] == 0
    counts = rows(tmp_path / "out" / "counts.csv")
    assert [r["count"] for r in counts] == ["0"] * 3
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["inference"]["score_threshold"] == 0.25


def test_several_views(run, photos, tmp_path, call):
    """What they agree on, with an explanation and without one."""
    options = [photos, "--weights", run, "--views", 2, "--out"]
    assert call(*options, tmp_path / "plain")[0] == 0
    assert call(*options, tmp_path / "explained", "--explain")[0] == 0
    settings = json.loads((tmp_path / "plain" / "settings.json").read_text())
    assert settings["inference"]["views"] == 2
    predictor = keras_recattend.load(run, views=2).predictor
    for row in rows(tmp_path / "plain" / "counts.csv"):
        (found,) = predictor([read_image(row["file"])])
        assert found.count
        for out in ("plain", "explained"):
            labels = Image.open(tmp_path / out / "labels" / f"{row['name']}.png")
            # Batches of another size may round otherwise.
            assert (np.array(labels) != found.labels).mean() < 0.01


def test_other_weights_are_other_settings(run, photos, tmp_path, call):
    other = RunFolder(tmp_path / "run")
    other.create(tiny.config())
    model = RecurrentAttention(tiny.config())
    other.save_weights(model, other.last_weights)
    assert call(photos, "--weights", run, "--out", tmp_path / "out")[0] == 0
    code, text = call(photos, "--weights", other.path, "--out", tmp_path / "out")
    assert code == 2
    assert "another weights file" in text


def test_skipping_is_told(once, run, photos, tmp_path, call, caplog):
    options = [photos, "--weights", run, "--out", tmp_path / "out"]
    caplog.set_level(logging.INFO)
    assert call(*options)[0] == 0
    assert call(*options)[0] == 0
    assert "0 predicted, 3 done before, 0 kept, 0 failed" in caplog.text


def test_a_kept_correction_is_code_1(once, run, photos, tmp_path, call):
    options = [photos, "--weights", run, "--out", tmp_path / "out"]
    assert call(*options)[0] == 0
    Image.new("L", (32, 32), 1).save(tmp_path / "out" / "labels" / "p0.png")
    assert call(*options)[0] == 0
    assert call(*options, "--overwrite")[0] == 1


def test_nothing_could_be_read(once, run, tmp_path, call):
    (tmp_path / "x.png").touch()
    code, text = call(tmp_path / "x.png", "--weights", run, "--out", tmp_path / "out")
    assert code == 2
    assert "counts.csv" in text
    assert rows(tmp_path / "out" / "counts.csv")[0]["status"] == "failed"


@pytest.fixture
def no_network(monkeypatch):
    """Mistakes are told before the network is loaded."""
    monkeypatch.setattr(keras_recattend, "load", lambda *_, **__: pytest.fail("loaded"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos"], ["--weights", "--out"]),
        (["--weights", "RUN", "--out", "out"], ["PATH"]),
        (["gone.png", "--weights", "RUN", "--out", "out"], ["gone.png", "not exist"]),
        (["empty", "--weights", "RUN", "--out", "out"], ["empty", "--recursive"]),
        (["*.gif", "--weights", "RUN", "--out", "out"], ["No picture matches *.gif"]),
        (["photos", "--weights", "leafs", "--out", "out"], ["'leafs'"]),
        (["photos", "--weights", "empty", "--out", "out"], ["not a run folder"]),
        (["photos", "--weights", "RUN", "--out", "file"], ["file", "name a folder"]),
        (["photos", "--weights", "RUN", "--out", "mine"], ["labels", "--out"]),
        (
            ["photos", "--weights", "RUN", "--out", "out", "--coco", "file"],
            ["file", "another file"],
        ),
        (
            ["photos", "--weights", "RUN", "--out", "out", "--batch-size", "0"],
            ["--batch-size", "1"],
        ),
        (
            ["photos", "--weights", "RUN", "--out", "out", "--batch-size", "two"],
            ["--batch-size", "'two'"],
        ),
        (
            ["photos", "--weights", "RUN", "--out", "out", "--score-threshold", "50"],
            ["--score-threshold", "0 to 1"],
        ),
        (
            ["photos", "--weights", "RUN", "--out", "out", "--batchsize", "2"],
            ["--batchsize", "--batch-size"],
        ),
    ],
)
def test_mistakes(
    run, photos, tmp_path, call, monkeypatch, no_network, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine" / "labels").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    code, text = call(*[str(run) if a == "RUN" else a for a in arguments])
    assert code == 2
    for word in words:
        assert word in text
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_of_another_version(run, photos, tmp_path, call):
    values = json.loads((run / "config.json").read_text())
    other = tmp_path / "old"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({**values, "format": 0}))
    code, text = call(photos, "--weights", other, "--out", tmp_path / "out")
    assert code == 2
    assert "another version" in text


def test_weights_of_another_network(run, photos, tmp_path, call):
    other = RunFolder(tmp_path / "other")
    other.create(tiny.config(normalization="group"))
    (other.path / "best.weights.h5").write_bytes((run / "best.weights.h5").read_bytes())
    code, text = call(photos, "--weights", other.path, "--out", tmp_path / "out")
    assert code == 2
    assert "does not fit" in text
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_one_message(once, run, photos, tmp_path, call, monkeypatch):
    def full(path, data):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(prediction_folder, "write_atomically", full)
    code, text = call(photos, "--weights", run, "--out", tmp_path / "out")
    assert code == 2
    assert "No space left" in text


@pytest.mark.skipif(file_lock.fcntl is None, reason="no locks here")
def test_a_folder_that_another_process_has(once, run, photos, tmp_path, call):
    options = [photos, "--weights", run, "--out", tmp_path / "out"]
    with prediction_folder.PredictionFolder(tmp_path / "out").locked():
        code, text = call(*options)
    assert code == 2
    assert "Another predict.py" in text
    assert call(*options)[0] == 0


def test_help_has_examples(call, capfd):
    code, text = call("--help")
    assert code == 0
    assert text.count("python predict.py ") >= 3
    for option in ("--recursive", "--overwrite", "--coco", "--batch-size"):
        assert option in text
