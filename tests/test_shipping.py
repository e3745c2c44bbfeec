"""A run becomes shipped weights."""

import json

import numpy as np
import pytest
import tiny

from keras_recattend import run_folder
from keras_recattend.errors import UserError
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunFolder, find_weights
from keras_recattend.shipping import ship


@pytest.fixture(scope="module")
def model():
    return RecurrentAttention(tiny.config())


@pytest.fixture
def run(model, tmp_path):
    folder = RunFolder(tmp_path / "run")
    options = {"dataset": "cvppp", "data_dir": "/secret/place", "seed": 3, "fold": None}
    folder.create(model.config, options=options, versions="x")
    folder.save_weights(model, folder.best_weights)
    folder.metrics_file.write_text(json.dumps({"sbd": {"mean": 80.0}}))
    (folder.path / "images.csv").write_text("name,sbd\n")
    (folder.path / "history.csv").write_text("stage\n")
    return folder.path


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card.md"
    path.write_text("# Tiny\n")
    return path


def test_shipped_weights_are_found_by_name(model, run, card, tmp_path, monkeypatch):
    shelf = tmp_path / "pretrained"
    target = ship(run, "tiny_one", card, shelf)
    files = {path.name for path in target.iterdir()}
    wanted = {"best.weights.h5", "config.json", "metrics.json", "images.csv"}
    assert files == wanted | {"README.md"}
    assert [path.name for path in shelf.iterdir()] == ["tiny_one"]
    monkeypatch.setattr(run_folder, "PRETRAINED", shelf)
    folder = find_weights("tiny_one")
    config, about = folder.read()
    assert config == model.config
    assert about == {"options": {"dataset": "cvppp", "seed": 3}, "versions": "x"}
    loaded = RecurrentAttention(config)
    folder.load_weights(loaded)
    for ours, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_is_replaced_unasked(run, card, tmp_path):
    shelf = tmp_path / "pretrained"
    target = ship(run, "tiny_one", card, shelf)
    (run / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="--replace"):
        ship(run, "tiny_one", card, shelf)
    assert json.loads((target / "metrics.json").read_text())
    ship(run, "tiny_one", card, shelf, replace=True)
    assert not json.loads((target / "metrics.json").read_text())


@pytest.mark.parametrize("name", ["../elsewhere", "a b", ""])
def test_names(run, card, tmp_path, name):
    with pytest.raises(UserError, match="letters, digits"):
        ship(run, name, card, tmp_path / "pretrained")


@pytest.mark.parametrize("file", ["best.weights.h5", "metrics.json", "images.csv"])
def test_a_run_that_is_not_complete(run, card, tmp_path, file):
    (run / file).unlink()
    with pytest.raises(UserError, match=file):
        ship(run, "tiny_one", card, tmp_path / "pretrained")
    assert not (tmp_path / "pretrained").exists()


def test_weights_that_are_too_large(run, card, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_recattend.shipping.MOST_BYTES", 10)
    with pytest.raises(UserError, match="10 at most"):
        ship(run, "tiny_one", card, tmp_path / "pretrained")
