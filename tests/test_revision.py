"""Masks drawn anew with all others on the canvas, against one object at a time."""

import numpy as np
import pytest
import tensorflow as tf
from stopping import differing_threshold, stop_steps
from tiny_models import build_with_images

from keras_recattend.revision import Others, revise


def test_the_canvas_of_all_others_is_their_maximum():
    random = np.random.default_rng(0)
    # Few values: many pixels where several masks are equally great.
    masks = random.integers(0, 4, (5, 2, 6, 7)).astype(np.float32) / 3
    others = Others.of_none(2, (6, 7))
    for number, mask in enumerate(masks):
        others = others.with_mask(tf.constant(mask), number)
    for number in range(5):
        expected = np.delete(masks, number, axis=0).max(axis=0)
        np.testing.assert_array_equal(others.without(number), expected)
    each = tf.constant([3, 1])[:, tf.newaxis, tf.newaxis]
    expected = [np.delete(masks, n, axis=0).max(axis=0)[b] for b, n in ((0, 3), (1, 1))]
    np.testing.assert_array_equal(others.without(each), expected)


def box_round(model, cells, corner, extent):
    """(center, size) of the padded box of the patch's cells above 1/2, in numpy."""
    growth, padding = (
        model.config.inference.growth,
        model.config.segmentation.padding,
    )
    found = np.argwhere(cells > 0.5)
    if not len(found):
        return corner + extent / 2, extent
    cell = extent / cells.shape
    low = corner + found.min(axis=0) * cell
    high = corner + (found.max(axis=0) + 1) * cell
    low -= growth * extent * (found.min(axis=0) == 0)
    high += growth * extent * (found.max(axis=0) == np.array(cells.shape) - 1)
    return (low + high) / 2, (high - low) * padding


def one_by_one(model, image, extra, boxes, patches):
    """One round for the objects of one image: new boxes, patches and masks."""
    corners = boxes.reshape(-1, 2, 2)
    masks = [
        model.pasted(p[np.newaxis], *(v[np.newaxis] for v in ((a + b) / 2, b - a)))[0]
        for p, (a, b) in zip(patches, corners, strict=True)
    ]
    prepared = model.prepare(image, extra)
    blank = np.zeros((1, *model.config.image_size), np.float32)
    result = [], [], []
    for i, (cells, (low, high)) in enumerate(zip(patches, corners, strict=True)):
        canvas = np.max([blank[0], *masks[:i], *masks[i + 1 :]], axis=0)
        center, size = box_round(model, cells, low, high - low)
        center, size = np.float32(center[np.newaxis]), np.float32(size[np.newaxis])
        segment = model.segment(
            prepared, tf.constant(canvas[np.newaxis]), None, center, size
        )
        result[0].append(np.concatenate([center - size / 2, center + size / 2], 1)[0])
        result[1].append(tf.sigmoid(segment.heat)[0].numpy())
        result[2].append(segment.mask[0].numpy())
    return tuple(map(np.array, result))


@pytest.fixture(scope="module", params=[False, True], ids=["image", "with extra"])
def tiny(request):
    """(model, images, extra, the objects of each image by the first low score)."""
    model, image, extra = build_with_images("heat", request.param)
    model.config = model.config.replace(inference={"growth": 0.15})
    scores = model.infer(image, extra, stop=False)["scores"].numpy()
    threshold = differing_threshold(scores)
    model.config = model.config.replace(inference={"score_threshold": threshold})
    return model, image, extra, stop_steps(scores, threshold)


def revised(model, image, extra, revisions, **options):
    settings = model.config.replace(inference={"revisions": revisions}).inference
    return model.infer(image, extra, inference=settings, **options)


@pytest.fixture(scope="module")
def outputs(tiny):
    """What comes of 0, 1 and 2 revisions of all steps."""
    return [revised(*tiny[:3], revisions, stop=False) for revisions in range(3)]


def test_revisions_equal_one_object_at_a_time(tiny, outputs):
    model, image, extra, counts = tiny
    for b in np.flatnonzero(counts):
        found = slice(0, counts[b])
        boxes, patches = (outputs[0][n][b, found].numpy() for n in ("boxes", "patches"))
        for out in outputs[1:]:
            boxes, patches, masks = one_by_one(
                model,
                image[b : b + 1],
                None if extra is None else extra[b : b + 1],
                boxes,
                patches,
            )
            expected = {"boxes": boxes, "patches": patches, "masks": masks}
            for name, values in expected.items():
                np.testing.assert_allclose(
                    out[name][b, found], values, rtol=1e-3, atol=1e-4, err_msg=name
                )


def test_every_step_is_drawn_anew_by_its_own_statistics(tiny, monkeypatch):
    """Where normalisation knows time steps, those of the step that found the object."""
    model, image, extra, counts = tiny
    asked, segment = [], model.segment

    def spy(*arguments, step=0, **options):
        asked.append(int(step))
        return segment(*arguments, step=step, **options)

    first = revised(model, image, extra, 0, stop=False)
    settings = model.config.replace(inference={"revisions": 1}).inference
    monkeypatch.setattr(model, "segment", spy)
    tf.config.run_functions_eagerly(True)
    try:
        revise(model, model.prepare(image, extra), first, settings)
    finally:
        tf.config.run_functions_eagerly(False)
    assert max(counts) > 1
    assert asked == list(range(max(counts)))


def test_what_was_not_found_stays(tiny, outputs):
    """Steps from the first low score on, and the scores, are not revised."""
    first, out, _ = outputs
    assert set(out) == set(first)
    for name in ("boxes", "patches", "masks", "scores"):
        for b, count in enumerate(tiny[3]):
            start = 0 if name == "scores" else count
            np.testing.assert_allclose(
                out[name][b, start:], first[name][b, start:], rtol=1e-4, atol=1e-5
            )
    np.testing.assert_array_equal(out["canvas"], tf.reduce_max(out["masks"], axis=1))


def test_revisions_in_a_graph_that_stops(tiny, outputs):
    graph = tf.function(lambda: revised(*tiny[:3], 2))()
    assert set(graph) == set(outputs[2])
    for name, values in graph.items():
        assert values.shape == outputs[2][name].shape
    for name in ("boxes", "patches", "masks", "scores"):
        for b, count in enumerate(tiny[3]):
            np.testing.assert_allclose(
                graph[name][b, :count],
                outputs[2][name][b, :count],
                rtol=1e-3,
                atol=1e-4,
            )
            assert not graph[name][b, count:].numpy().any()


def test_images_without_objects_have_nothing_to_revise(tiny):
    model, image, extra, _ = tiny
    settings = model.config.replace(
        inference={"score_threshold": 1.0, "revisions": 2}
    ).inference
    out = model.infer(image, extra, inference=settings)
    assert not out["masks"].numpy().any()
    assert not out["patches"].numpy().any()
