"""TensorBoard's pictures of the steps, and its scalars, read back from a run."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunFolder
from keras_recattend.sampling import probability
from keras_recattend.training import Training
from keras_recattend.training_pictures import MapPictures, StepPictures


def test_the_first_images_as_the_model_is_now():
    model = RecurrentAttention(tiny.config(inference={"zoom": 2.0}))
    pictures = StepPictures(model, iter(tiny.examples([(32, 32)] * 3)), 2)
    before = dict(pictures())
    assert list(before) == ["e0", "e1"]
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 for p in before.values())
    same = dict(pictures())
    np.testing.assert_array_equal(before["e0"], same["e0"])
    model.scoring.bias.assign([-3.0])  # the score is written beside every step
    assert not np.array_equal(before["e0"], dict(pictures())["e0"])


def test_none_are_asked_for():
    model = RecurrentAttention(tiny.config())
    assert list(StepPictures(model, tiny.examples(), 0)()) == []


def test_maps_beside_the_true_ones():
    model = RecurrentAttention(tiny.preprocessed())
    pictures = dict(MapPictures(model, tiny.examples([(32, 64), (40, 40)]), 1)())
    assert list(pictures) == ["e0"]
    picture = pictures["e0"]
    assert picture.dtype == np.uint8
    # Two rows of three panels of 112 x 224, with captions.
    assert 2 * 112 < picture.shape[0] < 2 * 160
    assert 3 * 224 < picture.shape[1] < 3 * 240
    # The maps of a network that has learnt something else are other ones.
    weights = model.preprocessor.weights
    (last,) = (v for v in weights if v.path.endswith("transposed2/bias"))
    last.assign(last + np.float32([2, 0, 0, 1, 0, 0, 0, 0, 0]))
    other = dict(MapPictures(model, tiny.examples([(32, 64)]), 1)())["e0"]
    half = picture.shape[0] // 2
    assert not np.array_equal(other[:half], picture[:half])
    np.testing.assert_array_equal(other[half:], picture[half:])


def trained_events(config, path):
    """{(tag, step): value} of what a training writes for TensorBoard."""
    folder = RunFolder(path)
    folder.create(config)
    Training(
        RecurrentAttention(config),
        folder,
        tiny.stream,
        tiny.validation,
        tiny.examples(),
        bar=False,
        panels=1,
    ).run()
    found = {}
    for path in (folder.path / "logs").glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag, event.step] = tf.make_ndarray(value.tensor)
    return found


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """Those of a joint stage of three epochs, scored every second."""
    config = tiny.config(
        {
            "steps": 3,
            "steps_per_epoch": 1,
            "validate_every": 2,
            "sampling_period": 2,
        },
        stages=("joint",),
    )
    return trained_events(config, tmp_path_factory.mktemp("run") / "run")


def test_scalars(events):
    names = ["loss", "segmentation", "box", "score", "theta_box", "theta_mask"]
    names += [f"val_{name}" for name in names]
    names += ["sbd", "abs_dic", "fbd", "mucov"]
    names += ["learning_rate", "gradient_norm", "images_per_second", "minutes"]
    for step in (1, 2, 3):
        scored = step in (2, 3)
        for name in names:
            is_validation = name.startswith("val_") or name in names[12:16]
            assert (f"joint/{name}", step) in events or (is_validation and not scored)
    assert all(
        np.isfinite(value).all()
        for (tag, _), value in events.items()
        if not tag.startswith("joint_steps/")
    )
    assert all(events["joint/gradient_norm", step] > 0 for step in (1, 2, 3))
    assert 0 <= events["joint/mucov", 2] <= 100


def test_theta_for_every_instance_step(events):
    for step in (1, 2, 3):
        expected = probability(step, tiny.SLOTS + 1, 0, 2)
        for t in range(tiny.SLOTS + 1):
            for kind in ("box", "mask"):
                value = events[f"joint_theta_{kind}/{t + 1:02d}", step]
                assert value == pytest.approx(float(expected[t]))
    assert ("joint_theta_box/01", 1) in events
    assert events["joint_theta_box/01", 3] < events["joint_theta_box/01", 1]


def test_pictures_at_every_scored_epoch(events):
    steps = [key for key in events if key[0].startswith("joint_steps/")]
    assert steps == [("joint_steps/e0", 2), ("joint_steps/e0", 3)]
    width, height, data = events["joint_steps/e0", 3]
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (int(width), int(height))
        assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50


def test_maps_at_every_scored_epoch(tmp_path):
    config = tiny.preprocessed({"validate_every": 2}, stages=("preprocess",))
    events = trained_events(config, tmp_path / "run")
    pictures = [key for key in events if key[0].startswith("preprocess_maps/")]
    assert pictures == [("preprocess_maps/e0", 2)]


def test_the_norm_of_the_gradients():
    """Against a tape of its own; a scaled loss changes nothing, nor a growing scale."""
    import keras

    batch = tiny.batch((3, 2))
    norms = []
    # Steps after which the scale doubles.
    for growth in (None, 2000, 1):
        keras.utils.set_random_seed(1)
        model = RecurrentAttention(tiny.config())
        optimizer = keras.optimizers.SGD(0.0, global_clipnorm=1e-3)
        if growth:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, dynamic_growth_steps=growth
            )
        model.compile(optimizer)
        norms.append(float(model.train_step(batch)["gradient_norm"]))
    with tf.GradientTape() as tape:
        step = tf.constant(0, tf.int64)
        terms, _ = model.objective(model, batch, step, training=True)
        loss = tf.add_n(list(terms.values()))
    gradients = tape.gradient(loss, model.objective.variables(model))
    expected = np.sqrt(sum(np.sum(np.square(g)) for g in gradients if g is not None))
    np.testing.assert_allclose(norms, expected, rtol=1e-3)


def test_an_overflow_under_loss_scaling_does_not_count():
    import keras

    model = RecurrentAttention(tiny.config())
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0)))
    model.optimizer.build(model.trainable_variables)
    for gradient, mean in [([3.0, 4.0], 5.0), ([np.inf], 5.0), ([1.0], 3.0)]:
        model._track_gradients([tf.constant(gradient)], 1.0)
        assert model.objective.gradient_norm.result() == mean
