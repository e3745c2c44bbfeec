"""Images of any size in, label maps of the same size out."""

import dataclasses
import typing

import cv2
import numpy as np
import tensorflow as tf

from keras_recattend.consensus import consensus
from keras_recattend.errors import UserError
from keras_recattend.image_files import as_rgb
from keras_recattend.postprocess import (
    Found,
    Window,
    label_map_of_masks,
    label_map_of_patches,
    within_foreground,
)
from keras_recattend.views import VIEWS

__all__ = ["Look", "Predictor", "network_input"]

# Margin round the first pass' finds, as share of their extent.
ZOOM_MARGIN = 0.12
# A second pass that enlarges less than this would show nothing new.
LEAST_ZOOM = 1.08
# Where a pixel of the input stands for so many of the image along a side, cubic
# interpolation would leave most of them out: what is seen is noise that no training
# image has. Such a window lies on whole pixels and is resized as whole images are.
SMOOTHED = 1.5


class Look(typing.NamedTuple):
    """One image segmented, and what the network did at each of its steps.

    Attributes:
        found: the `Found`, as `Predictor.__call__` gives it.
        window: the `Window` that the pass which found them saw.
        seen: float32 [h, w, 3] in [0, 1], the network's input.
        outputs: what `RecurrentAttention.infer` returns for this image without
            stopping, with masks and attention, without the axis of the batch: numpy
            arrays, of the steps [T, ...]. Masks, patches and boxes are those of the
            steps, before any revision.
    """

    found: Found
    window: Window
    seen: np.ndarray
    outputs: dict[str, np.ndarray]


class Predictor:
    """Segments images with a `RecurrentAttention`.

    Resizes to the network's input, runs it, pastes the objects at the image's own
    size. With `inference.zoom` above 1 a second pass looks at the crop round all that
    the first pass found. The pre-processing network runs in both passes, since
    the crop shows it more; `Found.foreground` is the whole image's, of the first.
    With `inference.views` above 1 the last pass is made of the image flipped and
    turned, too, and the objects are those that most of these views have: `consensus`.

    Args:
        model: a `RecurrentAttention`.
        inference: an `Inference` in place of the model's own.
        batch_size: images run together.

    Example:
        >>> found = Predictor(model)([image])[0]
        >>> found.count, found.labels.shape
    """

    def __init__(self, model, inference=None, batch_size=8):
        self.model = model
        self.inference = inference or model.config.inference
        self.batch_size = batch_size
        self.size = model.config.image_size
        self._with_masks = not model.is_normalized
        self._run = tf.function(
            lambda image: model.infer(
                image, inference=self.inference, with_masks=self._with_masks
            ),
            input_signature=[tf.TensorSpec([None, *self.size, 3], tf.float32)],
            autograph=False,
        )
        # Traced where it is asked for: few are watched. It does not stop, so that the
        # score that would end the sequence can be seen; nor does it revise what the
        # steps have drawn.
        steps = dataclasses.replace(self.inference, revisions=0)
        self._run_all = tf.function(
            lambda image: model.infer(
                image, stop=False, inference=steps, with_attention=True
            ),
            input_signature=[tf.TensorSpec([1, *self.size, 3], tf.float32)],
            autograph=False,
        )

    def __call__(self, images):
        """Return one `Found` for each image (uint8 [H, W, 3] RGB, or [H, W] grey).

        Raises:
            ImageError: an image has another shape or type.
        """
        images, found = [as_rgb(image) for image in images], []
        for i in range(0, len(images), self.batch_size):
            found += self._batch(images[i : i + self.batch_size])
        return found

    def watch(self, images):
        """Return one `Look` for each image: the pass that made the result.

        Of several views (`inference.views`) it is the image's as it is; `found` is what
        they agree on. One image runs at a time, since the masks of all steps take
        memory.
        """
        return [self._watch(as_rgb(image)) for image in images]

    def _watch(self, image):
        window, first = Window.whole(image.shape, self.size), None
        if self.inference.zoom > 1:
            (first,) = self._look([image], [window])
            closer = _window_around(first.labels, self.size, self.inference.zoom)
            window, first = (closer, first) if closer else (window, None)
        seen = network_input(image, window)
        run = self._run_all(tf.constant(seen[np.newaxis]))
        outputs = {name: values.numpy()[0] for name, values in run.items()}
        if self.inference.revisions:
            (found,) = self._look([image], [window])
        else:
            found = self._of_steps(outputs, image.shape[:2], window)
        if first is not None:
            found = _with_maps_of(first, found)
        if self.inference.views > 1:
            (found,) = self._agreed([image], [window], [found])
        return Look(self._mask(found), window, seen, outputs)

    def _of_steps(self, outputs, shape, window):
        """The `Found` of steps that did not stop."""
        scores = outputs["scores"]
        if self.inference.stop:
            going_on = np.cumprod(scores >= self.inference.score_threshold)
            scores = scores * going_on
        return self._label_map(outputs | {"scores": scores}, shape, window)

    def _batch(self, images):
        windows = [Window.whole(image.shape, self.size) for image in images]
        found = self._look(images, windows)
        closer = [
            _window_around(f.labels, self.size, self.inference.zoom) for f in found
        ]
        again = [i for i, window in enumerate(closer) if window is not None]
        if again:
            second = self._look([images[i] for i in again], [closer[i] for i in again])
            for i, f in zip(again, second, strict=True):
                windows[i], found[i] = closer[i], _with_maps_of(found[i], f)
        if self.inference.views > 1:
            found = self._agreed(images, windows, found)
        return [self._mask(f) for f in found]

    def _agreed(self, images, windows, found):
        """What the views of each image agree on; `found` is what the first one has."""
        label_maps = [[f.labels] for f in found]
        scores = [[f.scores] for f in found]
        for view in VIEWS[1 : self.inference.views]:
            seen = self._look(
                [view.of(image) for image in images],
                [
                    view.window(window, image.shape[:2])
                    for image, window in zip(images, windows, strict=True)
                ],
            )
            for i, f in enumerate(seen):
                label_maps[i].append(view.back(f.labels))
                scores[i].append(f.scores)
        return [
            _of_first(first, consensus(*views, self.inference.min_area))
            for first, *views in zip(found, label_maps, scores, strict=True)
        ]

    def _mask(self, found):
        settings = self.inference
        if not settings.foreground_threshold:
            return found
        if found.foreground is None:
            raise UserError(
                f"foreground_threshold={settings.foreground_threshold} needs a model "
                "with a pre-processing network, and this one has none. Set it to 0."
            )
        return within_foreground(
            found,
            settings.foreground_threshold,
            settings.foreground_dilation,
            settings.min_area,
        )

    def _look(self, images, windows):
        """One pass over a batch, each image through its window."""
        inputs = np.stack(
            [network_input(i, w) for i, w in zip(images, windows, strict=True)]
        )
        outputs = {k: v.numpy() for k, v in self._run(tf.constant(inputs)).items()}
        return [
            self._label_map({k: v[i] for k, v in outputs.items()}, image.shape[:2], w)
            for i, (image, w) in enumerate(zip(images, windows, strict=True))
        ]

    def _label_map(self, outputs, shape, window):
        # As small as they are: few read them, and K classes of a photograph are large.
        maps = {k: outputs[k] for k in ("foreground", "semantic") if k in outputs}
        return self._objects(outputs, shape, window)._replace(**maps)

    def _objects(self, outputs, shape, window):
        settings = self.inference
        if self._with_masks:
            return label_map_of_masks(
                outputs["masks"],
                outputs["scores"],
                shape,
                settings.mask_threshold,
                settings.min_area,
                settings.bilateral,
                settings.least_kept,
                weighted=not settings.stop,
            )
        return label_map_of_patches(
            outputs["patches"],
            window.to_image(outputs["boxes"]),
            outputs["scores"],
            shape,
            settings.mask_threshold,
            settings.min_area,
            settings.least_kept,
        )


