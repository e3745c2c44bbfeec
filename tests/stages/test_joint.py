"""The joint stage: terms of the true loop, and scheduled sampling in it."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import JointStage, UnrolledBoxStage
from keras_recattend.training import make_optimizer

ALWAYS = {"box_offset": 10**6, "mask_offset": 10**6}
NEVER = {"box_offset": -(10**6), "mask_offset": -(10**6)}


@pytest.fixture(scope="module", params=["tiny", "paper"])
def model(request):
    make = tiny.config if request.param == "tiny" else tiny.paper_config
    return RecurrentAttention(make())


def config_like(model, **stage):
    make = tiny.paper_config if model.config.name == "tiny_paper" else tiny.config
    return make(stage)


@pytest.fixture
def spied(model, monkeypatch):
    """The model, and the (switches, options, outputs) of its unrolled loops."""
    calls = []
    unroll = model.unroll

    def spy(prepared, truth, switches, **options):
        names = ("scores", "box_iou", "canvas", "greedy")
        if options.get("segment_objects", True):
            names = ("masks", *names)
        options["collect"] = names
        outputs = unroll(prepared, truth, switches, **options)
        calls.append((switches, options, outputs, truth))
        return outputs

    monkeypatch.setattr(model, "unroll", spy)
    return model, calls


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("counts", [(2, 0), (0, 0)])
def test_terms_are_finite_with_images_without_objects(model, counts, training):
    stage = JointStage(config_like(model))
    terms, measures = stage(model, tiny.batch(counts), 0, training=training)
    assert set(terms) == set(stage.terms)
    for name, value in (terms | measures).items():
        assert np.isfinite(value), name
    if not any(counts):
        assert float(terms["segmentation"]) == 0.0
        assert float(terms["box"]) == 0.0


def test_more_objects_than_the_model_may_find(model):
    """Ids beyond the steps are ignored, and the step left over must say "no more"."""
    labels = np.zeros((1, *tiny.SIZE), np.int32)
    for i in range(6):
        labels[0, 5 * i : 5 * i + 4, 4:28] = i + 1
    batch = {
        "image": tf.constant(np.repeat(labels[..., np.newaxis] / 6.0, 3, axis=-1)),
        "labels": tf.constant(labels),
    }
    batch["image"] = tf.cast(batch["image"], tf.float32)
    terms, _ = JointStage(config_like(model))(model, batch, 0, training=True)
    for name, value in terms.items():
        assert np.isfinite(value), name
    assert float(terms["score"]) >= 0.0
    assert -1.0 <= float(terms["segmentation"]) <= 0.0


def test_thetas_by_hand():
    stage = JointStage(
        tiny.config({"box_offset": 100, "mask_offset": -350, "sampling_period": 700})
    )
    for step in (0, 100, 450, 2000):
        for theta, offset in zip(stage.thetas(step), (100, -350), strict=True):
            assert theta.shape == (tiny.SLOTS + 1,)
            for t in range(tiny.SLOTS + 1):
                wanted = 0.5 ** (max(0, step - offset) / 700)
                wanted = min(1.0, wanted * (1.0 + math.log(1.0 + 3.0 * t)))
                assert float(theta[t]) == pytest.approx(wanted, rel=1e-5)


def test_theta_one_writes_the_truth(spied):
    model, calls = spied
    stage = JointStage(config_like(model, **ALWAYS))
    batch = tiny.batch((3, 1))
    _, measures = stage(model, batch, 0, training=True)
    assert float(measures["theta_box"]) == float(measures["theta_mask"]) == 1.0
    switches, options, outputs, truth = calls[0]
    for switch in switches:
        np.testing.assert_array_equal(switch, np.ones((2, tiny.SLOTS + 1)))
    assert options["noise_seed"] is not None
    canvas = np.zeros((2, *tiny.SIZE), np.float32)
    greedy, masks = outputs["greedy"].numpy(), truth.masks.numpy()
    for t in range(tiny.SLOTS + 1):
        shown = np.einsum("bt,bthw->bhw", greedy[:, t], masks)
        # Every pixel keeps 0.7 to 1 of what is written.
        low, high = np.maximum(canvas, 0.7 * shown), np.maximum(canvas, shown)
        canvas = outputs["canvas"].numpy()[:, t]
        assert (canvas >= low - 1e-6).all()
        assert (canvas <= high + 1e-6).all()


def test_theta_zero_writes_the_models_own_masks(spied):
    model, calls = spied
    stage = JointStage(config_like(model, **NEVER))
    _, measures = stage(model, tiny.batch((3, 1)), 0, training=True)
    assert float(measures["theta_box"]) == float(measures["theta_mask"]) == 0.0
    _, _, outputs, _ = calls[0]
    canvas = np.maximum.accumulate(outputs["masks"].numpy(), axis=1)
    np.testing.assert_allclose(outputs["canvas"], canvas, atol=1e-6)


def test_validation_shows_no_truth(spied):
    model, calls = spied
    stage = JointStage(config_like(model, **ALWAYS))
    stage(model, tiny.batch((2, 1)), 0, training=False)
    switches, options, _, _ = calls[0]
    for switch in switches:
        assert not np.any(switch)
    assert options["noise_seed"] is None
    assert not options["training"]


def test_frozen_normalization_leaves_the_statistics_alone(model):
    batch = tiny.batch((2, 1))
    for frozen in (True, False):
        options = dataclasses.replace(
            model.config.stages["joint"], freeze_normalization=frozen
        )
        stage = JointStage(model.config, options)
        before = [v.numpy() for v in model.non_trainable_variables]
        stage(model, batch, 0, training=True)
        moved = [
            bool((old != v.numpy()).any())
            for old, v in zip(before, model.non_trainable_variables, strict=True)
        ]
        assert any(moved) != frozen


def test_sampling_follows_the_optimisers_step():
    config = tiny.config({"mask_offset": 0, "box_offset": 0, "sampling_period": 5})
    model = RecurrentAttention(config)
    stage = JointStage(config)
    optimizer = make_optimizer(stage.stage)
    model.compile(optimizer, objective=stage)
    optimizer.build(stage.variables(model))
    optimizer.iterations.assign(12)
    logs = model.train_step(tiny.batch((2, 1)))
    expected = [
        min(1.0, 0.5 ** (12 / 5) * (1.0 + math.log(1.0 + 3.0 * t)))
        for t in range(tiny.SLOTS + 1)
    ]
    assert float(logs["theta_mask"]) == pytest.approx(np.mean(expected), rel=1e-5)
    assert int(optimizer.iterations) == 13


def test_unrolled_box_stage_draws_the_matched_truth(spied):
    model, calls = spied
    stage = UnrolledBoxStage(config_like(model))
    terms, _ = stage(model, tiny.batch((2, 0)), 0, training=True)
    for name, value in terms.items():
        assert np.isfinite(value), name
    switches, _, outputs, truth = calls[0]
    assert not np.any(switches[0])
    assert np.all(switches[1])
    # The first image's canvas: nothing but its two objects, with noise.
    canvas = outputs["canvas"].numpy()[0, -1]
    assert not canvas[truth.masks.numpy()[0].max(axis=0) == 0].any()
    assert canvas.max() > 0.2
    assert not outputs["canvas"].numpy()[1].any()
