"""Whole runs: what they leave behind, and that a resumed one equals an unbroken one."""

import csv
import json
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from eager import eagerly

from keras_recattend import epoch_callbacks, schedules
from keras_recattend import stages as all_stages
from keras_recattend.callbacks import Interrupted, NotFinite, Pace
from keras_recattend.config import Config, Stage
from keras_recattend.errors import UserError
from keras_recattend.metrics.report import METRICS
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.training import Training, make_optimizer, seed_everything

# tf.data stays a graph, which is as it should be.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eager")

# Wall-clock time cannot be the same twice.
CLOCK = ("minutes", "images_per_second")


class Killed(Exception):
    """The process is gone."""


class MortalFolder(RunFolder):
    """A run folder whose process dies after a number of saved epochs."""

    epochs_left = None

    def save_state(self, model, optimizer, about):
        super().save_state(model, optimizer, about)
        if optimizer is None or self.epochs_left is None:
            return
        self.epochs_left -= 1
        if self.epochs_left == 0:
            raise Killed


def start(path, config, resume=False, names=None, eager=False, **options):
    """What one process does: a new model, trained or resumed. Returns it."""
    folder = options.pop("folder", None) or RunFolder(path)
    if not resume:
        folder.create(config)
    seed_everything(options.get("seed", 3))
    model = RecurrentAttention(config)
    options = {
        "stream": tiny.stream,
        "validation": tiny.validation,
        "examples": tiny.examples(),
        "seed": 3,
        "bar": False,
    } | options
    with eagerly(eager):
        Training(model, folder, **options).run(names, resume)
    return model


def history(path):
    with open(RunFolder(path).history.path, newline="") as file:
        return list(csv.DictReader(file))


def timeless(rows):
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def assert_same_weights(a, b):
    for x, y in zip(a.weights, b.weights, strict=True):
        assert x.path.split("/", 1)[-1] == y.path.split("/", 1)[-1]
        np.testing.assert_array_equal(x.numpy(), y.numpy(), err_msg=x.path)


# -- all four stages ---------------------------------------------------------------

