"""Rollouts of the model on its own output, and the canvases taken from them."""

import dataclasses
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.config import BoxNetwork, Inference
from keras_recattend.layers import Canvas
from keras_recattend.model import RecurrentAttention, Segment
from keras_recattend.revision import Others
from keras_recattend.stages import OwnCanvasesStage, own_canvases
from keras_recattend.stages import rollout as rollouts
from keras_recattend.stages.objective import split_seed
from keras_recattend.stages.rollout import Drawn, rollout

SEED = tf.constant([4, 9])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny.config())


def boxes_of(labels, slots=tiny.SLOTS):
    """(center, size, exists) by numpy."""
    shape = (len(labels), slots)
    center, size, exists = np.zeros((*shape, 2)), np.ones((*shape, 2)), np.zeros(shape)
    for b, t in np.ndindex(shape):
        places = np.argwhere(labels[b] == t + 1)
        if len(places):
            low, high = places.min(axis=0), places.max(axis=0)
            center[b, t], size[b, t], exists[b, t] = (low + high) / 2, high - low + 1, 1
    return tuple(tf.constant(values, tf.float32) for values in (center, size, exists))


def canvases_of(model, batch, show_truth, seed=SEED):
    return rollout(model, batch, boxes_of(batch["labels"]), show_truth, seed).canvases


class Finder:
    """In place of the model: finds at step t what `masks` [T, B, H, W] holds."""

    def __init__(self, masks):
        self.masks = tf.constant(masks, tf.float32)
        self.canvas = Canvas()
        self.config = types.SimpleNamespace(
            inference=Inference(refinements=3), box_network=BoxNetwork()
        )

    def prepare(self, image, extra=None, training=False):
        assert not training
        return types.SimpleNamespace(of=lambda rows: rows)

    def around_mask(self, segment, growth):
        """Tells which segment, and which growth."""
        return segment.center + growth, segment.size

    def find(self, prepared, canvas, step, inference):
        assert inference.refinements == 1
        rows, number = prepared, tf.size(prepared)
        assert canvas.shape[1:] == self.masks.shape[2:]
        mask = tf.gather(self.masks[tf.minimum(step, self.masks.shape[0] - 1)], rows)
        size = tf.fill([number, 2], 8.0)
        center = size + tf.cast(step, tf.float32)
        heat = tf.fill([number, 1, 1], tf.cast(step + 1, tf.float32))
        segment = Segment(center, size, None, heat, None, mask)
        return types.SimpleNamespace(), segment, tf.zeros(number)


@pytest.mark.parametrize("counts", [(3, 1), (2, 0), (0, 0)])
def test_rollout_starts_blank_and_grows(model, counts):
    batch = tiny.batch(counts)
    canvases = canvases_of(model, batch, 0.1).numpy()
    assert canvases.shape == (2, max(counts) + 1, *tiny.SIZE)
    assert not canvases[:, 0].any()
    assert (np.diff(canvases, axis=1) >= 0).all()
    assert np.isfinite(canvases).all()
    assert canvases.max() <= 1.0


def test_rollout_has_no_gradient(model):
    batch = tiny.batch((2, 1))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(canvases_of(model, batch, 0.1))
    gradients = tape.gradient(total, model.trainable_variables)
    assert all(gradient is None for gradient in gradients)


def test_rollout_leaves_the_statistics_alone(model):
    before = [v.numpy() for v in model.non_trainable_variables]
    batch = tiny.batch((2, 1))
    canvases_of(model, batch, 0.1)
    for old, variable in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, variable)


@pytest.mark.parametrize("seed", range(4))
def test_stuck_steps_get_a_true_object_that_is_not_there_yet(seed):
    """A model that finds nothing: every step draws one more object, each once."""
    batch = tiny.batch((3, 1, 0), seed=seed)
    labels = batch["labels"].numpy()
    nothing = Finder(np.zeros((1, 3, *tiny.SIZE)))
    canvases = canvases_of(nothing, batch, 0.0, SEED + seed).numpy()
    assert canvases.shape[1] == 4
    for b, count in enumerate((3, 1, 0)):
        for step in range(4):
            on = [i for i in (1, 2, 3) if (canvases[b, step][labels[b] == i] > 0).any()]
            assert len(on) == min(step, count)
            expected = np.isin(labels[b], on)
            np.testing.assert_array_equal(canvases[b, step], expected)


