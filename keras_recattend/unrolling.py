"""Training's loop: all T steps, the truth mixed in (section 2.6)."""

import tensorflow as tf

from keras_recattend import boxes
from keras_recattend.layers.gaussian import box_mask
from keras_recattend.losses import soft_iou_matrix
from keras_recattend.matching import greedy_match
from keras_recattend.sampling import noisy

__all__ = ["time_second", "unroll"]


def unroll(
    model,
    prepared,
    truth,
    switches,
    noise_seed=None,
    training=False,
    segment_objects=True,
    collect=("masks", "scores", "box_iou"),
    cut=None,
):
    """Run all T steps as training does; see `RecurrentAttention.unroll`."""
    steps = _Steps(
        model,
        prepared,
        truth,
        switches,
        cut=cut or truth,
        noise_seed=noise_seed,
        training=training,
        segment_objects=segment_objects,
    )
    timespan = model.config.timespan
    arrays = {name: tf.TensorArray(tf.float32, timespan) for name in collect}

    def body(t, state, arrays):
        state, values = steps.after(t, state)
        arrays = {name: a.write(t, values[name]) for name, a in arrays.items()}
        return t + 1, state, arrays

    _, _, arrays = tf.while_loop(
        lambda t, *_: t < timespan,
        body,
        (tf.constant(0), steps.start(), arrays),
        maximum_iterations=timespan,
    )
    return {name: time_second(a.stack()) for name, a in arrays.items()}


class _Steps:
    """What a step finds, and what there is after it, of one batch; see `unroll`."""

    def __init__(
        self,
        model,
        prepared,
        truth,
        switches,
        *,
        cut,
        noise_seed,
        training,
        segment_objects,
    ):
        self.model = model
        self.prepared = prepared
        self.truth = truth
        self.use_box, self.use_mask = switches
        self.cut = cut
        self.noise_seed = noise_seed
        self.training = training
        self.segment_objects = segment_objects
        self.compare = _comparison(model, truth)

    def start(self):
        """The loop's state before the first step."""
        model, image = self.model, self.prepared.image
        batch = image.shape[0] or tf.shape(image)[0]
        state = {"canvas": model.canvas.blank(batch, model.config.image_size)}
        if model.config.box_network.center_map:
            state["centers"] = model.no_centers(batch)
        return state

    def after(self, t, state):
        """The loop's state after step t, and all that the step has found."""
        model = self.model
        # The loop's gradient would otherwise carry one for each of these through all
        # steps, though nothing asks for it: what is written passes none (eq. 1).
        state = state | {"canvas": tf.stop_gradient(state["canvas"])}
        seen = _without_gradient(self.prepared), state["canvas"]
        box = model.look(*seen, t, self.training, centers=state.get("centers"))
        segment = None
        if model.config.box_network.whole_image:
            # The patch needs no match, and the match needs the segment.
            segment = model.segment(
                *seen, box, *model.patch_box(box), step=t, training=self.training
            )
        values = self.compare(box, segment)
        if not self.segment_objects:
            segment = None
        elif segment is None:
            segment = self._segment(t, seen, box, values["greedy"])
        state = self._written(t, state, values["greedy"], segment)
        features = None
        if segment is not None:
            features = segment.features
            values |= _of_segment(segment)
        score = tf.sigmoid(model.scoring(box.state, features))
        found = {"canvas": state["canvas"], "scores": score}
        return state, values | _of_box(box) | found

    def _segment(self, t, seen, box, greedy):
        """Segment what is in the box, or in the matched true one by the switch."""
        center, size = _mixed_box(self.model, box, self.cut, greedy, self.use_box[:, t])
        return _segment_refined(self.model, *seen, box, center, size, t, self.training)

    def _written(self, t, state, greedy, segment):
        """The state with the matched truth, or the segment by the switch."""
        model, truth = self.model, self.truth
        mask = tf.einsum("bt,bthw->bhw", greedy, truth.masks)
        if self.noise_seed is not None:
            mask = noisy(mask, self.noise_seed + tf.stack([0, t]))
        if segment is not None:
            show_truth = self.use_mask[:, t, tf.newaxis, tf.newaxis]
            mask = show_truth * mask + (1.0 - show_truth) * segment.mask
        written = {"canvas": model.canvas(state["canvas"], mask)}
        if "centers" in state:
            marked = _marked_truth(model, state["centers"], truth, greedy)
            if segment is not None:
                own = model.mark(state["centers"], segment)
                marked = tf.where(self.use_mask[:, t, tf.newaxis] > 0, marked, own)
            written["centers"] = marked
        return written


