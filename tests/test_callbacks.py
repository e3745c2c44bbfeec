"""What happens around the steps of a stage, and after each of its epochs."""

import logging
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_recattend import epoch_callbacks, schedules
from keras_recattend.callbacks import (
    EndInTime,
    NotFinite,
    Pace,
    Progress,
    StopOnSignal,
)
from keras_recattend.config import Stage
from keras_recattend.epoch_callbacks import Recorder, Validation
from keras_recattend.metrics.report import METRICS
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.schedules import Clock, learning_rate


class Model:
    """As much of a model as callbacks touch."""

    def __init__(self):
        self.stop_training = False
        self.optimizer = keras.optimizers.SGD(0.5)
        self.evaluated = 0

    def evaluate(self, batches, verbose, return_dict):
        self.evaluated += 1
        return {"loss": 2.0, "box": 1.5}


def objective_of(**stage):
    return types.SimpleNamespace(
        name="box",
        stage=Stage(steps=4, **stage),
        progress=tf.Variable(0.0),
        ahead=tf.Variable(0.0),
    )


def attach(callback):
    callback.set_model(Model())
    return callback


# -- pace --------------------------------------------------------------------------


def test_pace_sets_rate_and_progress_before_every_step():
    objective, clock = objective_of(warmup=0.5, decay=0.1), Clock(4)
    pace = attach(Pace(objective, clock))
    for step in range(4):
        pace.on_train_batch_begin(step)
        expected = learning_rate(objective.stage, step, step / 4)
        rate = float(pace.model.optimizer.learning_rate)
        assert rate == pytest.approx(expected)
        assert float(objective.progress) == pytest.approx(step / 4)
        assert float(objective.ahead) == 0.0
        assert not pace.model.stop_training
        pace.on_train_batch_end(step, {"loss": 1.0})
    assert clock.step == 4
    assert pace.model.stop_training


def test_a_budget_takes_the_staircase_with_it():
    """40 of 30,000 steps: step 27 stands for 20,250, the fifth stair from the top."""
    objective = objective_of(schedule="staircase", decay=0.8, learning_rate=1e-3)
    pace = attach(Pace(objective, Clock(30_000, max_steps=40, step=27)))
    pace.on_train_batch_begin(0)
    rate = float(pace.model.optimizer.learning_rate)
    assert rate == pytest.approx(1e-3 * 0.8**4)
    assert float(objective.ahead) == 20_250 - 27


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pace_names_the_broken_terms(value):
    pace = attach(Pace(objective_of(), Clock(100, step=41)))
    logs = {"loss": value, "box": 1.0, "score": value, "heat": value}
    with pytest.raises(NotFinite, match=r"score and heat .*step 42 .*'box'.*batch 7"):
        pace.on_train_batch_end(7, logs)


def test_pace_names_the_loss_where_no_term_is_broken():
    pace = attach(Pace(objective_of(), Clock(100)))
    with pytest.raises(NotFinite, match=r"^loss became"):
        pace.on_train_batch_end(0, {"loss": np.nan, "box": 1.0})


# -- signals -----------------------------------------------------------------------


