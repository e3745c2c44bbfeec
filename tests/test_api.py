"""`keras_recattend.load` and what it returns."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tiny
import tiny_run
from PIL import Image
from stub_predictor import Stub, picture

import keras_recattend
from keras_recattend import shipped_weights
from keras_recattend.api import Segmenter
from keras_recattend.errors import ConfigError, UserError
from keras_recattend.image_files import ImageError
from keras_recattend.prediction import Predictor
from keras_recattend.run_folder import RunFolder

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with weights, and its model."""
    return tiny_run.make(tmp_path_factory.mktemp("pretrained") / "leaves")


@pytest.fixture
def segmenter():
    return Segmenter(None, None, Stub())


def test_importing_the_package_is_light():
    code = (
        "import sys, keras_recattend; keras_recattend.load; "
        "sys.exit(bool({'tensorflow', 'keras', 'cv2'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode
        == 0
    )


def test_load_a_run_folder(trained):
    folder, model = trained
    loaded = keras_recattend.load(folder.path)
    assert loaded.weights == folder.best_weights
    image = tiny.examples()[1].image
    result = loaded.segment(image)
    expected = Predictor(model)([image])[0]
    assert result.count == expected.count > 0
    np.testing.assert_array_equal(result.labels, expected.labels)
    np.testing.assert_allclose(result.scores, expected.scores, atol=1e-6)
    np.testing.assert_array_equal(result.boxes, expected.boxes)


def test_load_shipped_weights_by_name(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(shipped_weights, "PRETRAINED", folder.path.parent)
    loaded = keras_recattend.load("leaves", batch_size=3, min_area=10**6)
    assert loaded.predictor.batch_size == 3
    assert loaded.segment(tiny.examples()[0].image).count == 0
    with pytest.raises(UserError, match="leaves"):
        keras_recattend.load("leafs")


def test_an_unknown_option(trained):
    with pytest.raises(ConfigError, match="min_area"):
        keras_recattend.load(trained[0].path, min_erea=3)


def test_a_threshold_where_nothing_stops(tmp_path):
    """As in the paper's presets: it would change nothing, in silence."""
    config = tiny.paper_config().replace(inference={"stop": False})
    RunFolder(tmp_path).create(config)
    with pytest.raises(UserError, match="whatever their score"):
        keras_recattend.load(tmp_path, score_threshold=0.9)


def test_a_folder_without_weights(tmp_path):
    RunFolder(tmp_path / "run").create(tiny.config())
    with pytest.raises(UserError, match="no weights"):
        keras_recattend.load(tmp_path / "run")


def test_any_size(trained):
    shapes = [(1, 1), (1, 300), (33, 2), (500, 700)]
    images = [np.full((*shape, 3), 200, np.uint8) for shape in shapes]
    results = keras_recattend.load(trained[0].path, batch_size=3).segment(images)
    assert [result.labels.shape for result in results] == shapes
    assert all(result.plot().dtype == np.uint8 for result in results)


def test_a_result(segmenter):
    result = segmenter.segment(picture())
    assert result.count == 2
    assert result.labels.shape == (24, 32)
    np.testing.assert_allclose(result.scores, [0.9, 0.6])
    np.testing.assert_array_equal(result.boxes, [[2, 3, 8, 9], [12, 20, 21, 29]])
    assert [region.area for region in result.regions()] == [49, 100]
    assert repr(result) == "Result(2 objects in 32 x 24 pixels)"


def test_one_gives_one_and_a_list_gives_a_list(segmenter, tmp_path):
    Image.fromarray(picture(green=None)).save(tmp_path / "x.png")
    results = segmenter.segment(
        [picture(), tmp_path / "x.png", str(tmp_path / "x.png")]
    )
    assert [r.count for r in results] == [2, 1, 1]
    assert segmenter.segment(tmp_path / "x.png").count == 1
    assert segmenter.segment([]) == []


def test_grey(segmenter):
    grey = picture(green=None)[..., 0]
    result = segmenter.segment(grey)
    assert result.image.shape == (24, 32, 3)
    np.testing.assert_array_equal(result.labels > 0, grey > 0)


def test_plot(segmenter, tmp_path):
    result = segmenter.segment(picture(400, 500))
    drawn = result.plot(tmp_path / "new" / "overlay.png")
    assert drawn.shape == (400, 500, 3)
    with Image.open(tmp_path / "new" / "overlay.png") as file:
        np.testing.assert_array_equal(np.array(file), drawn)
    # Inside the red object its own colour, outside the picture itself.
    assert (drawn[5, 6] != result.image[5, 6]).any()
    np.testing.assert_array_equal(drawn[300, 400], result.image[300, 400])
    assert result.plot(longest=100).shape == (80, 100, 3)
    with pytest.raises(ValueError, match="PNG"):
        result.plot(tmp_path / "overlay.jpg")


def test_what_is_no_picture(segmenter, tmp_path):
    with pytest.raises(ImageError, match="uint8"):
        segmenter.segment(np.zeros((4, 4, 3)))
    with pytest.raises(ImageError, match="does not exist"):
        segmenter.segment(tmp_path / "gone.png")
