"""A SavedModel in a process without this package; folders that are not replaced."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
import tiny_run
from served_models import MODELS, check_equal, finding

from keras_recattend import saved_model
from keras_recattend.model import RecurrentAttention
from keras_recattend.prediction import Predictor

CASE = Path(__file__).with_name("served_case.py")
SIZES = [(32, 32), (70, 35), (40, 90), (1, 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that finds something in every picture."""
    return tiny_run.make(tmp_path_factory.mktemp("run") / "run")[1]


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    model.save(path)
    return path


def batches():
    """A batch of each size, of one to three pictures."""
    made = []
    for i, size in enumerate(SIZES):
        batch = [tiny.ellipses((i, j), 2)[0] for j in range(1 + i % 3)]
        made.append(np.stack([cv2.resize(image, size[::-1]) for image in batch]))
    return made


def served_elsewhere(path, inputs, folder):
    """What an export gives in a process without this package, see `served_case`."""
    np.savez(folder / "in.npz", **{str(i): b for i, b in enumerate(inputs)})
    done = subprocess.run(
        [sys.executable, CASE, path, folder / "in.npz", folder / "out.npz"],
        cwd=folder,
        # The test's own kernels, and none of its paths.
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "out.npz")


def test_equal_in_a_process_that_has_nothing_but_tensorflow(model, exported, tmp_path):
    inputs = batches()
    outputs = served_elsewhere(exported, inputs, tmp_path)
    predictor = Predictor(model)
    counts = []
    for i, batch in enumerate(inputs):
        got = {name: outputs[f"{i}/{name}"] for name in signature_outputs()}
        found = predictor(list(batch))
        counts += [f.count for f in found]
        most = max(f.count for f in found)
        assert got["masks"].shape == (len(batch), most, *batch.shape[1:3])
        for j, f in enumerate(found):
            n = f.count
            assert got["count"][j] == n
            np.testing.assert_array_equal(got["labels"][j], f.labels)
            np.testing.assert_array_equal(got["boxes"][j, :n], f.boxes)
            np.testing.assert_allclose(got["scores"][j, :n], f.scores, atol=1e-5)
            for k in range(most):
                np.testing.assert_array_equal(got["masks"][j, k], f.labels == k + 1)
            assert not got["scores"][j, n:].any()
    assert max(counts) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["closer look", "foreground"])
def test_every_kind_of_model_is_served_elsewhere(name, tmp_path):
    """Both signatures: pictures, and their files."""
    model = finding(MODELS[name])
    model.save(tmp_path / "export")
    inputs = batches()
    outputs = served_elsewhere(tmp_path / "export", inputs, tmp_path)
    predictor, found_any = Predictor(model), 0
    for i, batch in enumerate(inputs):
        found = predictor(list(batch))
        found_any += sum(f.count for f in found)
        for kind in (f"{i}/", f"{i}/bytes/"):
            got = {k: outputs[kind + k] for k in ("labels", "scores", "boxes", "count")}
            check_equal(got, found, got["labels"])
        assert (outputs[f"{i}/bytes/size"] == batch.shape[1:3]).all()
    assert found_any > 0


def signature_outputs():
    return ("labels", "masks", "scores", "boxes", "count")


def test_the_signatures(exported):
    signatures = tf.saved_model.load(exported).signatures
    assert set(signatures) == {"serving_default", "serving_bytes"}
    images = signatures["serving_default"]
    (spec,) = images.structured_input_signature[1].values()
    assert (spec.name, spec.dtype) == ("images", tf.uint8)
    assert spec.shape.as_list() == [None, None, None, 3]
    given = {
        name: (value.dtype, value.shape.rank)
        for name, value in images.structured_outputs.items()
    }
    assert given == {
        "labels": (tf.int32, 3),
        "masks": (tf.bool, 4),
        "scores": (tf.float32, 2),
        "boxes": (tf.float32, 3),
        "count": (tf.int32, 1),
    }
    given = signatures["serving_bytes"].structured_outputs
    assert set(given) == {"labels_bytes", "size", "scores", "boxes", "count"}


