"""What happens around the steps of a stage: its pace, its progress, its end."""

import logging
import math
import signal

import keras
import tensorflow as tf
import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from keras_recattend.errors import UserError
from keras_recattend.schedules import learning_rate

__all__ = [
    "EndInTime",
    "Interrupted",
    "NotFinite",
    "Pace",
    "Progress",
    "StopOnSignal",
    "loss_scale",
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
        scale = loss_scale(self.model)
        if scale is not None and scale < LEAST_SCALE:
            raise NotFinite(
                f"The gradients of stage {self.objective.name!r} stay infinite in "
                f"float16, down to a loss scale of {scale:.2g} at step "
                f"{self.clock.step}. Train with --precision mixed_bfloat16 or float32."
            )


def loss_scale(model):
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
