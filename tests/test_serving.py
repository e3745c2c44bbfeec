"""The graph against `Predictor`: every kind of model, sizes, batches, encoded files."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tiny
import tiny_models
import tiny_run
from PIL import Image
from served_models import MODELS, batch_of, check_equal, finding

from keras_recattend.config import Inference
from keras_recattend.errors import UserError
from keras_recattend.prediction import Predictor
from keras_recattend.serving import ServedModel

SIZES = [(32, 40), (70, 35), (1, 1), (3, 20)]


@pytest.mark.parametrize("name", MODELS)
def test_equal_to_the_predictor(name):
    model = finding(MODELS[name])
    served, predictor = ServedModel(model), Predictor(model)
    found_any = 0
    for i, size in enumerate(SIZES):
        images = batch_of(size, 1 + i % 3)
        found = predictor(list(images))
        outputs = served.segment(images)
        check_equal(outputs, found, outputs["labels"].numpy())
        found_any += sum(f.count for f in found)
    assert found_any > 0


def test_the_closer_look_is_taken():
    """Small objects of a large picture: another result than the first look's."""
    near, far = (
        ServedModel(finding(MODELS[name])) for name in ("closer look", "patches")
    )
    image = np.zeros((1, 96, 96, 3), np.uint8)
    image[0, 30:62, 30:62] = tiny.ellipses(0, 3)[0]
    model = finding(MODELS["closer look"])
    found = Predictor(model)(list(image))
    check_equal(near.segment(image), found, near.segment(image)["labels"].numpy())
    near, far = (s.segment(image)["labels"].numpy() for s in (near, far))
    # Both were looked at; where nothing is cropped they could not differ.
    assert found[0].count > 0
    assert (near != far).any()


def test_no_object(tmp_path):
    model = finding(MODELS["closer look"])
    model.scoring.bias.assign([-50.0])
    outputs = ServedModel(model).segment(batch_of((20, 30), 2))
    assert outputs["count"].numpy().tolist() == [0, 0]
    assert outputs["labels"].shape == (2, 20, 30)
    assert not outputs["labels"].numpy().any()
    assert outputs["masks"].shape == (2, 0, 20, 30)
    assert outputs["scores"].shape == (2, 0)
    assert outputs["boxes"].shape == (2, 0, 4)


def test_an_empty_batch_is_told():
    served = ServedModel(finding(MODELS["patches"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="one image or more"):
        served.segment(np.zeros((0, 8, 8, 3), np.uint8))


def test_the_weights_are_shared(tmp_path):
    _, model = tiny_run.make(tmp_path / "run")
    served = ServedModel(model)
    images = batch_of((32, 32), 1)
    assert served.segment(images)["count"][0] >= 1
    model.scoring.bias.assign([-50.0])
    assert served.segment(images)["count"][0] == 0


# -- encoded files ---------------------------------------------------------------------


def encoded(image, kind, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def as_read(data):
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def test_files_of_several_sizes_and_kinds(tmp_path):
    _, model = tiny_run.make(tmp_path / "run")
    images = [batch_of(size, 1)[0] for size in [(32, 32), (70, 35), (40, 90), (1, 1)]]
    grey = images[1][..., 0]
    files = [
        encoded(images[0], "PNG"),
        encoded(grey, "PNG"),
        encoded(images[2], "JPEG", quality=85),
        encoded(images[3], "BMP"),
    ]
    outputs = ServedModel(model).segment_bytes(files)
    found = Predictor(model)([as_read(data) for data in files])
    labels = [
        np.array(Image.open(io.BytesIO(png))) for png in outputs["labels_bytes"].numpy()
    ]
    check_equal(outputs, found, labels)
    sizes = [list(f.labels.shape) for f in found]
    assert outputs["size"].numpy().tolist() == sizes
    assert sum(f.count for f in found) > 0


def test_bytes_that_are_no_picture():
    served = ServedModel(finding(MODELS["patches"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="image"):
        served.segment_bytes([b"hello"])


# -- what cannot be served -------------------------------------------------------------


def test_maps_from_outside_cannot_be_served():
    model = tiny_models.build(tiny_models.heat_config(extra_channels=9), spread=False)
    with pytest.raises(UserError, match="extra_channels=9 without a preprocessor"):
        ServedModel(model)


def test_a_foreground_that_the_model_does_not_give_is_a_mistake_to_tell():
    model = tiny_models.build(MODELS["patches"], spread=False)
    with pytest.raises(UserError, match=r"foreground_threshold=0\.3 needs a model"):
        ServedModel(model, Inference(foreground_threshold=0.3))
