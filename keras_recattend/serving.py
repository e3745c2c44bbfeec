"""A model with all that is around it as one graph: pixels or files in, objects out."""

import tensorflow as tf

from keras_recattend.errors import UserError
from keras_recattend.serving_postprocess import (
    Objects,
    boxes_in_image,
    objects_of_masks,
    objects_of_patches,
    window_around,
    within_foreground,
)
from keras_recattend.serving_resampling import resized, resized_window

__all__ = ["IMAGES", "IMAGE_BYTES", "ServedModel"]

# What a batch of pictures of one size looks like, and one of encoded files.
IMAGES = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
IMAGE_BYTES = tf.TensorSpec([None], tf.string, name="image_bytes")


class ServedModel(tf.Module):
    """What `Predictor` does, in TensorFlow's operations alone.

    Resizing, the network with its early stop, the second look, pasting, one label a
    pixel, dropping of small and doubly found objects, and the foreground's mask are
    all inside. Saved as a SavedModel it needs neither this package nor Keras, NumPy or
    OpenCV: see `saved_model.write`.

    Args:
        model: a `RecurrentAttention`; its variables are shared, not copied.
        inference: an `Inference` in place of the model's own.

    Raises:
        UserError: the model asks for input that images do not have.

    Example:
        >>> served = ServedModel(model)
        >>> served.segment(images)["labels"].shape
        TensorShape([2, 530, 500])
    """

    def __init__(self, model, inference=None):
        super().__init__(name="recurrent_attention")
        settings = inference or model.config.inference
        _check(model.config, settings)
        # For tf.Module, which does not look into a Keras model.
        self.weights = [weight.value for weight in model.weights]
        look = _Look(model, settings)

        def segment(images):
            objects = look(tf.TensorArray(tf.uint8, 0, True).unstack(images))
            labels = tf.ensure_shape(objects.labels.stack(), [None, None, None])
            most = tf.reduce_max(objects.count)
            ids = tf.range(1, most + 1)[:, tf.newaxis, tf.newaxis]
            return {
                "labels": labels,
                "masks": labels[:, tf.newaxis] == ids,
                "scores": objects.scores[:, :most],
                "boxes": objects.boxes[:, :most],
                "count": objects.count,
            }

        def segment_bytes(image_bytes):
            images = _decoded(image_bytes)
            objects = look(images)
            most = tf.reduce_max(objects.count)
            depth = tf.uint8 if model.config.timespan <= 255 else tf.uint16

            def png(i):
                labels = tf.cast(objects.labels.read(i), depth)
                return tf.io.encode_png(labels[..., tf.newaxis])

            batch = tf.range(tf.size(image_bytes))
            return {
                "labels_bytes": tf.map_fn(png, batch, fn_output_signature=tf.string),
                "size": tf.map_fn(lambda i: tf.shape(images.read(i))[:2], batch),
                "scores": objects.scores[:, :most],
                "boxes": objects.boxes[:, :most],
                "count": objects.count,
            }

        self.segment = tf.function(segment, [IMAGES], autograph=False)
        self.segment_bytes = tf.function(segment_bytes, [IMAGE_BYTES], autograph=False)

    @property
    def signatures(self):
        """The functions by the names under which a server offers them."""
        return {"serving_default": self.segment, "serving_bytes": self.segment_bytes}


