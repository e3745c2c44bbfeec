"""Configs: round trips, unknown names, impossible settings."""

import dataclasses
import json

import pytest
from tiny_models import CONFIGS, heat_config, paper_config

from keras_recattend.config import (
    Augmentation,
    Config,
    ConfigError,
    Inference,
    Stage,
    near_names,
)


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip(name):
    config = CONFIGS[name](
        augmentation=Augmentation(rotation=20.0, scale=(0.8, 1.2)),
        stages={
            "box": Stage(steps=10, jitter=(0.1, 0.3)),
            "joint": Stage(steps=5, freeze_normalization=True),
        },
    )
    written = json.loads(json.dumps(config.to_dict()))
    assert Config.from_dict(written) == config
    assert isinstance(Config.from_dict(written).stages["box"], Stage)


def test_a_config_of_an_older_version_takes_defaults():
    values = paper_config().to_dict()
    del values["inference"]["zoom"]
    assert Config.from_dict(values) == paper_config()


@pytest.mark.parametrize(
    ("path", "near"),
    [
        (("max_instance",), "max_instances"),
        (("box_network", "glimpse"), "glimpses"),
        (("segmentation", "patchsize"), "patch_size"),
        (("inference", "refinement"), "refinements"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(path, near):
    values = paper_config().to_dict()
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = 1
    with pytest.raises(ValueError, match=f"{path[-1]!r}.*Did you mean '{near}'"):
        Config.from_dict(values)


def test_unknown_names_of_a_stage_are_refused():
    values = paper_config(stages={"box": Stage(steps=1)}).to_dict()
    values["stages"]["box"]["learnig_rate"] = 1.0
    with pytest.raises(ValueError, match=r"Stage has no option .*'learning_rate'"):
        Config.from_dict(values)


def test_a_name_with_nothing_near_lists_what_is_known():
    assert near_names("xyz", ["b", "a"]) == " Known: a, b."


def test_replace():
    config = paper_config()
    changed = config.replace(max_instances=7, inference={"zoom": 1.7})
    assert changed.timespan == 8
    assert changed.inference == Inference(zoom=1.7)
    assert config.inference.zoom == 1.0
    with pytest.raises(ValueError, match="Did you mean 'max_instances'"):
        config.replace(max_instanzes=7)
    with pytest.raises(ValueError, match="Inference has no option 'zom'"):
        config.replace(inference={"zom": 1.7})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": (36, 40)}, r"image_size=\(36, 40\) must be a multiple of 8"),
        ({"image_size": (0, 40)}, "image_size"),
        ({"segmentation": {"patch_size": (8, 10)}}, "patch_size=.* multiple of 4"),
        ({"box_network": {"pools": (2,)}}, "one factor a layer"),
        ({"segmentation": {"pools": (2,)}}, "one factor a layer"),
        ({"segmentation": {"transposed_factors": (2, 2)}}, "one factor a layer"),
        ({"segmentation": {"transposed_factors": (2, 1, 1)}}, "undo the pooling"),
        ({"max_instances": 0}, "max_instances must be 1 or more"),
        ({"max_instances": 70_000}, "16-bit"),
        ({"normalization": "layer"}, "normalization must be one of"),
        ({"initializer": "glorot"}, "initializer must be one of"),
        ({"extra_channels": 3}, "extra_channels must be one of"),
        ({"box_network": {"variance": "big"}}, "variance must be one of"),
        ({"segmentation": {"filters": "box"}}, "filters must be one of"),
        ({"segmentation": {"output": "tanh"}}, "output must be one of"),
        ({"box_network": {"box_stage_pools": (2,)}}, "box_stage_pools=.* as many"),
        ({"box_network": {"box_stage_pools": (2, 2)}}, "of the same product"),
        ({"stages": {"box": Stage(1, optimizer="sgd", canvases=0)}}, "optimizer must"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        paper_config(**changes)


def test_the_context_needs_an_even_grid():
    heat = CONFIGS["heat"]()
    assert heat.replace(image_size=(16, 32)).image_size == (16, 32)
    with pytest.raises(ValueError, match="multiple of 16"):
        heat.replace(image_size=(24, 32))


@pytest.mark.parametrize("name", ["joint", "box"])
def test_unrolled_stages_refuse_shared_statistics_that_move(name):
    # Matched IoU fell from 0.32 in training to 0.02 in inference with them.
    stage = Stage(steps=5, canvases=0)
    with pytest.raises(ConfigError, match="freeze_normalization"):
        heat_config(normalization="batch", stages={name: stage})
    frozen = dataclasses.replace(stage, freeze_normalization=True)
    heat_config(normalization="batch", stages={name: frozen})
    heat_config(normalization="group", stages={name: stage})


@pytest.mark.parametrize("option", ["steps", "batch_size", "steps_per_epoch"])
def test_a_stage_needs_something_to_do(option):
    stage = Stage(**({"steps": 5} | {option: 0}))
    with pytest.raises(ConfigError, match=f"stages.segmentation.{option} must be 1"):
        heat_config(stages={"segmentation": stage})


@pytest.mark.parametrize("changes", [{"late_canvas": True}, {}])
def test_recompute_where_nothing_can_be_recomputed_is_refused(changes):
    base = heat_config() if changes else paper_config(normalization="group")
    with pytest.raises(ConfigError, match="recompute"):
        base.replace(box_network={"recompute": True})
