"""What happens around the steps of a stage: pace, score, record, save, stop."""

import logging
import math
import signal

import keras
import tensorflow as tf
import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from keras_recattend.errors import UserError
from keras_recattend.metrics.report import format_summary, summarise
from keras_recattend.reporting import score_examples
from keras_recattend.schedules import learning_rate

__all__ = [
    "EndInTime",
    "Interrupted",
    "NotFinite",
    "Pace",
    "Progress",
    "Recorder",
    "StopOnSignal",
    "Validation",
]

_LOG = logging.getLogger(__name__)

# Loss scale, from 2^15 and halved where a gradient is infinite, that helps no more.
LEAST_SCALE = 2.0**-10


class NotFinite(UserError):
    """A loss became NaN or infinite."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop, and has saved where it was."""


class Pace(keras.callbacks.Callback):
    """Sets before every step where the schedules stand; ends the stage in time.

    Stops with `NotFinite` when a loss is not finite, before it is averaged away.
    """

    def __init__(self, objective, clock):
        super().__init__()
        self.objective = objective
        self.clock = clock

    def on_train_begin(self, logs=None):
        self.clock.agree()

    def on_train_batch_begin(self, batch, logs=None):
        clock, stage = self.clock, self.objective.stage
        scheduled = clock.schedule_step
        self.model.optimizer.learning_rate = learning_rate(
            stage, scheduled, clock.progress
        )
        self.objective.progress.assign(clock.progress)
        self.objective.ahead.assign(scheduled - clock.step)

    def on_train_batch_end(self, batch, logs=None):
        self.clock.step += 1
        broken = [k for k, v in (logs or {}).items() if not math.isfinite(v)]
        if broken:
            terms = [name for name in broken if name != "loss"] or broken
            raise NotFinite(
                f"{' and '.join(terms)} became NaN or infinite at step "
                f"{self.clock.step} of stage {self.objective.name!r} (batch {batch} of "
                "its epoch). The state of the epoch before is kept in the run folder."
            )
        if self.clock.done:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        scale = _loss_scale(self.model)
        if scale is not None and scale < LEAST_SCALE:
            raise NotFinite(
                f"The gradients of stage {self.objective.name!r} stay infinite in "
                f"float16, down to a loss scale of {scale:.2g} at step "
                f"{self.clock.step}. Train with --precision mixed_bfloat16 or float32."
            )


def _loss_scale(model):
    """Return what the loss is multiplied by in float16; None in other precisions."""
    scale = getattr(model.optimizer, "dynamic_scale", None)
    return None if scale is None else float(tf.convert_to_tensor(scale))


class Progress(keras.callbacks.Callback):
    """A progress bar over the stage with every loss term; a line for every epoch.

    Args:
        bar: whether to show the bar (a log file gets the lines alone).
    """

    def __init__(self, objective, clock, bar=True):
        super().__init__()
        self.objective = objective
        self.clock = clock
        self.bar = bar

    def on_train_begin(self, logs=None):
        self._bar = tqdm.tqdm(
            desc=self.objective.name,
            total=100,
            disable=not self.bar,
            dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}|{elapsed} {postfix}",
        )

    def on_train_batch_end(self, batch, logs=None):
        self._bar.n = round(100 * self.clock.progress, 1)
        self._bar.set_postfix_str(_line(logs))

    def on_epoch_end(self, epoch, logs=None):
        with logging_redirect_tqdm():
            _LOG.info(
                "%s %3.0f%%  step %d  %.1f min  %s",
                self.objective.name,
                100 * self.clock.progress,
                self.clock.step,
                self.clock.elapsed / 60,
                _line(logs),
            )

    def on_train_end(self, logs=None):
        self._bar.close()


def _line(logs):
    return "  ".join(f"{name} {float(value):.3g}" for name, value in logs.items())


