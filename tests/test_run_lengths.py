"""Run lengths, against pycocotools' own decoder and the code of whole masks."""

import json

import numpy as np
import pytest
from pycocotools import mask as masks

from keras_recattend.run_lengths import columns_of, encoded, encoded_object


def test_a_code_is_that_of_pycocotools():
    mask = np.random.default_rng(0).uniform(size=(7, 5)) > 0.4
    np.testing.assert_array_equal(masks.decode(encoded(mask)), mask)


@pytest.mark.parametrize("seed", range(6))
def test_an_object_by_its_columns_equals_its_whole_mask(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 12, 2)
    labels = rng.integers(0, 4, (height, width)).astype(np.uint16)
    labels[:, rng.integers(0, width)] = rng.integers(0, 4)
    for number in range(5):
        mask = labels == number
        there = np.flatnonzero(mask.any(axis=0))
        tight = slice(there[0], there[-1] + 1) if len(there) else slice(0, 1)
        for columns in (tight, slice(0, width)):
            code = encoded_object(labels, number, columns)
            assert code == encoded(mask)
            json.dumps(code)


def test_columns_of_objects():
    labels = np.array([[0, 3, 0, 3], [7, 0, 0, 0]])
    assert columns_of(labels) == {3: slice(1, 4), 7: slice(0, 1)}
    # Of ids far apart no list is made.
    wide = columns_of(labels * 100_000)
    assert wide == dict.fromkeys([0, 300_000, 700_000], slice(0, 4))
