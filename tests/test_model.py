"""The model: how it is called, saved, loaded, and its precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_models import CONFIGS, build, build_with_images, images

from keras_recattend.model import Prepared, RecurrentAttention


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("with_extra", [False, True])
def test_call_takes_images_or_a_dict(name, with_extra):
    model, image, extra = build_with_images(name, with_extra)
    inputs = image if extra is None else {"image": image, "extra": extra}
    out = model(inputs)
    expected = model.infer(image, extra)
    config = model.config
    batch, timespan = 3, config.timespan
    assert out["masks"].shape == (batch, timespan, *config.image_size)
    assert out["scores"].shape == (batch, timespan)
    assert out["boxes"].shape == (batch, timespan, 4)
    assert out["patches"].shape == (batch, timespan, *config.segmentation.patch_size)
    assert out["count"].dtype == tf.int32
    for name in expected:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load(name, tmp_path):
    model = build(CONFIGS[name]())
    image = tf.constant(images(model.config, 2))
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert isinstance(again, RecurrentAttention)
    assert again.config == model.config
    assert_same_outputs(again(image), model(image))


@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load_weights(name, tmp_path):
    model = build(CONFIGS[name]())
    image = tf.constant(images(model.config, 2))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    again = build(CONFIGS[name](), seed=1)
    assert not np.allclose(again(image)["scores"], model(image)["scores"])
    again.load_weights(path)
    assert_same_outputs(again(image), model(image))


def assert_same_outputs(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-6, err_msg=name)


def test_a_config_can_be_given_as_it_is_written():
    config = CONFIGS["paper"]()
    model = RecurrentAttention(config)
    again = RecurrentAttention.from_config(model.get_config())
    assert again.config == config


@pytest.mark.parametrize("name", CONFIGS)
def test_an_untrained_model_gives_finite_numbers(name):
    model = build(CONFIGS[name](), spread=False)
    out = model.infer(tf.constant(images(model.config, 2)), stop=False)
    for key, value in out.items():
        assert np.isfinite(value).all(), key


def test_float32_is_not_rounded_to_10_bits():
    """As TensorFlow would on a GPU; the setting is the process's."""
    tf.config.experimental.enable_tensor_float_32_execution(True)
    build(CONFIGS["paper"](), spread=False)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture
def mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize("name", CONFIGS)
def test_mixed_precision_gives_finite_float32(name):
    model = build(CONFIGS[name](), spread=False)
    assert model.controller.compute_dtype == "float16"
    out = model.infer(tf.constant(images(model.config, 2)), stop=False)
    for key in ("masks", "scores", "boxes", "patches", "canvas"):
        assert out[key].dtype == tf.float32, key
        assert np.isfinite(out[key]).all(), key


def test_look_hands_on_what_is_blocked_and_how_sharp():
    model = build(CONFIGS["heat"]())
    prepared = model.prepare(tf.constant(images(model.config, 2)))
    canvas = tf.zeros([2, *model.config.image_size])
    box = model.look(prepared, canvas)
    again = model.look(prepared, canvas, blocked=tf.stop_gradient(box.place))
    assert not np.any(again.place * box.place)
    sharpness = model.config.box_network.sharpness
    model.config = model.config.replace(box_network={"sharpness": 2.0 * sharpness})
    sharper = box.attention[:, -1].numpy() ** 2
    sharper /= sharper.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(
        model.look(prepared, canvas).attention[:, -1], sharper, rtol=1e-3, atol=1e-6
    )


def test_every_image_is_repeated_in_its_place():
    features = tf.range(6.0)[:, tf.newaxis]
    repeated = Prepared(features, None, features).repeat(2)
    expected = np.repeat(range(6), 2)
    np.testing.assert_array_equal(repeated.features[:, 0], expected)
    # The image itself is needed once.
    assert repeated.image is features
