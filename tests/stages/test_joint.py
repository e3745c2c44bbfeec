"""The joint stage: terms of the true loop, and scheduled sampling in it."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from scipy.optimize import linear_sum_assignment
from tiny_models import build

from keras_recattend.losses import monotonic_score_loss, soft_iou_matrix
from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import JointStage, UnrolledBoxStage
from keras_recattend.training import make_optimizer
from keras_recattend.truth import Truth

ALWAYS = {"box_offset": 10**6, "mask_offset": 10**6}
NEVER = {"box_offset": -(10**6), "mask_offset": -(10**6)}


@pytest.fixture(scope="module", params=["tiny", "paper"])
def model(request):
    make = tiny.config if request.param == "tiny" else tiny.paper_config
    keras.utils.set_random_seed(0)
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
    _, measures = stage(model, tiny.batch((2, 1)), 0, training=False)
    assert float(measures["theta_box"]) == float(measures["theta_mask"]) == 0.0
    switches, options, _, _ = calls[0]
    for switch in switches:
        assert not np.any(switch)
    assert options["noise_seed"] is None
    assert not options["training"]


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


# -- what the paper's street scenes add ----------------------------------------------


def noisy_stage(noise, **stage):
    options = {"box_noise": noise, "box_padding": (0.2, 1.0), **ALWAYS, **stage}
    return JointStage(tiny.paper_config(options))


def test_noise_moves_and_pads_every_object_by_itself():
    batch = tiny.batch((3, 2))
    stage = noisy_stage((0.05, 0.1))
    # Without padding: each object's own extent.
    own = Truth.of_labels(batch["labels"], 4, (0.0, 0.0))
    truth = Truth.of_labels(batch["labels"], 4, stage.stage.box_padding)
    draws = [stage.cut_boxes(batch, truth, tf.constant([0, s])) for s in range(50)]
    extent = own.size.numpy()
    there = own.exists.numpy() > 0
    shifts = np.stack([(d.center - own.center).numpy() for d in draws])[:, there]
    shifts /= extent[there]
    assert np.abs(shifts).max() <= 0.05 + 1e-4
    assert np.abs(shifts).max() > 0.045
    assert np.abs(shifts.mean(axis=0)).max() < 0.02
    # Both axes and all objects draw their own.
    assert (np.abs(np.corrcoef(shifts.reshape(50, -1).T) - np.eye(10)) < 0.6).all()
    padding = np.stack([(d.size - own.size).numpy() / 2 for d in draws])[:, there]
    ratio = padding / extent[there]
    # At least one pixel, whatever the ratio.
    above = np.maximum(0.3 + 1e-4, 1.001 / extent[there])
    below = np.maximum(0.1 - 1e-4, 0.999 / extent[there])
    assert (ratio <= above).all()
    assert (ratio >= below).all()
    assert ratio.std(axis=0).max() > 0.03
    for draw in draws:
        np.testing.assert_array_equal(draw.exists, truth.exists)


def test_without_noise_the_truth_is_cut():
    batch = tiny.batch((2, 1))
    stage = noisy_stage((0.0, 0.0))
    truth = Truth.of_labels(batch["labels"], 4, stage.stage.box_padding)
    assert stage.cut_boxes(batch, truth, tf.constant([0, 1])) is truth


def test_noise_is_on_what_is_cut_and_not_on_what_is_wanted():
    """The box loss still wants the true box; validation has no noise at all."""
    batch = tiny.batch((2, 1))
    noise = noisy_stage((0.05, 0.1))
    model = RecurrentAttention(noise.config)
    cuts = {}
    unroll = model.unroll

    def spy(prepared, truth, switches, **options):
        names = ("box_iou", "greedy", "masks", "scores", "center_used", "size_used")
        outputs = unroll(prepared, truth, switches, **options | {"collect": names})
        cuts[len(cuts)] = truth, options.get("cut"), outputs
        return outputs

    model.unroll = spy
    noise(model, batch, 0, training=True)
    noise(model, batch, 0, training=False)
    truth, cut, outputs = cuts[0]
    for used, wanted in (("center_used", cut.center), ("size_used", cut.size)):
        matched = tf.einsum("bst,btc->bsc", outputs["greedy"], wanted)
        np.testing.assert_allclose(outputs[used], matched, rtol=1e-4, atol=1e-3)
    assert np.abs(cut.size - truth.size).max() > 0.1
    assert cuts[1][1] is None


@pytest.mark.parametrize("by_corners", [True, False])
def test_boxes_may_be_matched_by_their_corners(by_corners):
    """A faint box on the smallest object: its corners say which, its soft mask not."""
    batch = tiny.batch((3, 3))
    model = RecurrentAttention(tiny.paper_config(corner_matching=by_corners))
    truth = Truth.of_labels(batch["labels"], 4, (0.2, 2.0))
    areas = np.prod(truth.size[0, :3], axis=-1)
    aim, largest = int(areas.argmin()), int(areas.argmax())
    center = truth.center[0, aim] / tiny.SIZE * 2 - 1
    size = tf.math.log(truth.size[0, aim] / tiny.SIZE)
    linear = model.box_head.linear
    linear.kernel.assign(tf.zeros_like(linear.kernel))
    # The soft mask is nearly the same everywhere: the largest object overlaps it most.
    linear.bias.assign(tf.concat([center, size, [0.0, 0.0, 0.0, -9.0, 0.0]], axis=0))
    off = tf.zeros_like(truth.exists)
    out = model.unroll(
        model.prepare(batch["image"]), truth, (off, off), collect=("greedy", "center")
    )
    np.testing.assert_allclose(out["center"][0, 0], truth.center[0, aim], atol=1e-3)
    assert out["greedy"][0, 0].numpy().argmax() == (aim if by_corners else largest)
    if by_corners:
        # The other image's objects, by hand.
        overlaps = np.zeros(4)
        for slot in range(3):
            low = np.maximum(truth.top_left[1, slot], truth.top_left[0, aim])
            high = np.minimum(truth.bottom_right[1, slot], truth.bottom_right[0, aim])
            both = np.prod(np.maximum(high - low, 0))
            total = np.prod(truth.size[1, slot]) + np.prod(truth.size[0, aim])
            overlaps[slot] = both / (total - both)
        assert overlaps.max() > 0
        assert out["greedy"][1, 0].numpy().argmax() == overlaps.argmax()


def by_scipy(weights, counts, first):
    """(minus the mean weight of matched pairs, the outputs that are matched)."""
    means, found = [], np.zeros(weights.shape[:2], np.float32)
    for b, n in enumerate(counts):
        rows = n if first else weights.shape[1]
        i, j = linear_sum_assignment(weights[b, :rows, :n], maximize=True)
        found[b, i] = 1.0
        means.append(weights[b, i, j].mean())
    return -np.mean(means), tf.constant(found)


@pytest.mark.parametrize("kind", [JointStage, UnrolledBoxStage])
@pytest.mark.parametrize("first", [True, False])
def test_terms_against_scipy(monkeypatch, kind, first):
    """Masks and boxes are matched by themselves; the score learns what is found."""
    config = tiny.paper_config(first_outputs_only=first)
    model, calls = build(config), []
    unroll = model.unroll

    def spy(prepared, truth, switches, **options):
        masks = ("masks",) if options.get("segment_objects", True) else ()
        options["collect"] = (*masks, "scores", "box_iou")
        outputs = unroll(prepared, truth, switches, **options)
        calls.append((outputs, truth))
        return outputs

    monkeypatch.setattr(model, "unroll", spy)
    counts = (3, 1)
    terms, _ = kind(config)(model, tiny.batch(counts), 0, training=False)
    ((outputs, truth),) = calls
    expected, found = {}, None
    expected["box"], found = by_scipy(outputs["box_iou"].numpy(), counts, first)
    if kind is JointStage:
        iou = soft_iou_matrix(outputs["masks"], truth.masks).numpy()
        expected["segmentation"], found = by_scipy(iou, counts, first)
        # The two ways differ on these weights.
        assert by_scipy(iou, counts, not first)[0] != expected["segmentation"]
    expected["score"] = float(monotonic_score_loss(outputs["scores"], found))
    for name, value in expected.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-3), name