def _marked_truth(model, centers, truth, greedy):
    """The centre map with the greedily matched truth.

    A step that meets no object has all slots as its match, equally, those of none, too.
    """
    share = greedy * truth.exists
    there = tf.reduce_sum(share, axis=-1, keepdims=True)
    share = tf.math.divide_no_nan(share, there)
    there = tf.cast(there > 0.0, tf.float32)
    center = tf.einsum("bt,btc->bc", share, truth.center)
    size = tf.einsum("bt,btc->bc", share, truth.size)
    return tf.maximum(centers, there * model.box_head.blobs(center, size))


def _without_gradient(prepared):
    """The same, the images stopped inside the loop; the features carry a gradient."""
    return prepared._replace(
        image=tf.stop_gradient(prepared.image),
        extra=None if prepared.extra is None else tf.stop_gradient(prepared.extra),
    )


def _constant(pair):
    return tuple(tf.stop_gradient(values) for values in pair)


def time_second(stacked):
    """[T, B, ...] -> [B, T, ...]."""
    order = [1, 0, *range(2, stacked.shape.rank)]
    return tf.transpose(stacked, order)


def _comparison(model, truth):
    """Return `compare(box, segment)`: how a step's box lies to all true objects.

    It gives a dict: "box_iou" [B, T], "greedy" [B, T] (section 2.6), and the
    paper's soft "box_masks" [B, H, W].
    """
    image_size = model.config.image_size
    if model.config.box_network.whole_image:

        def compare(box, segment):
            # No boxes to compare: the truth that the segment itself overlaps most.
            iou = soft_iou_matrix(segment.mask[:, tf.newaxis], truth.masks)[:, 0]
            return {"box_iou": iou, "greedy": greedy_match(iou)}

        return compare

    if model.is_normalized:
        rows, columns = boxes.soft_windows(truth.center, truth.size, image_size)
        windows = (rows * truth.exists[..., tf.newaxis], columns)

        def overlap(box):
            own = boxes.soft_windows(box.center, box.size, image_size)
            own = tuple(axis[:, tf.newaxis] for axis in own)
            return {"box_iou": boxes.window_iou(own, _constant(windows))}

    else:
        edges = boxes.box_edges(
            truth.top_left, truth.bottom_right, truth.exists, image_size
        )

        def overlap(box):
            filters, _ = model.filters(box.center, box.size, box.log_variance)
            mask = box_mask(*filters, box.log_gamma_box)
            return {
                "box_iou": boxes.filled_iou(mask, _constant(edges)),
                "box_masks": mask,
            }

    def compare(box, segment):
        values = overlap(box)
        iou = values["box_iou"]
        if model.config.corner_matching:
            iou = _corner_iou(boxes.corners(box.center, box.size), truth)
        return values | {"greedy": greedy_match(iou)}

    return compare


def _corner_iou(predicted, truth):
    """IoU of boxes [B, 2] twice with all true boxes, 0 for empty slots, [B, T]."""
    low, high = (values[:, tf.newaxis] for values in predicted)
    iou = boxes.box_iou((low, high), (truth.top_left, truth.bottom_right))
    return iou * truth.exists


def _mixed_box(model, box, truth, greedy, use_truth):
    """The (center, size) to cut: the prediction, or the matched truth by the switch."""
    use_truth = use_truth[:, tf.newaxis]
    center = tf.stop_gradient(tf.einsum("bt,btc->bc", greedy, truth.center))
    size = tf.stop_gradient(tf.einsum("bt,btc->bc", greedy, truth.size))
    mixed = box._replace(
        center=use_truth * center + (1.0 - use_truth) * box.center,
        size=use_truth * size + (1.0 - use_truth) * box.size,
    )
    return model.patch_box(mixed)


def _segment_refined(model, prepared, canvas, box, center, size, step, training):
    """Segment as inference does: where it draws boxes anew, once, without gradient.

    A network that learns to segment what the first box's patch shows learns another
    task than the one it has in inference.
    """
    settings = model.config.inference
    common = {"step": step, "training": training}
    if settings.refinements:
        draft = model.segment(prepared, canvas, box, center, size, **common)
        anew = model.around_mask(draft, settings.growth)
        center, size = (tf.stop_gradient(values) for values in anew)
    return model.segment(prepared, canvas, box, center, size, **common)


def _of_box(box):
    return {
        "center": box.center,
        "size": box.size,
        "raw": box.raw,
        "log_variance": box.log_variance,
        "attention": box.attention,
    }


def _of_segment(segment):
    return {
        "masks": segment.mask,
        "center_used": segment.center,
        "size_used": segment.size,
        "patch": segment.patch,
        "heat": segment.heat,
    }