def test_a_step_that_repeats_itself_is_stuck():
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()
    first = (labels == 1).astype(np.float32)
    again = Finder(first[np.newaxis])  # object 1 at every step
    canvases = canvases_of(again, batch, 0.0).numpy()
    np.testing.assert_array_equal(canvases[0, 1], first[0])
    np.testing.assert_array_equal(canvases[0, 2], labels[0] > 0)


def test_what_the_model_finds_is_kept_mistakes_and_all():
    batch = tiny.batch((2,))
    wrong = np.zeros((2, 1, *tiny.SIZE), np.float32)
    wrong[0, 0, :10, :10], wrong[1, 0, 15:25, 15:25] = 0.8, 0.6
    canvases = canvases_of(Finder(wrong), batch, 0.0)
    np.testing.assert_array_equal(canvases[0, 1], wrong[0, 0])
    np.testing.assert_array_equal(canvases[0, 2], wrong.max(axis=0)[0])


def test_show_truth_replaces_what_was_found():
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()
    wrong = Finder(np.ones((1, 1, *tiny.SIZE)))
    canvases = canvases_of(wrong, batch, 1.0).numpy()
    np.testing.assert_array_equal(canvases[0, 2], labels[0] > 0)


def stage_of(**options):
    return OwnCanvasesStage(tiny.config({"canvases": 5, **options}))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_canvases_and_what_is_left_uncovered_agree(model, share):
    stage = stage_of(true_canvases=share)
    batch = tiny.batch((3, 1))
    true_boxes = boxes_of(batch["labels"])
    exists, seeds = true_boxes[2], split_seed(SEED, 10)
    shown = stage._shown(model, batch, true_boxes, seeds, training=True)
    canvases, uncovered = shown.canvases, shown.uncovered
    assert shown.centers is None
    assert shown.drawn is None
    assert canvases.shape == (10, *tiny.SIZE)
    assert uncovered.shape == (2, 5, tiny.SLOTS)
    labels = batch["labels"].numpy()
    for b in range(2):
        for k in range(5):
            canvas = canvases.numpy()[b * 5 + k]
            if share == 1.0:
                assert set(np.unique(canvas)) <= {0.0, 1.0}
            for t in range(tiny.SLOTS):
                left = float(uncovered[b, k, t])
                if not exists[b, t]:
                    assert left == 0.0
                    continue
                # Every other pixel decides: leave the middle ground open.
                drawn = (canvas[labels[b] == t + 1] > 0.5).mean()
                if drawn > 0.65:
                    assert left == 0.0
                elif drawn < 0.35:
                    assert left == 1.0


@pytest.mark.parametrize("counts", [(3, 0), (0, 0)])
def test_terms_are_finite_with_images_without_objects(model, counts):
    stage = stage_of()
    terms, measures = stage(model, tiny.batch(counts), 3, training=True)
    assert set(terms) == set(stage.terms)
    for name, value in (terms | measures).items():
        assert np.isfinite(value), name


def test_what_is_taken_of_others_is_a_term_of_the_loss(model, monkeypatch):
    # The boxes of a model that has learnt nothing, too.
    monkeypatch.setattr(own_canvases, "LEAST_OVERLAP", -1.0)
    batch = tiny.batch((3, 2))
    plain, weighed = stage_of(), stage_of(neighbours=1.0)
    without, _ = plain(model, batch, 3, training=False)
    terms, _ = weighed(model, batch, 3, training=False)
    assert set(terms) == set(weighed.terms) == {*without, "neighbours"}
    assert 0.0 < terms["neighbours"] < tiny.SLOTS
    for name, value in without.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5)


def test_ids_without_a_slot_are_ignored(model):
    """More objects than the model has slots: the surplus is background."""
    batch = tiny.batch((3, 2))
    labels = batch["labels"].numpy()
    labels[:, :4, :4] = tiny.SLOTS + 1
    crowded = batch | {"labels": tf.constant(labels)}
    labels[labels > tiny.SLOTS] = 0
    plain = batch | {"labels": tf.constant(labels)}
    stage = stage_of(true_canvases=1.0)
    results = [stage(model, b, 0, training=False)[0] for b in (crowded, plain)]
    for name in stage.terms:
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-5)


