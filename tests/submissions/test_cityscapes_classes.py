"""The class of an object, against loops over its pixels."""

import numpy as np
import pytest

from keras_recattend.submissions.cityscapes_classes import (
    CLASSES,
    classes_of_objects,
    mean_by_object,
)

COUNT = 3


def random_labels(random, shape=(12, 17)):
    return random.integers(0, COUNT + 1, shape).astype(np.uint16)


def test_the_benchmark_has_these_labels():
    from cityscapesscripts.helpers.labels import labels

    theirs = {e.name: e.id for e in labels if e.hasInstances and not e.ignoreInEval}
    assert theirs == CLASSES
    train_ids = [e.trainId for e in labels if e.name in CLASSES]
    assert train_ids == list(range(11, 19))


def test_means_of_probabilities_against_a_loop(random):
    labels = random_labels(random)
    semantic = random.uniform(0, 1, (*labels.shape, 9))
    mean = mean_by_object(labels, semantic, COUNT)
    for i in range(COUNT):
        pixels = [
            semantic[y, x] for y, x in zip(*np.where(labels == i + 1), strict=True)
        ]
        np.testing.assert_allclose(mean[i], np.mean(pixels, axis=0), atol=1e-6)


def test_means_of_classes_are_shares(random):
    labels = random_labels(random)
    semantic = random.integers(0, 9, labels.shape)
    mean = mean_by_object(labels, semantic, COUNT)
    one_hot = np.eye(9)[semantic]
    np.testing.assert_allclose(mean, mean_by_object(labels, one_hot, COUNT), atol=1e-6)
    np.testing.assert_allclose(mean.sum(axis=1), 1)


def row(*shares):
    """One object of ten pixels; shares: {class: pixels}."""
    semantic = np.concatenate([np.full(n, k) for k, n in shares])
    return np.ones((1, 10), np.uint16), semantic[np.newaxis]


@pytest.mark.parametrize(
    ("shares", "label_id"),
    [
        ([(3, 6), (1, 4)], 26),
        ([(0, 6), (3, 1), (1, 3)], 24),  # background is no class, however common
        ([(0, 7), (8, 3)], 33),  # exactly 0.7 is not more than 0.7
        ([(0, 8), (8, 2)], 0),
        ([(0, 10)], 0),
        ([(4, 5), (6, 5)], 27),  # the first of equal ones
        ([(6, 10)], 31),
    ],
)
def test_rule(shares, label_id):
    labels, semantic = row(*shares)
    assert classes_of_objects(labels, semantic, 1).tolist() == [label_id]
    one_hot = np.eye(9, dtype=np.float32)[semantic]
    # In single precision 0.7 may be a little more.
    if (0, 7) not in shares:
        assert classes_of_objects(labels, one_hot, 1).tolist() == [label_id]


def test_soft_probabilities_add_up():
    """Never the likeliest class of a pixel, but on average the likeliest."""
    semantic = np.zeros((1, 2, 9))
    semantic[0, 0, [1, 2, 3]] = 0.6, 0.0, 0.4
    semantic[0, 1, [1, 2, 3]] = 0.0, 0.55, 0.45
    assert classes_of_objects(np.ones((1, 2), int), semantic, 1).tolist() == [26]


@pytest.mark.parametrize("soft", [False, True])
def test_semantic_maps_are_scaled(soft):
    labels = np.zeros((40, 60), np.uint16)
    labels[:, :29], labels[:, 31:] = 1, 2
    semantic = np.repeat([[1, 1, 1, 3, 3, 3]], 4, axis=0)
    semantic = np.eye(9)[semantic] if soft else semantic
    assert classes_of_objects(labels, semantic, 2).tolist() == [24, 26]


def test_nothing_found():
    found = classes_of_objects(np.zeros((4, 5), int), np.zeros((4, 5), int), 0)
    assert found.shape == (0,)
    # An id without a pixel has no class.
    assert classes_of_objects(np.zeros((4, 5), int), np.zeros((4, 5), int), 1) == [0]


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"9 channels, .*received shape \(4, 5, 8\)"):
        classes_of_objects(np.ones((4, 5), int), np.zeros((4, 5, 8)), 1)
