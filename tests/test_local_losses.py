"""Validation losses on this device are those of Keras' `evaluate`."""

import keras
import pytest
import tiny

from keras_recattend import stages
from keras_recattend.local_losses import LocalLosses
from keras_recattend.model import RecurrentAttention
from keras_recattend.training import make_optimizer


def test_a_last_batch_that_is_not_full_weighs_by_its_images():
    keras.utils.set_random_seed(0)
    model = RecurrentAttention(tiny.config())
    objective = stages.objective("segmentation", model.config)
    model.compile(make_optimizer(objective.stage), objective=objective)
    batches = tiny.validation(2)
    assert [int(batch["image"].shape[0]) for batch in batches] == [2, 1]
    expected = model.evaluate(batches, verbose=0, return_dict=True)
    values = LocalLosses(model)(batches)
    assert set(values) == set(expected)
    assert len(values) > 2
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-4), name
