"""Configs: settings that cannot work."""

import dataclasses

import pytest
from tiny_models import CONFIGS, heat_config, paper_config

from keras_recattend import ablation, presets
from keras_recattend.config import Stage
from keras_recattend.errors import ConfigError


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
        ({"box_network": {"joint_layers": 0}}, "joint_layers .* must be 1 or more"),
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
        paper_config(normalization="batch", stages={name: stage})
    frozen = dataclasses.replace(stage, freeze_normalization=True)
    paper_config(normalization="batch", stages={name: frozen})
    paper_config(normalization="group", stages={name: stage})


@pytest.mark.parametrize("name", ["segmentation", "own_canvases"])
def test_stages_of_patches_need_canvases(name):
    with pytest.raises(ConfigError, match=f"{name} needs canvases of 1 or more"):
        heat_config(stages={name: Stage(steps=5, canvases=0)})


def test_steps_by_themselves_cannot_train_the_normalisation_of_each_step():
    unrolled = {"box": Stage(5, canvases=0), "joint": Stage(5)}
    config = paper_config(stages=unrolled)
    assert config.normalization == "batch_per_step"
    for name in ("box", "segmentation"):
        stages = {name: Stage(5, canvases=2)}
        with pytest.raises(ConfigError, match=rf"stages\.{name} trains steps by them"):
            paper_config(stages=stages).replace(segmentation={"output": "logits"})


def test_unrolled_steps_do_not_train_a_heat_map():
    stages = {"box": Stage(5, canvases=0, freeze_normalization=True)}
    with pytest.raises(ConfigError, match=r"canvases=0 .*heat_map=True.*Set canvases"):
        heat_config(stages=stages)


def test_a_relu_is_never_background():
    with pytest.raises(ConfigError, match=r"output='relu' no cell could be background"):
        heat_config().replace(segmentation={"output": "relu"})
    base = paper_config(normalization="batch")
    stages = {"segmentation": Stage(5)}
    with pytest.raises(ConfigError, match=r"stages\.segmentation .*output='relu'"):
        base.replace(stages=stages)
    assert base.replace(segmentation={"output": "logits"}, stages=stages)


def test_maps_of_the_patch_join_those_of_their_size():
    """Of pools (2, 2) the map before the last is half the patch's size."""
    cells = {"transposed_factors": (4, 1, 1)}
    with pytest.raises(ConfigError, match=r"layer 2 reads .* 1/1 .* joined to .* 1/2"):
        paper_config(segmentation=cells)
    assert paper_config(segmentation=cells | {"skips": False})
    assert paper_config(segmentation={"transposed_factors": (2, 2, 1)})


@pytest.mark.parametrize("option", ["steps", "batch_size", "steps_per_epoch"])
def test_a_stage_needs_something_to_do(option):
    stage = Stage(**({"steps": 5} | {option: 0}))
    with pytest.raises(ConfigError, match=f"stages.segmentation.{option} must be 1"):
        heat_config(stages={"segmentation": stage})


@pytest.mark.parametrize("changes", [{"late_canvas": True}, {}])
def test_recompute_where_nothing_can_be_recomputed_is_refused(changes):
    base = heat_config() if changes else paper_config(normalization="group")
    with pytest.raises(ConfigError, match="recompute"):
        base.replace(box_network={"recompute": 1})


@pytest.mark.parametrize("count", [True, -1, 3])
def test_no_more_is_recomputed_than_there_is(count):
    assert paper_config().replace(box_network={"recompute": 2}) is not None
    with pytest.raises(ConfigError, match=r"recompute is how many .* 0 to all 2"):
        paper_config().replace(box_network={"recompute": count})


@pytest.mark.parametrize(
    "without",
    [
        {"box_network": {"heat_map": False}},
        {"box_network": {"late_canvas": False}},
    ],
)
def test_a_center_map_goes_with_heat_map_and_late_canvas(without):
    plain = {"inference": {"inhibition": False, "refinements": 0}}
    base = heat_config().replace(**plain, **without)
    with pytest.raises(ConfigError, match="center_map needs"):
        base.replace(box_network={"center_map": True})


def test_a_heat_map_predicts_nothing_that_density_filters_read():
    plain = {"inference": {"inhibition": False, "refinements": 0}}
    density = {"segmentation": {"filters": "density"}}
    with pytest.raises(ConfigError, match="heat_map predicts no variances"):
        heat_config().replace(**plain, **density)


