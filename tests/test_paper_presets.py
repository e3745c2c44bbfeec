"""The paper's presets against the paper's and the authors' tables, and ours."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import presets, stages
from keras_recattend.model import RecurrentAttention

STREETS = ("kitti", "cityscapes")
# Copied from the tables; T is the number of slots.
TABLE = {
    "cvppp_paper": {
        "size": (224, 224),
        "slots": 21,
        "pools": "1,2,1,2,1,2,2,2",
        "box": (60_000, 5, 0.9),
        "joint": (30_000, 5, 0.8),
        "sampling": (700, -50_000, 3000),
    },
    "kitti_paper": {
        "size": (128, 448),
        "slots": 20,
        "pools": "2,2,1,2,1,2,1,2",
        "box_pools": "1,2,1,2,1,2,2,2",
        "box": (60_000, 5, 0.9),
        "joint": (100_000, 2, 0.85),
        "sampling": (1500, 100, 8000),
    },
    "cityscapes_paper": {
        "size": (256, 512),
        "slots": 20,
        "pools": "2,2,1,2,1,2,1,2",
        "box": (60_000, 4, 0.85),
        "joint": (70_000, 2, 0.85),
        "sampling": (1500, 8000, 100),
    },
    "coco_paper": {
        "size": (224, 224),
        "slots": 15,
        "pools": "1,2,1,2,1,2,2,2",
        "box": (60_000, 5, 0.9),
        "joint": (30_000, 5, 0.8),
        "sampling": (700, -50_000, 3000),
    },
}
TABLE["coco_person_paper"] = TABLE["coco_paper"] | {"slots": 23}


def numbers(text):
    return tuple(int(n) for n in text.split(","))


@pytest.mark.parametrize("name", TABLE)
def test_the_papers_numbers(name):
    config, row = presets.get(name), TABLE[name]
    assert config.image_size == row["size"]
    assert config.timespan == row["slots"]
    assert config.box_network.pools == numbers(row["pools"])
    box_pools = numbers(row["box_pools"]) if "box_pools" in row else ()
    assert config.box_network.box_stage_pools == box_pools
    for stage_name, padding in (("box", 10), ("joint", 20)):
        stage = config.stages[stage_name]
        assert (stage.steps, stage.batch_size, stage.decay) == row[stage_name]
        assert stage.period == 5000
        assert stage.box_padding == (0.2, padding)
        assert stage.box_noise == ((0.05, 0.1) if stage_name == "joint" else (0, 0))
    assert config.corner_matching == (name == "cityscapes_paper")
    joint = config.stages["joint"]
    sampling = (joint.sampling_period, joint.box_offset, joint.mask_offset)
    assert sampling == row["sampling"]
    assert config.augmentation.pad_crop == 16
    assert config.augmentation.flip_horizontal == (name == "cvppp_paper")


@pytest.mark.parametrize("name", TABLE)
def test_the_papers_options_are_on(name):
    config = presets.get(name)
    assert config.normalization == "batch_per_step"
    assert config.first_outputs_only
    assert config.segmentation.filters == "density"
    assert not config.box_network.heat_map
    assert not config.inference.stop
    assert all(
        stage.weight_decay == 5e-5 and stage.clip_value == 1.0
        for stage in config.stages.values()
    )


def test_variance_and_gammas():
    kitti, cityscapes, coco = (
        presets.get(f"{name}_paper").box_network
        for name in ("kitti", "cityscapes", "coco")
    )
    assert (kitti.variance, kitti.patch_gamma, kitti.mask_gamma) == (
        "predicted",
        None,
        None,
    )
    assert (cityscapes.variance, cityscapes.mask_gamma) == ("predicted", 2.0)
    assert (coco.variance, coco.mask_gamma) == ("size", 2.0)


def test_the_pre_processing_networks():
    kitti, cityscapes, coco = (
        presets.get(f"{name}_paper") for name in ("kitti", "cityscapes", "coco")
    )
    assert len(kitti.preprocessor.depths) == 18
    assert len(cityscapes.preprocessor.depths) == 20
    assert coco.preprocessor == kitti.preprocessor
    assert cityscapes.preprocessor.foreground_classes == 9
    assert presets.get("cvppp_paper").preprocessor is None
    for config in (kitti, cityscapes, coco):
        stage = config.stages["preprocess"]
        assert (stage.optimizer, stage.batch_size) == ("momentum", 8)
        assert (stage.steps, stage.learning_rate) == (40_000, 0.01)
        assert (stage.decay, stage.period) == (0.8, 10_000)
    # The authors' marks.
    convolutions, layers = zip(*reversed(kitti.preprocessor.skips), strict=True)
    assert (convolutions, sorted(layers)) == ((1, 6, 14, 18), [1, 3, 5, 10])
    convolutions, layers = zip(*reversed(cityscapes.preprocessor.skips), strict=True)
    assert convolutions == (1, 3, 5, 7, 9, 18)
    assert sorted(layers) == [1, 3, 5, 7, 9, 11]


@pytest.mark.parametrize("name", STREETS)
def test_inference_of_the_streets(name):
    settings = presets.get(f"{name}_paper").inference
    if name == "kitti":
        assert (settings.foreground_threshold, settings.foreground_dilation) == (0.3, 5)
        assert settings.mask_threshold == 0.3
    else:
        assert (settings.mask_threshold, settings.min_area) == (0.6, 1200)


@pytest.mark.parametrize("name", ["kitti", "cityscapes", "coco"])
def test_ours_are_small_and_have_the_benchmarks_size(name):
    ours, paper = presets.get(name), presets.get(f"{name}_paper")
    assert ours.image_size == paper.image_size
    assert ours.max_instances >= paper.max_instances
    assert ours.dataset == paper.dataset == name
    assert tuple(ours.stages) == stages.STAGES
    classes = [c.preprocessor.foreground_classes for c in (ours, paper)]
    assert classes[0] == classes[1]
    assert RecurrentAttention(ours).count_params() < 3e6
    # Upright: what lies below must stay there.
    assert not ours.augmentation.flip_vertical
    assert not ours.augmentation.rotation


@pytest.mark.parametrize("pools", [(4, 2), (2, 4)])
def test_the_box_stage_pools_in_its_own_order(pools):
    """The loss is that of a model whose pooling is the box stage's, and no other's."""

    def loss(**network):
        config = tiny.paper_config(box_network={"depths": (6, 8), **network})
        tf.keras.utils.set_random_seed(0)
        model = RecurrentAttention(config)
        stage = stages.objective("box", config)
        terms, _ = stage(model, tiny.batch(), 0, training=False)
        looked = model.look(
            model.prepare(tiny.batch()["image"]), tf.zeros([2, *tiny.SIZE])
        )
        return float(terms["box"]), looked.raw.numpy()

    other = pools[::-1]
    expected, _ = loss(pools=other)
    plain, raw = loss(pools=pools)
    switched, raw_switched = loss(pools=pools, box_stage_pools=other)
    assert abs(expected - plain) > 1e-7
    np.testing.assert_allclose(switched, expected, rtol=1e-6)
    # Outside that stage nothing has changed.
    np.testing.assert_array_equal(raw, raw_switched)
