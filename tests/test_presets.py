"""What every preset must keep to, whatever its numbers are."""

import numpy as np
import pytest

from datasets import augmentation
from keras_recattend import presets
from keras_recattend.config import Augmentation, Config
from keras_recattend.errors import ConfigError
from keras_recattend.stages import STAGES, objective


@pytest.fixture(params=sorted(presets.PRESETS))
def preset(request):
    return presets.get(request.param)


def test_a_preset_has_its_own_name(preset):
    assert preset.name in presets.PRESETS
    assert presets.get(preset.name) == preset


def test_a_preset_survives_json(preset):
    assert Config.from_dict(preset.to_dict()) == preset


def test_a_preset_has_stages_that_exist(preset):
    assert preset.stages
    assert set(preset.stages) <= set(STAGES)
    for name, stage in preset.stages.items():
        assert objective(name, preset).stage == stage


def test_a_presets_augmentation_fits_its_images(preset):
    augmentation.check(preset.augmentation, preset.image_size)
    # A mirrored image has mirrored angles, and the targets are made from it; the
    # paper's presets with angles only crop.
    if preset.name.endswith("_paper") and preset.preprocessor is not None:
        assert preset.augmentation == Augmentation(pad_crop=16, min_visible=0.0)


def test_shares_add_up(preset):
    shares = [stage.share for stage in preset.stages.values()]
    if len(set(shares)) > 1:  # the paper's stages have none of their own
        np.testing.assert_allclose(sum(shares), 1.0)


def test_the_papers_options_are_on():
    paper = presets.get("cvppp_paper")
    assert paper.normalization == "batch_per_step"
    assert paper.first_outputs_only
    assert paper.segmentation.filters == "density"
    assert paper.segmentation.output == "relu"
    assert not paper.box_network.heat_map
    assert not paper.box_network.late_canvas
    assert all(stage.canvases == 0 for stage in paper.stages.values())
    assert all(stage.optimizer == "adam" for stage in paper.stages.values())


@pytest.mark.parametrize(
    ("name", "near"), [("cvpp", "'cvppp'"), ("leafs", "'leaves'"), ("zzz", "leaves")]
)
def test_an_unknown_preset_names_the_near_ones(name, near):
    with pytest.raises(ConfigError, match=f"{name!r}.*{near}"):
        presets.get(name)


def test_every_data_set_has_a_preset():
    assert presets.of_dataset("cvppp") == "cvppp"
    assert presets.of_dataset("leaves") == "leaves"
    assert presets.of_dataset("anything") in presets.PRESETS
