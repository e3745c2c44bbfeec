"""Mixed precision: what stays float32, finite steps, and the same training."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import stages
from keras_recattend.callbacks import NotFinite, Pace
from keras_recattend.epoch_callbacks import Recorder
from keras_recattend.history_columns import history_columns
from keras_recattend.metrics.report import read_csv
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunFolder
from keras_recattend.schedules import Clock
from keras_recattend.training import make_optimizer

MIXED = {"mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16}


def build(precision, config=None, seed=0):
    keras.utils.set_random_seed(seed)
    return RecurrentAttention(config or tiny.preprocessed(), dtype=precision)


def compiled(precision, name, config=None):
    model = build(precision, config)
    objective = stages.objective(name, model.config)
    model.compile(make_optimizer(objective.stage), objective=objective)
    model.optimizer.build(objective.variables(model))
    return model


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("make", [tiny.preprocessed, tiny.paper_config])
def test_convolutions_alone_compute_in_16_bits(precision, make):
    model = build(precision, make())
    assert {v.dtype for v in model.weights} == {"float32"}
    for variable in model.non_trainable_variables:
        # The paper's start at 0: what an untrained model gives is beyond float16.
        if "moving_variance" in variable.path:
            variable.assign(tf.ones_like(variable))
    for part in (model.canvas, model.box_head, model.scoring, model.filters):
        assert part.compute_dtype == "float32"
    image = tiny.batch()["image"]
    prepared = model.prepare(image)
    assert prepared.image.dtype == tf.float32
    canvas = tf.zeros(image.shape[:3])
    feature_map = model.controller(prepared.features, canvas)
    assert feature_map.dtype == MIXED[precision]
    box, segment, score = model.find(prepared, canvas)
    named = box._asdict() | segment._asdict() | {"score": score}
    for name, value in named.items():
        if value is not None and name != "features":
            assert value.dtype == tf.float32, name
    assert segment.features.dtype == MIXED[precision]
    read, write = model.filters(box.center, box.size, box.log_variance)
    assert {f.dtype for f in (*read, *write)} == {tf.float32}
    if model.preprocessor is not None:
        assert prepared.extra.dtype == tf.float32
    outputs = model.infer(image)
    for name in ("masks", "scores", "boxes", "patches"):
        assert outputs[name].dtype == tf.float32
        assert np.isfinite(outputs[name]).all()


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("name", stages.STAGES)
def test_every_stage_is_finite_and_near_to_float32(precision, name):
    losses = {}
    for kind in ("float32", precision):
        model = build(kind)
        objective = stages.objective(name, model.config)
        with tf.GradientTape() as tape:
            terms, measures = objective(model, tiny.batch(), 0, training=True)
            loss = tf.add_n(list(terms.values()))
        for key, value in (terms | measures).items():
            assert value.dtype == tf.float32, key
            assert np.isfinite(value), key
        for gradient in tape.gradient(loss, objective.variables(model)):
            assert gradient is None or np.isfinite(gradient).all()
        losses[kind] = float(loss)
    assert losses[precision] == pytest.approx(losses["float32"], rel=0.03, abs=0.03)


def test_an_infinite_gradient_leaves_the_step_out_and_the_schedules_on():
    model = compiled("mixed_float16", "joint")
    optimizer, objective = model.optimizer, model.objective
    optimizer.dynamic_scale.assign(1e38)
    before = [v.numpy() for v in objective.variables(model)]
    logs = model.train_step(tiny.batch())
    assert np.isfinite(float(logs["loss"]))
    for old, new in zip(before, objective.variables(model), strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert int(optimizer.iterations) == 0
    assert int(objective.skipped) == 1
    assert float(optimizer.dynamic_scale) == pytest.approx(5e37)
    optimizer.dynamic_scale.assign(2.0**10)
    model.train_step(tiny.batch())
    assert int(optimizer.iterations) == 1
    assert int(objective.skipped) == 1
    pairs = zip(before, objective.variables(model), strict=True)
    assert any((old != new.numpy()).any() for old, new in pairs)


def epochs(path, precision, overflows):
    """The rows of `history.csv`: two epochs of one step, the first may overflow."""
    model = compiled(precision, "segmentation")
    folder, clock = RunFolder(path), Clock(9)
    folder.create(model.config)
    columns = history_columns(model.config, scales_loss=precision == "mixed_float16")
    recorder = Recorder(
        folder, model.objective, clock, columns, lambda *where: {"epoch": where[0]}
    )
    recorder.set_model(model)
    if overflows:
        model.optimizer.dynamic_scale.assign(1e38)
    for epoch in range(2):
        recorder.on_epoch_begin(epoch)
        logs = model.train_step(tiny.batch())
        clock.step += 1
        recorder.on_train_batch_end(0)
        recorder.on_epoch_end(epoch, {name: float(v) for name, v in logs.items()})
        if overflows:
            model.optimizer.dynamic_scale.assign(2.0**10)
    return read_csv(folder.history.path)


def test_history_tells_of_loss_scale_and_skipped_steps(tmp_path):
    """The first step overflows and halves the scale; the second is taken."""
    rows = epochs(tmp_path / "run", "mixed_float16", overflows=True)
    assert rows[0]["loss_scale"] == pytest.approx(5e37)
    assert [row["skipped_steps"] for row in rows] == [1, 1]
    assert rows[1]["loss_scale"] == 2.0**10
    (events,) = (tmp_path / "run" / "logs").glob("events*")
    tags = set()
    for record in tf.data.TFRecordDataset(str(events)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        tags |= {value.tag for value in event.summary.value}
    assert {"segmentation/loss_scale", "segmentation/skipped_steps"} <= tags


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_history_of_other_precisions_has_no_loss_scale(tmp_path, precision):
    rows = epochs(tmp_path / "run", precision, overflows=False)
    assert not {"loss_scale", "skipped_steps"} & set(rows[0])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_an_infinite_gradient_is_seen_before_its_weights_are_saved(precision):
    """Without a loss scale no step is left out: the weights are lost."""
    model = compiled(precision, "segmentation")
    model.train_step(tiny.batch())
    share = model._shared
    model._shared = lambda gradients: share([g * np.inf for g in gradients])
    logs = {name: float(v) for name, v in model.train_step(tiny.batch()).items()}
    pace = Pace(model.objective, Clock(100))
    pace.set_model(model)
    with pytest.raises(NotFinite, match=r"^gradient_norm became"):
        pace.on_train_batch_end(1, logs)


def test_gradients_that_stay_infinite_end_the_training():
    model = compiled("mixed_float16", "segmentation")
    pace = Pace(model.objective, Clock(100))
    pace.set_model(model)
    pace.on_epoch_end(0)
    model.optimizer.dynamic_scale.assign(2.0**-11)
    with pytest.raises(NotFinite, match="mixed_bfloat16"):
        pace.on_epoch_end(1)


def test_weights_of_mixed_precision_run_in_float32(tmp_path):
    folder = RunFolder(tmp_path)
    mixed = build("mixed_bfloat16")
    folder.save_weights(mixed, folder.best_weights)
    plain = build("float32", seed=1)
    folder.load_weights(plain)
    for a, b in zip(mixed.weights, plain.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert plain.controller.compute_dtype == "float32"


@pytest.mark.parametrize(
    "name",
    [
        "segmentation",
        pytest.param("box", marks=pytest.mark.slow),
        pytest.param("joint", marks=pytest.mark.slow),
    ],
)
def test_a_short_training_reaches_the_loss_of_float32(name):
    """40 steps; the last losses within a twentieth of float32's."""
    losses = {}
    config = tiny.config(stages=[name])
    for precision in ("float32", *MIXED):
        model = compiled(precision, name, config)
        model.optimizer.learning_rate = 3e-3
        run = model.fit(
            tiny.repeated(tiny.batch()),
            steps_per_epoch=20,
            epochs=2,
            shuffle=False,
            verbose=0,
        )
        losses[precision] = run.history["loss"]
    first, last = losses["float32"]
    assert last < 0.95 * first
    for precision in MIXED:
        assert losses[precision][-1] == pytest.approx(last, rel=0.05)
