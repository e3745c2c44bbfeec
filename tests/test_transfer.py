"""Starting from the weights of another model."""

import logging

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiny_models import build, centers_config, heat_config, images

from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.transfer import start_from, transfer_weights


@pytest.fixture(scope="module")
def source():
    model = RecurrentAttention(tiny.config())
    for number, variable in enumerate(model.weights, start=1):
        variable.assign(np.full(variable.shape, float(number)))
    return model


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    folder = RunFolder(tmp_path_factory.mktemp("init") / "run")
    folder.create(source.config)
    folder.save_weights(source, folder.best_weights)
    return folder


def values(model):
    return {v.path.split("/", 1)[1]: v.numpy() for v in model.weights}


def test_the_same_configuration_takes_everything(source):
    model = RecurrentAttention(tiny.config())
    result = transfer_weights(source, model)
    assert result.fresh == []
    assert len(result.taken) == len(model.weights)
    wanted = values(source)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_variables_of_another_shape_stay_fresh():
    """Twice the LSTM units: the controller is taken, what touches the LSTM is not."""
    config = tiny.config()
    first = RecurrentAttention(config)
    wide = RecurrentAttention(config.replace(box_network={"lstm_units": 16}))
    before, given = values(wide), values(first)
    result = transfer_weights(first, wide)
    after = values(wide)
    assert set(result.taken) | set(result.fresh) == set(after)
    assert set(result.taken).isdisjoint(result.fresh)
    for name, value in after.items():
        same = before[name].shape == given[name].shape
        assert (name in result.taken) == same, name
        np.testing.assert_array_equal(value, (given if same else before)[name])
    assert any("lstm" in name for name in result.fresh)
    assert all("controller" not in name for name in result.fresh)


def test_a_center_map_that_the_source_does_not_have_changes_nothing_at_first():
    first = build(heat_config(), seed=1)
    marked = build(centers_config(), seed=2)
    result = transfer_weights(first, marked)
    assert result.fresh == []
    seen = tf.constant(images(first.config, 3))
    expected = first.infer(seen, stop=False)
    found = marked.infer(seen, stop=False)
    assert np.std(expected["masks"]) > 1e-3
    for name in ("masks", "scores", "boxes"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    # Another depth is another kernel, with or without the map.
    deeper = build(centers_config().replace(box_network={"canvas_depth": 7}))
    assert "controller/canvas_code/kernel" in transfer_weights(first, deeper).fresh


def test_start_from_a_run_folder(source, folder, caplog):
    model = RecurrentAttention(tiny.config().replace(box_network={"mlp_units": 16}))
    with caplog.at_level(logging.INFO):
        result = start_from(model, folder.path)
    assert result.fresh
    assert result.fresh[0] in caplog.text
    name = result.taken[0]
    np.testing.assert_array_equal(values(model)[name], values(source)[name])


def test_start_from_nothing(tmp_path):
    model = RecurrentAttention(tiny.config())
    with pytest.raises(RunError, match="neither a folder nor"):
        start_from(model, tmp_path / "none")
