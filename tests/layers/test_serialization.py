"""Every layer can be written as a config and made anew from it."""

import inspect

import keras
import pytest

from keras_recattend import layers

COMMON = {"normalization": "batch_per_step", "steps": 2, "initializer": "small"}
GLIMPSES = {"glimpses": 3, "lstm_units": 5, "mlp_units": 6}
LAYERS = {
    "Canvas": {},
    "Context": {"levels": ((3, 4), (5,)), "depth": 6, **COMMON},
    "Controller": {"depths": (3, 4), "pools": (1, 2), "recompute": 2, **COMMON},
    "ConvolutionStack": {"depths": (3, 4), "pools": (1, 2), "recompute": 1, **COMMON},
    "GaussianFilters": {
        "image_size": (20, 30),
        "patch_size": (8, 12),
        "kind": "normalized",
    },
    "GlimpseNetwork": {
        **GLIMPSES,
        "grid": (4, 6),
        "block": 2,
        "last_logits": True,
        "initializer": "small",
    },
    "HeatMapHead": {
        "image_size": (24, 48),
        "grid": (4, 6),
        **GLIMPSES,
        "attention_block": 2,
        "initializer": "small",
    },
    "LateCanvasController": {
        "depths": (3, 4),
        "pools": (1, 2),
        "space_to_depth": 2,
        "context_depths": ((5,), (4, 3)),
        "feature_depth": 6,
        "canvas_depth": 7,
        "joint_layers": 2,
        "joint_context_depths": ((5, 6),),
        "center_map": True,
        **COMMON,
    },
    "LinearHead": {
        "image_size": (24, 48),
        "patch_size": (8, 12),
        "grid": (3, 4),
        **GLIMPSES,
        "variance": "predicted",
        "patch_gamma": None,
        "mask_gamma": 1.5,
        "initializer": "small",
    },
    "Normalization": {"kind": "batch_per_step", "steps": 3},
    "Scoring": {"state_size": 3, "features_size": 4, "initializer": "small"},
    "SegmentationNetwork": {
        "depths": (3, 4),
        "pools": (2, 2),
        "transposed_depths": (4, 3, 1),
        "transposed_factors": (2, 2, 1),
        "skips": True,
        "output": "logits",
        **COMMON,
    },
    "TransposedStack": {
        "depths": (3, 1),
        "factors": (2, 1),
        "skips": True,
        "last": "logits",
        **COMMON,
    },
    "WholeImage": {
        "image_size": (24, 48),
        "patch_size": (8, 12),
        "grid": (3, 4),
        **GLIMPSES,
        "filters": "density",
        "patch_gamma": 0.5,
        "mask_gamma": 1.5,
        "initializer": "small",
    },
}


def test_all_layers_are_here():
    public = {
        name
        for name in layers.__all__
        if inspect.isclass(getattr(layers, name))
        and issubclass(getattr(layers, name), keras.layers.Layer)
    }
    assert public == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_every_option_is_here(name):
    """With another value than its default's, so that leaving it out shows."""
    parameters = inspect.signature(getattr(layers, name).__init__).parameters
    options = {n: p for n, p in parameters.items() if n not in ("self", "kwargs")}
    assert set(LAYERS[name]) == set(options)
    for option, value in LAYERS[name].items():
        assert value != options[option].default, option


@pytest.mark.parametrize("name", LAYERS)
def test_config_round_trip(name):
    layer = getattr(layers, name)(**LAYERS[name], name="mine")
    config = layer.get_config()
    for option, value in LAYERS[name].items():
        assert config[option] == value, option
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert again.name == "mine"


@pytest.mark.parametrize("name", LAYERS)
def test_keras_can_write_and_read_it(name):
    layer = getattr(layers, name)(**LAYERS[name])
    written = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(written)
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