def test_an_export_has_one_view(model, tmp_path, caplog):
    """More are of no use to a graph; it must not say that it has them."""
    inference = dataclasses.replace(model.config.inference, views=8)
    saved_model.write(model, tmp_path / "export", inference=inference)
    assert "looks at each image once, as it is: the 8 views" in caplog.text
    about = json.loads((tmp_path / "export" / "export.json").read_text())
    assert about["config"]["inference"]["views"] == 1
    images = batches()[1]
    again = tf.saved_model.load(tmp_path / "export")
    labels = again.signatures["serving_default"](images=tf.constant(images))["labels"]
    for one, found in zip(labels, Predictor(model)(list(images)), strict=True):
        np.testing.assert_array_equal(one, found.labels)


def test_what_the_folder_says_of_itself(model, exported):
    about = json.loads((exported / "export.json").read_text())
    assert about["config"] == json.loads(json.dumps(model.config.to_dict()))
    assert about["versions"]["tensorflow"] == tf.__version__
    # Nothing unfinished stays beside it.
    assert [p.name for p in exported.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("overwrite", [None, False])
def test_an_export_is_not_replaced_unasked(model, exported, overwrite):
    before = (exported / "export.json").stat().st_mtime_ns
    with pytest.raises(saved_model.ExportError, match="--overwrite"):
        model.save(exported, overwrite=overwrite)
    assert (exported / "export.json").stat().st_mtime_ns == before


def test_an_export_is_replaced_on_demand(model, tmp_path):
    path = tmp_path / "model"
    path.mkdir()  # an empty folder is free
    model.save(path)
    old = (path / "export.json").stat().st_mtime_ns
    model.save(path, overwrite=True)
    assert (path / "export.json").stat().st_mtime_ns > old
    assert (path / "saved_model.pb").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_other_folders_are_never_replaced(tmp_path):
    (tmp_path / "photo.jpg").touch()
    # Somebody's own SavedModel is no export, either.
    for name in ("photo.jpg", "saved_model.pb"):
        (tmp_path / name).touch()
        for overwrite in (False, True):
            with pytest.raises(saved_model.ExportError, match="no model exported"):
                saved_model.check_free(tmp_path, overwrite)
    with pytest.raises(saved_model.ExportError, match="is a file"):
        saved_model.check_free(tmp_path / "photo.jpg", True)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("assets.extra/tf_serving_warmup_requests", "assets.extra"),
        ("2/saved_model.pb", "2"),
        ("notes.txt", "notes.txt"),
        ("assets/words.txt", "assets/words.txt"),
        ("variables/mine.npz", "variables/mine.npz"),
        (".hidden", ".hidden"),
    ],
)
def test_an_export_with_files_of_others_is_not_replaced(tmp_path, name, told):
    """As TensorFlow Serving's warm-up requests, or another version."""
    for part in ("saved_model.pb", "export.json", "variables/variables.index", name):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).touch()
    told = re.escape(str(tmp_path / told))
    with pytest.raises(saved_model.ExportError, match=f"^{told} is no part of an exp"):
        saved_model.check_free(tmp_path, overwrite=True)
    with pytest.raises(saved_model.ExportError, match="--overwrite"):
        saved_model.check_free(tmp_path)
    assert (tmp_path / name).exists()


def test_a_full_disk_leaves_the_old_export(model, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.mkdir()
    (path / "saved_model.pb").write_text("old")
    (path / "export.json").write_text("{}")

    def full(_, folder, **__):
        Path(folder).mkdir()
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(saved_model.ExportError, match="No space left"):
        model.save(path, overwrite=True)
    assert (path / "saved_model.pb").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_files_of_keras_as_before(model, tmp_path):
    path = tmp_path / "model.keras"
    for _ in range(2):  # Keras replaces a file
        model.save(path)
    again = keras.saving.load_model(path)
    assert isinstance(again, RecurrentAttention)
    images = [tiny.ellipses(0, 2)[0]]
    (a,), (b,) = Predictor(model)(images), Predictor(again)(images)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert a.count >= 1


def test_an_option_of_keras_files_is_told(model, tmp_path):
    with pytest.raises(ValueError, match=r"without save_format.*end with \.keras"):
        model.save(tmp_path / "model", save_format="tf")
    assert not list(tmp_path.iterdir())
