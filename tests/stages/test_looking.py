"""The loss of one look, against loops and at its known zeros."""

import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers.box_network import (
    BLOB_CELLS,
    BLOB_SHARE,
    Box,
    HeatMapHead,
)
from keras_recattend.stages import looking

IMAGE = (64, 64)
CELL = 8


class Head:
    """A heat map of 8 x 8 cells over the image."""

    cell = (CELL, CELL)
    blobs = HeatMapHead.blobs

    def cell_centers(self):
        places = [
            ((row + 0.5) * CELL - 0.5, (column + 0.5) * CELL - 0.5)
            for row in range(IMAGE[0] // CELL)
            for column in range(IMAGE[1] // CELL)
        ]
        return tf.constant(places, tf.float32)


def box_of(center, size, heat=None, cells=None):
    fields = dict.fromkeys(Box._fields)
    values = {"center": center, "size": size, "heat": heat, "cells": cells}
    fields |= {k: None if v is None else tf.constant(v) for k, v in values.items()}
    return Box(**fields)


def iou(a_center, a_size, b_center, b_size):
    area = overlap = 1.0
    for axis in (0, 1):
        low = max(a_center[axis] - a_size[axis] / 2, b_center[axis] - b_size[axis] / 2)
        high = min(a_center[axis] + a_size[axis] / 2, b_center[axis] + b_size[axis] / 2)
        overlap *= max(high - low, 0.0)
    area = a_size[0] * a_size[1] + b_size[0] * b_size[1] - overlap
    return overlap / area


def random_boxes(seed, shape):
    rng = np.random.default_rng(seed)
    center = rng.uniform(10, 54, (*shape, 2)).astype(np.float32)
    return center, rng.uniform(8, 30, (*shape, 2)).astype(np.float32)


# -- choose_target -----------------------------------------------------------------


def test_target_is_the_uncovered_object_of_greatest_iou():
    n, slots = 40, 6
    center, size = random_boxes(0, (n, slots))
    own_center, own_size = random_boxes(1, (n,))
    uncovered = np.random.default_rng(2).integers(0, 2, (n, slots)).astype(np.float32)
    uncovered[:, 0] = 1.0
    box = box_of(own_center, own_size)
    target = looking.choose_target(
        box,
        tf.constant(center),
        tf.constant(size),
        tf.constant(uncovered)[:, tf.newaxis],
    )
    for i in range(n):
        ious = [
            iou(own_center[i], own_size[i], center[i, t], size[i, t])
            if uncovered[i, t]
            else -1.0
            for t in range(slots)
        ]
        chosen = int(target.index[i])
        assert uncovered[i, chosen] == 1.0
        # Nearness may break ties, of a thousandth at most.
        assert ious[chosen] >= max(ious) - looking.NEARNESS
        assert float(target.iou[i]) == pytest.approx(ious[chosen], abs=1e-5)
        np.testing.assert_array_equal(target.center[i], center[i, chosen])
        np.testing.assert_array_equal(target.size[i], size[i, chosen])
        assert target.exists[i] == 1.0


def test_the_nearer_object_is_chosen_where_none_overlaps():
    center = tf.constant([[[10.0, 10.0], [50.0, 50.0], [30.0, 30.0]]])
    size = tf.fill([1, 3, 2], 4.0)
    box = box_of([[40.0, 40.0]], [[2.0, 2.0]])
    target = looking.choose_target(box, center, size, tf.constant([[[1.0, 0.0, 1.0]]]))
    assert int(target.index[0]) == 2


def test_no_object_left_is_no_target():
    center, size = (tf.constant(v) for v in random_boxes(3, (2, 4)))
    box = box_of(*random_boxes(4, (2,)))
    target = looking.choose_target(box, center, size, tf.zeros([2, 1, 4]))
    np.testing.assert_array_equal(target.exists, [0.0, 0.0])


@pytest.mark.parametrize("extent", [0.0, 1.0])
def test_empty_slots_give_no_nan(extent):
    """An empty slot is a box without area, or of one pixel where boxes are padded."""
    center = tf.constant([[[20.0, 20.0], [0.0, 0.0]]])
    size = tf.constant([[[8.0, 8.0], [extent, extent]]])
    box = box_of([[21.0, 20.0]], [[9.0, 8.0]])
    target = looking.choose_target(box, center, size, tf.constant([[[1.0, 0.0]]]))
    assert int(target.index[0]) == 0
    for value in (target.iou, target.center, target.size):
        assert np.isfinite(value).all()


# -- cell_targets ------------------------------------------------------------------


def test_blobs_peak_in_the_cell_that_holds_the_center():
    center, size = random_boxes(5, (2, 7))
    exists = np.ones((2, 7), np.float32)
    exists[1, 5:] = 0.0
    blobs = looking.cell_targets(
        Head(), tf.constant(center), tf.constant(size), tf.constant(exists)
    ).numpy()
    assert blobs.shape == (2, 7, 64)
    for b in range(2):
        for t in range(7):
            if not exists[b, t]:
                assert not blobs[b, t].any()
                continue
            row, column = (int((center[b, t, a] + 0.5) // CELL) for a in (0, 1))
            assert blobs[b, t, row * 8 + column] == 1.0
            assert (blobs[b, t] == 1.0).sum() == 1
            assert blobs[b, t].min() >= 0.0


def test_blobs_fall_as_a_gaussian():
    size = np.array([[[40.0, 10.0]]], np.float32)
    center = np.array([[[19.5, 27.5]]], np.float32)  # the centre of cell (2, 3)
    blob = looking.cell_targets(
        Head(), tf.constant(center), tf.constant(size), tf.ones([1, 1])
    ).numpy()[0, 0]
    for row in range(8):
        for column in range(8):
            exponent = 0.0
            for cell, middle, extent in ((row, 19.5, 40.0), (column, 27.5, 10.0)):
                deviation = max(BLOB_CELLS * CELL, BLOB_SHARE * extent)
                exponent += (((cell + 0.5) * CELL - 0.5 - middle) / deviation) ** 2
            assert blob[row * 8 + column] == pytest.approx(
                np.exp(-exponent / 2), abs=1e-6
            )


@pytest.mark.parametrize("center", [(-0.5, -0.5), (63.5, 63.5), (0.0, 63.0)])
def test_blobs_of_objects_at_the_edge_have_a_peak(center):
    blob = looking.cell_targets(
        Head(),
        tf.constant([[center]], tf.float32),
        tf.constant([[[1.0, 1.0]]]),
        tf.ones([1, 1]),
    )
    assert float(tf.reduce_max(blob)) == 1.0


# -- look_terms --------------------------------------------------------------------


def scene():
    """Two images, two and no objects, three canvases each: none, one, all covered."""
    center = tf.constant([[[20.0, 16.0], [44.0, 47.0]], [[0.5, 0.5], [0.5, 0.5]]])
    size = tf.constant([[[18.0, 14.0], [12.0, 20.0]], [[1.0, 1.0], [1.0, 1.0]]])
    exists = tf.constant([[1.0, 1.0], [0.0, 0.0]])
    uncovered = tf.constant([[[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0]] * 3])
    return center, size, exists, uncovered


def perfect_look():
    """A box head that knows the scene: (box, score logit)."""
    center, size, exists, uncovered = scene()
    blobs = looking.cell_targets(Head(), center, size, exists)
    shown = (blobs[:, tf.newaxis] * uncovered[..., tf.newaxis]).numpy()
    owner = shown.argmax(axis=2)  # [B, K, P]
    heat = np.where(shown.max(axis=2) == 1.0, 20.0, -20.0).astype(np.float32)
    cells = np.zeros((2, 3, 64, 4), np.float32)
    wanted = np.zeros((2, 3, 2, 2), np.float32)
    for b in range(2):
        for k in range(3):
            cells[b, k, :, :2] = center.numpy()[b][owner[b, k]]
            cells[b, k, :, 2:] = size.numpy()[b][owner[b, k]]
            t = int(uncovered.numpy()[b, k].argmax())
            wanted[b, k] = center[b, t], size[b, t]
    wanted = wanted.reshape(6, 2, 2)
    some = uncovered.numpy().max(axis=-1).reshape(6)
    box = box_of(
        wanted[:, 0], wanted[:, 1], heat.reshape(6, 64), cells.reshape(6, 64, 4)
    )
    return box, tf.constant(np.where(some > 0, 20.0, -20.0).astype(np.float32)), blobs


def test_a_perfect_look_costs_nothing():
    center, size, _, uncovered = scene()
    box, score, blobs = perfect_look()
    target = looking.choose_target(box, center, size, uncovered)
    terms, measures = looking.look_terms(
        box, target, score, center, size, uncovered, blobs
    )
    assert set(terms) == set(looking.TERMS)
    assert set(measures) == set(looking.MEASURES)
    for name, value in terms.items():
        assert abs(float(value)) < 1e-3, name
    assert float(measures["box_iou"]) == pytest.approx(1.0, abs=1e-5)
    assert float(measures["boxes_over_half"]) == 1.0
    assert float(measures["score_accuracy"]) == 1.0
    np.testing.assert_array_equal(target.exists, [1, 1, 0, 0, 0, 0])


def test_every_term_notices_its_own_mistake():
    center, size, _, uncovered = scene()
    box, score, blobs = perfect_look()
    mistakes = {
        "box": (box._replace(center=box.center + 8.0), score),
        "numbers": (box._replace(size=box.size * 2.0), score),
        "heat": (box._replace(heat=-box.heat), score),
        "cells": (box._replace(cells=box.cells * 1.5), score),
        "score": (box, -score),
    }
    for name, (wrong, wrong_score) in mistakes.items():
        target = looking.choose_target(wrong, center, size, uncovered)
        terms, _ = looking.look_terms(
            wrong, target, wrong_score, center, size, uncovered, blobs
        )
        assert float(terms[name]) > 0.05, name


def test_looks_that_do_not_teach_the_score_count_for_the_rest_alone():
    """Wrong where it is not to be learned: cross entropy 20 at each of these."""
    center, size, _, uncovered = scene()
    box, score, blobs = perfect_look()
    target = looking.choose_target(box, center, size, uncovered)
    scored = tf.constant([1.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    for wrong, loss, accuracy in ((1 - scored, 0.0, 1.0), (scored, 20.0, 0.0)):
        logit = score * (1 - 2 * wrong)
        terms, measures = looking.look_terms(
            box, target, logit, center, size, uncovered, blobs, scored
        )
        expected = looking.SCORE_WEIGHT * loss
        assert float(terms["score"]) == pytest.approx(expected, abs=1e-6)
        assert float(measures["score_accuracy"]) == accuracy
        assert abs(float(terms["box"])) < 1e-3
        assert float(measures["box_iou"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["no object", "all covered", "one covered"])
def test_terms_and_gradients_are_finite(kind):
    center, size, exists, uncovered = scene()
    if kind == "no object":
        exists, uncovered = tf.zeros_like(exists), tf.zeros_like(uncovered)
        center, size = tf.fill([2, 2, 2], 0.5), tf.ones([2, 2, 2])
    elif kind == "all covered":
        uncovered = tf.zeros_like(uncovered)
    blobs = looking.cell_targets(Head(), center, size, exists)
    rng = np.random.default_rng(6)
    variables = {
        "center": tf.Variable(rng.uniform(5, 60, (6, 2)).astype(np.float32)),
        "size": tf.Variable(rng.uniform(5, 20, (6, 2)).astype(np.float32)),
        "heat": tf.Variable(rng.normal(0, 2, (6, 64)).astype(np.float32)),
        "cells": tf.Variable(rng.uniform(5, 60, (6, 64, 4)).astype(np.float32)),
    }
    score = tf.Variable(rng.normal(0, 1, 6).astype(np.float32))
    with tf.GradientTape() as tape:
        fields = dict.fromkeys(Box._fields) | {
            k: tf.convert_to_tensor(v) for k, v in variables.items()
        }
        box = Box(**fields)
        target = looking.choose_target(box, center, size, uncovered)
        terms, measures = looking.look_terms(
            box, target, score + 0.0, center, size, uncovered, blobs
        )
        loss = tf.add_n(list(terms.values()))
    for name, value in (terms | measures).items():
        assert np.isfinite(value), name
    everything = [*variables.values(), score]
    for gradient in tape.gradient(loss, everything, unconnected_gradients="zero"):
        assert np.isfinite(gradient).all()
    if kind != "one covered":
        assert float(terms["box"]) == 0.0
        assert float(terms["numbers"]) == 0.0
        assert float(terms["cells"]) == 0.0


def test_without_a_heat_map_its_terms_are_zero():
    center, size, _, uncovered = scene()
    box, score, _ = perfect_look()
    target = looking.choose_target(box, center, size, uncovered)
    terms, _ = looking.look_terms(box, target, score, center, size, uncovered, None)
    assert float(terms["heat"]) == 0.0
    assert float(terms["cells"]) == 0.0


def test_numbers_by_hand():
    """In units of the size and as logarithms, less the 0.05 that cost nothing."""
    center, size, _, uncovered = scene()
    box, score, blobs = perfect_look()
    half = np.float32(np.exp(0.5))
    places, extents = box.cells[..., :2], box.cells[..., 2:]
    wrong = box._replace(
        center=box.center + 0.1 * box.size,
        size=box.size * half,
        cells=tf.concat([places + 0.1 * extents, extents * half], axis=-1),
    )
    target = looking.choose_target(wrong, center, size, uncovered)
    terms, _ = looking.look_terms(wrong, target, score, center, size, uncovered, blobs)
    # 2 (0.1 - 0.05) + 2 (0.5 - 0.05), and three times that for the cells.
    assert float(terms["numbers"]) == pytest.approx(1.0, rel=1e-3)
    assert float(terms["cells"]) == pytest.approx(3.0, rel=1e-3)