@pytest.mark.parametrize(
    ("setting", "needed"),
    [
        ({"inhibition": True}, "box_network.heat_map=True"),
        ({"refinements": 1}, "segmentation.filters='normalized', got 'density'"),
        ({"revisions": 1}, "segmentation.filters='normalized', got 'density'"),
        ({"zoom": 1.7}, "segmentation.filters='normalized', got 'density'"),
        ({"stop": False}, "segmentation.filters='density', got 'normalized'"),
        ({"bilateral": True}, "segmentation.filters='density', got 'normalized'"),
    ],
)
def test_settings_of_inference_that_a_model_cannot_carry_out(setting, needed):
    can, cannot = heat_config, paper_config
    if "'density', got" in needed:
        can, cannot = cannot, can
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"inference\.{name}.* needs? {needed}"):
        cannot(inference=setting)
    assert getattr(can(inference=setting).inference, name) == setting[name]


def test_how_many_views_there_are():
    oblong, square = heat_config(image_size=(32, 48)), heat_config(image_size=(32, 32))
    assert square.replace(inference={"views": 8}).inference.views == 8
    assert oblong.replace(inference={"views": 4}).inference.views == 4
    with pytest.raises(ConfigError, match=r"inference\.views must be one of .* got 3"):
        square.replace(inference={"views": 3})
    with pytest.raises(ConfigError, match=r"views=8 .* square image_size, .*32, 48"):
        oblong.replace(inference={"views": 8})


def test_nothing_is_spilled_without_a_center_map():
    stages = {"box": Stage(steps=5, spill=0.1)}
    with pytest.raises(ConfigError, match=r"stages.box.spill=0.1"):
        heat_config(stages=stages)
    config = heat_config().replace(box_network={"center_map": True}, stages=stages)
    assert config.stages["box"].spill == 0.1


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"neighbours": -0.5}, "neighbours must be 0 or more, got -0.5"),
        ({"canvas_distortion": -0.01}, "canvas_distortion must be 0 or more"),
        ({"learning_rate": -1e-3}, "learning_rate must be 0 or more"),
        ({"canvases": -1}, "canvases must be 0 or more, got -1"),
        ({"true_canvases": 1.5}, "true_canvases must be from 0 to 1, got 1.5"),
        ({"spill": -0.1}, "spill must be from 0 to 1"),
        ({"blank_canvases": 1.1}, "blank_canvases must be from 0 to 1, got 1.1"),
        ({"sampling_period": 0}, "sampling_period must be 1 or more, got 0"),
        ({"weight_decay": float("nan")}, "weight_decay must be 0 or more, got nan"),
        ({"share": 0.0}, "share must be above 0, got 0.0"),
        ({"clip_norm": 2.0, "clip_value": 1.0}, ""),
        ({"schedule": "cosin"}, "schedule must be one of"),
    ],
)
def test_numbers_of_a_stage_outside_their_bounds_are_refused(setting, message):
    message = rf"\.{message}" if message else " clips .* Set one of them to 0"
    with pytest.raises(ConfigError, match=f"stages.segmentation{message}"):
        heat_config(stages={"segmentation": Stage(steps=5, **setting)})


@pytest.mark.parametrize("name", ["neighbours", "revisions"])
def test_what_needs_boxes_and_cells_that_are_means(name):
    stages = {"own_canvases": Stage(steps=5, **{name: 2})}
    with pytest.raises(ConfigError, match=rf"{name}=2 needs .*filters"):
        paper_config(stages=stages)
    config = heat_config(stages=stages)
    assert getattr(config.stages["own_canvases"], name) == 2
    with pytest.raises(ConfigError, match=rf"{name}=2 needs patches of boxes"):
        config.replace(box_network={"whole_image": True, "heat_map": False})
    # The ablation turns it off.
    whole = ablation.apply(config, "no_box_net")
    assert getattr(whole.stages["own_canvases"], name) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_threshold": 7.0}, r"score_threshold must be from 0 to 1, got 7\.0"),
        ({"min_area": -5}, r"min_area must be 0 or more, got -5"),
        ({"zoom": 0.0}, r"zoom must be 1 or more, got 0\.0"),
        ({"least_kept": 1.5}, r"least_kept must be from 0 to 1"),
    ],
)
def test_numbers_of_inference(settings, message):
    config = presets.get("cvppp")
    with pytest.raises(ConfigError, match=message):
        config.replace(inference=settings)