CONFIG = tiny.config({"steps": 2, "steps_per_epoch": 1, "sampling_period": 2})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of four stages: (folder, model)."""
    path = tmp_path_factory.mktemp("whole") / "run"
    return path, start(path, CONFIG, eager=True)


def test_a_run_leaves_everything_in_its_folder(whole):
    path, model = whole
    folder = RunFolder(path)
    config, _ = folder.read()
    assert config == CONFIG
    for file in (folder.state_file, folder.last_weights, folder.best_weights):
        assert file.is_file(), file
    assert list((path / "logs").glob("events*"))
    assert not list(path.rglob("writing*"))
    # The last weights are the model's.
    other = RecurrentAttention(config)
    folder.load_weights(other, folder.last_weights)
    assert_same_weights(model, other)
    about = folder.load_about()
    assert about["done"] == list(tiny.STAGES)
    assert about["stage"] is None


def test_history_has_a_row_for_every_epoch(whole):
    rows = history(whole[0])
    epochs = [(row["stage"], row["epoch"], row["step"]) for row in rows]
    assert epochs == [(n, str(e), str(e)) for n in tiny.STAGES for e in (1, 2)]
    first = {name: next(r for r in rows if r["stage"] == name) for name in tiny.STAGES}
    for name in ("loss", "val_loss", "learning_rate", "minutes", "images_per_second"):
        for row in rows:
            assert np.isfinite(float(row[name])), (name, row["stage"])
    terms = {
        "box": ["box", "numbers", "heat", "cells", "score"],
        "segmentation": ["patch"],
        "own_canvases": ["box", "numbers", "heat", "cells", "score", "patch"],
        "joint": ["segmentation", "box", "score"],
    }
    for name, columns in terms.items():
        total = sum(float(first[name][column]) for column in columns)
        assert float(first[name]["loss"]) == pytest.approx(total, rel=1e-4)
        assert all(first[name][f"val_{column}"] for column in columns)
    assert first["segmentation"]["heat"] == ""
    # The chain is complete from the second stage on.
    assert first["box"]["sbd"] == ""
    for name in tiny.STAGES[1:]:
        assert 0 <= float(first[name]["sbd"]) <= 100
        assert float(first[name]["abs_dic"]) >= 0


def scripted(monkeypatch, scores):
    """Validation finds these SBDs in turn; returns {SBD: the weights that had it}."""
    left, weights = list(scores), {}

    def score_examples(predictor, examples):
        sbd = left.pop(0)
        weights[sbd] = predictor._trained.get_weights()
        row = dict.fromkeys(METRICS, 0.0) | {"sbd": sbd, "true_count": 1.0}
        return [("a", None, {"name": "a", **row})]

    monkeypatch.setattr(epoch_callbacks, "score_examples", score_examples)
    return weights


@pytest.mark.parametrize("resumed", [False, True])
def test_the_best_weights_are_those_of_the_best_epoch(tmp_path, monkeypatch, resumed):
    """Whatever the stage: the second one does not reach what the first had."""
    weights = scripted(monkeypatch, [60.0, 50.0])
    config = tiny.config({"steps": 1}, stages=["segmentation", "own_canvases"])
    one = tf.data.Dataset.from_tensors(tiny.batch((1,)))
    options = {"validation": lambda size: one, "eager": True}
    path = tmp_path / "run"
    if resumed:
        folder = MortalFolder(path)
        folder.epochs_left = 1
        with pytest.raises(Killed):
            start(path, config, folder=folder, **options)
    start(path, config, resume=resumed, **options)
    assert list(weights) == [60.0, 50.0]
    assert RunFolder(path).load_about()["best"] == 60.0
    model = RecurrentAttention(config)
    RunFolder(path).load_weights(model, RunFolder(path).best_weights)
    for ours, theirs in zip(model.get_weights(), weights[60.0], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_stage_has_an_order_of_its_own(tmp_path):
    seeds = []

    def stream(batch_size, begin, seed):
        seeds.append(seed)
        return tiny.stream(batch_size, begin, seed)

    config = tiny.config({"steps": 1}, stages=["box", "segmentation"])
    start(tmp_path / "run", config, stream=stream, examples=[], eager=True)
    assert seeds == [3000, 3001]


def test_killed_twice_and_resumed_equals_uninterrupted(whole, tmp_path):
    """In the third stage, then in the fourth, whose truth is scheduled by the step."""
    path = tmp_path / "run"
    folder = MortalFolder(path)
    for epochs, resume, total in ((5, False, 5), (2, True, 7)):
        folder.epochs_left = epochs
        with pytest.raises(Killed):
            start(path, CONFIG, folder=folder, eager=True, resume=resume)
        assert len(history(path)) == total
    model = start(path, CONFIG, resume=True, eager=True)
    assert_same_weights(whole[1], model)
    assert timeless(history(path)) == timeless(history(whole[0]))
    assert RunFolder(path).load_about() == RunFolder(whole[0]).load_about()
    thetas = [r["theta_mask"] for r in history(path) if r["stage"] == "joint"]
    assert float(thetas[0]) > float(thetas[1])


def test_killed_between_an_epochs_row_and_its_state(tmp_path, monkeypatch):
    """The epoch is trained again, and must not be in the history twice."""
    config = tiny.config({"steps": 3}, stages=["segmentation"])
    path, save = tmp_path / "run", RunFolder.save_state

    def killed(self, model, optimizer, about):
        if about.get("epoch") == 2:
            raise Killed
        save(self, model, optimizer, about)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_state", killed)
        with pytest.raises(Killed):
            start(path, config, examples=[], eager=True)
    assert [row["epoch"] for row in history(path)] == ["1", "2"]
    start(path, config, examples=[], eager=True, resume=True)
    assert [row["epoch"] for row in history(path)] == ["1", "2", "3"]


def test_resuming_a_finished_run_changes_nothing(whole):
    rows = history(whole[0])
    model = start(whole[0], CONFIG, resume=True, eager=True)
    assert_same_weights(whole[1], model)
    assert history(whole[0]) == rows


# -- one stage, as graphs ----------------------------------------------------------

STAGE = {"steps": 6, "steps_per_epoch": 2, "validate_every": 3}
SMALL = tiny.config(STAGE, stages=["segmentation"])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "run"
    return path, start(path, SMALL, examples=[])


def fail_at(sample):
    def spoil(number, images):
        if number == sample:
            raise Killed

    return lambda *where: tiny.stream(*where, spoil=spoil)


def test_killed_within_an_epoch_and_resumed(unbroken, tmp_path):
    """Half an epoch is lost, and done again in the same way."""
    path = tmp_path / "run"
    with pytest.raises(tf.errors.OpError):
        start(path, SMALL, stream=fail_at(6), examples=[])  # the fourth batch of two
    assert RunFolder(path).load_about()["step"] == 2
    model = start(path, SMALL, resume=True, examples=[])
    assert_same_weights(unbroken[1], model)
    assert timeless(history(path)) == timeless(history(unbroken[0]))


def interrupting(monkeypatch, step):
    """The user presses Ctrl-C during a step of the stage."""
    before = Pace.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        before(self, batch, logs)
        if self.clock.step == step:
            monkeypatch.setattr(Pace, "on_train_batch_end", before)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pace, "on_train_batch_end", on_train_batch_end)


def test_ctrl_c_saves_and_resume_goes_on(unbroken, tmp_path, monkeypatch):
    path, step = tmp_path / "run", 3  # within the second epoch
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    interrupting(monkeypatch, step)
    with pytest.raises(Interrupted, match=rf"(?s)step {step}.*--resume"):
        start(path, SMALL, examples=[])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert RunFolder(path).load_about()["step"] == step
    model = start(path, SMALL, resume=True, examples=[])
    assert_same_weights(unbroken[1], model)
    assert history(path)[-1]["step"] == "6"


def test_ctrl_c_in_the_last_step_is_heard(tmp_path, monkeypatch):
    """The next stage must not start; --resume goes on with it."""
    path = tmp_path / "run"
    config = tiny.config({"steps": 1}, stages=["box", "segmentation"])
    interrupting(monkeypatch, step=1)
    with pytest.raises(Interrupted):
        start(path, config, examples=[], eager=True)
    assert [row["stage"] for row in history(path)] == ["box"]
    start(path, config, examples=[], eager=True, resume=True)
    stages = [row["stage"] for row in history(path)]
    assert stages == ["box", "segmentation"]


def spoilt_stream(at, value):
    def spoil(number, images):
        if number == at:
            images[0, 8:24, 8:24] = value

    return lambda *where: tiny.stream(*where, spoil=spoil)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, value):
    path = tmp_path / "run"
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(NotFinite) as caught:
        start(path, SMALL, stream=spoilt_stream(6, value), examples=[])
    message = str(caught.value)
    assert "patch" in message
    assert "step 4" in message
    assert "'segmentation'" in message
    assert isinstance(caught.value, UserError)
    # What was saved before is whole, and Ctrl-C is Python's own again.
    with np.load(RunFolder(path).state_file) as state:
        for name in state.files:
            if name != "about":
                assert np.isfinite(state[name]).all(), name
    assert RunFolder(path).load_about()["step"] == 2
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_bad_pixel_does_not_spoil_the_weights_unnoticed(tmp_path):
    """One NaN must show in the loss, not pass a ReLU as 0."""

    def spoil(number, images):
        if number == 2:
            images[0, 15, 15, 0] = np.nan

    with pytest.raises(NotFinite):
        start(
            tmp_path / "run",
            SMALL,
            stream=lambda *where: tiny.stream(*where, spoil=spoil),
            examples=[],
        )


def test_minutes_end_a_stage(tmp_path):
    path = tmp_path / "run"
    config = tiny.config(
        {"steps": 10**6, "steps_per_epoch": 50}, stages=["segmentation"]
    )
    start(path, config, minutes=0.05, examples=[])
    rows = history(path)
    # The first step builds the graph and may take all of it.
    assert 0.05 <= float(rows[-1]["minutes"]) < 5.0
    assert int(rows[-1]["step"]) >= 1


@pytest.fixture
def now(monkeypatch):
    """What a stage's clock shows: a list of the seconds, which a test moves on."""
    seconds = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: seconds[0])
    monkeypatch.setattr(schedules, "time", clock)
    return seconds


