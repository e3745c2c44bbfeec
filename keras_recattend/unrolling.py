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
    timespan = model.config.timespan
    image_size = model.config.image_size
    given, batch = prepared, prepared.image.shape[0] or tf.shape(prepared.image)[0]
    compare = _comparison(model, truth)
    cut = cut or truth
    use_box, use_mask = switches
    arrays = {name: tf.TensorArray(tf.float32, timespan) for name in collect}

    def segment_step(prepared, t, canvas, box, greedy):
        center, size = _mixed_box(model, box, cut, greedy, use_box[:, t])
        return _segment_refined(model, prepared, canvas, box, center, size, t, training)

    def body(t, state, arrays):
        canvas, centers = state["canvas"], state.get("centers")
        # The loop's gradient would otherwise carry one for each of these through all
        # steps, though nothing asks for it: what is written passes none (eq. 1).
        canvas = tf.stop_gradient(canvas)
        prepared = _without_gradient(given)
        box = model.look(prepared, canvas, t, training, centers=centers)
        segment = None
        if model.config.box_network.whole_image:
            # The patch needs no match, and the match needs the segment.
            center, size = model.patch_box(box)
            segment = model.segment(
                prepared, canvas, box, center, size, step=t, training=training
            )
        values = compare(box, segment)
        greedy = values["greedy"]
        true_mask = tf.einsum("bt,bthw->bhw", greedy, truth.masks)
        if noise_seed is not None:
            true_mask = noisy(true_mask, noise_seed + tf.stack([0, t]))
        written, score_features = true_mask, None
        if centers is not None:
            marked = _marked_truth(model, centers, truth, greedy)
        if segment_objects:
            segment = segment or segment_step(prepared, t, canvas, box, greedy)
            show_truth = use_mask[:, t, tf.newaxis, tf.newaxis]
            written = show_truth * true_mask + (1.0 - show_truth) * segment.mask
            if centers is not None:
                own = model.mark(centers, segment)
                marked = tf.where(use_mask[:, t, tf.newaxis] > 0, marked, own)
            score_features = segment.features
            values |= _of_segment(segment)
        canvas = model.canvas(canvas, written)
        score = tf.sigmoid(model.scoring(box.state, score_features))
        values |= _of_box(box) | {"canvas": canvas, "scores": score}
        arrays = {name: a.write(t, values[name]) for name, a in arrays.items()}
        state = {"canvas": canvas}
        if centers is not None:
            state["centers"] = marked
        return t + 1, state, arrays

    start = {"canvas": model.canvas.blank(batch, image_size)}
    if model.config.box_network.center_map:
        start["centers"] = model.no_centers(batch)
    _, _, arrays = tf.while_loop(
        lambda t, *_: t < timespan,
        body,
        (tf.constant(0), start, arrays),
        maximum_iterations=timespan,
    )
    return {name: time_second(a.stack()) for name, a in arrays.items()}


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
