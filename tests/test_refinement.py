"""Boxes drawn anew round the mask, by hand."""

import numpy as np
import tensorflow as tf
from tiny_models import CONFIGS, build, images

from keras_recattend.model import Segment


def test_refinement_draws_the_box_round_the_mask():
    """The patch of a segment is cut anew round its cells above one half."""
    model = build(CONFIGS["heat"]())
    h, w = model.config.segmentation.patch_size
    heat = np.full((2, h, w), -5.0, np.float32)
    heat[0, 3:6, 2:7] = 5.0  # nothing found in the second
    center = tf.constant([[15.0, 20.0], [10.0, 30.0]])
    size = tf.constant([[12.0, 16.0], [8.0, 9.0]])
    segment = model.segment(
        model.prepare(tf.constant(images(model.config, 2))),
        tf.zeros([2, *model.config.image_size]),
        model.look(
            model.prepare(tf.constant(images(model.config, 2))),
            tf.zeros([2, *model.config.image_size]),
        ),
        center,
        size,
    )._replace(heat=tf.constant(heat))
    new_center, new_size = model.around_mask(segment)
    # Cells of 1 x 2 pixels; rows 3 to 5 and columns 2 to 6 of 12 x 8.
    rows = [15.0 + (i - 5.5) * 1.0 for i in (3, 5)]
    columns = [20.0 + (i - 3.5) * 2.0 for i in (2, 6)]
    padding = model.config.segmentation.padding
    np.testing.assert_allclose(new_center[0], [np.mean(rows), np.mean(columns)])
    np.testing.assert_allclose(
        new_size[0], [padding * 3 * 1.0, padding * 5 * 2.0], rtol=1e-5
    )
    np.testing.assert_allclose(new_center[1], center[1])
    np.testing.assert_allclose(new_size[1], size[1])


def test_a_mask_at_the_edge_of_its_patch_makes_the_box_grow_there():
    model = build(CONFIGS["heat"]())
    h, w = model.config.segmentation.patch_size
    heat = np.full((2, h, w), -5.0, np.float32)
    heat[0, 0:6, 2:7] = 5.0  # the upper edge
    heat[1, 3:6, 2:w] = 5.0  # the right edge
    center = tf.constant([[15.0, 20.0], [15.0, 20.0]])
    size = tf.constant([[12.0, 16.0], [12.0, 16.0]])
    fields = dict.fromkeys(Segment._fields)
    segment = Segment(**fields | {"heat": heat, "center": center, "size": size})
    old_center, old_size = model.around_mask(segment)
    new_center, new_size = model.around_mask(segment, growth=0.25)
    padding = model.config.segmentation.padding
    # A quarter of 12 rows upwards; a quarter of 16 columns to the right.
    np.testing.assert_allclose(new_center - old_center, [[-1.5, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(
        new_size - old_size, [[3 * padding, 0.0], [0.0, 4 * padding]], rtol=1e-5
    )