def test_time_before_a_resume_counts(tmp_path, monkeypatch, now):
    """Of an hour three steps of 25 minutes each, the last of them begun in time."""
    before = Pace.on_train_batch_end

    def slow(self, batch, logs=None):
        now[0] += 25 * 60
        before(self, batch, logs)

    monkeypatch.setattr(Pace, "on_train_batch_end", slow)
    config = tiny.config({"steps": 9}, stages=["segmentation"])
    path = tmp_path / "run"
    interrupting(monkeypatch, step=1)
    with pytest.raises(Interrupted):
        start(path, config, minutes=60, examples=[], eager=True)
    now[0] += 1e6  # until somebody resumes it, which is no part of its time
    start(path, config, minutes=60, examples=[], eager=True, resume=True)
    rows = [(row["step"], float(row["minutes"])) for row in history(path)]
    assert rows == [("1", 25.0), ("2", 50.0), ("3", 75.0)]


def test_a_stage_whose_time_is_over_after_an_epoch_begins_no_other(
    tmp_path, monkeypatch, now
):
    """Saving the state is what takes the time."""
    save = RunFolder.save_state

    def slow(self, model, optimizer, about):
        save(self, model, optimizer, about)
        now[0] += 61

    monkeypatch.setattr(RunFolder, "save_state", slow)
    path = tmp_path / "run"
    config = tiny.config({"steps": 99, "steps_per_epoch": 2}, stages=["segmentation"])
    start(path, config, minutes=1, examples=[], eager=True)
    assert [row["step"] for row in history(path)] == ["2"]


