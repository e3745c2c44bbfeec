"""What a Keras user does with the model, without this project's commands."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from stopping import differing_threshold

import keras_recattend
from keras_recattend import stages
from keras_recattend.api import Segmenter
from keras_recattend.image_files import ImageError
from keras_recattend.model import RecurrentAttention
from keras_recattend.prediction import Predictor

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return RecurrentAttention(tiny.config())


def compiled(model, name):
    model.compile("sgd", objective=stages.objective(name, model.config))
    return model


# -- XLA and export ----------------------------------------------------------------


def test_xla_is_never_chosen(model):
    """On a GPU Keras would; images that are finished leave the batch."""
    image = tiny.batch((3, 1, 2))["image"]
    scores = model.infer(image, stop=False)["scores"].numpy()
    threshold = differing_threshold(scores)
    model.config = model.config.replace(inference={"score_threshold": threshold})
    assert not model.supports_jit
    with pytest.warns(UserWarning, match="jit_compile"):
        model.jit_compile = True
    assert model.jit_compile is False
    predicted, inferred = model.predict(image, verbose=0), model.infer(image)
    for name in ("scores", "boxes", "count"):
        np.testing.assert_allclose(
            predicted[name], inferred[name], 1e-5, 1e-6, err_msg=name
        )


def test_keras_own_export(model, tmp_path):
    image = tiny.batch((3, 1))["image"]
    outputs = model(image)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    served = exported.serve(image)
    assert set(served) == set(outputs)
    for name, values in outputs.items():
        np.testing.assert_allclose(served[name], values, 1e-4, 1e-5, err_msg=name)


def test_keras_file_in_another_process(model, tmp_path):
    model.save(tmp_path / "model.keras")
    program = """
import sys, keras, keras_recattend.model
model = keras.saving.load_model(sys.argv[1])
assert type(model) is keras_recattend.RecurrentAttention
"""
    arguments = [sys.executable, "-c", program, tmp_path / "model.keras"]
    subprocess.run(arguments, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_names_that_the_package_lacks():
    assert keras_recattend.RecurrentAttention is RecurrentAttention
    with pytest.raises(AttributeError, match="RecurentAttention"):
        _ = keras_recattend.RecurentAttention


# -- what is given -----------------------------------------------------------------


def test_images_of_any_float_type_as_numpy_arrays(model):
    image = tiny.batch((3, 1))["image"].numpy()
    expected = model(image)
    for given in (image.astype(np.float64), image.astype(np.float64).tolist()):
        for outputs in (model(np.asarray(given)), model.infer(given)):
            np.testing.assert_allclose(
                outputs["scores"], expected["scores"], 1e-4, 1e-5
            )


@pytest.mark.parametrize("ask", [lambda m, x: m(x), lambda m, x: m.infer(x)])
def test_integers_are_no_images(model, ask):
    pixels = np.zeros((1, *model.config.image_size, 3), np.uint8)
    with pytest.raises(ValueError, match=r"floats from 0 to 1, got uint8.*Predictor"):
        ask(model, pixels)


def test_fractions_are_no_pictures(model):
    """Divided by 255 once more, they would be black."""
    predictor = Predictor(model)
    pixels = np.zeros((40, 50, 3), np.uint8)
    for ask in (predictor, predictor.watch):
        with pytest.raises(ImageError, match="uint8 from 0 to 255"):
            ask([pixels / 255.0])
    assert predictor([pixels[..., 0]])[0].labels.shape == (40, 50)


def test_pillows_images_as_their_files(model, tmp_path):
    """A palette's indices are no colours, and cameras turn pictures."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (30, 44, 3), np.uint8))
    image.quantize(8).save(tmp_path / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    segmenter = Segmenter(model, None, Predictor(model))
    for name in ("palette.png", "turned.jpg"):
        with Image.open(tmp_path / name) as picture:
            ours = segmenter.segment(picture).image
        file = segmenter.segment(tmp_path / name).image
        np.testing.assert_array_equal(ours, file)


# -- compile and fit ---------------------------------------------------------------


@pytest.mark.parametrize("given", [{"loss": "mse"}, {"metrics": ["mae"]}])
def test_losses_and_metrics_of_keras_are_refused(model, given):
    with pytest.raises(ValueError, match=rf"without {next(iter(given))}:.*objective"):
        model.compile("adam", **given)


def test_what_is_no_objective_is_refused(model):
    with pytest.raises(ValueError, match=r"objective is one of .*'mse'"):
        model.compile("adam", "mse")


def test_batches_that_cannot_be_read(model):
    compiled(model, "box")
    batch = tiny.batch()
    image, labels = batch["image"], batch["labels"]
    with pytest.raises(ValueError, match=r"A batch is a dict .* got tuple"):
        model.train_step((image, labels))
    with pytest.raises(ValueError, match=r"got \['image'\]"):
        model.test_step({"image": image})
    pixels = tf.cast(255.0 * image, tf.uint8)
    with pytest.raises(ValueError, match="divide by 255"):
        model.train_step({"image": pixels, "labels": labels})


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["box", "joint"])
def test_labels_of_any_integer_type(model, name, dtype):
    objective = stages.objective(name, model.config)
    evaluate = tf.function(lambda batch: objective(model, batch, 0, False))
    batch = tiny.batch()
    expected, _ = evaluate(batch)
    labels = batch["labels"].numpy().astype(dtype)
    terms, _ = evaluate({"image": batch["image"].numpy(), "labels": labels})
    for term, value in expected.items():
        np.testing.assert_allclose(terms[term], value, rtol=1e-5)


# -- frozen layers -----------------------------------------------------------------


def test_a_frozen_layer_stays_as_it_is():
    config = tiny.config(normalization="batch")
    model = RecurrentAttention(config)
    model.controller.trainable = False
    compiled(model, "box")
    before = [v.numpy() for v in model.controller.weights]
    box_head = [v.numpy() for v in model.box_head.weights]
    model.train_step(tiny.batch())
    for old, new in zip(before, model.controller.weights, strict=True):
        np.testing.assert_array_equal(old, new, new.path)
    pairs = zip(box_head, model.box_head.weights, strict=True)
    assert any((old != new.numpy()).any() for old, new in pairs)
    segmentation = [v.numpy() for v in model.segmentation.weights]
    model.segmentation.trainable = False
    compiled(model, "joint").train_step(tiny.batch())
    for old, new in zip(segmentation, model.segmentation.weights, strict=True):
        np.testing.assert_array_equal(old, new, new.path)


def test_a_frozen_score_is_not_trained(model):
    model.scoring.trainable = False
    for name in ("box", "own_canvases", "joint"):
        objective = stages.objective(name, model.config)
        paths = {v.path for v in objective.variables(model)}
        assert paths
        assert not paths & {v.path for v in model.scoring.weights}
