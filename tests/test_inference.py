"""Inference's loop: its steps, its stopping, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf
from stopping import differing_threshold, stop_steps
from tiny_models import CONFIGS, build, build_with_images, images

from keras_recattend import boxes


@pytest.fixture(
    params=[("paper", True), ("heat", False), ("centers", False)],
    ids=lambda case: case[0],
)
def tiny(request):
    """(model, images, extra channels or None), the paper's form and ours."""
    return build_with_images(*request.param)


def set_threshold(model, threshold):
    model.config = model.config.replace(inference={"score_threshold": threshold})


def test_infer_equals_the_steps_one_by_one(tiny):
    model, image, extra = tiny
    out = model.infer(image, extra, stop=False, with_attention=True)
    prepared = model.prepare(image, extra)
    canvas = tf.zeros(image.shape[:3])
    blocked = tf.zeros([len(image), model.grid[0] * model.grid[1]])
    centers = None
    if model.config.box_network.center_map:
        centers = tf.zeros_like(blocked)
    for t in range(model.config.timespan):
        box, segment, score = model.find(
            prepared, canvas, step=t, blocked=blocked, centers=centers
        )
        low, high = boxes.corners(segment.center, segment.size)
        cells = tf.sigmoid(segment.heat) if model.is_normalized else segment.heat
        for name, expected in {
            "masks": segment.mask,
            "scores": score,
            "boxes": tf.concat([low, high], axis=-1),
            "patches": cells,
            "attention": box.attention,
            **({} if box.heat is None else {"heat": tf.sigmoid(box.heat)}),
        }.items():
            np.testing.assert_allclose(
                out[name][:, t], expected, rtol=1e-4, atol=1e-5, err_msg=f"{name} {t}"
            )
        if model.config.inference.inhibition:
            blocked = shut_stuck_cells(blocked.numpy(), box, canvas, segment)
        canvas = tf.maximum(canvas, segment.mask)
        if centers is not None:
            centers = with_blobs(model, centers.numpy(), segment)
    assert ("heat" in out) == model.config.box_network.heat_map
    np.testing.assert_allclose(out["canvas"], canvas, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out["steps"], [model.config.timespan] * 3)


def shut_stuck_cells(blocked, box, canvas, segment):
    """A step that adds less than a twentieth of its box shuts the attended cell."""
    for b in range(len(blocked)):
        new = np.maximum(segment.mask[b] - canvas[b], 0.0).sum()
        if new < 0.05 * np.prod(segment.size[b]):
            blocked[b, np.argmax(box.place[b])] = 1.0
    return tf.constant(blocked)


def with_blobs(model, centers, segment):
    """A blob where the box round the patch's cells above 1/2 has its centre."""
    patch_size = model.config.segmentation.patch_size
    for b, heat in enumerate(segment.heat.numpy()):
        found = np.argwhere(heat > 0)
        if not len(found):
            continue
        cell = segment.size[b].numpy() / patch_size
        corner = segment.center[b].numpy() - segment.size[b].numpy() / 2
        low = corner + (found.min(axis=0) + 0.5) * cell
        high = corner + (found.max(axis=0) + 0.5) * cell
        blob = model.box_head.blobs((low + high) / 2, high - low + cell)
        centers[b] = np.maximum(centers[b], blob)
    return tf.constant(centers)


def test_the_loop_in_a_graph(tiny):
    model, image, extra = tiny
    eager = model.infer(image, extra)
    graph = tf.function(model.infer)(image, extra)
    assert set(eager) == set(graph)
    for name in eager:
        np.testing.assert_allclose(graph[name], eager[name], rtol=1e-4, atol=1e-5)


def test_stopping_gives_the_full_loops_masks_up_to_the_stop(tiny):
    """Images of a batch stop at different steps; what follows is zero."""
    model, image, extra = tiny
    full = model.infer(image, extra, stop=False)
    threshold = differing_threshold(full["scores"].numpy())
    set_threshold(model, threshold)
    stops = stop_steps(full["scores"].numpy(), threshold)
    out = model.infer(image, extra, stop=True)
    for b, stop in enumerate(stops):
        for name in ("masks", "scores", "boxes", "patches"):
            np.testing.assert_allclose(
                out[name][b, :stop], full[name][b, :stop], rtol=1e-4, atol=1e-5
            )
            assert not out[name][b, stop:].numpy().any(), (name, b)
    np.testing.assert_array_equal(out["count"], stops)
    # The loop ends with the last image's sequence.
    last = min(max(stops) + 1, model.config.timespan)
    np.testing.assert_array_equal(out["steps"], [last] * 3)
    assert out["masks"].shape[1] == model.config.timespan


