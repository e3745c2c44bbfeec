"""Training's loop: with and without the truth."""

import types

import numpy as np
import pytest
import tensorflow as tf
from mask_truth import truth_of_masks
from tiny_models import build_with_images

from keras_recattend import unrolling
from keras_recattend.unrolling import _marked_truth


@pytest.fixture(
    params=[("paper", True), ("heat", False), ("centers", False)],
    ids=lambda case: case[0],
)
def tiny(request):
    """(model, images, extra channels or None), the paper's form and ours."""
    return build_with_images(*request.param)


def two_objects(model):
    """Masks of three images with two objects each, [3, T, H, W]."""
    masks = np.zeros((3, model.config.timespan, *model.config.image_size), np.float32)
    masks[:, 0, 3:9, 4:12] = 1.0
    masks[:, 1, 15:25, 20:32] = 1.0
    return masks


def test_unroll_without_truth_is_inference(tiny):
    """With all switches off, training's loop finds what inference finds.

    Boxes drawn anew included: the heat map's configuration does it once.
    """
    model, image, extra = tiny
    model.config = model.config.replace(inference={"growth": 0.1, "inhibition": False})
    timespan = model.config.timespan
    truth = truth_of_masks(tf.zeros([3, timespan, *image.shape[1:3]]), (0.2, 4.0))
    off = tf.zeros([3, timespan])
    out = model.unroll(
        model.prepare(image, extra), truth, (off, off), collect=("masks", "scores")
    )
    expected = model.infer(image, extra, stop=False)
    np.testing.assert_allclose(out["masks"], expected["masks"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["scores"], expected["scores"], rtol=1e-4, atol=1e-5)


def test_the_centre_map_has_no_mark_of_an_object_that_is_not_there():
    """A step that meets nothing has all slots as its match, in equal parts."""
    box_head = types.SimpleNamespace(
        blobs=lambda center, size: tf.concat([center, size], axis=-1)
    )
    model = types.SimpleNamespace(box_head=box_head)
    exists = tf.constant([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    center = tf.constant(3 * [[[4.0, 6.0], [8.0, 2.0], [0.5, 0.5]]])
    size = tf.ones_like(center)
    truth = types.SimpleNamespace(exists=exists, center=center, size=size)
    greedy = tf.constant(
        [[0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]]
    )
    marked = _marked_truth(model, tf.zeros([3, 4]), truth, greedy)
    expected = [[8.0, 2.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [4.0, 6.0, 1.0, 1.0]]
    np.testing.assert_allclose(marked, expected, atol=1e-6)


def test_unroll_shows_the_truth_where_switched_on(tiny, random):
    model, image, extra = tiny
    model.config = model.config.replace(inference={"refinements": 0})
    timespan = model.config.timespan
    masks = two_objects(model)
    truth = truth_of_masks(tf.constant(masks), (0.2, 4.0))
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


def test_slots_without_an_object_overlap_nothing(tiny):
    model, image, extra = tiny
    timespan = model.config.timespan
    masks = np.zeros((3, timespan, *image.shape[1:3]), np.float32)
    masks[:, 0, 3:9, 4:12] = 1.0
    truth = truth_of_masks(tf.constant(masks), (0.2, 4.0))
    off = tf.zeros([3, timespan])
    prepared = model.prepare(image, extra)
    out = model.unroll(prepared, truth, (off, off), collect=("box_iou",))
    iou = out["box_iou"].numpy()
    assert iou[:, :, 0].all()
    assert not iou[:, :, 1:].any()


def unrolled(name, use_mask, **options):
    """(model, truth, function that unrolls and returns what was collected)."""
    model, image, _ = build_with_images(name, False)
    truth = truth_of_masks(tf.constant(two_objects(model)), (0.2, 4.0))
    use_box = tf.zeros([3, model.config.timespan])
    switches = use_box, tf.fill(use_box.shape, use_mask)

    def run(collected):
        prepared = model.prepare(image, None)
        collect = (collected,)
        values = model.unroll(prepared, truth, switches, collect=collect, **options)
        return values[collected]

    return model, truth, run


def test_a_step_that_is_shown_the_truth_marks_the_true_centre(monkeypatch):
    model, truth, run = unrolled("centers", use_mask=1.0)
    seen, look = [], model.look

    def spied(*arguments, centers, **options):
        seen.append(centers)
        return look(*arguments, centers=centers, **options)

    monkeypatch.setattr(model, "look", spied)
    greedy = run("greedy")
    expected = model.no_centers(3)
    for t in range(model.config.timespan):
        np.testing.assert_allclose(seen[t], expected, atol=1e-6)
        expected = _marked_truth(model, expected, truth, greedy[:, t])
    assert tf.reduce_max(expected) > 0.0


def test_each_step_has_a_noise_of_its_own(monkeypatch):
    seeds, noisy = [], unrolling.noisy

    def spied(mask, seed):
        seeds.append(tuple(seed.numpy()))
        return noisy(mask, seed)

    monkeypatch.setattr(unrolling, "noisy", spied)
    model, _, run = unrolled("heat", use_mask=1.0, noise_seed=tf.constant([1, 2]))
    run("canvas")
    assert len(seeds) == len(set(seeds)) == model.config.timespan


def test_a_box_drawn_anew_has_no_gradient():
    """It is around a mask that the network drew, not where the box network looked."""
    model, _, run = unrolled("heat", use_mask=0.0)
    assert model.config.inference.refinements == 1
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(run("masks"))
    gradients = tape.gradient(total, model.box_head.trainable_variables)
    assert not any(g is not None and np.any(tf.convert_to_tensor(g)) for g in gradients)
