"""The segmentation stage: moved boxes, its canvases, its loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend.model import RecurrentAttention
from keras_recattend.stages import SegmentationStage, segmentation
from keras_recattend.stages.segmentation import jitter_boxes

SEED = tf.constant([1, 2])


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny.config())


def test_no_jitter_keeps_the_boxes():
    center = tf.constant([[10.0, 20.0], [3.0, 4.0]])
    size = tf.constant([[5.0, 6.0], [7.0, 8.0]])
    moved = jitter_boxes(center, size, (0.0, 0.0), SEED)
    np.testing.assert_array_equal(moved[0], center)
    np.testing.assert_array_equal(moved[1], size)


def test_jitter_is_a_share_of_the_size():
    center = tf.fill([20_000, 2], 50.0)
    size = tf.tile([[10.0, 40.0]], [20_000, 1])
    moved, grown = jitter_boxes(center, size, (0.1, 0.2), SEED)
    shift = (moved.numpy() - 50.0) / [10.0, 40.0]
    np.testing.assert_allclose(shift.mean(axis=0), 0.0, atol=0.01)
    np.testing.assert_allclose(shift.std(axis=0), 0.1, rtol=0.05)
    growth = np.log(grown.numpy() / [10.0, 40.0])
    np.testing.assert_allclose(growth.std(axis=0), 0.2, rtol=0.05)
    assert np.corrcoef(shift[:, 0], growth[:, 0])[0, 1] == pytest.approx(0, abs=0.05)
    _, wild = jitter_boxes(center, size, (0.0, 5.0), SEED)
    assert np.exp(-0.701) < (wild.numpy() / [10.0, 40.0]).min()
    assert (wild.numpy() / [10.0, 40.0]).max() < np.exp(0.701)


def test_what_is_taken_of_others_is_a_term_of_the_loss(model):
    batch = tiny.batch((3, 2))
    stages = {
        weight: SegmentationStage(
            tiny.config({"neighbours": weight}, stages=["segmentation"]), seed=3
        )
        for weight in (0.0, 1.0, 2.0)
    }
    terms = {w: s(model, batch, 0, training=False)[0] for w, s in stages.items()}
    assert set(terms[0.0]) == {"patch"} == set(stages[0.0].terms)
    assert set(terms[1.0]) == {"patch", "neighbours"} == set(stages[1.0].terms)
    assert terms[1.0]["neighbours"] > 0.01
    np.testing.assert_allclose(
        terms[2.0]["neighbours"], 2 * terms[1.0]["neighbours"], rtol=1e-5
    )
    for values in terms.values():
        np.testing.assert_allclose(values["patch"], terms[0.0]["patch"], rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_blank_canvases_are_shown_in_training_alone(model, monkeypatch, training):
    shown, original = [], segmentation.segment_patches

    def segment(model, batch, canvases, *others, **options):
        shown.append(canvases.numpy())
        return original(model, batch, canvases, *others, **options)

    monkeypatch.setattr(segmentation, "segment_patches", segment)
    batch = tiny.batch((3, 3))
    for share in (0.0, 1.0):
        config = tiny.config({"blank_canvases": share}, stages=["segmentation"])
        SegmentationStage(config, seed=3)(model, batch, 0, training=training)
    with_objects, blank = shown
    assert with_objects.any()
    if training:
        assert not blank.any()
    else:
        np.testing.assert_array_equal(blank, with_objects)


@pytest.mark.parametrize("counts", [(3, 0), (0, 0)])
def test_images_without_objects_cost_nothing(model, counts):
    config = tiny.config({"canvases": 2}, stages=["segmentation"])
    stage = SegmentationStage(config)
    terms, measures = stage(model, tiny.batch(counts), 0, training=True)
    assert np.isfinite(terms["patch"])
    assert np.isfinite(measures["patch_iou"])
    if not any(counts):
        assert float(terms["patch"]) == 0.0


@pytest.fixture
def shown(monkeypatch):
    """(canvases, index of the object) of every call that segments patches."""
    calls, segment = [], segmentation.segment_patches

    def spy(model, batch, canvases, center, size, index, *rest, **options):
        calls.append((canvases.numpy(), index.numpy()))
        return segment(model, batch, canvases, center, size, index, *rest, **options)

    monkeypatch.setattr(segmentation, "segment_patches", spy)
    return calls


def test_validation_cuts_the_true_box_without_jitter(model, monkeypatch, shown):
    """... and pads it as inference does."""
    count = 5
    options = {"canvases": count, "jitter": (0.3, 0.3)}
    config = tiny.config(options, stages=["segmentation"])
    batch = tiny.batch((3, 1))
    cuts = []

    def filters(center, size, variance, original=model.filters.call):
        cuts.append((center.numpy(), size.numpy()))
        return original(center, size, variance)

    monkeypatch.setattr(model.filters, "call", filters)
    SegmentationStage(config)(model, batch, 0, training=False)
    center, size = cuts[0]
    labels = batch["labels"].numpy()
    for n, t in enumerate(shown[0][1]):
        rows, columns = np.nonzero(labels[n // count] == t + 1)
        for axis, places in ((0, rows), (1, columns)):
            middle = (places.min() + places.max()) / 2
            # A pixel reaches half a pixel around its centre.
            extent = (places.max() - places.min() + 1) * config.segmentation.padding
            assert center[n, axis] == pytest.approx(middle)
            assert size[n, axis] == pytest.approx(extent, rel=1e-5)


def test_an_object_that_is_left_is_segmented_on_canvases_that_are_moved(model, shown):
    batch = tiny.batch((3, 1))
    for distortion in (0.0, 0.05):
        options = {"canvases": 20, "canvas_distortion": distortion}
        config = tiny.config(options, stages=["segmentation"])
        SegmentationStage(config, seed=3)(model, batch, 0, training=False)
    (true, index), (moved, _) = shown
    labels = np.repeat(batch["labels"], 20, axis=0)
    for canvas, own, i in zip(true, labels, index, strict=True):
        assert (own == i + 1).any()
        assert not canvas[own == i + 1].any()
    assert true.any()
    assert not true[labels == 0].any()
    assert moved[labels == 0].any()
