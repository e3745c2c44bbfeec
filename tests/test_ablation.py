"""Every ablation changes what it says, and nothing else."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import ablation, presets
from keras_recattend.config import Config
from keras_recattend.errors import ConfigError
from keras_recattend.memory import stage_bytes
from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import objective, own_canvases
from keras_recattend.stages.objective import split_seed
from keras_recattend.training import make_optimizer
from keras_recattend.truth import Truth

# Cells of the tiny controllers' maps: 32 / 8 a side.
CELLS = 16


def heat(**changes):
    """A tiny config with everything that can be taken away."""
    return tiny.preprocessed(**changes).replace(box_network={"glimpses": 4})


def paper(**changes):
    return tiny.paper_config(**changes).replace(box_network={"glimpses": 4})


def sizes(model):
    """Shapes of all variables, by names without the model's own."""
    return {v.path.split("/", 1)[1]: tuple(v.shape) for v in model.variables}


@pytest.fixture(scope="module")
def built():
    """Models by (config function, ablation or None), each made once."""
    made = {}

    def build(make, name=None):
        if (make, name) not in made:
            config = ablation.apply(make(), name) if name else make()
            keras.utils.set_random_seed(0)
            made[make, name] = RecurrentAttention(config)
        return made[make, name]

    return build


def changed(built, make, name):
    """(gone, new, resized) names of variables between the full and the ablated."""
    before, after = sizes(built(make)), sizes(built(make, name))
    return (
        set(before) - set(after),
        set(after) - set(before),
        {n for n in before if n in after and before[n] != after[n]},
    )


# -- names and refusals ------------------------------------------------------------


def test_an_ablated_config_has_a_name_and_survives_json():
    for name in ablation.NAMES:
        config = ablation.apply(presets.get("kitti"), name)
        assert config.name == f"kitti-{name}"
        assert Config.from_dict(config.to_dict()) == config
        assert config != presets.get("kitti").replace(name=config.name)


def test_an_unknown_ablation_names_the_near_ones():
    with pytest.raises(ConfigError, match=r"'no_box'.*'no_box_net'"):
        ablation.apply(presets.get("kitti"), "no_box")


@pytest.mark.parametrize(
    ("preset", "name", "why"),
    [
        ("cvppp", "no_preprocessing", "no pre-processing network"),
        ("leaves", "no_angles", "no pre-processing network"),
        ("leaves", "glimpses_3", "it has 3"),
    ],
)
def test_what_a_preset_cannot_lose_is_refused_with_the_reason(preset, name, why):
    config = presets.get(preset)
    with pytest.raises(
        ConfigError, match=rf"{name} does not apply.* {preset}: .*{why}"
    ):
        ablation.apply(config, name)
    names, reasons = ablation.applicable(config)
    assert name not in names
    assert why in reasons[name]
    assert set(names) | set(reasons) == set(ablation.NAMES)


def test_what_is_gone_cannot_be_taken_again():
    for name in ablation.NAMES:
        if name not in ("glimpses_1", "glimpses_3"):
            with pytest.raises(ConfigError, match="does not apply"):
                ablation.apply(ablation.apply(heat(), name), name)


def test_the_papers_presets_can_have_them_all():
    assert ablation.applicable(presets.get("kitti_paper"))[0] == list(ablation.NAMES)
    assert ablation.applicable(presets.get("kitti"))[0] == list(ablation.NAMES)


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_ablated_preset_fits_into_sixteen_gigabytes(preset):
    for name in ablation.applicable(presets.get(preset))[0]:
        config = ablation.apply(presets.get(preset), name)
        assert config.stages
        assert all(stage_bytes(config, stage) < 16e9 for stage in config.stages)


# -- no pre-processing, no angles --------------------------------------------------


@pytest.mark.parametrize(("name", "extra"), [("no_preprocessing", 0), ("no_angles", 1)])
def test_input_channels(built, name, extra):
    """Controller: (3 + extra) * 2 * 2 folded channels; patch: 4 + extra."""
    assert built(heat).config.extra_channels == 9
    model = built(heat, name)
    assert model.config.extra_channels == extra
    shapes = sizes(model)
    trunk = next(s for n, s in shapes.items() if n.startswith("controller/trunk"))
    patch = next(s for n, s in shapes.items() if n.startswith("segmentation/cnn"))
    assert trunk == (3, 3, (3 + extra) * 4, 6)
    assert patch == (3, 3, 4 + extra, 6)


