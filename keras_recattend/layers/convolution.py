"""Stacks of convolutions and of transposed convolutions."""

import keras
import tensorflow as tf

from keras_recattend.layers.lean_stack import LayerWeights, lean_stack
from keras_recattend.layers.normalization import Normalization

__all__ = ["ConvolutionStack", "Normalization", "TransposedStack", "kernel_initializer"]


def kernel_initializer(name):
    """Return the kernel initialiser called "he" or "small" (the authors' 0.01)."""
    if name == "small":
        return keras.initializers.TruncatedNormal(stddev=0.01)
    return keras.initializers.HeNormal()


@keras.saving.register_keras_serializable("keras_recattend")
class ConvolutionStack(keras.layers.Layer):
    """3 x 3 convolution, normalisation, ReLU, max pooling: once per depth (eq. 3, 17).

    Args:
        depths: channels of each convolution.
        pools: max-pooling factor after each (1 = none).
        normalization, steps: see `Normalization`.
        initializer: "he" or "small".
        recompute: the first so many convolutions keep nothing for the backward pass,
            and run again there. The first ones' maps are the largest. Not for group
            normalisation.
    """

    def __init__(
        self,
        depths,
        pools,
        normalization="batch",
        steps=1,
        initializer="he",
        recompute=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depths = tuple(depths)
        self.pools = tuple(pools)
        self.normalization = normalization
        self.steps = steps
        self.initializer = initializer
        self.recompute = recompute
        self.convolutions = [
            keras.layers.Conv2D(
                depth,
                3,
                padding="same",
                kernel_initializer=kernel_initializer(initializer),
                bias_initializer=_bias_initializer(initializer),
                dtype=self.dtype_policy,
                name=f"convolution{i}",
            )
            for i, depth in enumerate(self.depths)
        ]
        self.normalizations = [
            Normalization(
                normalization, steps, dtype=self.dtype_policy, name=f"norm{i}"
            )
            for i in range(len(self.depths))
        ]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for convolution, normalization in zip(
            self.convolutions, self.normalizations, strict=True
        ):
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)
            normalization.build(shape)

    def map_shapes(self, input_shape):
        """Return the shapes of all layers' maps (after pooling), first layer first."""
        batch, height, width, _ = input_shape
        shapes = []
        for depth, pool in zip(self.depths, self.pools, strict=True):
            height, width = height // pool, width // pool
            shapes.append((batch, height, width, depth))
        return shapes

    def call(
        self,
        x,
        step=0,
        training=False,
        pools=None,
        image_part=None,
        canvas_place=0,
        every=True,
    ):
        """Return the list of all layers' maps (after pooling), first layer first.

        Args:
            pools: factors in place of the layer's own, or None.
            image_part: what `image_part` returned; x is then the canvas alone, and
                `canvas_place` its number among the first kernel's channels.
            every: False = the list has the last map alone, which spares memory.
        """
        pools = pools or self.pools
        training = training and self.trainable  # as `Normalization`
        kernels = [tf.cast(c.kernel, self.compute_dtype) for c in self.convolutions]
        biases = [tf.cast(c.bias, self.compute_dtype) for c in self.convolutions]
        if image_part is not None:
            kernels[0] = kernels[0][:, :, canvas_place : canvas_place + 1]
            biases[0] = None
        x = tf.cast(x, self.compute_dtype)
        if self.normalization == "group":
            return self._grouped(x, kernels, biases, pools, image_part)
        layers = [
            LayerWeights(kernel, bias, *normalization.at_step(step))
            for kernel, bias, normalization in zip(
                kernels, biases, self.normalizations, strict=True
            )
        ]
        maps, statistics = lean_stack(
            x, layers, pools, training, image_part, every, self.recompute
        )
        if training:
            for normalization, own in zip(self.normalizations, statistics, strict=True):
                normalization.move(*own, step)
        return maps

    def image_part(self, *images):
        """Return what images [B, H, W, ...] give to the first convolution.

        It is linear: with the canvas' part added, it is the convolution over image,
        canvas and extra channels. The bias is in it.

        Args:
            images: what lies before the canvas among the channels, and what behind.
        """
        first, place = self.convolutions[0], images[0].shape[-1]
        # Outside of the layer's own call: Keras casts nothing.
        kernel = tf.cast(first.kernel, self.compute_dtype)
        bias = tf.cast(first.bias, self.compute_dtype)
        kernel = tf.concat([kernel[:, :, :place], kernel[:, :, place + 1 :]], axis=2)
        stacked = tf.concat(images, axis=-1) if len(images) > 1 else images[0]
        stacked = tf.cast(stacked, self.compute_dtype)
        return tf.nn.bias_add(tf.nn.conv2d(stacked, kernel, 1, "SAME"), bias)

    def _grouped(self, x, kernels, biases, pools, image_part):
        maps = []
        layers = zip(kernels, biases, self.normalizations, pools, strict=True)
        for kernel, bias, normalization, pool in layers:
            x = tf.nn.conv2d(x, kernel, 1, "SAME")
            x = x + (image_part if bias is None else bias)
            x = tf.nn.relu(normalization(x))
            if pool > 1:
                x = tf.nn.max_pool2d(x, pool, pool, "SAME")
            maps.append(x)
        return maps

    def get_config(self):
        return super().get_config() | {
            "depths": self.depths,
            "pools": self.pools,
            "normalization": self.normalization,
            "steps": self.steps,
            "initializer": self.initializer,
            "recompute": self.recompute,
        }


