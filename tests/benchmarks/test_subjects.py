"""What is timed does what its case says."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_models

from benchmarks.subjects import CountingModel


@pytest.mark.parametrize("name", tiny_models.CONFIGS)
def test_as_many_objects_as_the_first_pixel_says(name):
    keras.utils.set_random_seed(0)
    model = CountingModel(tiny_models.CONFIGS[name]())
    told = [0, 2, 3]
    images = tiny_models.images(model.config, len(told))
    images[:, 0, 0, 0] = np.array(told) / 100.0
    found = model.infer(tf.constant(images))
    np.testing.assert_array_equal(found["count"], told)
