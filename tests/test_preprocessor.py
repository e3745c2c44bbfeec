"""The pre-processing network: shapes, probabilities, skips; what it is to the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiny_models import build, heat_config, images, paper_config

from keras_recattend.config import Config, Preprocessor
from keras_recattend.errors import ConfigError
from keras_recattend.model import RecurrentAttention
from keras_recattend.preprocessor import PreprocessingNetwork

NETWORK = {
    "depths": (4, 5, 6),
    "pools": (2, 1, 2),
    "transposed_depths": (5, 6, 9),
    "transposed_factors": (2, 2, 1),
    "skips": ((3, 1), (1, 2)),
}
SEMANTIC = NETWORK | {"transposed_depths": (5, 6, 17), "foreground_classes": 9}
FOREGROUND = NETWORK | {"transposed_depths": (5, 6, 1), "angle_classes": 0}


def spread(config):
    return build(config, spread=True)


@pytest.mark.parametrize(
    ("options", "classes", "angles"), [(NETWORK, 1, 8), (SEMANTIC, 9, 8)]
)
def test_maps_are_probabilities(options, classes, angles):
    config = heat_config(preprocessor=options)
    model = spread(config)
    image = images(config, 2)
    maps = model.maps(image)
    shape = (2, *config.image_size)
    assert maps.foreground.shape == shape
    assert maps.angles.shape == (*shape, angles)
    assert maps.extra.shape == (*shape, 9)
    np.testing.assert_allclose(tf.reduce_sum(maps.angles, -1), 1.0, rtol=1e-5)
    assert 0 <= maps.foreground.numpy().min() < maps.foreground.numpy().max() <= 1
    # Angles first, then the foreground.
    np.testing.assert_array_equal(maps.extra[..., :8], maps.angles)
    np.testing.assert_array_equal(maps.extra[..., 8], maps.foreground)
    if classes == 1:
        assert maps.semantic is None
    else:
        assert maps.semantic.shape == (*shape, classes)
        others = tf.reduce_sum(maps.semantic[..., 1:], -1)
        np.testing.assert_allclose(maps.foreground, others, atol=1e-6)


def test_channels_of_the_last_layer_are_foreground_then_angles():
    model = spread(heat_config(preprocessor=SEMANTIC))
    image = images(model.config, 1)
    logits = model.preprocessor.logits(image).numpy()
    powers = np.exp(logits)
    maps = model.maps(image)
    for got, part in [(maps.semantic, powers[..., :9]), (maps.angles, powers[..., 9:])]:
        np.testing.assert_allclose(got, part / part.sum(-1, keepdims=True), rtol=1e-4)


def test_without_angles_the_foreground_is_the_only_channel():
    config = heat_config(preprocessor=FOREGROUND)
    assert config.extra_channels == 1
    model = spread(config)
    maps = model.maps(images(config, 1))
    assert maps.angles.shape[-1] == 0
    np.testing.assert_array_equal(maps.extra[..., 0], maps.foreground)
    assert model(images(config, 1))["count"].shape == [1]


def test_skips_join_what_a_convolution_reads_to_what_a_transposed_layer_gives():
    """Kernels know the channels of the maps that they read."""
    model = spread(heat_config(preprocessor=NETWORK))
    network = model.preprocessor
    read = [layer.kernel.shape[-1] for layer in network.transposed.convolutions]
    # Convolution 3 reads 5 channels, convolution 1 the image's 3.
    assert read == [6, 5 + 5, 6 + 3]
    without = spread(heat_config(preprocessor=NETWORK | {"skips": ()}))
    layers = without.preprocessor.transposed.convolutions
    assert [layer.kernel.shape[-1] for layer in layers] == [6, 5, 6]


def test_the_last_layer_is_linear_and_not_normalised():
    network = spread(heat_config(preprocessor=NETWORK)).preprocessor
    assert (
        len(network.transposed.normalizations) == len(NETWORK["transposed_depths"]) - 1
    )
    assert network.logits(images(heat_config(), 1)).numpy().min() < 0


def test_a_new_network_finds_all_classes_as_likely():
    model = RecurrentAttention(heat_config(preprocessor=SEMANTIC))
    maps = model.maps(images(model.config, 1))
    np.testing.assert_allclose(maps.angles, 1 / 8, atol=0.05)
    np.testing.assert_allclose(maps.semantic, 1 / 9, atol=0.05)


def test_a_layer_made_anew_from_its_config_says_the_same():
    model = spread(heat_config(preprocessor=SEMANTIC))
    layer = model.preprocessor
    again = PreprocessingNetwork.from_config(layer.get_config())
    image = images(model.config, 1)
    again.build(image.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again.logits(image), layer.logits(image))
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize("make", [paper_config, heat_config])
def test_the_maps_change_what_the_box_network_says(make):
    """A model whose pre-processing network says something else draws other boxes."""
    model = spread(make(preprocessor=NETWORK))
    image = tf.constant(images(model.config, 2))
    canvas = tf.zeros([2, *model.config.image_size])
    before = model.look(model.prepare(image), canvas)
    last = model.preprocessor.transposed.convolutions[-1]
    last.bias.assign(last.bias + tf.linspace(-3.0, 3.0, 9))
    after = model.look(model.prepare(image), canvas)
    assert np.abs(before.center - after.center).max() > 1e-3


@pytest.mark.parametrize("make", [paper_config, heat_config])
def test_maps_given_by_the_caller_replace_the_networks(make):
    model = spread(make(preprocessor=NETWORK))
    image = tf.constant(images(model.config, 2))
    own = model.infer(image, stop=False)
    given = model.infer(image, model.maps(image).extra, stop=False)
    np.testing.assert_allclose(own["masks"], given["masks"], atol=1e-6)
    zeros = tf.zeros([2, *model.config.image_size, 9])
    other = model.infer(image, zeros, stop=False)
    assert np.abs(own["scores"] - other["scores"]).max() > 1e-5
    # Maps of its own are told, maps of the caller's are known there.
    np.testing.assert_array_equal(own["foreground"], model.maps(image).foreground)
    assert "foreground" not in given
    # As a dict, too.
    called = model({"image": image, "extra": zeros})
    np.testing.assert_array_equal(called["count"], model.infer(image, zeros)["count"])


def test_every_network_sees_the_maps():
    """13 channels: image, canvas, 8 angles, foreground."""
    model = spread(paper_config(preprocessor=NETWORK))
    assert model.controller.stack.convolutions[0].kernel.shape[2] == 13
    assert model.segmentation.cnn.convolutions[0].kernel.shape[2] == 13


@pytest.mark.parametrize("make", [paper_config, heat_config])
def test_the_box_network_may_see_the_maps_alone(make):
    """The paper's text: 10 channels, canvas and maps, without the image."""
    config = make(preprocessor=NETWORK, box_network={"sees_image": False})
    model = spread(config)
    if make is paper_config:
        assert model.controller.stack.convolutions[0].kernel.shape[2] == 10
    # Patches hold the image as ever (eq. 15).
    assert model.segmentation.cnn.convolutions[0].kernel.shape[2] == 13
    first, second = (tf.constant(images(config, 1, seed)) for seed in (1, 2))
    canvas = tf.zeros([1, *config.image_size])
    maps = [model.maps(image).extra for image in (first, second)]

    def center(image, extra):
        return model.look(model.prepare(image, extra), canvas).center.numpy()

    np.testing.assert_array_equal(center(first, maps[0]), center(second, maps[0]))
    assert np.abs(center(first, maps[0]) - center(first, maps[1])).max() > 1e-4
    with pytest.raises(ConfigError, match="sees_image=False leaves the canvas alone"):
        make(box_network={"sees_image": False})