@keras.saving.register_keras_serializable("keras_recattend")
class TransposedStack(keras.layers.Layer):
    """3 x 3 transposed convolutions back to the patch's size (eq. 18).

    With `skips=True`, layer l >= 1 takes the previous output and the CNN's map
    number (last - l); the layer after those takes the patch itself. Or the skips are
    pairs (k, j), counted from 1: the map that convolution k reads (1 = the patch)
    joins the map that transposed layer j gives.

    Args:
        depths: channels of each layer.
        factors: stride of each layer.
        skips: whether to concatenate the CNN's maps, or which ones.
        last: "relu" (normalisation and ReLU on the last layer as well, the authors'
            way) or "logits" (the last layer is linear).
        normalization, steps, initializer: as in `ConvolutionStack`.
    """

    def __init__(
        self,
        depths,
        factors,
        skips=False,
        last="relu",
        normalization="batch",
        steps=1,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.depths = tuple(depths)
        self.factors = tuple(factors)
        pairs = not isinstance(skips, bool)
        self.skips = tuple(map(tuple, skips)) if pairs else skips
        self.last = last
        self.normalization = normalization
        self.steps = steps
        self.initializer = initializer
        self.convolutions = [
            keras.layers.Conv2DTranspose(
                depth,
                3,
                strides=factor,
                padding="same",
                kernel_initializer=kernel_initializer(initializer),
                bias_initializer=_bias_initializer(initializer),
                dtype=self.dtype_policy,
                name=f"transposed{i}",
            )
            for i, (depth, factor) in enumerate(
                zip(self.depths, self.factors, strict=True)
            )
        ]
        normalized = len(self.depths) - (last == "logits")
        self.normalizations = [
            Normalization(
                normalization, steps, dtype=self.dtype_policy, name=f"norm{i}"
            )
            for i in range(normalized)
        ]

    def build(self, maps_shape, patch_shape):
        shape = tuple(maps_shape[-1])
        for i, convolution in enumerate(self.convolutions):
            skip = self._skip(i, maps_shape, patch_shape)
            if skip is not None:
                shape = (*shape[:-1], shape[-1] + skip[-1])
            convolution.build(shape)
            shape = tuple(convolution.compute_output_shape(shape))
            if i < len(self.normalizations):
                self.normalizations[i].build(shape)

    def _skip(self, i, maps, patch):
        """The map (or shape) that joins layer i's input, or None."""
        if not self.skips or i == 0:
            return None
        if self.skips is True:
            source = len(maps) - 1 - i
        else:
            # Convolution k reads what the one before it gave.
            read = {j: k - 2 for k, j in self.skips}
            source = read.get(i, -2)
        if source >= 0:
            return maps[source]
        return patch if source == -1 else None

    def call(self, maps, patch, step=0, training=False):
        """Return all layers' outputs, from the CNN's `maps` and the `patch`."""
        x = maps[-1]
        outputs = []
        for i, convolution in enumerate(self.convolutions):
            skip = self._skip(i, maps, patch)
            if skip is not None:
                x = tf.concat([x, tf.cast(skip, x.dtype)], axis=-1)
            x = convolution(x)
            if i < len(self.normalizations):
                x = tf.nn.relu(self.normalizations[i](x, step=step, training=training))
            outputs.append(x)
        return outputs

    def get_config(self):
        return super().get_config() | {
            "depths": self.depths,
            "factors": self.factors,
            "skips": self.skips,
            "last": self.last,
            "normalization": self.normalization,
            "steps": self.steps,
            "initializer": self.initializer,
        }


def _bias_initializer(name):
    """The authors drew biases as they drew kernels; otherwise zero."""
    return kernel_initializer("small") if name == "small" else "zeros"
