"""Inference's loop: steps until every image's score has fallen below the threshold."""

import tensorflow as tf

from keras_recattend import boxes
from keras_recattend.replicas import with_a_row
from keras_recattend.revision import revise
from keras_recattend.unrolling import time_second

__all__ = ["LEAST_NEW_SHARE", "infer", "spread"]

# A step that adds fewer new pixels than this share of its box has found nothing.
LEAST_NEW_SHARE = 0.05


def infer(
    model,
    image,
    extra=None,
    stop=None,
    inference=None,
    with_masks=True,
    with_attention=False,
):
    """Run the steps as inference does; see `RecurrentAttention.infer`."""
    image = as_images(image, model.config.image_size)
    if extra is not None:
        extra = tf.cast(extra, tf.float32)
    options = (stop, inference, with_masks, with_attention)
    if image.shape[0]:
        return _infer(model, image, extra, *options)
    # One of several devices may have no image of a last batch, and not everything can
    # be computed of none: a blank one is, and left out of what is returned.
    padded = (None if x is None else with_a_row(x) for x in (image, extra))
    outputs = _infer(model, *padded, *options)
    return {name: values[: tf.shape(image)[0]] for name, values in outputs.items()}


def _infer(model, image, extra, stop, inference, with_masks, with_attention):
    settings = inference or model.config.inference
    stop = settings.stop if stop is None else stop
    maps = None
    if extra is None and model.preprocessor is not None:
        maps = model.maps(image)
        extra = maps.extra
    prepared = model.prepare(image, extra)
    steps = _Steps(model, prepared, settings, stop)
    timespan, batch = model.config.timespan, steps.batch
    shapes = _shapes(model, with_masks, with_attention)
    arrays = _arrays(shapes, timespan, image.shape[0])

    def more(t, index, state, arrays):
        return (t < timespan) & (tf.size(index) > 0)

    # `index` says which of the batch the images are that are not finished.
    def body(t, index, state, arrays):
        state, values, active = steps.after(t, state)
        arrays = {
            name: a.write(t, spread(values[name], index, batch))
            for name, a in arrays.items()
        }
        if stop:
            index, state = _still(active, index, state)
        return t + 1, index, state, arrays

    start = steps.start()
    count, _, _, arrays = tf.while_loop(
        more,
        body,
        (tf.constant(0), tf.range(batch), start, arrays),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None]),
            tf.nest.map_structure(
                lambda x: tf.TensorShape([None, *x.shape[1:]]), start
            ),
            tf.nest.map_structure(lambda _: None, arrays),
        ),
    )
    outputs = {name: time_second(a.stack()) for name, a in arrays.items()}
    outputs["count"] = tf.reduce_sum(
        tf.cast(outputs["scores"] >= settings.score_threshold, tf.int32), axis=1
    )
    outputs["steps"] = tf.fill([batch], count)
    if settings.revisions:
        outputs |= revise(model, prepared, outputs, settings)
    if with_masks:
        outputs["canvas"] = tf.reduce_max(outputs["masks"], axis=1)
    return outputs | _of_maps(maps, with_attention)


class _Steps:
    """What there is before a step, and after it, of images that are not finished."""

    def __init__(self, model, prepared, settings, stop):
        self.model = model
        self.prepared = prepared
        self.settings = settings
        self.stop = stop
        self.batch = tf.shape(prepared.image)[0]

    def start(self):
        """The loop's state before the first step: all that belongs to an image."""
        model, prepared = self.model, self.prepared
        state = {
            "image": prepared.image,
            "features": prepared.features,
            "canvas": model.canvas.blank(self.batch, model.config.image_size),
            "blocked": tf.zeros([self.batch, model.grid[0] * model.grid[1]]),
        }
        if prepared.extra is not None:
            state["extra"] = prepared.extra
        if model.config.box_network.center_map:
            state["centers"] = model.no_centers(self.batch)
        return state

    def after(self, t, state):
        """The state after step t, what it has found, and which images go on, bool."""
        model, settings = self.model, self.settings
        here = self.prepared._replace(
            image=state["image"],
            extra=state.get("extra"),
            features=state["features"],
        )
        canvas, blocked = state["canvas"], state["blocked"]
        centers = state.get("centers")
        box, segment, score = model.find(
            here,
            canvas,
            step=t,
            blocked=blocked,
            inference=settings,
            centers=centers,
        )
        active = tf.ones_like(score, tf.bool)
        if self.stop:
            active = score >= settings.score_threshold
        values = _values(model, box, segment, score, tf.cast(active, tf.float32))
        state = state | {"canvas": model.canvas(canvas, values["masks"])}
        if settings.inhibition:
            state["blocked"] = _inhibit(blocked, box, canvas, segment)
        if centers is not None:
            state["centers"] = model.mark(centers, segment)
        return state, values, active


