"""Part C: the segmentation network on a patch (eq. 17-18)."""

import typing

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import ConvolutionStack, TransposedStack

__all__ = ["PatchSegmentation", "SegmentationNetwork"]


class PatchSegmentation(typing.NamedTuple):
    """What the segmentation network makes of a patch.

    Attributes:
        heat: [N, h, w] float32: the patch heat map of eq. 18 ("relu": >= 0), or logits.
        features: v_t of eq. 17, the CNN's last map [N, h', w', L].
    """

    heat: tf.Tensor
    features: tf.Tensor


@keras.saving.register_keras_serializable("keras_recattend")
class SegmentationNetwork(keras.layers.Layer):
    """CNN and transposed CNN with skip connections (eq. 17-18).

    Args:
        depths, pools: of the CNN.
        transposed_depths, transposed_factors: of the transposed CNN.
        skips: whether maps of the CNN and the patch join it.
        output: "relu" or "logits", see `TransposedStack`.
        normalization, steps, initializer: see `ConvolutionStack`.

    Call arguments:
        patch: [N, h, w, C]. step: the time step. training: as in Keras.

    Returns:
        A `PatchSegmentation`.
    """

    def __init__(
        self,
        depths,
        pools,
        transposed_depths,
        transposed_factors,
        skips=False,
        output="relu",
        normalization="batch",
        steps=1,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        common = {
            "normalization": normalization,
            "steps": steps,
            "initializer": initializer,
            "dtype": self.dtype_policy,
        }
        self.cnn = ConvolutionStack(depths, pools, name="cnn", **common)
        self.transposed = TransposedStack(
            transposed_depths,
            transposed_factors,
            skips=skips,
            last=output,
            name="transposed",
            **common,
        )

    def build(self, patch_shape):
        self.cnn.build(patch_shape)
        self.transposed.build(self.cnn.map_shapes(patch_shape), patch_shape)

    def call(self, patch, step=0, training=False):
        maps = self.cnn(
            patch, step=step, training=training, every=bool(self.transposed.skips)
        )
        heat = self.transposed(maps, patch, step=step, training=training)[-1]
        return PatchSegmentation(tf.cast(heat[..., 0], tf.float32), maps[-1])

    def get_config(self):
        cnn, transposed = self.cnn.get_config(), self.transposed.get_config()
        names = ["depths", "pools", "normalization", "steps", "initializer"]
        return (
            super().get_config()
            | {name: cnn[name] for name in names}
            | {
                "transposed_depths": transposed["depths"],
                "transposed_factors": transposed["factors"],
                "skips": transposed["skips"],
                "output": transposed["last"],
            }
        )