def exhausting(monkeypatch, message):
    def fit(self, *arguments, **options):
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(RecurrentAttention, "fit", fit)


def test_a_device_that_runs_out_of_memory_is_told_with_the_remedy(
    tmp_path, monkeypatch
):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    exhausting(monkeypatch, "OOM when allocating tensor with shape[8,224,224,64]")
    with pytest.raises(
        UserError, match=r"Stage segmentation with batches of 2 .*--batch-size 1 "
    ):
        start(tmp_path / "run", SMALL, examples=[])
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_full_disk_is_no_lack_of_memory(tmp_path, monkeypatch):
    exhausting(monkeypatch, "logs/events: No space left on device")
    with pytest.raises(tf.errors.ResourceExhaustedError):
        start(tmp_path / "run", SMALL, examples=[])


# -- schedules under a budget --------------------------------------------------------

# Of 4,000 steps: a stair every 1,000, true masks up to step 500.
LONG = tiny.config(
    {
        "steps": 4000,
        "schedule": "staircase",
        "decay": 0.5,
        "period": 1000,
        "learning_rate": 1e-4,
        "mask_offset": 500,
        "sampling_period": 250,
        "validate_every": 4,
    },
    stages=["joint"],
)


@pytest.fixture(scope="module")
def shortened(tmp_path_factory):
    path = tmp_path_factory.mktemp("shortened") / "run"
    return path, start(path, LONG, max_steps=4, examples=[], eager=True)


def test_a_budget_shortens_the_schedules_with_the_training(shortened):
    """4 steps, each for 1,000: by the last, 3,000, the truth is gone."""
    rows = history(shortened[0])
    rates = [float(row["learning_rate"]) for row in rows]
    np.testing.assert_allclose(rates, [1e-4, 5e-5, 2.5e-5, 1.25e-5], rtol=1e-6)
    thetas = [float(row["theta_mask"]) for row in rows]
    assert thetas[0] == 1.0
    # 2^(-2500 / 250) (1 + ln(1 + 3 t)), the mean over t = 0 to 3.
    mean = 1 + (np.log(4) + np.log(7) + np.log(10)) / 4
    assert thetas[-1] == pytest.approx(mean * 2.0**-10, rel=1e-4)


def test_a_shortened_stage_resumes_to_the_same_numbers(
    shortened, tmp_path, monkeypatch
):
    path = tmp_path / "run"
    interrupting(monkeypatch, step=2)
    with pytest.raises(Interrupted):
        start(path, LONG, max_steps=4, examples=[], eager=True)
    model = start(path, LONG, max_steps=4, examples=[], eager=True, resume=True)
    assert_same_weights(shortened[1], model)
    assert timeless(history(path)) == timeless(history(shortened[0]))


# -- nothing validates -------------------------------------------------------------


def everything(path, **options):
    return start(path, SMALL, validation=lambda size: None, examples=[], **options)


def test_a_run_without_validation_resumes_as_any(unbroken, tmp_path, monkeypatch):
    """Training is the same, to the last bit; the best weights are its last."""
    path, folder = tmp_path / "run", RunFolder(tmp_path / "run")
    interrupting(monkeypatch, 3)
    with pytest.raises(Interrupted):
        everything(path)
    model = everything(path, resume=True)
    assert_same_weights(unbroken[1], model)
    best = RecurrentAttention(SMALL)
    assert folder.load_weights(best) == folder.best_weights
    assert_same_weights(model, best)
    rows, others = history(path), history(unbroken[0])
    assert [row["step"] for row in rows] == ["2", "3", "5", "6"]
    assert list(rows[0]) == list(others[0])
    assert rows[-1]["step"] == others[-1]["step"]
    validated = [n for n in rows[0] if n.startswith("val_")] + ["sbd", "abs_dic"]
    for row in rows:
        assert np.isfinite(float(row["loss"]))
        assert not any(row[name] for name in validated)


