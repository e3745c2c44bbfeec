"""The model: its loops, its stopping, saving, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_models import CONFIGS, build, images

from keras_recattend import boxes
from keras_recattend.model import RecurrentAttention, Segment
from keras_recattend.truth import Truth


def make(name, with_extra):
    """Return (model, images, extra channels or None) of a tiny config."""
    if not with_extra:
        model = build(CONFIGS[name]())
        return model, tf.constant(images(model.config, 3)), None
    model = build(CONFIGS[name](extra_channels=9))
    size = (3, *model.config.image_size, 9)
    extra = np.random.default_rng(5).uniform(size=size).astype(np.float32)
    return model, tf.constant(images(model.config, 3)), tf.constant(extra)


@pytest.fixture(params=[("paper", True), ("heat", False)], ids=lambda case: case[0])
def tiny(request):
    """(model, images, extra channels or None), the paper's form and ours."""
    return make(*request.param)


def set_threshold(model, threshold):
    model.config = model.config.replace(inference={"score_threshold": threshold})


def stop_steps(scores, threshold):
    """Return for each image the first step below the threshold (T = none)."""
    return [
        next((t for t, s in enumerate(row) if s < threshold), len(row))
        for row in scores
    ]


def differing_threshold(scores):
    """Return the threshold at which the images stop at most different steps."""
    values = np.sort(scores.ravel())
    middles = (values[1:] + values[:-1]) / 2
    gaps = values[1:] - values[:-1]
    middles = middles[gaps > 1e-5]

    def quality(threshold):
        steps = stop_steps(scores, threshold)
        inner = [t for t in steps if 0 < t < scores.shape[1]]
        return len(set(steps)) + len(set(inner))

    best = max(middles, key=quality)
    assert len(set(stop_steps(scores, best))) > 1, "all images stop at one step"
    return float(best)


def test_infer_equals_the_steps_one_by_one(tiny):
    model, image, extra = tiny
    out = model.infer(image, extra, stop=False, with_attention=True)
    prepared = model.prepare(image, extra)
    canvas = tf.zeros(image.shape[:3])
    blocked = tf.zeros([len(image), model.grid[0] * model.grid[1]])
    for t in range(model.config.timespan):
        box, segment, score = model.find(prepared, canvas, step=t, blocked=blocked)
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


@pytest.mark.parametrize("threshold", [0.0, 1.1])
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


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("with_extra", [False, True])
def test_call_takes_images_or_a_dict(name, with_extra):
    model, image, extra = make(name, with_extra)
    inputs = image if extra is None else {"image": image, "extra": extra}
    out = model(inputs)
    expected = model.infer(image, extra)
    config = model.config
    batch, timespan = 3, config.timespan
    assert out["masks"].shape == (batch, timespan, *config.image_size)
    assert out["scores"].shape == (batch, timespan)
    assert out["boxes"].shape == (batch, timespan, 4)
    assert out["patches"].shape == (batch, timespan, *config.segmentation.patch_size)
    assert out["count"].dtype == tf.int32
    for name in expected:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-5, atol=1e-6)


def test_refinement_draws_the_box_round_the_mask():
    """The patch of a segment is cut anew round its cells above one half."""
    model = build(CONFIGS["heat"]())
    h, w = model.config.segmentation.patch_size
    heat = np.full((2, h, w), -5.0, np.float32)
    heat[0, 3:6, 2:7] = 5.0  # nothing found in the second
    center = tf.constant([[15.0, 20.0], [10.0, 30.0]])
    size = tf.constant([[12.0, 16.0], [8.0, 9.0]])
    segment = model.segment(
        model.prepare(tf.constant(images(model.config, 2))),
        tf.zeros([2, *model.config.image_size]),
        model.look(
            model.prepare(tf.constant(images(model.config, 2))),
            tf.zeros([2, *model.config.image_size]),
        ),
        center,
        size,
    )._replace(heat=tf.constant(heat))
    new_center, new_size = model.around_mask(segment)
    # Cells of 1 x 2 pixels; rows 3 to 5 and columns 2 to 6 of 12 x 8.
    rows = [15.0 + (i - 5.5) * 1.0 for i in (3, 5)]
    columns = [20.0 + (i - 3.5) * 2.0 for i in (2, 6)]
    padding = model.config.segmentation.padding
    np.testing.assert_allclose(new_center[0], [np.mean(rows), np.mean(columns)])
    np.testing.assert_allclose(
        new_size[0], [padding * 3 * 1.0, padding * 5 * 2.0], rtol=1e-5
    )
    np.testing.assert_allclose(new_center[1], center[1])
    np.testing.assert_allclose(new_size[1], size[1])