# -- masks drawn anew --------------------------------------------------------------


def iou(mask, truth):
    """Over every other pixel, as the stage counts."""
    mask, truth = mask[::2, ::2] > 0.5, truth[::2, ::2]
    return (mask & truth).sum() / (mask | truth).sum()


def test_a_rollout_tells_what_each_step_has_drawn():
    """A part of object 1, all of 2, and that again: object 1 is drawn instead."""
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()[0]
    part, whole = 0.9 * (labels == 1), 0.8 * (labels == 2)
    lowest = np.argwhere(labels == 1)[:, 0].max()
    part[: lowest - 2] = 0.0
    masks = np.float32([part, whole, whole])[:, np.newaxis]
    true_boxes = boxes_of(batch["labels"])
    own = rollout(Finder(masks), batch, true_boxes, 0.0, SEED, with_drawn=True)
    drawn, growth = own.drawn, Inference().growth
    expected = np.zeros((3, tiny.SLOTS))
    expected[0, 0], expected[1, 1] = iou(part, labels == 1), 1.0
    assert 0.0 < expected[0, 0] < 0.5
    np.testing.assert_allclose(drawn.iou[0], expected, rtol=1e-5)
    np.testing.assert_allclose(drawn.center[0, :, 0], growth + np.arange(8.0, 11.0))
    np.testing.assert_allclose(drawn.size[0], np.full((3, 2), 8.0))
    shown = np.float32([part, whole, labels == 1])
    for t in range(3):
        others = np.delete(shown, t, axis=0).max(axis=0)
        np.testing.assert_allclose(drawn.others.without(t)[0], others)


def test_what_the_rest_of_the_batch_goes_on_for_is_not_drawn():
    """Three objects, and one: from its third step on it is not there any more."""
    batch = tiny.batch((3, 1))
    labels = batch["labels"].numpy()
    free = np.zeros_like(labels, np.float32)
    free[:, -5:] = labels[:, -5:] == 0
    masks = [*(np.float32(labels == i) for i in (1, 2, 3)), free]
    true_boxes = boxes_of(labels)
    own = rollout(Finder(masks), batch, true_boxes, 0.0, SEED, with_drawn=True)
    everything = own.drawn.others.without(-1).numpy()
    assert free[1].any()
    np.testing.assert_array_equal(everything[0], np.max([m[0] for m in masks], axis=0))
    np.testing.assert_array_equal(everything[1], labels[1] == 1)
    matched = own.drawn.iou.numpy().max(axis=-1)
    np.testing.assert_allclose(matched, [[1, 1, 1, 0], [1, 0, 0, 0]], atol=1e-6)
    # The canvases are those of before: none of these steps' is ever shown.
    assert own.canvases.shape[1] == 4


class _NoneIsOver(rollouts._Steps):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.last_step = tf.fill([3], 3)


def test_images_that_are_over_are_not_looked_at(model, monkeypatch):
    """Up to there, all is as if every image were looked at all the time."""
    batch, counts = tiny.batch((3, 1, 2)), (3, 1, 2)
    looked, find = [], model.find

    def spied(prepared, canvas, **options):
        tf.py_function(lambda x: looked.append(len(x)), [canvas], [])
        return find(prepared, canvas, **options)

    monkeypatch.setattr(model, "find", spied)
    canvases = canvases_of(model, batch, 0.1)
    assert looked == [3, 3, 2, 1]
    monkeypatch.setattr(rollouts, "_Steps", _NoneIsOver)
    expected = canvases_of(model, batch, 0.1)
    assert looked[4:] == [3, 3, 3, 3]
    for b, count in enumerate(counts):
        own = slice(count + 1)
        np.testing.assert_allclose(canvases[b, own], expected[b, own], atol=1e-6)


