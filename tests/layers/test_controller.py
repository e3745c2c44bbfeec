"""Eq. 3, and the controller that sees the canvas late."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_recattend.layers import Controller, LateCanvasController

SIZE = (16, 24)


def test_controller_is_its_stack_over_image_canvas_extra(random):
    controller = Controller((3, 4), (2, 2), "batch", 1, "he")
    controller.build((None, *SIZE, 3), extra_channels=9)
    image = tf.constant(random.uniform(size=(2, *SIZE, 3)).astype(np.float32))
    extra = tf.constant(random.uniform(size=(2, *SIZE, 9)).astype(np.float32))
    canvas = tf.constant(random.uniform(size=(2, *SIZE)).astype(np.float32))
    u = controller(controller.prepare(image, extra), canvas)
    stacked = np.concatenate([image, canvas[..., np.newaxis], extra], axis=-1)
    expected = controller.stack(tf.constant(stacked))[-1]
    np.testing.assert_allclose(u, expected, rtol=1e-5, atol=1e-6)
    assert u.shape == (2, 4, 6, 4)


def late_controller(
    context=((5,),),
    space_to_depth=2,
    extra_channels=0,
    joint_context=(),
    center_map=False,
    joint_layers=3,
):
    keras.utils.set_random_seed(1)
    sizes = (space_to_depth, context, 5, 3, joint_layers, joint_context)
    controller = LateCanvasController(
        (4, 6), (2, 1), *sizes, "batch", 1, "he", center_map
    )
    controller.build((None, *SIZE, 3), extra_channels)
    return controller


def blocks(x, size):
    """Fold blocks of size x size pixels into channels, [B, H / s, W / s, s s C]."""
    batch, height, width, channels = x.shape
    folded = np.zeros((batch, height // size, width // size, size * size * channels))
    for j in range(size):
        for i in range(size):
            at = (size * j + i) * channels
            folded[..., at : at + channels] = x[:, j::size, i::size]
    return folded.astype(np.float32)


def straightforward(controller, image, canvas, context):
    """All of it for one image and one canvas, without splitting a convolution."""
    x = controller.trunk(tf.constant(blocks(image, controller.space_to_depth)))[-1]
    x = x.numpy()
    if context:
        wide = controller.context(tf.constant(x)).numpy()
        x = np.concatenate([x, np.maximum(wide, 0.0)], axis=-1)
    c = canvas[..., np.newaxis]
    pool = controller.canvas_pool
    if pool == 2:
        c = (c[:, ::2, ::2] + c[:, 1::2, ::2] + c[:, ::2, 1::2] + c[:, 1::2, 1::2]) / 4
    code = controller.canvas_code(tf.constant(blocks(c, controller.stride // pool)))
    both = tf.concat([x, tf.nn.relu(code)], axis=-1)
    kernel = tf.concat(
        [controller.image_joint.kernel, controller.canvas_joint.kernel], axis=2
    )
    joint = controller.joint_norm(tf.nn.conv2d(both, kernel, 1, "SAME"))
    joint = tf.nn.relu(joint)
    if controller.joint_context_depths:
        joint += controller.joint_context(joint)
    return controller.joint(joint)[-1] if controller.joint_layers > 1 else joint


@pytest.mark.parametrize(
    ("context", "space_to_depth", "joint_context", "joint_layers"),
    [
        ((), 1, (), 3),
        (((5,),), 2, (), 1),
        (((5, 5),), 2, ((4,),), 3),
        (((5,), (4, 7)), 1, (), 3),
    ],
)
def test_late_canvas_equals_one_pass_over_both(
    random, context, space_to_depth, joint_context, joint_layers
):
    controller = late_controller(
        context, space_to_depth, joint_context=joint_context, joint_layers=joint_layers
    )
    image = random.uniform(size=(2, *SIZE, 3)).astype(np.float32)
    canvas = random.uniform(size=(2, *SIZE)).astype(np.float32)
    u = controller(controller.prepare(tf.constant(image)), tf.constant(canvas))
    expected = straightforward(controller, image, canvas, context)
    assert u.shape == (2, 16 // controller.stride, 24 // controller.stride, 5)
    np.testing.assert_allclose(u, expected, rtol=1e-4, atol=1e-5)


def test_the_canvas_changes_the_features(random):
    controller = late_controller()
    image = tf.constant(random.uniform(size=(1, *SIZE, 3)).astype(np.float32))
    prepared = controller.prepare(image)
    empty = controller(prepared, tf.zeros([1, *SIZE]))
    canvas = np.zeros((1, *SIZE), np.float32)
    canvas[:, 4:8, 4:8] = 1.0
    covered = controller(prepared, tf.constant(canvas))
    changed = np.abs(covered - empty).max(axis=-1)[0]
    assert changed[1, 1] > 1e-3


def test_a_found_center_changes_the_features_where_it_is(random):
    controller = late_controller(context=(), center_map=True)
    image = tf.constant(random.uniform(size=(2, *SIZE, 3)).astype(np.float32))
    prepared, canvas = controller.prepare(image), tf.zeros([2, *SIZE])
    rows, columns = (extent // controller.stride for extent in SIZE)
    centers = np.zeros((2, rows, columns), np.float32)
    none = controller(prepared, canvas, centers=centers.reshape(2, -1))
    centers[1, 0, columns - 1] = 1.0
    one = controller(prepared, canvas, centers=centers.reshape(2, -1))
    changed = np.abs(one - none).max(axis=-1)
    assert not changed[0].any()
    assert changed[1, 0, -1] > 1e-3
    # Three convolutions of 3 x 3 see three cells to every side.
    assert not changed[1, :, : columns - 4].any()


def test_one_preparation_serves_several_canvases(random):
    """`prepare` does not see the canvas: its result may be repeated for K canvases."""
    controller = late_controller()
    image = tf.constant(random.uniform(size=(2, *SIZE, 3)).astype(np.float32))
    canvases = random.uniform(size=(2, 3, *SIZE)).astype(np.float32)
    prepared = controller.prepare(image)
    repeated = tf.repeat(prepared, 3, axis=0)
    together = controller(repeated, tf.constant(canvases.reshape(6, *SIZE)))
    for k in range(3):
        alone = controller(controller.prepare(image), tf.constant(canvases[:, k]))
        np.testing.assert_allclose(together[k::3], alone, rtol=1e-4, atol=1e-5)


def test_extra_channels_reach_the_trunk(random):
    controller = late_controller(extra_channels=9)
    image = tf.constant(random.uniform(size=(1, *SIZE, 3)).astype(np.float32))
    extra = tf.constant(random.uniform(size=(1, *SIZE, 9)).astype(np.float32))
    with_extra = controller.prepare(image, extra)
    without = controller.prepare(image, tf.zeros_like(extra))
    assert float(tf.reduce_max(tf.abs(with_extra - without))) > 1e-3
