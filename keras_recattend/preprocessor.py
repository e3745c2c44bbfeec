"""The pre-processing network: foreground and angle maps of an image (section 2)."""

import typing

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import (
    ConvolutionStack,
    TransposedStack,
    kernel_initializer,
)

__all__ = ["Maps", "PreprocessingNetwork"]


class Maps(typing.NamedTuple):
    """What the pre-processing network says of an image, as probabilities, float32.

    Attributes:
        foreground: [B, H, W]; with several classes 1 - P(background).
        angles: [B, H, W, 8] (or 0 channels), the angle to the object's centroid.
        semantic: [B, H, W, K], background first, or None with one class.
    """

    foreground: tf.Tensor
    angles: tf.Tensor
    semantic: tf.Tensor | None

    @property
    def extra(self):
        """Input channels of the other networks: angles, then foreground."""
        return tf.concat([self.angles, self.foreground[..., tf.newaxis]], axis=-1)


@keras.saving.register_keras_serializable("keras_recattend")
class PreprocessingNetwork(keras.layers.Layer):
    """A fully convolutional network with skip connections (a DeconvNet variant).

    It runs once an image: its normalisation knows no time steps. The last layer is
    linear, without normalisation; its channels are the foreground's, then the
    angles'.

    Args:
        depths, pools: of the CNN.
        transposed_depths, transposed_factors: of the transposed CNN.
        skips: pairs, see `TransposedStack`.
        foreground_classes: 1 (sigmoid) or several, background first (softmax).
        normalization: "batch" or "group". initializer: see `ConvolutionStack`.

    Call arguments:
        image: float32 [B, H, W, 3] in [0, 1]. training: as in Keras.

    Returns:
        `Maps`.

    Reference:
        Ren and Zemel (CVPR 2017), section 2, "Input pre-processing".
    """

    def __init__(
        self,
        depths,
        pools,
        transposed_depths,
        transposed_factors,
        skips,
        foreground_classes=1,
        normalization="batch",
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.foreground_classes = foreground_classes
        common = {
            "normalization": normalization,
            "initializer": initializer,
            "dtype": self.dtype_policy,
        }
        self.cnn = ConvolutionStack(depths, pools, name="cnn", **common)
        self.transposed = TransposedStack(
            transposed_depths,
            transposed_factors,
            skips=skips,
            last="logits",
            name="transposed",
            **common,
        )
        # All classes as likely at first: nothing would normalise wide logits.
        last = self.transposed.convolutions[-1]
        last.kernel_initializer = kernel_initializer("small")

    @classmethod
    def of_config(cls, config, **kwargs):
        """Make the network of a `Config` that has a preprocessor."""
        network = config.preprocessor
        return cls(
            network.depths,
            network.pools,
            network.transposed_depths,
            network.transposed_factors,
            network.skips,
            network.foreground_classes,
            # One look at an image has no time steps.
            "group" if config.normalization == "group" else "batch",
            config.initializer,
            **kwargs,
        )

    def build(self, image_shape):
        self.cnn.build(image_shape)
        self.transposed.build(self.cnn.map_shapes(image_shape), image_shape)

    def call(self, image, training=False):
        logits = self.logits(image, training=training)
        foreground, angles = tf.split(
            logits,
            [self.foreground_classes, logits.shape[-1] - self.foreground_classes],
            axis=-1,
        )
        # A softmax over no channels has no maximum.
        angles = tf.nn.softmax(angles) if angles.shape[-1] else angles
        if self.foreground_classes == 1:
            return Maps(tf.sigmoid(foreground[..., 0]), angles, None)
        semantic = tf.nn.softmax(foreground)
        return Maps(1.0 - semantic[..., 0], angles, semantic)

    def logits(self, image, training=False):
        """Return the last layer's output, float32 [B, H, W, K + 8]."""
        maps = self.cnn(image, training=training)
        return tf.cast(self.transposed(maps, image, training=training)[-1], tf.float32)

    def get_config(self):
        cnn, transposed = self.cnn.get_config(), self.transposed.get_config()
        names = ["depths", "pools", "normalization", "initializer"]
        return (
            super().get_config()
            | {name: cnn[name] for name in names}
            | {
                "transposed_depths": transposed["depths"],
                "transposed_factors": transposed["factors"],
                "skips": transposed["skips"],
                "foreground_classes": self.foreground_classes,
            }
        )