def _of_maps(maps, with_angles):
    """What is returned of the pre-processing network's `Maps`, if there are any."""
    if maps is None:
        return {}
    found = {"foreground": maps.foreground, "semantic": maps.semantic}
    if with_angles:
        found["angles"] = maps.angles
    return {name: values for name, values in found.items() if values is not None}


def as_images(image, size):
    """Return images as float32. Raises ValueError: another size, or integers."""
    image = tf.convert_to_tensor(image)
    if not image.dtype.is_floating:
        raise ValueError(
            f"Images are floats from 0 to 1, got {image.dtype.name}: divide by 255, or "
            "give pictures to prediction.Predictor."
        )
    shape = image.shape
    if shape.rank != 4 or shape[-1] != 3 or tuple(shape[1:3]) != tuple(size):
        raise ValueError(
            f"Images should have shape [batch, {size[0]}, {size[1]}, 3] "
            f"(the config's image_size), got {tuple(shape)}."
        )
    return tf.cast(image, tf.float32)


def _shapes(model, with_masks, with_attention):
    """What is returned of every step: its name, and its shape for one image."""
    network = model.config.box_network
    cells = model.grid[0] * model.grid[1]
    patch_size = list(model.config.segmentation.patch_size)
    shapes = {"scores": [], "boxes": [4], "patches": patch_size}
    if with_masks:
        shapes["masks"] = list(model.config.image_size)
    if with_attention:
        # A heat map's final place is one more read.
        shapes["attention"] = [network.glimpses + network.heat_map, cells]
        if network.heat_map:
            shapes["heat"] = [cells]
    return shapes


def _arrays(shapes, timespan, batch):
    return {
        name: tf.TensorArray(tf.float32, timespan, element_shape=[batch, *shape])
        for name, shape in shapes.items()
    }


def _values(model, box, segment, score, on):
    """What a step has found, by the names of `_shapes`.

    Args:
        on: float32 [N], 0 for images that this step finishes: theirs are zeros.
    """
    low, high = boxes.corners(segment.center, segment.size)
    cells = tf.sigmoid(segment.heat) if model.is_normalized else segment.heat
    values = {
        "scores": score * on,
        "boxes": tf.concat([low, high], axis=-1) * on[:, tf.newaxis],
        "patches": cells * on[:, tf.newaxis, tf.newaxis],
        "masks": segment.mask * on[:, tf.newaxis, tf.newaxis],
        "attention": box.attention * on[:, tf.newaxis, tf.newaxis],
    }
    if box.heat is not None:
        values["heat"] = tf.sigmoid(box.heat) * on[:, tf.newaxis]
    return values


def _inhibit(blocked, box, canvas, segment):
    """Shut the attended cell of steps that added next to nothing."""
    new = tf.reduce_sum(tf.nn.relu(segment.mask - canvas), axis=[1, 2])
    area = tf.reduce_prod(segment.size, axis=-1)
    stuck = tf.cast(new < LEAST_NEW_SHARE * area, tf.float32)
    cell = tf.one_hot(tf.argmax(box.place, axis=-1), blocked.shape[-1])
    return tf.maximum(blocked, stuck[:, tf.newaxis] * cell)


def spread(values, index, batch):
    """Return values of some images of a batch at their places, zeros at the others'."""
    shape = tf.concat([[batch], tf.shape(values)[1:]], axis=0)
    return tf.scatter_nd(index[:, tf.newaxis], values, shape)


def _still(active, index, state):
    """Drop the images that have finished from `index` and `state`."""

    def drop():
        kept = tf.where(active)[:, 0]
        return tf.nest.map_structure(lambda x: tf.gather(x, kept), (index, state))

    return tf.cond(tf.reduce_all(active), lambda: (index, state), drop)
