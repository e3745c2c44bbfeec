"""A run becomes shipped weights."""

import json

import hand_made_fold
import numpy as np
import pytest
import tiny

from keras_recattend import fold_scores, shipped_weights, shipping
from keras_recattend.errors import UserError
from keras_recattend.metrics.report import read_csv
from keras_recattend.model import RecurrentAttention
from keras_recattend.reporting import leave_unscored
from keras_recattend.run_folder import RunFolder
from keras_recattend.shipped_weights import find_weights
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


@pytest.mark.parametrize("name", ["cvppp", "leaves", "rosettes"])
def test_what_is_shipped_has_the_scores_of_its_images(name):
    """The means of metrics.json, told on the card, are those of images.csv."""
    folder = shipped_weights.PRETRAINED / name
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = read_csv(folder / "images.csv")
    assert len({row["name"] for row in rows}) == len(rows) == metrics["n_images"]
    card = (folder / "README.md").read_text()
    for score, digits in (("sbd", 1), ("abs_dic", 2)):
        values = [row[score] for row in rows]
        told = metrics[score]
        assert told["mean"] == pytest.approx(np.mean(values))
        assert told["std"] == pytest.approx(np.std(values))
        assert f"{told['mean']:.{digits}f} ({told['std']:.{digits}f})" in card
    assert (folder / "best.weights.h5").stat().st_size <= shipping.MOST_BYTES


@pytest.mark.parametrize("name", ["cvppp", "leaves", "rosettes"])
def test_what_is_shipped_fits_todays_network(name):
    folder = find_weights(name)
    model = RecurrentAttention(folder.read()[0])
    kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
    untrained = [kernel.numpy() for kernel in kernels]
    folder.load_weights(model)
    for before, kernel in zip(untrained, kernels, strict=True):
        assert (kernel.numpy() != before).any(), kernel.path
    card = (folder.path / "README.md").read_text()
    assert f"{model.count_params():,}" in card


def test_shipped_weights_are_found_by_name(model, run, card, tmp_path, monkeypatch):
    shelf = tmp_path / "pretrained"
    target = ship(run, "tiny_one", card, shelf)
    files = {path.name for path in target.iterdir()}
    wanted = {"best.weights.h5", "config.json", "metrics.json", "images.csv"}
    assert files == wanted | {"README.md"}
    assert [path.name for path in shelf.iterdir()] == ["tiny_one"]
    monkeypatch.setattr(shipped_weights, "PRETRAINED", shelf)
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


# -- weights without scores of their own -------------------------------------------


@pytest.fixture
def everything(run):
    """A run on all labelled images."""
    (run / "images.csv").unlink()
    leave_unscored("tiny", run)
    return run


def cross_validation(path, finished=(1, 2), preset="tiny"):
    """A two-fold cross-validation's folder."""
    folds = []
    for number in finished:
        fold = path / f"fold-{number}"
        hand_made_fold.leave(fold, number, [80.0, 90.0], preset=preset)
        folds.append(fold_scores.read_fold(number, fold))
    fold_scores.write_scores(fold_scores.combine(folds, 2), [], path)
    return path


def test_scores_of_a_cross_validation(everything, card, tmp_path):
    """Weights and configuration of the run, scores of the other folder."""
    folder = cross_validation(tmp_path / "cv")
    shelf = tmp_path / "pretrained"
    target = ship(everything, "tiny_one", card, shelf, scores=folder)
    for file in ("metrics.json", "images.csv"):
        assert (target / file).read_bytes() == (folder / file).read_bytes()
    weights = "best.weights.h5"
    assert (target / weights).read_bytes() == (everything / weights).read_bytes()
    assert RunFolder(target).read()[0] == RunFolder(everything).read()[0]
    assert {row["fold"] for row in read_csv(target / "images.csv")} == {1, 2}
    assert json.loads((target / "metrics.json").read_text())["sbd"]["mean"] == 85.0


def test_the_command(everything, card, caller, monkeypatch):
    given = {}
    call = caller("shipping", shipping.main)
    arguments = ["--run", "a", "--scores", "b", "--name", "c", "--card", "d"]
    with monkeypatch.context() as patch:
        patch.setattr(shipping, "ship", lambda *a, **k: given.update(k, a=a))
        assert call(*arguments)[0] == 0
    assert given == {"a": ("a", "c", "d"), "replace": False, "scores": "b"}
    code, printed = call("--run", everything, "--name", "c", "--card", card)
    assert code == 2
    assert "every labelled image trained. Give --scores" in printed


def test_scores_must_be_asked_for(everything, card, tmp_path):
    with pytest.raises(
        UserError, match=r"every labelled image trained\. Give --scores"
    ):
        ship(everything, "tiny_one", card, tmp_path / "pretrained")


def test_a_training_that_has_not_ended(everything, card, tmp_path):
    folder = cross_validation(tmp_path / "cv")
    (everything / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"not come to its end.*--resume"):
        ship(everything, "tiny_one", card, tmp_path / "pretrained", scores=folder)


def test_a_cross_validation_that_has_not_ended(everything, card, tmp_path):
    folder = cross_validation(tmp_path / "cv", finished=[2])
    with pytest.raises(UserError, match=r"not come to its end \(missing folds: 1\)"):
        ship(everything, "tiny_one", card, tmp_path / "pretrained", scores=folder)


def test_scores_of_another_preset(everything, card, tmp_path):
    folder = cross_validation(tmp_path / "cv", preset="other")
    with pytest.raises(UserError, match=r"preset other, the weights .* of tiny"):
        ship(everything, "tiny_one", card, tmp_path / "pretrained", scores=folder)


def test_a_folder_without_scores(everything, card, tmp_path):
    with pytest.raises(UserError, match=r"cv.metrics\.json is missing"):
        ship(everything, "a", card, tmp_path / "pretrained", scores=tmp_path / "cv")
    folder = cross_validation(tmp_path / "cv")
    (folder / "metrics.json").write_text('{"n_images": 0}')
    with pytest.raises(UserError, match="has no scores of any image"):
        ship(everything, "a", card, tmp_path / "pretrained", scores=folder)
    (folder / "metrics.json").write_text("no JSON")
    with pytest.raises(UserError, match="cannot be read"):
        ship(everything, "a", card, tmp_path / "pretrained", scores=folder)
    assert not (tmp_path / "pretrained").exists()


def test_weights_that_are_too_large(run, card, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_recattend.shipping.MOST_BYTES", 10)
    with pytest.raises(UserError, match="10 at most"):
        ship(run, "tiny_one", card, tmp_path / "pretrained")