class StopOnSignal(keras.callbacks.Callback):
    """Ends the stage after the current step on Ctrl-C or a termination signal.

    Args:
        clock: the stage's, by which several machines agree to stop; comes after `Pace`,
            which counts the step.
    """

    def __init__(self, clock=None):
        super().__init__()
        self.clock = clock
        self.received = None
        self._old = {}

    def on_train_begin(self, logs=None):
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._receive)
        except ValueError:
            # Not in the main thread (a notebook server, say): signals stay as they are.
            self._old = {}

    def _receive(self, number, frame):
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        print("\nStopping after this step and saving; once more to stop at once.")

    def on_train_batch_end(self, batch, logs=None):
        stop = self.received is not None
        if self.clock is not None:
            stop = self.clock.agree(stop) or self.clock.done
        if stop:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Put the old handlers back; Keras tells nothing where training fails."""
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._old = {}


class Validation(keras.callbacks.Callback):
    """Scores the validation split every few epochs; keeps the best weights by SBD.

    Where nothing validates, nothing is scored, and the latest weights are the best.

    Args:
        folder: the `RunFolder`.
        batches: finite tf.data of validation batches, for the losses; None = nothing
            validates.
        examples: the same images at their original size, for SBD and |DiC|.
        every: epochs between scores. The last epoch of a stage is always scored.
        best: the best SBD so far.
        predictor: the model's `Predictor`; None while the chain is not complete, and
            an SBD would mean nothing.
        losses: function of the batches that returns the validation losses; None = the
            model's own `evaluate`.
        waits: whether this machine only waits for the chief, which scores.
        bar: whether to show a progress bar over the images.
    """

    def __init__(
        self,
        folder,
        batches,
        examples,
        every,
        clock,
        best=None,
        predictor=None,
        losses=None,
        waits=False,
        bar=False,
    ):
        super().__init__()
        self.folder = folder
        self.batches = batches
        self.examples = examples
        self.every = every
        self.clock = clock
        self.best = best
        self.predictor = predictor
        self.losses = losses
        self.waits = waits
        self.bar = bar
        self.validated = None

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every and not self.clock.done:
            return
        if not self.waits:
            self._validate(logs)
        self.validated = epoch

    def _validate(self, logs):
        if self.batches is None:
            if self.predictor is not None:
                self.folder.save_weights(self.model, self.folder.best_weights)
            return
        losses = self.losses or self._evaluate
        values = losses(self.batches)
        # Keras 3.12, the last for Python 3.10, gives tensors.
        logs.update({f"val_{name}": float(value) for name, value in values.items()})
        if self.predictor is not None and self.examples:
            self._score(logs)

    def _evaluate(self, batches):
        return self.model.evaluate(batches, verbose=0, return_dict=True)

    def _score(self, logs):
        scored = tqdm.tqdm(
            score_examples(self.predictor, self.examples),
            "validation",
            len(self.examples),
            leave=False,
            dynamic_ncols=True,
            disable=not self.bar,
        )
        summary = summarise(row for _, _, row in scored)
        for name in ("sbd", "abs_dic", "fbd", "mucov"):
            logs[name] = summary[name]["mean"]
        _LOG.info("Validation: %s", format_summary(summary))
        if self.best is None or logs["sbd"] > self.best:
            self.best = logs["sbd"]
            self.folder.save_weights(self.model, self.folder.best_weights)


class EndInTime(keras.callbacks.Callback):
    """Ends the stage where its time was over after the steps of a scored epoch.

    Scoring and saving take time: where it was the last of the budget, another epoch
    would be one of a single step, scored anew. It is the last of an epoch's callbacks.

    Args:
        validation: the `Validation`.
    """

    def __init__(self, validation, clock):
        super().__init__()
        self.validation = validation
        self.clock = clock

    def on_epoch_end(self, epoch, logs=None):
        if self.validation.validated == epoch:
            self.clock.agree()
            if self.clock.done:
                self.model.stop_training = True


class Recorder(keras.callbacks.Callback):
    """Writes every epoch to `history.csv` and TensorBoard, and saves the state.

    Args:
        about: function of the epoch (from 1), the step and the seconds so far, that
            returns what the state needs besides the variables.
        columns: of `history.csv`.
        pictures: of `training_pictures`, for TensorBoard, drawn at every epoch whose
            validation was scored; or None.
    """

    def __init__(self, folder, objective, clock, columns, about, pictures=None):
        super().__init__()
        self.folder = folder
        self.objective = objective
        self.clock = clock
        self.columns = columns
        self.about = about
        self.pictures = pictures
        self._writer = tf.summary.create_file_writer(str(folder.path / "logs"))
        self._began = self._trained = clock.elapsed, clock.step

    def on_epoch_begin(self, epoch, logs=None):
        self._began = self._trained = self.clock.elapsed, self.clock.step

    def on_train_batch_end(self, batch, logs=None):
        self._trained = self.clock.elapsed, self.clock.step

    def _images_per_second(self):
        """Of training alone: an epoch's scoring and saving come after its steps."""
        began, trained = self._began, self._trained
        seconds = max(trained[0] - began[0], 1e-6)
        images = (trained[1] - began[1]) * self.objective.stage.batch_size
        return round(images / seconds, 3)

    def on_epoch_end(self, epoch, logs=None):
        elapsed, step = self.clock.elapsed, self.clock.step
        rate = tf.convert_to_tensor(self.model.optimizer.learning_rate)
        row = {
            "stage": self.objective.name,
            "epoch": epoch + 1,
            "step": step,
            "minutes": round(elapsed / 60.0, 3),
            "learning_rate": float(rate),
            "images_per_second": self._images_per_second(),
            **self._overflows(),
            **logs,
        }
        self.folder.history.append(row, self.columns)
        with self._writer.as_default(step=step):
            for name, value in row.items():
                if name not in ("stage", "epoch", "step"):
                    tf.summary.scalar(f"{self.objective.name}/{name}", value)
            self._summarise_sampling(step)
            if self.pictures is not None and "val_loss" in logs:
                kind = f"{self.objective.name}_{self.pictures.kind}"
                for name, picture in self.pictures():
                    tf.summary.image(f"{kind}/{name}", picture[tf.newaxis])
        self._writer.flush()
        self.folder.save_state(
            self.model, self.model.optimizer, self.about(epoch + 1, step, elapsed)
        )

    def _overflows(self):
        """Where the loss is scaled: its scale, and the steps left out in this stage."""
        scale = _loss_scale(self.model)
        if scale is None:
            return {}
        skipped = int(tf.convert_to_tensor(self.objective.skipped))
        return {"loss_scale": scale, "skipped_steps": skipped}

    def _summarise_sampling(self, step):
        """Write theta_t, the probability of the truth, for each instance step t."""
        thetas = getattr(self.objective, "thetas", None)
        if thetas is None:
            return
        for kind, values in zip(("box", "mask"), thetas(step), strict=True):
            for t, value in enumerate(values.numpy()):
                tag = f"{self.objective.name}_theta_{kind}/{t + 1:02d}"
                tf.summary.scalar(tag, value)
