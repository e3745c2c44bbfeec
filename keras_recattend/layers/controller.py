"""The controller CNN: what the box network sees (eq. 3), and its late-canvas form."""

import math

import keras
import tensorflow as tf

from keras_recattend.layers.context import Context
from keras_recattend.layers.convolution import ConvolutionStack, kernel_initializer
from keras_recattend.layers.normalization import Normalization

__all__ = ["Controller", "LateCanvasController"]


@keras.saving.register_keras_serializable("keras_recattend")
class Controller(keras.layers.Layer):
    """The paper's controller: a CNN over [image, canvas, extra] at every step (eq. 2).

    `prepare` does what is needed once an image: the first convolution is linear, so
    what image and extra channels give to it is the same at every step. `call` does the
    rest.

    Args:
        depths, pools, normalization, steps, initializer, recompute: see
            `ConvolutionStack`.
    """

    def __init__(
        self,
        depths,
        pools,
        normalization,
        steps,
        initializer,
        recompute=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.stack = ConvolutionStack(
            depths,
            pools,
            normalization,
            steps,
            initializer,
            recompute,
            dtype=self.dtype_policy,
            name="stack",
        )

    def build(self, image_shape, extra_channels=0):
        batch, height, width, channels = image_shape
        self.image_channels = channels
        self.stack.build((batch, height, width, channels + 1 + extra_channels))

    def prepare(self, image, extra=None, training=False):
        """Return the image's part of the first convolution, [B, H, W, L]."""
        return self.stack.image_part(*([image] if extra is None else [image, extra]))

    def call(self, prepared, canvas, step=0, training=False, pools=None):
        """Return the feature map u_t [N, H', W', L] for the canvas [N, H, W].

        Args:
            pools: pooling factors in place of the layer's own, or None.
        """
        return self.stack(
            canvas[..., tf.newaxis],
            step=step,
            training=training,
            pools=pools,
            image_part=prepared,
            canvas_place=self.image_channels,
            every=False,
        )[-1]

    def get_config(self):
        stack = self.stack.get_config()
        names = ["depths", "pools", "normalization", "steps", "initializer"]
        names += ["recompute"]
        return super().get_config() | {name: stack[name] for name in names}


@keras.saving.register_keras_serializable("keras_recattend")
class LateCanvasController(keras.layers.Layer):
    """A controller whose image features are computed once an image.

    A trunk sees the image alone. The canvas is encoded by space-to-depth and a 1 x 1
    convolution, meets the trunk's features in the first of a few joint 3 x 3
    convolutions, and only those run for each canvas. The first joint convolution is
    linear, so its image half belongs to the trunk, too.

    Args:
        depths, pools: of the trunk; the last map's size is the grid of cells.
        space_to_depth: block size folded into channels before the trunk.
        context_depths: of each level of the trunk's `Context`; () = none.
        feature_depth: channels of the joint layers.
        canvas_depth: channels of the canvas' encoding.
        joint_layers: number of joint convolutions.
        joint_context_depths: of each level of a `Context` of trunk and canvas, added
            after the first joint convolution; () = none.
        center_map: whether the canvas has a companion: the centres of the objects that
            are on it, at the resolution of the cells.
        normalization, steps, initializer: see `ConvolutionStack`.
    """

    def __init__(
        self,
        depths,
        pools,
        space_to_depth,
        context_depths,
        feature_depth,
        canvas_depth,
        joint_layers,
        joint_context_depths,
        normalization,
        steps,
        initializer,
        center_map=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depths = tuple(depths)
        self.pools = tuple(pools)
        self.space_to_depth = space_to_depth
        self.center_map = center_map
        self.context_depths = tuple(map(tuple, context_depths))
        self.joint_context_depths = tuple(map(tuple, joint_context_depths))
        self.feature_depth = feature_depth
        self.canvas_depth = canvas_depth
        self.joint_layers = joint_layers
        self.normalization = normalization
        self.steps = steps
        self.initializer = initializer
        self.stride = space_to_depth * math.prod(self.pools)
        # The canvas is read at half the input's resolution at the finest: its edges
        # are soft, and what counts is which object it covers.
        self.canvas_pool = 2 if self.stride % 2 == 0 else 1
        common = {
            "normalization": normalization,
            "steps": steps,
            "initializer": initializer,
            "dtype": self.dtype_policy,
        }
        self.trunk = ConvolutionStack(depths, pools, name="trunk", **common)
        if self.context_depths:
            self.context = Context(
                self.context_depths, feature_depth, name="context", **common
            )
        self.image_joint = self._convolution(feature_depth, 3, "image_joint")
        self.canvas_code = self._convolution(canvas_depth, 1, "canvas_code", bias=True)
        self.canvas_joint = self._convolution(feature_depth, 3, "canvas_joint")
        self.joint_norm = Normalization(
            normalization, steps, dtype=self.dtype_policy, name="joint_norm"
        )
        if self.joint_context_depths:
            self.joint_context = Context(
                self.joint_context_depths, feature_depth, name="joint_context", **common
            )
        later = joint_layers - 1
        self.joint = ConvolutionStack(
            (feature_depth,) * later, (1,) * later, name="joint", **common
        )

    def _convolution(self, depth, size, name, bias=False):
        return keras.layers.Conv2D(
            depth,
            size,
            padding="same",
            use_bias=bias,
            kernel_initializer=kernel_initializer(self.initializer),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, image_shape, extra_channels=0):
        batch, height, width, channels = image_shape
        block = self.space_to_depth
        self.trunk.build(
            (
                batch,
                height // block,
                width // block,
                (channels + extra_channels) * block**2,
            )
        )
        grid = (batch, height // self.stride, width // self.stride)
        last = self.depths[-1]
        if self.context_depths:
            self.context.build((*grid, last))
            last += self.feature_depth
        self.image_joint.build((*grid, last))
        block = self.stride // self.canvas_pool
        self.canvas_code.build((*grid, block**2 + self.center_map))
        self.canvas_joint.build((*grid, self.canvas_depth))
        self.joint_norm.build((*grid, self.feature_depth))
        if self.joint_context_depths:
            self.joint_context.build((*grid, self.feature_depth))
        self.joint.build((*grid, self.feature_depth))

    def prepare(self, image, extra=None, training=False):
        """Return the image's half of the first joint convolution, [B, H', W', L]."""
        x = image if extra is None else tf.concat([image, extra], axis=-1)
        x = tf.cast(x, self.compute_dtype)
        x = _fold(x, self.space_to_depth)
        x = self.trunk(x, training=training, every=False)[-1]
        if self.context_depths:
            wide = self.context(x, training=training)
            x = tf.concat([x, tf.nn.relu(wide)], axis=-1)
        return self.image_joint(x)

    def call(self, prepared, canvas, step=0, training=False, centers=None):
        """Return the feature map u_t [N, H', W', L] for the canvas [N, H, W].

        Args:
            centers: with a centre map, [N, H' W'], see `HeatMapHead.blobs`.
        """
        c = tf.cast(canvas, self.compute_dtype)[..., tf.newaxis]
        if self.canvas_pool > 1:
            c = tf.nn.avg_pool2d(c, self.canvas_pool, self.canvas_pool, "VALID")
        c = _fold(c, self.stride // self.canvas_pool)
        if self.center_map:
            centers = tf.reshape(centers, [-1, *c.shape[1:3], 1])
            c = tf.concat([c, tf.cast(centers, c.dtype)], axis=-1)
        c = self.canvas_joint(tf.nn.relu(self.canvas_code(c)))
        x = self.joint_norm(prepared + c, step=step, training=training)
        x = tf.nn.relu(x)
        if self.joint_context_depths:
            x += self.joint_context(x, step=step, training=training)
        if not self.joint.depths:
            return x
        return self.joint(x, step=step, training=training, every=False)[-1]

    def get_config(self):
        return super().get_config() | {
            "depths": self.depths,
            "pools": self.pools,
            "space_to_depth": self.space_to_depth,
            "context_depths": self.context_depths,
            "feature_depth": self.feature_depth,
            "canvas_depth": self.canvas_depth,
            "joint_layers": self.joint_layers,
            "joint_context_depths": self.joint_context_depths,
            "center_map": self.center_map,
            "normalization": self.normalization,
            "steps": self.steps,
            "initializer": self.initializer,
        }


def _fold(x, block):
    """Fold blocks of pixels into channels; a block of one pixel is no block."""
    return tf.nn.space_to_depth(x, block) if block > 1 else x