# -- the list of stages ------------------------------------------------------------


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A `Training` that notes its stages instead of training them."""
    calls = []

    def stage(self, name, minutes, at, done, best):
        calls.append(types.SimpleNamespace(name=name, minutes=minutes, at=at))
        return best

    monkeypatch.setattr(Training, "_stage", stage)

    def make(config=CONFIG, **options):
        folder = RunFolder(tmp_path / "run")
        if not folder.path.exists():
            folder.create(config)
        model = RecurrentAttention(config)
        return Training(model, folder, None, None, [], bar=False, **options), calls

    return make


def test_minutes_are_divided_by_the_stages_shares(recorded):
    stages = {
        name: Stage(steps=5, share=share, freeze_normalization=True)
        for name, share in zip(tiny.STAGES, (0.4, 0.2, 0.3, 0.3), strict=True)
    }
    training, calls = recorded(tiny.config().replace(stages=stages), minutes=60.0)
    training.run()
    assert [call.name for call in calls] == list(tiny.STAGES)
    np.testing.assert_allclose([c.minutes for c in calls], [20, 10, 15, 15])


def test_one_stage_gets_all_the_minutes(recorded):
    training, calls = recorded(minutes=7.0)
    training.run(["own_canvases"])
    assert [(call.name, call.minutes) for call in calls] == [("own_canvases", 7.0)]


def test_stages_run_in_their_order(recorded):
    training, calls = recorded()
    training.run(["joint", "box"])
    assert [call.name for call in calls] == ["box", "joint"]
    assert calls[0].minutes is None


def test_a_stage_that_the_preset_lacks(recorded):
    training, _ = recorded(tiny.config(stages=["box", "joint"]))
    with pytest.raises(RunError, match=r"no stage 'own_canvases'.*box, joint"):
        training.run(["own_canvases"])


def test_an_unknown_stage_is_an_error(recorded):
    training, calls = recorded()
    with pytest.raises(UserError, match=r"'bix'.*box"):
        training.run(["bix"])
    assert not calls


def test_nothing_to_resume(recorded):
    training, _ = recorded()
    with pytest.raises(RunError, match="no saved state"):
        training.run(resume=True)


def test_another_stage_goes_on_from_the_saved_model(recorded):
    """Resuming another stage than the interrupted one must not start from scratch."""
    training, calls = recorded()
    trained = RecurrentAttention(CONFIG)
    for variable in trained.trainable_variables:
        variable.assign(variable + 1.0)
    about = {"done": [], "best": None, "stage": "box", "epoch": 1, "step": 1}
    training.folder.save_state(trained, make_optimizer(CONFIG.stages["box"]), about)
    training.run(["joint"], resume=True)
    assert [call.name for call in calls] == ["joint"]
    assert_same_weights(training.model, trained)


def test_steps_that_were_left_out_before_a_resume_are_known(tmp_path):
    """In float16: those that the optimiser has not taken."""
    config = tiny.config(stages=["joint"])
    folder, model = RunFolder(tmp_path / "run"), RecurrentAttention(config)
    folder.create(config)
    objective = all_stages.objective("joint", config)
    optimizer = make_optimizer(objective.stage)
    optimizer.build(objective.variables(model))
    optimizer.iterations.assign(5)
    folder.save_state(model, optimizer, {})
    training = Training(model, folder, None, None, [], bar=False)
    training._compile(objective, step=7, resume=True)
    assert int(objective.skipped) == 2


# -- optimisers and seeds ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_optimizer_of_a_stage(kind):
    stage = Stage(steps=1, optimizer=kind, learning_rate=0.1, clip_norm=3.0)
    optimizer = make_optimizer(stage)
    kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}
    assert type(optimizer) is kinds[kind]
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert optimizer.global_clipnorm == 3.0
    assert optimizer.clipvalue is None
    clipped = make_optimizer(Stage(steps=1, clip_norm=0.0, clip_value=1.0))
    assert clipped.clipvalue == 1.0
    assert clipped.global_clipnorm is None


def test_decay_spares_biases_and_normalisation():
    """Without a gradient, adamw shrinks kernels and leaves the rest."""
    model = RecurrentAttention(CONFIG)
    optimizer = make_optimizer(Stage(steps=1, learning_rate=0.1, weight_decay=0.5))
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(tf.ones_like(variable))
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    spared = 0
    for variable in variables:
        name = variable.path.split("/")[-1]
        if name in ("bias", "gamma", "beta"):
            spared += 1
            np.testing.assert_array_equal(variable, np.ones(variable.shape))
        elif "kernel" in name:
            expected = np.full(variable.shape, 0.95)
            np.testing.assert_allclose(variable, expected, rtol=1e-5)
    assert spared > 10


def test_the_seed_decides_the_first_weights():
    models = []
    for seed in (1, 1, 2):
        seed_everything(seed)
        models.append(RecurrentAttention(CONFIG))
    assert_same_weights(models[0], models[1])
    kernels = [m.scoring.state_kernel.numpy() for m in models]
    assert (kernels[0] != kernels[2]).any()


def test_config_in_the_folder_reads_back(whole):
    values = json.loads((whole[0] / "config.json").read_text())
    assert Config.from_dict(values["config"]) == CONFIG