def _with_maps_of(first, second):
    """The second pass' objects with the first one's maps, of the whole image."""
    return second._replace(foreground=first.foreground, semantic=first.semantic)


def _of_first(first, agreed):
    """What views agree on, with the steps and maps of the first of them."""
    steps = np.append(first.steps, -1)[agreed.steps]
    return _with_maps_of(first, agreed._replace(steps=steps))


def network_input(image, window):
    """Return the window of an image at the network's size, float32 [h, w, 3] in [0, 1].

    Args:
        image: uint8 [H, W, 3]. window: a `Window`.
    """
    height, width = window.input_size
    if window == Window.whole(image.shape, window.input_size) or _is_coarse(window):
        # The same resize as in training.
        top, left = round(window.top), round(window.left)
        bottom, right = top + round(window.height), left + round(window.width)
        crop = image[top:bottom, left:right]
        resized = tf.image.resize(crop, (height, width), "bicubic", antialias=True)
        return np.clip(resized.numpy() / 255.0, 0.0, 1.0)
    scale_y, scale_x = window.height / height, window.width / width
    # Pixel centres: x_image = (x + 1/2) scale + left - 1/2.
    transform = np.array(
        [
            [scale_x, 0.0, window.left + 0.5 * scale_x - 0.5],
            [0.0, scale_y, window.top + 0.5 * scale_y - 0.5],
        ]
    )
    resized = cv2.warpAffine(
        image,
        transform,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return resized.astype(np.float32) / 255.0


def _window_around(labels, size, most_zoom):
    """The window round everything found, or None when it would not enlarge."""
    rows = np.flatnonzero(labels.any(axis=1))
    columns = np.flatnonzero(labels.any(axis=0))
    if most_zoom <= 1 or not len(rows):
        return None
    height, width = labels.shape
    extent = max(
        (rows[-1] - rows[0] + 1) / height, (columns[-1] - columns[0] + 1) / width
    )
    zoom = min(most_zoom, 1.0 / ((1.0 + 2 * ZOOM_MARGIN) * extent))
    if zoom < LEAST_ZOOM:
        return None
    # The same aspect as the whole image, kept inside it.
    crop_height, crop_width = height / zoom, width / zoom
    middle = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    top = np.clip(middle[0] - crop_height / 2, 0, height - crop_height)
    left = np.clip(middle[1] - crop_width / 2, 0, width - crop_width)
    window = Window(float(top), float(left), crop_height, crop_width, tuple(size))
    return window.on_whole_pixels() if _is_coarse(window) else window


def _is_coarse(window):
    """Whether many pixels of the image go into one of the input; see `SMOOTHED`."""
    height, width = window.input_size
    return max(window.height / height, window.width / width) > SMOOTHED
