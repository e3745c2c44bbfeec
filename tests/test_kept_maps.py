"""Runs with a pre-processing network: trained first, then asked once an image."""

import csv
import errno

import numpy as np
import pytest
import tensorflow as tf
import tiny
from eager import eagerly

from keras_recattend.map_cache import MapCache, Unchanged
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.stages.objective import Objective
from keras_recattend.training import Training, seed_everything

pytestmark = pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eager")

IMAGES = 3
NAMES = ["preprocess", "box"]


def pictures():
    images, labels = zip(*(tiny.ellipses(i, 2) for i in range(IMAGES)), strict=True)
    return np.stack(images).astype(np.float32) / 255, np.stack(labels)


def stream(batch_size, start, seed):
    """The images in turn, every other one flipped to the left."""
    images, labels = pictures()
    whole = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    flipped = np.array([[1, 0, 0], [0, -1, tiny.SIZE[1] - 1]], np.float32)

    def sample(number):
        index = number % IMAGES
        flip = number % 2 > 0
        return {
            "image": tf.reverse(images[index], [1]) if flip else images[index],
            "labels": tf.reverse(labels[index], [1]) if flip else labels[index],
            "index": np.int64(index),
            "matrix": flipped if flip else whole,
        }

    numbers = range(start, start + 40 * batch_size)
    samples = [sample(n) for n in numbers]
    whole = {k: np.stack([s[k] for s in samples]) for k in samples[0]}
    return tf.data.Dataset.from_tensor_slices(whole).batch(batch_size)


def validation(batch_size):
    images, labels = pictures()
    whole = {"image": images, "labels": labels, "index": np.arange(IMAGES)}
    return tf.data.Dataset.from_tensor_slices(whole).batch(batch_size)


def run(folder, monkeypatch, steps=3, validation=validation, mixed=None, **options):
    """Train two stages; return (model, whether each stage's batches had maps)."""
    seen = {}
    call = Objective.__call__

    def spying(self, model, batch, step, training):
        seen.setdefault(self.name, set()).add("extra" in batch)
        return call(self, model, batch, step, training)

    monkeypatch.setattr(Objective, "__call__", spying)
    stage = {"steps": steps, "steps_per_epoch": steps}
    config = tiny.preprocessed(stage, NAMES, augmentation=mixed or {})
    folder = RunFolder(folder)
    folder.create(config)
    seed_everything(0)
    model = RecurrentAttention(config)
    training = Training(model, folder, stream, validation, [], bar=False, **options)
    with eagerly():
        training.run()
    return model, folder, seen


@pytest.fixture
def known():
    return [Unchanged(IMAGES, validation), Unchanged(IMAGES, validation)]


def test_later_stages_read_the_maps_that_are_kept(tmp_path, monkeypatch, known):
    _, folder, seen = run(tmp_path / "kept", monkeypatch, unchanged=known)
    assert seen == {"preprocess": {False}, "box": {True}}
    # Gone with the end of the run.
    assert not folder.maps.exists()
    # Without the images as they are, the network runs at every step, to the same end.
    _, anew, seen = run(tmp_path / "anew", monkeypatch)
    assert seen == {"preprocess": {False}, "box": {False}}
    losses = []
    for f in (folder, anew):
        with open(f.history.path) as file:
            rows = list(csv.DictReader(file))
        assert [row["stage"] for row in rows] == NAMES
        assert rows[0]["angle_accuracy"]
        assert rows[0]["val_foreground_iou"]
        losses.append([float(row["loss"]) for row in rows])
    # Maps of a flipped image are not exactly the flipped maps.
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-6)
    np.testing.assert_allclose(losses[0][1], losses[1][1], rtol=0.05)


def test_where_nothing_validates(tmp_path, monkeypatch, known):
    images = [known[0], Unchanged(0, lambda size: None)]
    _, folder, seen = run(
        tmp_path / "all",
        monkeypatch,
        validation=lambda size: None,
        unchanged=images,
    )
    assert seen == {"preprocess": {False}, "box": {True}}
    assert not folder.maps.exists()


def test_maps_of_another_number_of_images_are_not_taken(tmp_path, monkeypatch, known):
    """A run of before --val-images, that goes on, has other images by the numbers."""
    used, fill = [], MapCache.fill

    def noted(self, *arguments, **options):
        used.append(self.folder.name.rpartition("-")[0])
        return fill(self, *arguments, **options)

    monkeypatch.setattr(MapCache, "fill", noted)
    run(tmp_path / "run", monkeypatch, unchanged=known)
    assert used == [f"train-{IMAGES}", f"val-{IMAGES}"]


def test_few_steps_are_not_worth_keeping_the_maps(tmp_path, monkeypatch, known):
    """One step of two images, of three: each is seen less than once."""
    _, _, seen = run(tmp_path / "few", monkeypatch, max_steps=1, unchanged=known)
    assert seen["box"] == {False}


@pytest.mark.parametrize("mixed", [{"paste": 1}, {"rendered": 0.5}])
def test_maps_of_images_fit_nothing_else(tmp_path, monkeypatch, known, mixed):
    """The steps for which they are kept otherwise."""
    _, _, seen = run(tmp_path / "run", monkeypatch, mixed=mixed, unchanged=known)
    assert seen == {"preprocess": {False}, "box": {False}}


def test_maps_that_do_not_fit_on_the_disk(tmp_path, monkeypatch, known):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MapCache, "fill", full)
    with pytest.raises(RunError, match=r"maps .*No space left.*--resume --run-dir"):
        run(tmp_path / "run", monkeypatch, unchanged=known)


def test_maps_that_would_take_too_long_are_not_kept(tmp_path, monkeypatch, known):
    """A fifth of the box stage's 2 seconds, less what is spent already."""
    asked = []

    def giving_up(self, unchanged, seconds, bar):
        asked.append(seconds)
        return False

    monkeypatch.setattr(MapCache, "fill", giving_up)
    _, _, seen = run(
        tmp_path / "short", monkeypatch, minutes=4 / 60, max_steps=1, unchanged=known
    )
    assert seen["box"] == {False}
    assert len(asked) == 1
    assert 0.0 < asked[0] <= 0.4