def test_no_preprocessing_has_no_such_network_and_no_such_stage(built):
    gone, new, _ = changed(built, heat, "no_preprocessing")
    assert gone
    assert all(n.startswith("preprocessor/") for n in gone)
    assert not new
    assert "preprocess" not in built(heat, "no_preprocessing").config.stages


def test_no_angles_keeps_the_foreground(built):
    gone, new, _ = changed(built, heat, "no_angles")
    assert not gone
    assert not new
    model = built(heat, "no_angles")
    maps = model.maps(tf.zeros([1, *tiny.SIZE, 3]))
    assert maps.extra.shape == (1, *tiny.SIZE, 1)
    assert objective("preprocess", model.config).terms == ("foreground",)


# -- no box net --------------------------------------------------------------------


def test_no_box_net_has_no_parameters_for_boxes(built):
    gone, new, resized = changed(built, heat, "no_box_net")
    assert not new
    assert {n.split("/")[1] for n in gone} == {
        "heat_factor",
        "dense_head",
        "correction0",
        "correction1",
    }
    # The LSTM reads the map alone, the score its state and more of the patch.
    assert resized == {
        "box_head/glimpses/lstm/kernel",
        "scoring/state_kernel",
        "scoring/features_kernel",
    }
    glimpses = [v for n, v in sizes(built(heat, "no_box_net")).items() if "/lstm" in n]
    assert (8, 4 * 8) in glimpses
    # LSTM of 8 units on 8 channels, MLP of 8 units to all cells.
    count = sum(v.numpy().size for v in built(heat, "no_box_net").box_head.weights)
    assert count == 4 * (8 * 8 + 8 * 8 + 8) + (8 * 8 + 8) + (8 * CELLS + CELLS)


def test_no_box_net_of_the_papers_form(built):
    gone, new, resized = changed(built, paper, "no_box_net")
    assert gone == {"box_head/linear/kernel", "box_head/linear/bias"}
    assert not new
    assert resized == {"scoring/features_kernel"}
    # 32 x 32 pooled twice by 2, 8 channels.
    assert sizes(built(paper, "no_box_net"))["scoring/features_kernel"] == (8 * 64, 1)


@pytest.mark.parametrize(
    ("make", "box"),
    [(heat, (-0.5, -0.5, 31.5, 31.5)), (paper, (0.0, 0.0, 31.0, 31.0))],
)
def test_every_patch_is_the_whole_image(built, make, box):
    """Densities span one pixel more than the box (eq. 11-12), normalised ones not."""
    model = built(make, "no_box_net")
    image = tiny.batch((3, 2))["image"]
    out = model.infer(image, stop=False)
    assert out["boxes"].shape == (2, tiny.SLOTS + 1, 4)
    np.testing.assert_allclose(out["boxes"], np.broadcast_to(box, (2, 4, 4)))
    assert out["patches"].shape[2:] == tiny.SIZE


@pytest.mark.parametrize("make", [heat, paper])
def test_the_patch_shows_the_image_in_its_place(built, make):
    """An impulse of the image is read at its own cell, and nowhere else."""
    model = built(make, "no_box_net")
    box = model.box_head.whole(1)
    read, _ = model.filters(box.center, box.size, box.log_variance)
    for matrix in read:
        weights = matrix.numpy()[0]
        np.testing.assert_array_equal(weights.argmax(axis=0), np.arange(32))
        np.testing.assert_allclose(weights[:, 4:-4].sum(axis=0), 1.0, atol=0.02)


def test_no_box_net_trains_no_box(built):
    config = built(heat, "no_box_net").config
    assert list(config.stages) == [
        "preprocess",
        "segmentation",
        "own_canvases",
        "joint",
    ]
    terms = {n: objective(n, config).terms for n in config.stages}
    assert terms["segmentation"] == ("patch",)
    assert terms["own_canvases"] == ("score", "patch")
    assert terms["joint"] == ("segmentation", "score")
    # The score's state still depends on the image and is still trained.
    names = {v.path for v in objective("joint", config).variables(built(heat))}
    assert any("lstm" in name for name in names)


