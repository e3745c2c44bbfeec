"""What is kept of an epoch: validation scores, history, TensorBoard, the state."""

import errno
import logging
import os

import keras
import tensorflow as tf
import tqdm

from keras_recattend.callbacks import loss_scale
from keras_recattend.metrics.report import format_summary, summarise
from keras_recattend.reporting import score_examples

__all__ = ["Recorder", "Validation"]

_LOG = logging.getLogger(__name__)


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


def _summary_writer(folder):
    """TensorBoard's writer. Raises RunError where the disk has no room for its file."""
    logs = folder.path / "logs"
    with folder.writing(logs):
        try:
            return tf.summary.create_file_writer(str(logs))
        except tf.errors.ResourceExhaustedError as error:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


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
        self._writer = _summary_writer(folder)
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
        scale = loss_scale(self.model)
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