def test_no_gradient_reaches_it_from_the_other_networks():
    model = spread(heat_config(preprocessor=NETWORK))
    image = tf.constant(images(model.config, 1))
    with tf.GradientTape() as tape:
        prepared = model.prepare(image)
        box = model.look(prepared, tf.zeros([1, *model.config.image_size]))
        loss = tf.reduce_sum(box.heat) + tf.reduce_sum(prepared.extra)
    gradients = tape.gradient(loss, model.preprocessor.trainable_variables)
    assert all(gradient is None for gradient in gradients)


def test_it_stays_as_it_is_whatever_mode_the_model_is_called_in():
    """Keras hands an outer call's mode on to the layers within."""
    model = RecurrentAttention(tiny.preprocessed())
    image = tiny.batch()["image"]
    preprocessor = model.preprocessor
    for variable in preprocessor.non_trainable_variables:
        variable.assign(variable + 0.5)
    before = [v.numpy() for v in preprocessor.non_trainable_variables]
    assert before
    outputs = [model(image, training=training) for training in (False, True)]
    for name in ("foreground", "masks"):
        np.testing.assert_array_equal(outputs[0][name], outputs[1][name])
    for old, new in zip(before, preprocessor.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_instance_variables_are_all_but_the_networks():
    model = RecurrentAttention(tiny.preprocessed())
    paths = {v.path for v in model.instance_variables}
    own = {v.path for v in model.preprocessor.trainable_variables}
    assert own
    assert not own & paths
    assert own | paths == {v.path for v in model.trainable_variables}
    plain = RecurrentAttention(tiny.config())
    assert len(plain.instance_variables) == len(plain.trainable_variables)


@pytest.mark.parametrize("options", [NETWORK, SEMANTIC])
def test_save_and_load(options, tmp_path):
    model = spread(heat_config(preprocessor=options))
    image = images(model.config, 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    expected, got = model(image), loaded(image)
    assert set(got) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=1e-6, err_msg=name)


def test_config_survives_json():
    config = heat_config(preprocessor=NETWORK)
    assert isinstance(config.preprocessor, Preprocessor)
    assert Config.from_dict(config.to_dict()) == config
    assert Config.from_dict(heat_config().to_dict()).preprocessor is None


def test_extra_channels_follow_from_the_network():
    config = heat_config(preprocessor=NETWORK)
    assert config.extra_channels == 9
    assert config.replace(preprocessor=None).extra_channels == 0
    assert config.replace(preprocessor=FOREGROUND).extra_channels == 1
    assert config.replace(max_instances=9).extra_channels == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transposed_depths": (5, 6, 8)}, r"must end with 9 .*got \(5, 6, 8\)"),
        ({"foreground_classes": 9}, "must end with 17"),
        ({"foreground_classes": 0}, "foreground_classes must be 1"),
        ({"angle_classes": 4}, r"angle_classes must be one of \[0, 8\]"),
        ({"pools": (2, 2)}, "one factor a layer"),
        ({"transposed_factors": (2, 2)}, "one factor a layer"),
        ({"pools": (2, 2, 2)}, "must undo its pooling"),
        ({"skips": ((2, 2),)}, "convolution 2 reads a map of 1/2 .* gives one of 1/1"),
        ({"skips": ((4, 1),)}, "convolutions are 1 to 3, transposed layers 1 to 2"),
        ({"skips": ((1, 3),)}, "convolutions are 1 to 3, transposed layers 1 to 2"),
        ({"skips": ((2, 1), (3, 1))}, "one map to a transposed layer"),
        ({"skip": ()}, "Preprocessor has no option 'skip'. Did you mean 'skips'"),
        (
            {
                "pools": (8, 4, 2),
                "transposed_factors": (8, 4, 2),
                "skips": (),
            },
            "multiple of 64",
        ),
    ],
)
def test_networks_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        heat_config(preprocessor=NETWORK | options)


