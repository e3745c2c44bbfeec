"""Validation of a model of mixed precision is that of its weights in float32."""

import keras
import numpy as np
import pytest
import tiny_models

from keras_recattend.model import RecurrentAttention
from keras_recattend.prediction import Predictor
from keras_recattend.scoring_predictor import ScoringPredictor


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), np.uint8))


def build(precision):
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny_models.heat_config(), dtype=precision)


def scores(predictor, images):
    return np.concatenate([found.scores for found in predictor(images)])


def in_float32(model, images):
    """What another model of the same weights finds."""
    other = RecurrentAttention(model.config, dtype="float32")
    other.set_weights(model.get_weights())
    return Predictor(other)(images)


def test_equal_to_float32_after_every_step_of_training(images):
    model = build("mixed_bfloat16")
    predictor = ScoringPredictor(model)
    before = None
    for factor in (1.0, 1.1):
        model.set_weights([factor * w for w in model.get_weights()])
        found, expected = predictor(images), in_float32(model, images)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.labels, other.labels)
            np.testing.assert_array_equal(one.scores, other.scores)
        values = np.concatenate([f.scores for f in found])
        assert len(values)
        # In 16 bits they would be others, and so are those of other weights.
        assert not np.array_equal(values, scores(Predictor(model), images))
        assert not np.array_equal(values, before)
        before = values


def test_the_weights_that_train_stay_as_they_are(images):
    model = build("mixed_bfloat16")
    before = model.get_weights()
    ScoringPredictor(model)(images)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.dtype_policy.name == "mixed_bfloat16"


def test_a_model_in_float32_is_not_copied(images, monkeypatch):
    model = build("float32")
    monkeypatch.setattr("keras_recattend.scoring_predictor.RecurrentAttention", None)
    found = ScoringPredictor(model)(images)
    for one, other in zip(found, Predictor(model)(images), strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_an_epoch_looks_at_images_as_they_are(images, monkeypatch):
    model = build("float32")
    many = RecurrentAttention(model.config.replace(inference={"views": 4}))
    many.set_weights(model.get_weights())
    infer, views = many.infer, []

    def watched(image, inference, **options):
        views.append(inference.views)
        return infer(image, inference=inference, **options)

    monkeypatch.setattr(many, "infer", watched)
    found = ScoringPredictor(many)(images)
    assert views == [1]
    for one, other in zip(found, Predictor(model)(images), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
