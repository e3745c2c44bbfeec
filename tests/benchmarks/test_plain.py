"""The plain variant is the same model: what it gives equals ours to rounding."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from tiny_models import build

from benchmarks.plain import PlainModel, copy_weights, full_size_iou
from keras_recattend import stages


def pair(recompute=0):
    """(our model, the plain one) with the same weights, and a batch."""
    joint = {"optimizer": "adam", "weight_decay": 5e-5, "box_noise": (0.05, 0.1)}
    config = tiny.paper_config(joint | {"mask_offset": -10_000})
    config = config.replace(box_network={"recompute": recompute})
    model = build(config)
    plain = PlainModel(config)
    copy_weights(model, plain)
    return model, plain, tiny.batch((3, 2))


def test_outputs():
    model, plain, batch = pair()
    ours = model.infer(batch["image"], stop=False)
    theirs = plain(batch["image"])
    assert float(tf.math.reduce_std(ours["masks"])) > 1e-3
    for name in ("masks", "scores"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("recompute", [0, 1, 2])
def test_losses_and_gradients(recompute):
    model, plain, batch = pair(recompute)
    objective = stages.objective("joint", model.config)
    assert objective.has_decay
    step = tf.constant(3, tf.int64)

    @tf.function
    def ours():
        with tf.GradientTape() as tape:
            terms, _ = objective(model, batch, step, training=True)
            loss = tf.add_n(list(terms.values()))
        return terms, tape.gradient(loss, gradient_of(model))

    @tf.function
    def theirs():
        with tf.GradientTape() as tape:
            terms = plain.joint_terms(batch, step)
            loss = tf.add_n(list(terms.values()))
        return terms, tape.gradient(loss, gradient_of_plain(plain))

    (our_terms, our_gradients), (terms, gradients) = ours(), theirs()
    assert set(terms) == {"segmentation", "box", "score", "decay"}
    for name in terms:
        np.testing.assert_allclose(terms[name], our_terms[name], rtol=1e-4)
    for a, b in zip(our_gradients, gradients, strict=True):
        assert np.abs(a).max() > 1e-6
        np.testing.assert_allclose(b, a, rtol=1e-2, atol=2e-3 * np.abs(a).max())
    # The statistics of every step moved alike.
    for a, b in zip(
        model.controller.stack.normalizations, plain.norms["controller"], strict=True
    ):
        np.testing.assert_allclose(b.moving_mean, a.moving_mean, rtol=1e-3, atol=1e-5)


def gradient_of(model):
    stack, segmentation = model.controller.stack, model.segmentation
    return [
        *(c.kernel for c in stack.convolutions),
        *(n.gamma for n in stack.normalizations),
        *(c.kernel for c in segmentation.cnn.convolutions),
        *(c.kernel for c in segmentation.transposed.convolutions),
        model.box_head.linear.kernel,
        model.box_head.glimpse_network.lstm.kernel,
    ]


def gradient_of_plain(plain):
    return [
        *(c.kernel for c in plain.controller),
        *(n.gamma for n in plain.norms["controller"]),
        *(c.kernel for c in plain.cnn),
        *(c.kernel for c in plain.transposed),
        plain.box.kernel,
        plain.lstm.kernel,
    ]


def test_full_size_iou(random):
    a, b = random.uniform(size=(2, 3, 4, 5)).astype(np.float32)
    union = (a + b - a * b + 1e-5).sum((1, 2))
    np.testing.assert_allclose(
        full_size_iou(a, b), (a * b).sum((1, 2)) / union, rtol=1e-5
    )


def test_it_takes_a_training_step():
    _, plain, batch = pair()
    plain.compile("adam")
    before = np.array(plain.box.kernel)
    losses = plain.train_step(batch)
    assert np.isfinite(losses["loss"])
    assert not np.array_equal(before, plain.box.kernel)