@pytest.mark.parametrize("make", [heat, paper])
def test_the_truth_written_is_the_one_that_the_segment_overlaps_most(built, make):
    """Not the one that the box does: all boxes are the same."""
    model = built(make, "no_box_net")
    batch = tiny.batch((3, 2))
    truth = Truth.of_labels(batch["labels"], model.config.timespan, (0.0, 0.5))
    on = tf.ones_like(truth.exists)
    out = model.unroll(
        model.prepare(batch["image"]),
        truth,
        (on, on),
        collect=("masks", "greedy", "canvas", "center_used", "size_used"),
    )
    masks, true = out["masks"].numpy(), truth.masks.numpy()
    canvas = np.zeros((2, *tiny.SIZE))
    for t in range(tiny.SLOTS + 1):
        product = (masks[:, t, np.newaxis] * true).sum((2, 3))
        both = (masks[:, t, np.newaxis] + true).sum((2, 3)) - product
        best = (product / (both + 1e-5 * 32 * 32)).argmax(axis=1)
        np.testing.assert_array_equal(out["greedy"].numpy()[:, t].argmax(axis=1), best)
        canvas = np.maximum(canvas, true[[0, 1], best])
        np.testing.assert_allclose(out["canvas"].numpy()[:, t], canvas)
    np.testing.assert_allclose(out["center_used"], np.full((2, 4, 2), 15.5))


def test_the_patch_is_the_image_where_the_paper_says_so_and_smaller_on_a_cpu():
    def size(name):
        config = ablation.apply(presets.get(name), "no_box_net")
        return config.segmentation.patch_size

    assert size("kitti_paper") == (128, 448)
    assert size("cvppp_paper") == (224, 224)
    assert size("kitti") == (64, 224)
    assert size("cvppp") == size("leaves") == (112, 112)


def test_memory_counts_large_patches():
    with_boxes = presets.get("kitti_paper")
    without = ablation.apply(with_boxes, "no_box_net")
    assert stage_bytes(without, "joint") > 1.5 * stage_bytes(with_boxes, "joint")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"box_network": {"heat_map": True}}, "heat_map=False, got True"),
        ({"segmentation": {"padding": 1.3}}, "segmentation.padding=1.0, got 1.3"),
        ({"inference": {"refinements": 2}}, "inference.refinements=0, got 2"),
        ({"inference": {"zoom": 1.7}}, "inference.zoom=1.0, got 1.7"),
        ({"inference": {"inhibition": True}}, "inhibition=False"),
        ({"box_network": {"mask_gamma": None}}, "mask_gamma"),
    ],
)
def test_what_needs_a_box_is_refused(options, words):
    config = ablation.apply(heat(), "no_box_net")
    with pytest.raises(ConfigError, match=words):
        config.replace(**options)


def test_a_box_stage_without_boxes_is_refused():
    config = ablation.apply(heat(), "no_box_net")
    with pytest.raises(ConfigError, match=r"stages\.box"):
        config.replace(stages=heat().stages)


# -- no scheduled sampling ---------------------------------------------------------


@pytest.mark.parametrize("preset", ["leaves", "kitti_paper", "cvppp_paper"])
def test_no_scheduled_sampling_shows_the_truth_to_the_end(preset):
    full = presets.get(preset)
    config = ablation.apply(full, "no_scheduled_sampling")
    step = 10**6
    box, mask = objective("joint", config).thetas(step)
    np.testing.assert_array_equal(mask, np.ones(config.timespan))
    # What is cut is not what the memory reads: its schedule stays.
    full_box, full_mask = objective("joint", full).thetas(step)
    np.testing.assert_array_equal(box, full_box)
    assert float(tf.reduce_max(full_mask)) < 0.01


def test_no_scheduled_sampling_changes_nothing_but_the_canvases():
    full = heat()
    config = ablation.apply(full, "no_scheduled_sampling")
    differences = {
        (name, f.name)
        for name, stage in full.stages.items()
        for f in dataclasses.fields(stage)
        if getattr(stage, f.name) != getattr(config.stages[name], f.name)
    }
    assert differences == {("joint", "mask_offset"), ("own_canvases", "true_canvases")}
    assert config.replace(stages=full.stages, name=full.name) == full