def test_masks_that_match_an_object_best_are_drawn_anew():
    """Of five steps, 0 and 3 have object 1, 1 has object 0, the others have none."""
    stage = stage_of(revisions=4)
    ious = np.zeros((1, 5, tiny.SLOTS), np.float32)
    ious[0, 0, 1], ious[0, 3, 1], ious[0, 1, 0], ious[0, 4, 2] = 0.5, 0.9, 0.6, 0.2
    masks = np.random.default_rng(0).uniform(size=(5, 1, *tiny.SIZE)).astype(np.float32)
    others = Others.of_none(1, tiny.SIZE)
    for t, mask in enumerate(masks):
        others = others.with_mask(tf.constant(mask), t)
    center = tf.reshape(tf.range(10.0), [1, 5, 2])
    drawn = Drawn(center, center + 1.0, tf.constant(ious), others)
    cut = stage._drawn_anew(drawn, split_seed(SEED, 2), training=False)
    steps = (cut.center[:, 0].numpy() / 2).astype(int)
    assert len(set(steps)) == 4
    for i, step in enumerate(steps):
        rest = np.delete(masks, step, axis=0).max(axis=0)[0]
        np.testing.assert_array_equal(cut.canvases[i], rest)
        assert float(cut.weight[i]) == (step in (1, 3))
        np.testing.assert_array_equal(cut.size[i], cut.center[i] + 1.0)
    meant = dict(zip(steps, cut.index.numpy(), strict=True))
    assert meant[3] == 1
    assert meant[1] == 0


@pytest.mark.parametrize("counts", [(3, 1), (0, 0)])
@pytest.mark.parametrize("centers", [False, True])
def test_masks_drawn_anew_are_more_patches_of_the_same_loss(
    monkeypatch, counts, centers
):
    monkeypatch.setattr(own_canvases, "LEAST_OVERLAP", -1.0)
    config = tiny.config({"revisions": 2, "canvases": 3, "blank_canvases": 1.0})
    config = config.replace(box_network={"center_map": centers})
    model, stage = RecurrentAttention(config), OwnCanvasesStage(config)
    shown, segment = [], own_canvases.segment_patches

    def segment_patches(model, batch, canvases, *others, **options):
        shown.append(canvases.numpy().reshape(2, -1, *tiny.SIZE))
        return segment(model, batch, canvases, *others, **options)

    monkeypatch.setattr(own_canvases, "segment_patches", segment_patches)
    terms, measures = stage(model, tiny.batch(counts), 3, training=True)
    assert set(terms) == set(stage.terms)
    for name, value in (terms | measures).items():
        assert np.isfinite(value), name
    # No more than there are steps, one more than objects; and these are not blank.
    assert shown[0].shape[1] == 3 + min(2, max(counts) + 1)
    assert not shown[0][:, :3].any()
    assert shown[0][:, 3:].any() == any(counts)


@pytest.mark.parametrize("kind", ["canvas", "centre map"])
def test_an_object_that_is_too_small_to_be_looked_for_is_not_left(kind):
    """Every other pixel is compared; this object has one in between."""
    labels = np.zeros((1, *tiny.SIZE), np.int32)
    labels[0, 4:12, 4:14], labels[0, 21, 21] = 1, 2
    batch = {"image": tf.zeros([1, *tiny.SIZE, 3]), "labels": tf.constant(labels)}
    masks = np.stack([labels == 1, labels == 2]).astype(np.float32)
    found = {"canvas": Finder, "centre map": Marker}[kind](masks)
    result = rollout(found, batch, boxes_of(labels), 0.0, SEED)
    np.testing.assert_array_equal(result.found[0, :2], [[0, 1, 0], [1, 1, 0]])


# -- with a centre map -------------------------------------------------------------


class Marker(Finder):
    """A `Finder` with a centre map of two cells: step t marks the value t + 1."""

    def __init__(self, masks):
        super().__init__(masks)
        self.config.box_network = dataclasses.replace(BoxNetwork(), center_map=True)
        self.seen = []

    @property
    def box_head(self):
        return types.SimpleNamespace(
            blobs=lambda center, size: tf.fill([*center.shape[:-1], 2], 0.5)
        )

    def no_centers(self, batch):
        return tf.zeros([batch, 2])

    def find(self, prepared, canvas, step, inference, centers):
        assert centers.shape[0] == canvas.shape[0]
        return super().find(prepared, canvas, step, inference)

    def mark(self, centers, segment):
        return tf.fill(tf.shape(centers), segment.heat[0, 0, 0])


def spilled():
    """Two objects, the first mask over both: (batch, masks of two steps)."""
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()
    # Most of the mask is the larger one's, whose it is; the smaller lies under it.
    first = (labels == 1) | (labels == 2)
    assert (labels == 1).sum() > (labels == 2).sum() > 0
    return batch, np.stack([first, labels == 2]).astype(np.float32)