def test_a_mask_at_the_edge_of_its_patch_makes_the_box_grow_there():
    model = build(CONFIGS["heat"]())
    h, w = model.config.segmentation.patch_size
    heat = np.full((2, h, w), -5.0, np.float32)
    heat[0, 0:6, 2:7] = 5.0  # the upper edge
    heat[1, 3:6, 2:w] = 5.0  # the right edge
    center = tf.constant([[15.0, 20.0], [15.0, 20.0]])
    size = tf.constant([[12.0, 16.0], [12.0, 16.0]])
    fields = dict.fromkeys(Segment._fields)
    segment = Segment(**fields | {"heat": heat, "center": center, "size": size})
    old_center, old_size = model.around_mask(segment)
    new_center, new_size = model.around_mask(segment, growth=0.25)
    padding = model.config.segmentation.padding
    # A quarter of 12 rows upwards; a quarter of 16 columns to the right.
    np.testing.assert_allclose(new_center - old_center, [[-1.5, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(
        new_size - old_size, [[3 * padding, 0.0], [0.0, 4 * padding]], rtol=1e-5
    )


def test_unroll_without_truth_is_inference(tiny):
    """With all switches off, training's loop finds what inference finds.

    Boxes drawn anew included: the heat map's configuration does it once.
    """
    model, image, extra = tiny
    model.config = model.config.replace(
        inference={"growth": 0.1, "inhibition": False, "stop": False}
    )
    timespan = model.config.timespan
    truth = Truth.of_masks(tf.zeros([3, timespan, *image.shape[1:3]]), (0.2, 4.0))
    off = tf.zeros([3, timespan])
    out = model.unroll(
        model.prepare(image, extra), truth, (off, off), collect=("masks", "scores")
    )
    expected = model.infer(image, extra)
    np.testing.assert_allclose(out["masks"], expected["masks"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["scores"], expected["scores"], rtol=1e-4, atol=1e-5)


def test_unroll_shows_the_truth_where_switched_on(tiny, random):
    model, image, extra = tiny
    model.config = model.config.replace(inference={"refinements": 0})
    timespan = model.config.timespan
    masks = np.zeros((3, timespan, *image.shape[1:3]), np.float32)
    masks[:, 0, 3:9, 4:12] = 1.0
    masks[:, 1, 15:25, 20:32] = 1.0
    truth = Truth.of_masks(tf.constant(masks), (0.2, 4.0))
    use_box = random.integers(0, 2, size=(3, timespan)).astype(np.float32)
    use_mask = random.integers(0, 2, size=(3, timespan)).astype(np.float32)
    names = ("masks", "canvas", "greedy", "center", "size", "center_used", "size_used")
    out = model.unroll(
        model.prepare(image, extra), truth, (use_box, use_mask), collect=names
    )
    out = {name: value.numpy() for name, value in out.items()}
    padding = model.config.segmentation.padding if model.is_normalized else 1.0
    for b in range(3):
        canvas = np.zeros(image.shape[1:3], np.float32)
        for t in range(timespan):
            greedy = out["greedy"][b, t]
            center, size = out["center"][b, t], out["size"][b, t]
            if use_box[b, t]:
                center = (greedy[:, np.newaxis] * truth.center[b]).numpy().sum(0)
                size = (greedy[:, np.newaxis] * truth.size[b]).numpy().sum(0)
            np.testing.assert_allclose(out["center_used"][b, t], center, rtol=1e-4)
            np.testing.assert_allclose(
                out["size_used"][b, t], padding * size, rtol=1e-4
            )
            shown = out["masks"][b, t]
            if use_mask[b, t]:
                shown = (greedy[:, np.newaxis, np.newaxis] * masks[b]).sum(0)
            canvas = np.maximum(canvas, shown)
            np.testing.assert_allclose(
                out["canvas"][b, t], canvas, rtol=1e-4, atol=1e-6
            )


@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load(name, tmp_path):
    model = build(CONFIGS[name]())
    image = tf.constant(images(model.config, 2))
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert isinstance(again, RecurrentAttention)
    assert again.config == model.config
    assert_same_outputs(again(image), model(image))


@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load_weights(name, tmp_path):
    model = build(CONFIGS[name]())
    image = tf.constant(images(model.config, 2))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    again = build(CONFIGS[name](), seed=1)
    assert not np.allclose(again(image)["scores"], model(image)["scores"])
    again.load_weights(path)
    assert_same_outputs(again(image), model(image))


def assert_same_outputs(a, b):
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-6, err_msg=name)


def test_a_config_can_be_given_as_it_is_written():
    config = CONFIGS["paper"]()
    model = RecurrentAttention(config)
    again = RecurrentAttention.from_config(model.get_config())
    assert again.config == config


def test_a_wrong_image_size_is_refused_with_both_sizes():
    model = build(CONFIGS["paper"](), spread=False)
    with pytest.raises(ValueError, match=r"32, 40, 3\].*\(1, 40, 32, 3\)"):
        model.infer(tf.zeros([1, 40, 32, 3]))
    with pytest.raises(ValueError, match=r"32, 40, 3\].*\(1, 32, 40, 4\)"):
        model(tf.zeros([1, 32, 40, 4]))


@pytest.mark.parametrize("name", CONFIGS)
def test_an_untrained_model_gives_finite_numbers(name):
    model = build(CONFIGS[name](), spread=False)
    out = model.infer(tf.constant(images(model.config, 2)), stop=False)
    for key, value in out.items():
        assert np.isfinite(value).all(), key


@pytest.fixture
def mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize("name", CONFIGS)
def test_mixed_precision_gives_finite_float32(name):
    model = build(CONFIGS[name](), spread=False)
    assert model.controller.compute_dtype == "float16"
    out = model.infer(tf.constant(images(model.config, 2)), stop=False)
    for key in ("masks", "scores", "boxes", "patches", "canvas"):
        assert out[key].dtype == tf.float32, key
        assert np.isfinite(out[key]).all(), key