def test_no_scheduled_sampling_draws_no_canvas_of_its_own(built, monkeypatch):
    model = built(heat, "no_scheduled_sampling")
    monkeypatch.setattr(own_canvases, "rollout", lambda *_, **__: pytest.fail("drawn"))
    batch = tiny.batch((3, 1))
    exists = tf.constant([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    stage = objective("own_canvases", model.config)
    seeds = split_seed(tf.constant([1, 2]), 7)
    boxes = tf.zeros([2, 3, 2]), tf.ones([2, 3, 2]), exists
    shown = stage._shown(model, batch, boxes, seeds, training=True)
    labels, left = batch["labels"].numpy(), shown.uncovered.numpy()
    for b in range(2):
        for k in range(stage.stage.canvases):
            covered = [i + 1 for i in range(3) if exists[b, i] and not left[b, k, i]]
            wanted = np.isin(labels[b], covered)
            canvas = shown.canvases.numpy()[b * stage.stage.canvases + k]
            np.testing.assert_array_equal(canvas, wanted)


# -- fewer glimpses ----------------------------------------------------------------


@pytest.mark.parametrize("make", [heat, paper])
@pytest.mark.parametrize(("name", "count"), [("glimpses_1", 1), ("glimpses_3", 3)])
def test_number_of_reads(built, make, name, count):
    """The heat map's head has one more: the place that it chooses."""
    for model, glimpses in ((built(make), 4), (built(make, name), count)):
        reads = 0
        cell = type(model.box_head.glimpse_network.lstm)
        original = cell.call

        def counted(self, *arguments, original=original, **options):
            nonlocal reads
            reads += 1
            return original(self, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cell, "call", counted)
            image = tiny.batch((1,))["image"]
            box = model.look(model.prepare(image), tf.zeros([1, *tiny.SIZE]))
        assert reads == glimpses
        assert box.attention.shape == (1, glimpses + (make is heat), CELLS)


def test_parameters_of_fewer_glimpses(built):
    """None less; but for one uniform glimpse there is no MLP to say where to look."""
    for make in (heat, paper):
        assert changed(built, make, "glimpses_3") == (set(), set(), set())
    assert changed(built, heat, "glimpses_1") == (set(), set(), set())
    gone, new, resized = changed(built, paper, "glimpses_1")
    assert gone == {
        f"box_head/glimpses/mlp{i}/{n}" for i in (0, 1) for n in ("kernel", "bias")
    }
    assert not new
    assert not resized
    difference = built(paper).count_params() - built(paper, "glimpses_1").count_params()
    assert difference == (8 * 8 + 8) + (8 * CELLS + CELLS)


# -- all of them train -------------------------------------------------------------


MAPS_NEEDED = ("no_preprocessing", "no_angles")
TRAINED = [(heat, name) for name in ablation.NAMES]
TRAINED += [(paper, name) for name in ablation.NAMES if name not in MAPS_NEEDED]


@pytest.mark.parametrize(("make", "name"), TRAINED)
def test_a_step_of_training(make, name):
    """Stages that it changes; what they train moves, and stays finite."""
    config = ablation.apply(make(), name)
    stages = {
        "no_preprocessing": ["box", "segmentation"],
        "no_angles": ["preprocess", "joint"],
        "no_box_net": ["segmentation", "own_canvases", "joint"],
        "no_scheduled_sampling": ["own_canvases", "joint"],
        "glimpses_1": ["box"],
        "glimpses_3": ["box"],
    }[name]
    keras.utils.set_random_seed(0)
    model = RecurrentAttention(config)
    for stage in (s for s in stages if s in config.stages):
        chosen = objective(stage, config)
        optimizer = make_optimizer(chosen.stage)
        model.compile(optimizer, objective=chosen)
        optimizer.build(chosen.variables(model))
        before = [v.numpy() for v in chosen.variables(model)]
        logs = model.train_step(tiny.batch((3, 2)))
        assert all(np.isfinite(float(value)) for value in logs.values())
        after = [v.numpy() for v in chosen.variables(model)]
        assert all(np.isfinite(v).all() for v in after)
        # The batch's mean takes the bias of a normalised convolution away again.
        fixed = re.compile(r"(convolution|transposed)\d+/bias$")
        moved = [
            (a != b).any()
            for v, a, b in zip(chosen.variables(model), before, after, strict=True)
            if not fixed.search(v.path)
        ]
        # Where no first box is near an object, no patch teaches segmentation yet.
        assert np.mean(moved) > 0.7