def test_extra_channels_that_contradict_the_network_are_refused():
    with pytest.raises(ConfigError, match="extra_channels=1 does not fit"):
        heat_config(preprocessor=NETWORK, extra_channels=1)


def test_a_foreground_mask_needs_the_network():
    with pytest.raises(ConfigError, match=r"foreground_threshold=0\.3 needs a prepro"):
        heat_config(inference={"foreground_threshold": 0.3})


def test_without_the_network():
    whole = tiny.preprocessed(inference={"foreground_threshold": 0.3})
    without = whole.without_preprocessor()
    assert without.preprocessor is None
    assert without.extra_channels == 0
    assert tuple(without.stages) == tiny.STAGES
    assert without.inference.foreground_threshold == 0
    assert without.box_network == whole.box_network


@pytest.mark.parametrize("classes", [1, 9])
def test_without_angles(classes):
    network = NETWORK | {
        "foreground_classes": classes,
        "transposed_depths": (5, 6, 8 + classes),
    }
    config = heat_config(preprocessor=network).without_angles()
    assert config.extra_channels == 1
    assert config.preprocessor.transposed_depths == (5, 6, classes)
    assert RecurrentAttention(config).maps(images(config, 1)).extra.shape[-1] == 1


def test_a_stage_without_its_network_is_refused():
    with pytest.raises(ConfigError, match=r"stages.preprocess .* preprocessor is None"):
        tiny.config(stages=["preprocess"])