def test_without_stopping_low_scores_stay_and_are_not_counted():
    """As the class says; so are the paper's presets."""
    model = build(CONFIGS["paper"]())
    image = tf.constant(images(model.config, 3))
    scores = model.infer(image, stop=False)["scores"].numpy()
    inference = {"score_threshold": float(np.median(scores)), "stop": False}
    model.config = model.config.replace(inference=inference)
    out = model(image)
    np.testing.assert_allclose(out["scores"], scores, rtol=1e-5)
    counted = scores >= inference["score_threshold"]
    np.testing.assert_array_equal(out["count"], counted.sum(axis=1))
    assert not counted.all()
    assert out["masks"].numpy().any(axis=(2, 3)).all()


def test_finished_images_leave_the_batch(tiny, monkeypatch):
    """Each step computes the images that go on, and no others."""
    model, image, extra = tiny
    scores = model.infer(image, extra, stop=False)["scores"].numpy()
    threshold = differing_threshold(scores)
    set_threshold(model, threshold)
    stops = stop_steps(scores, threshold)
    sizes, find = [], model.find

    def counted(prepared, canvas, **options):
        sizes.append(len(canvas))
        return find(prepared, canvas, **options)

    monkeypatch.setattr(model, "find", counted)
    model.infer(image, extra)
    steps = min(max(stops) + 1, model.config.timespan)
    # An image is asked until the step that says it is the end.
    assert sizes == [sum(stop >= t for stop in stops) for t in range(steps)]
    assert sizes[-1] < len(image)


def test_an_image_alone_gives_what_it_gives_in_a_batch(tiny):
    model, image, extra = tiny
    set_threshold(
        model,
        differing_threshold(model.infer(image, extra, stop=False)["scores"].numpy()),
    )
    together = model.infer(image, extra)
    for b in range(3):
        alone = model.infer(
            image[b : b + 1], None if extra is None else extra[b : b + 1]
        )
        for name in ("masks", "scores", "boxes", "patches", "count"):
            np.testing.assert_allclose(
                alone[name][0], together[name][b], rtol=1e-3, atol=1e-4, err_msg=name
            )


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("normalization", ["group", "batch"])
def test_no_image_gives_no_rows(mode, normalization):
    """As one of several devices may have it, at the end of an epoch."""
    inference = {"revisions": 1, "refinements": 1}
    model = build(CONFIGS["heat"](inference=inference, normalization=normalization))
    size = model.config.image_size
    infer = tf.function(model.infer) if mode == "graph" else model.infer
    if mode == "graph":
        spec = tf.TensorSpec([None, *size, 3])
        infer = infer.get_concrete_function(spec)
    none = infer(tf.zeros([0, *size, 3]))
    some = model.infer(tf.constant(images(model.config, 2)))
    assert set(none) == set(some)
    for name, values in none.items():
        assert values.dtype == some[name].dtype
        assert values.shape == (0, *some[name].shape[1:]), name
    if mode == "graph":
        # The same graph computes images as ever.
        again = infer(tf.constant(images(model.config, 2)))
        for name, values in some.items():
            np.testing.assert_allclose(again[name], values, 1e-4, 1e-5, err_msg=name)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_that_all_or_none_pass(threshold):
    model = build(CONFIGS["paper"]())
    set_threshold(model, threshold)
    out = model.infer(tf.constant(images(model.config, 2)))
    if threshold:
        np.testing.assert_array_equal(out["count"], [0, 0])
        np.testing.assert_array_equal(out["steps"], [1, 1])
        assert not out["canvas"].numpy().any()
    else:
        np.testing.assert_array_equal(out["count"], [4, 4])
        np.testing.assert_array_equal(out["steps"], [4, 4])


def test_a_wrong_image_size_is_refused_with_both_sizes():
    model = build(CONFIGS["paper"](), spread=False)
    with pytest.raises(ValueError, match=r"32, 40, 3\].*\(1, 40, 32, 3\)"):
        model.infer(tf.zeros([1, 40, 32, 3]))
    with pytest.raises(ValueError, match=r"32, 40, 3\].*\(1, 32, 40, 4\)"):
        model(tf.zeros([1, 32, 40, 4]))