@pytest.fixture
def handlers():
    """Whatever a test does, signals are as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step(handlers, number):
    stop = attach(StopOnSignal())
    stop.on_train_begin()
    stop.on_train_batch_end(0)
    assert not stop.model.stop_training
    signal.raise_signal(number)
    assert stop.received == number
    stop.on_train_batch_end(1)
    assert stop.model.stop_training
    stop.on_train_end()
    assert {n: signal.getsignal(n) for n in handlers} == handlers


def test_a_second_ctrl_c_stops_at_once(handlers):
    stop = attach(StopOnSignal())
    stop.on_train_begin()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    stop.on_train_end()


# -- validation --------------------------------------------------------------------


@pytest.fixture
def scores(monkeypatch):
    """SBD of the next evaluations."""
    values = []

    def evaluate(predictor, examples):
        assert predictor is PREDICTOR
        row = dict.fromkeys(METRICS, 0.0) | {"sbd": values.pop(0), "true_count": 1.0}
        return [("a", None, {"name": "a", **row})]

    monkeypatch.setattr(epoch_callbacks, "score_examples", evaluate)
    return values


PREDICTOR = object()


def validation_of(folder=None, every=1, clock=None, best=None, predictor=PREDICTOR):
    folder, clock = folder or Folder(), clock or Clock(99)
    return Validation(folder, "batches", ["a"], every, clock, best, predictor)


class Folder:
    best_weights = "best"

    def __init__(self):
        self.saved = []

    def save_weights(self, model, path):
        self.saved.append(path)


def test_validation_keeps_the_best(scores):
    scores += [40.0, 30.0, 40.0, 55.0]
    folder = Folder()
    validation = attach(validation_of(folder))
    saved = []
    for epoch in range(4):
        logs = {}
        validation.on_epoch_end(epoch, logs)
        assert logs["val_loss"] == 2.0
        assert logs["val_box"] == 1.5
        assert {"sbd", "abs_dic", "fbd"} <= set(logs)
        saved.append(len(folder.saved))
    assert saved == [1, 1, 1, 2]
    assert validation.best == 55.0


def test_validation_knows_the_best_of_before(scores):
    scores += [40.0, 61.0]
    folder = Folder()
    validation = attach(validation_of(folder, best=60.0))
    validation.on_epoch_end(0, {})
    assert not folder.saved
    validation.on_epoch_end(1, {})
    assert folder.saved == ["best"]


def test_validation_comes_every_few_epochs_and_at_the_end(scores):
    scores += [1.0] * 9
    clock = Clock(steps=8)
    validation = attach(validation_of(every=3, clock=clock))
    scored = []
    for epoch in range(8):
        clock.step = epoch + 1
        logs = {}
        validation.on_epoch_end(epoch, logs)
        scored.append("sbd" in logs)
    assert scored == [False, False, True, False, False, True, False, True]


def test_an_incomplete_chain_is_not_scored(scores):
    validation = attach(validation_of(predictor=None))
    logs = {}
    validation.on_epoch_end(0, logs)
    assert "val_loss" in logs
    assert "sbd" not in logs
    assert validation.best is None


def test_where_nothing_validates_the_latest_weights_are_the_best(scores):
    folder, clock = Folder(), Clock(steps=5)
    validation = Validation(folder, None, [], 2, clock, predictor=PREDICTOR)
    attach(validation)
    saved = []
    for epoch in range(5):
        clock.step = epoch + 1
        logs = {"loss": 1.0}
        validation.on_epoch_end(epoch, logs)
        assert logs == {"loss": 1.0}
        saved.append(len(folder.saved))
    assert saved == [0, 1, 1, 2, 3]
    assert set(folder.saved) == {"best"}
    assert validation.best is None
    assert not validation.model.evaluated


@pytest.mark.parametrize(("every", "ends"), [(1, True), (2, False)])
def test_a_budget_that_ends_while_an_epoch_is_saved(scores, monkeypatch, every, ends):
    """No epoch of a single step, scored anew; but the last one is always scored."""
    now = [0.0]
    monkeypatch.setattr(schedules.time, "monotonic", lambda: now[0])
    scores += [1.0]
    clock = Clock(steps=99, minutes=1)
    validation = attach(validation_of(every=every, clock=clock))
    end = EndInTime(validation, clock)
    end.set_model(validation.model)
    validation.on_epoch_end(0, {})
    # The `Recorder` draws and writes.
    now[0] = 61.0
    end.on_epoch_end(0, {})
    assert validation.model.stop_training is ends
    if not ends:
        validation.on_epoch_end(1, {})
        end.on_epoch_end(1, {})
        assert validation.model.stop_training
    assert not scores


def test_an_incomplete_chain_has_no_best_weights(scores):
    folder = Folder()
    validation = attach(Validation(folder, None, [], 1, Clock(9), predictor=None))
    validation.on_epoch_end(0, {})
    assert not folder.saved


# -- records and progress ----------------------------------------------------------


def test_recorder_writes_row_state_and_tensorboard(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(schedules.time, "monotonic", lambda: now[0])
    folder, objective, clock = RunFolder(tmp_path), objective_of(batch_size=5), Clock(9)
    saved = []
    folder.save_state = lambda model, optimizer, about: saved.append(about)
    columns = ["stage", "epoch", "step", "learning_rate", "images_per_second", "loss"]
    recorder = Recorder(
        folder, objective, clock, [*columns, "sbd"], lambda *where: where[:2]
    )
    attach(recorder)

    def train(epoch, seconds, logs):
        recorder.on_epoch_begin(epoch)
        for _ in range(3):
            clock.step += 1
            now[0] += seconds / 3
            recorder.on_train_batch_end(clock.step)
        # Validation, which is no training.
        now[0] += 100.0
        recorder.on_epoch_end(epoch, logs)

    train(0, 10.0, {"loss": 0.25})
    train(1, 30.0, {"loss": 0.125, "sbd": 70.0})
    lines = folder.history.path.read_text().splitlines()
    assert lines[0].split(",") == [*columns, "sbd"]
    assert [line.split(",")[:3] for line in lines[1:]] == [
        ["box", "1", "3"],
        ["box", "2", "6"],
    ]
    assert lines[1].endswith("0.25,")
    assert lines[2].endswith("0.125,70.0")
    # Three batches of 5, in 10 and in 30 seconds.
    assert [line.split(",")[4] for line in lines[1:]] == ["1.5", "0.5"]
    assert saved == [(1, 3), (2, 6)]
    events = list((tmp_path / "logs").glob("events*"))
    assert len(events) == 1
    tags = set()
    for record in tf.data.TFRecordDataset(str(events[0])):
        event = tf.compat.v1.Event.FromString(record.numpy())
        tags |= {(value.tag, event.step) for value in event.summary.value}
    assert {("box/loss", 3), ("box/loss", 6), ("box/sbd", 6)} <= tags


def test_no_room_for_tensorboard(tmp_path, monkeypatch):
    """TensorFlow's own error names its operations and not what to do."""

    def full(path):
        raise tf.errors.ResourceExhaustedError(
            None, None, f"{{{{node}}}} {path}/events.1.v2; No space left on device"
        )

    monkeypatch.setattr(tf.summary, "create_file_writer", full)
    with pytest.raises(RunError, match=r"logs cannot be written \(No space left"):
        Recorder(RunFolder(tmp_path), objective_of(), Clock(9), [], None)


def test_progress_logs_every_epoch(caplog):
    clock = Clock(4)
    progress = attach(Progress(objective_of(), clock, bar=False))
    progress.on_train_begin()
    clock.step = 1
    progress.on_train_batch_end(0, {"loss": 0.5})
    with caplog.at_level(logging.INFO, logger="keras_recattend.callbacks"):
        progress.on_epoch_end(0, {"loss": 0.5, "box": 0.25})
    progress.on_train_end()
    assert "box  25%  step 1" in caplog.text
    assert "loss 0.5  box 0.25" in caplog.text


def test_progress_bar_shows_the_terms(capsys):
    clock = Clock(4)
    progress = attach(Progress(objective_of(), clock, bar=True))
    progress.on_train_begin()
    clock.step = 2
    progress.on_train_batch_end(0, {"loss": 0.5, "heat": 0.125})
    progress.on_train_end()
    shown = capsys.readouterr().err
    assert "box  50%" in shown
    assert "heat 0.125" in shown