class _Look:
    """From images of any sizes to their objects.

    Args:
        model: a `RecurrentAttention`. settings: an `Inference`.

    Call arguments:
        images: a TensorArray of uint8 [H, W, 3].

    Returns:
        `Objects` of the batch: labels a TensorArray, the others [B, ...].
    """

    def __init__(self, model, settings):
        self.settings = settings
        self.size = tuple(model.config.image_size)
        self.with_masks = not model.is_normalized
        # A function of its own: both passes call one graph.
        self.network = tf.function(
            lambda image: model.infer(
                image, inference=settings, with_masks=self.with_masks
            ),
            input_signature=[tf.TensorSpec([None, *self.size, 3], tf.float32)],
            autograph=False,
        )

    def __call__(self, images):
        batch = tf.range(_checked_size(images))
        arrays = {
            name: tf.TensorArray(
                dtype, tf.size(batch), infer_shape=False, clear_after_read=False
            )
            for name, dtype in zip(
                Objects._fields,
                (tf.int32, tf.float32, tf.float32, tf.int32),
                strict=True,
            )
        }
        inputs = self._each(lambda i: resized(images.read(i), self.size), batch)
        outputs = self.network(inputs)
        whole = tf.map_fn(
            lambda i: _whole(images.read(i)), batch, fn_output_signature=tf.float64
        )
        arrays = self._find(images, batch, whole, outputs, arrays)
        if self.settings.zoom > 1.0:
            arrays = self._find_closer(images, batch, arrays)
        if self.settings.foreground_threshold:
            arrays = self._mask(batch, outputs["foreground"], arrays)
        return Objects(
            arrays["labels"],
            tf.ensure_shape(arrays["scores"].stack(), [None, None]),
            tf.ensure_shape(arrays["boxes"].stack(), [None, None, 4]),
            tf.ensure_shape(arrays["count"].stack(), [None]),
        )

    def _each(self, function, which):
        """Stack the network's inputs that `function` makes of these images."""
        spec = tf.TensorSpec([*self.size, 3], tf.float32)
        return tf.map_fn(function, which, fn_output_signature=spec)

    def _find(self, images, which, windows, outputs, arrays):
        """Put the objects of these images, seen through their windows, into `arrays`.

        Args:
            which: int32 [M], numbers of images. windows: float64 [M, 4].
            outputs: of the network, [M, ...].
        """

        def objects(j):
            shape = tf.shape(images.read(which[j]))[:2]
            scores = outputs["scores"][j]
            if self.with_masks:
                return objects_of_masks(
                    outputs["masks"][j], scores, shape, self.settings
                )
            return objects_of_patches(
                outputs["patches"][j],
                boxes_in_image(outputs["boxes"][j], windows[j], self.size),
                scores,
                shape,
                self.settings,
            )

        return _write(objects, which, arrays)

    def _find_closer(self, images, batch, arrays):
        """Look again at what was found, enlarged, where that shows more."""
        windows, closer = tf.map_fn(
            lambda i: window_around(
                _label_map(arrays["labels"], i), self.size, self.settings.zoom
            ),
            batch,
            fn_output_signature=(tf.float64, tf.bool),
        )
        which, windows = batch[closer], windows[closer]

        def again():
            inputs = self._each(
                lambda j: resized_window(images.read(which[j]), windows[j], self.size),
                tf.range(tf.size(which)),
            )
            outputs = self.network(inputs)
            return self._find(images, which, windows, outputs, arrays)

        return tf.cond(tf.size(which) > 0, again, lambda: arrays)

    def _mask(self, batch, foreground, arrays):
        """Lay the whole images' foreground over the objects."""

        def objects(i):
            found = Objects(
                _label_map(arrays["labels"], i),
                *(arrays[name].read(i) for name in Objects._fields[1:]),
            )
            return within_foreground(found, foreground[i], self.settings)

        return _write(objects, batch, arrays)


def _check(config, settings):
    """Raise UserError where images alone are not all that the model needs."""
    if config.extra_channels and config.preprocessor is None:
        raise UserError(
            f"extra_channels={config.extra_channels} without a preprocessor: this "
            "model needs maps beside its images, which a served model is not given. "
            "Export one that has its pre-processing network (preprocessor)."
        )
    if settings.foreground_threshold and config.preprocessor is None:
        raise UserError(
            f"foreground_threshold={settings.foreground_threshold} needs a model with "
            "a pre-processing network, and this one has none. Set it to 0."
        )


def _checked_size(images):
    """The number of images; an error of the graph where there is none."""
    size = images.size()
    told = tf.debugging.assert_positive(size, "A batch has one image or more.")
    with tf.control_dependencies([told]):
        return tf.identity(size)


def _decoded(image_bytes):
    """Read encoded files into a TensorArray of uint8 [H, W, 3]."""

    def decode(data):
        # As Pillow does; by default TensorFlow takes a faster and coarser transform.
        return tf.cond(
            tf.io.is_jpeg(data),
            lambda: tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(data, 3, expand_animations=False),
        )

    batch = tf.size(image_bytes)
    images = tf.TensorArray(
        tf.uint8,
        batch,
        clear_after_read=False,
        infer_shape=False,
        element_shape=[None, None, 3],
    )
    _, images = tf.while_loop(
        lambda i, _: i < batch,
        lambda i, images: (i + 1, images.write(i, decode(image_bytes[i]))),
        (tf.constant(0), images),
    )
    return images


def _whole(image):
    """The window [4] that is the whole image."""
    extents = tf.cast(tf.shape(image)[:2], tf.float64)
    return tf.concat([tf.zeros_like(extents), extents], axis=0)


def _label_map(labels, i):
    return tf.ensure_shape(labels.read(i), [None, None])


def _write(objects, which, arrays):
    """Put `objects(j)` at place `which[j]` of the arrays, for every j."""

    def body(j, arrays):
        found = objects(j)._asdict()
        return j + 1, {n: a.write(which[j], found[n]) for n, a in arrays.items()}

    return tf.while_loop(
        lambda j, _: j < tf.size(which), body, (tf.constant(0), arrays)
    )[1]