def test_what_lies_under_another_mask_is_not_found_until_it_has_its_own():
    batch, masks = spilled()
    result = rollout(Marker(masks), batch, boxes_of(batch["labels"]), 0.0, SEED)
    np.testing.assert_array_equal(result.found[0], [[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    # Nothing was stuck, so the model's own marks are kept.
    np.testing.assert_array_equal(result.centers[0], [[0, 0], [1, 1], [2, 2]])


def test_without_a_center_map_what_is_covered_counts_as_found():
    batch, masks = spilled()
    result = rollout(Finder(masks), batch, boxes_of(batch["labels"]), 0.0, SEED)
    assert result.centers is None
    np.testing.assert_array_equal(result.found[0], [[0, 0, 0], [1, 1, 0], [1, 1, 0]])


def striped():
    """Ten stripes of a lying object, by tens of its length: (batch, stripes)."""
    labels = np.zeros((1, *tiny.SIZE), np.int32)
    labels[0, 4:24, 4:24] = 1
    batch = {"image": tf.zeros([1, *tiny.SIZE, 3]), "labels": tf.constant(labels)}
    tenth = (np.arange(tiny.SIZE[1]) - 4) // 2

    def stripes(first, last):
        inside = (labels[0] == 1) & (tenth >= first) & (tenth < last)
        return inside[np.newaxis].astype(np.float32)

    return batch, stripes


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ((0, 3), 0),  # the same three tenths
        ((1, 5), 0),  # five tenths together, though 0.3 + 0.4 are more
        ((2, 6), 1),  # six tenths together
    ],
)
def test_an_object_is_found_by_the_pixels_that_its_masks_have_together(second, found):
    """The first mask has three tenths of it; more than five are half of it."""
    batch, stripes = striped()
    labels = batch["labels"].numpy()
    # The second mask finds something new beside it, so that it is not stuck.
    beside = np.zeros_like(labels, np.float32)
    beside[0, 24:30, 4:24] = 1.0
    masks = np.stack([stripes(0, 3), np.maximum(stripes(*second), beside)])
    steps = rollouts._Steps(
        Marker(masks), batch, boxes_of(labels), 0.0, SEED, with_drawn=False
    )
    before = steps.before(steps.start())
    for step in range(2):
        assert float(before["found"][0, 0]) == 0.0
        before = steps.before(steps.after(step, before)[0])
    assert float(before["found"][0, 0]) == found
    tenths = 3 + second[1] - max(second[0], 3)
    assert float(tf.reduce_sum(before["claimed"])) == 10 * tenths


def test_a_true_object_in_place_of_a_step_is_marked_where_it_is():
    batch = tiny.batch((2,))
    nothing = Marker(np.zeros((1, 1, *tiny.SIZE)))
    result = rollout(nothing, batch, boxes_of(batch["labels"]), 0.0, SEED)
    assert result.found[0].numpy().sum(axis=-1).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(result.centers[0], [[0, 0], [0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize("meant", [1, 2])
def test_what_a_replaced_step_had_found_is_not_found(meant):
    """One of the two is not the object that is drawn in place of the first step."""
    batch = tiny.batch((2,))
    labels = batch["labels"].numpy()
    again = Marker((labels == meant).astype(np.float32)[np.newaxis])
    result = rollout(again, batch, boxes_of(labels), 1.0, SEED)
    assert result.found[0].numpy().sum(axis=-1).tolist() == [0, 1, 2]


def test_center_maps_and_what_is_left_go_with_their_canvases():
    """True canvases: the blobs are those of the covered objects, and of no others."""
    config = tiny.config({"canvases": 5, "true_canvases": 1.0}).replace(
        box_network={"center_map": True}
    )
    model, stage = RecurrentAttention(config), OwnCanvasesStage(config)
    batch = tiny.batch((3, 1))
    center, size, exists = true_boxes = boxes_of(batch["labels"])
    seeds = split_seed(SEED, 10)
    shown = stage._shown(model, batch, true_boxes, seeds, training=False)
    uncovered, centers = shown.uncovered, shown.centers
    blobs = model.box_head.blobs(center, size).numpy()
    for b, k in np.ndindex(2, 5):
        covered = (exists[b] - uncovered[b, k]).numpy()
        expected = (blobs[b] * covered[:, np.newaxis]).max(axis=0)
        np.testing.assert_allclose(centers[b * 5 + k], expected, atol=1e-6)


@pytest.mark.parametrize("counts", [(3, 1), (0, 0)])
def test_terms_are_finite_with_a_center_map(counts):
    config = tiny.config().replace(box_network={"center_map": True})
    model, stage = RecurrentAttention(config), OwnCanvasesStage(config)
    terms, measures = stage(model, tiny.batch(counts), 3, training=True)
    for name, value in (terms | measures).items():
        assert np.isfinite(value), name


@pytest.mark.parametrize(("blank", "teaches"), [(0.0, True), (1.0, False)])
def test_the_score_is_learned_where_the_patch_shows_its_canvas(model, blank, teaches):
    settings = {"blank_canvases": blank, "true_canvases": 1.0}
    config = tiny.config(settings, stages=["own_canvases"])
    stage = OwnCanvasesStage(config, seed=3)
    terms, measures = stage(model, tiny.batch((3, 3)), 0, training=True)
    assert (terms["score"] > 0) == teaches
    assert terms["box"] > 0
    if not teaches:
        assert measures["score_accuracy"] == 0.0


@pytest.mark.parametrize("training", [True, False])
def test_blank_canvases_are_those_of_patches_in_training(model, monkeypatch, training):
    """The box network sees them as they are: what is found must not be found again."""
    seen, shown, segment, look = [], [], own_canvases.segment_patches, model.look

    def segment_patches(model, batch, canvases, *others, **options):
        shown.append(canvases.numpy())
        return segment(model, batch, canvases, *others, **options)

    def spied_look(prepared, canvas, *others, **options):
        seen.append(canvas.numpy())
        return look(prepared, canvas, *others, **options)

    monkeypatch.setattr(own_canvases, "segment_patches", segment_patches)
    monkeypatch.setattr(model, "look", spied_look)
    # True canvases alone: no rollout looks as well.
    settings = {"blank_canvases": 1.0, "true_canvases": 1.0}
    config = tiny.config(settings, stages=["own_canvases"])
    OwnCanvasesStage(config, seed=3)(model, tiny.batch((3, 3)), 0, training=training)
    assert seen[0].any()
    np.testing.assert_array_equal(shown[0], 0.0 * seen[0] if training else seen[0])


def test_so_many_canvases_are_true():
    stage = OwnCanvasesStage(tiny.config({"canvases": 2000, "true_canvases": 0.3}))
    batch = tiny.batch((3,))
    grey = Finder(np.full((1, 1, *tiny.SIZE), 0.5))
    truth = boxes_of(batch["labels"])
    shown = stage._shown(grey, batch, truth, split_seed(SEED, 10), training=False)
    own = (shown.canvases.numpy().min(axis=(1, 2)) > 0.4).mean()
    # Four steps, of which the first is blank.
    assert own == pytest.approx(0.7 * 3 / 4, abs=0.04)


def test_segmenting_moves_no_box(model, monkeypatch):
    monkeypatch.setattr(own_canvases, "LEAST_OVERLAP", -1.0)
    stage = OwnCanvasesStage(tiny.config({"canvases": 5}))
    with tf.GradientTape() as tape:
        terms, _ = stage(model, tiny.batch((3, 2)), 3, training=True)
    assert float(terms["patch"]) > 0.0
    variables = [model.box_head, model.controller]
    variables = [v for part in variables for v in part.trainable_variables]
    assert all(g is None for g in tape.gradient(terms["patch"], variables))


def test_where_nothing_is_left_no_patch_teaches(model, monkeypatch):
    monkeypatch.setattr(own_canvases, "LEAST_OVERLAP", -1.0)

    def everything(exists, count, _):
        return tf.repeat(exists[:, tf.newaxis], count, axis=1)

    monkeypatch.setattr(own_canvases, "draw_covered", everything)
    stage = OwnCanvasesStage(tiny.config({"canvases": 5, "true_canvases": 1.0}))
    terms, _ = stage(model, tiny.batch((3, 2)), 3, training=True)
    assert float(terms["patch"]) == 0.0
    assert float(terms["box"]) == 0.0


def test_the_first_of_each_image():
    first = own_canvases._first(tf.range(10), 3, 2)
    np.testing.assert_array_equal(first, [0, 1, 2, 5, 6, 7])
