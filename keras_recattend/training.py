"""Staged training, from pre-processing to joint; resumable at every epoch."""

import dataclasses
import logging
import time
from collections.abc import Callable, Collection

import keras
import tensorflow as tf

from keras_recattend import stages
from keras_recattend.callbacks import (
    EndInTime,
    Interrupted,
    Pace,
    Progress,
    StopOnSignal,
)
from keras_recattend.epoch_callbacks import Recorder, Validation
from keras_recattend.history_columns import history_columns
from keras_recattend.kept_maps import KeptMaps
from keras_recattend.local_losses import LocalLosses
from keras_recattend.memory import check_memory, estimate, out_of_memory
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.scoring_predictor import ScoringPredictor
from keras_recattend.training_pictures import MapPictures, StepPictures
from keras_recattend.workers import Workers

__all__ = ["Training", "make_optimizer", "seed_everything", "stage_names"]

_LOG = logging.getLogger(__name__)

# Moments of the stages' optimisers; the epsilon is the authors'.
EPSILON = 1e-7
MOMENTUM = 0.9
ENDLESS = 1_000_000
# Before the chain is complete, an SBD would mean nothing.
NOT_SCORED = ("preprocess", "box")


def make_optimizer(stage, replicas=1):
    """Return the Keras optimiser of a `Stage`; the learning rate is set every step.

    Args:
        replicas: devices that train together. Each clips an equal part of the
            gradient, and the parts are added up.
    """
    clipping = {}
    if stage.clip_norm:
        clipping["global_clipnorm"] = stage.clip_norm / replicas
    if stage.clip_value:
        clipping["clipvalue"] = stage.clip_value / replicas
    if stage.optimizer == "momentum":
        return keras.optimizers.SGD(stage.learning_rate, MOMENTUM, **clipping)
    if stage.optimizer == "adam":
        return keras.optimizers.Adam(stage.learning_rate, epsilon=EPSILON, **clipping)
    optimizer = keras.optimizers.AdamW(
        stage.learning_rate,
        weight_decay=stage.weight_decay,
        epsilon=EPSILON,
        **clipping,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def stage_names(config, names=None, machines=1):
    """Return the names of the stages to train (None = all of the preset), in order.

    Args:
        machines: that train together.

    Raises:
        RunError: the preset lacks one.
        UserError: one does not fit into this machine's memory.
    """
    for name in names or ():
        if name not in config.stages:
            raise RunError(
                f"The preset {config.name} has no stage {name!r}; it has "
                f"{', '.join(config.stages)}."
            )
    names = [n for n in stages.STAGES if n in (names or config.stages)]
    check_memory(config, names, machines)
    return names


def seed_everything(seed):
    """Seed Python, numpy and TensorFlow: initial weights, above all."""
    keras.utils.set_random_seed(seed)


@dataclasses.dataclass
class Training:
    """One training run.

    Attributes:
        model: a `RecurrentAttention`.
        folder: its `RunFolder`, created.
        stream: `stream(batch_size, start, seed)` returns endless training batches
            from sample `start` on; with `workers` of several devices it is also given
            their `share`, see `datasets.pipeline`.
        validation: `validation(batch_size)` returns finite batches, or None where no
            image validates: then nothing is scored, and the last weights are the best.
        examples: validation images at their original size, for SBD; they are gone
            through at every score.
        seed: of everything random.
        minutes: a budget over all stages together, or None = the stages' own steps.
        max_steps: ends every stage after so many steps, or None.
        unchanged: the `Unchanged` training images and validation images, for the maps
            of a pre-processing network: they are computed once and kept, where the
            later stages look at an image more than once on average and a sample is one
            image. `stream` and `validation` then give "index" and "matrix" (see
            `map_cache`). None = the network runs at every step.
        bar: whether to show a progress bar.
        panels: number of validation images whose steps (in the stage `preprocess`:
            maps) TensorBoard shows at every scored epoch.
        workers: the devices and machines that train together; the model is made in
            their `scope`. Only the chief writes into the folder.
    """

    model: keras.Model
    folder: RunFolder
    stream: Callable
    validation: Callable
    examples: Collection
    seed: int = 0
    minutes: float | None = None
    max_steps: int | None = None
    unchanged: list | None = None
    bar: bool = True
    panels: int = 0
    workers: Workers = dataclasses.field(default_factory=Workers)

    def __post_init__(self):
        # One for all stages: its graph is traced once.
        self._predictor = ScoringPredictor(self.model)
        self._pictures = StepPictures(self.model, self.examples, self.panels)
        self._maps = KeptMaps(
            self.model, self.folder, self.unchanged, self.workers, self.bar
        )
        self._keeps_maps = False

    def run(self, names=None, resume=False):
        """Train the stages called `names` (None = all of the preset), in order.

        Args:
            resume: go on where the folder's state says.

        Raises:
            Interrupted: after a signal, with everything saved.
            RunError: nothing to resume from.
            UserError: a stage does not fit into the memory.
        """
        config = self.model.config
        names = stage_names(config, names, self.workers.machines)
        self.workers.check_batches(config, names)
        state = self._state() if resume else {}
        done = state.get("done", [])
        best = state.get("best")
        shares = sum(config.stages[name].share for name in names)
        self._keeps_maps = self._maps.pay(names, self.minutes, self.max_steps)
        for name in names:
            if name in done:
                _LOG.info("Stage %s is done already.", name)
                continue
            share = config.stages[name].share / shares
            minutes = None if self.minutes is None else self.minutes * share
            at = state if state.get("stage") == name else {}
            best = self._stage(name, minutes, at, done, best)
            done = [*done, name]
            # A stage that is done needs no optimiser to go on.
            if self.workers.is_chief:
                self.folder.save_state(
                    self.model, None, {"done": done, "best": best, "stage": None}
                )
        self.workers.barrier()
        if self.workers.is_chief:
            self.folder.save_weights(self.model, self.folder.last_weights)
        self._maps.remove()
        return best

    def _state(self):
        about = self.folder.load_about()
        if about is None:
            raise RunError(
                f"{self.folder.path} has no saved state to resume from: its training "
                "did not finish an epoch. Start it again in a new folder."
            )
        self.folder.load_state(self.model)
        if self.workers.is_chief:
            self.folder.history.keep(about)
        return about

    def _stage(self, name, minutes, at, done, best):
        """Train one stage; return the best validation SBD so far."""
        config = self.model.config
        # Seeds differ by stage: the same images in another order.
        seed = self.seed * 1000 + stages.SEED_NUMBERS[name]
        workers = self.workers
        with workers.scope():
            objective = stages.objective(name, config, seed=seed)
        stage = objective.stage
        step = at.get("step", 0)
        workers.check_same(step, f"the step at which stage {name} goes on")
        # Images may be read here, which is no part of the stage's time.
        batches = self.validation(stage.batch_size)
        caches, spent = None, 0.0
        if name != "preprocess" and self._keeps_maps:
            caches, spent = self._maps.caches(minutes)
        stream = workers.distributed(
            lambda: self._stream(stage.batch_size, step, seed, caches)
        )
        elapsed = at.get("elapsed", 0.0) + spent
        clock = workers.clock(stage.steps, minutes, self.max_steps, step, elapsed)
        self._compile(objective, step, resume=bool(at))
        validation = self._validation(objective, clock, batches, caches, best)
        stop = StopOnSignal(clock)
        callbacks = [Pace(objective, clock), stop, validation]
        if workers.is_chief:
            callbacks += self._reports(objective, clock, validation, done)
        callbacks.append(EndInTime(validation, clock))
        limit = f"{minutes:.1f} minutes" if minutes else f"{clock.steps} steps"
        size = stage.batch_size
        facts = [limit, f"batches of {size}", estimate(config, name, workers.replicas)]
        _LOG.info("Stage %s: %s.", name, ", ".join(fact for fact in facts if fact))
        began = time.monotonic()
        clock.agree()
        if clock.done and not step:
            _LOG.warning("Stage %s has no time: nothing of it is trained.", name)
        if not clock.done:
            try:
                self.model.fit(
                    stream,
                    initial_epoch=at.get("epoch", 0),
                    epochs=ENDLESS,
                    steps_per_epoch=min(stage.steps_per_epoch, clock.steps),
                    callbacks=callbacks,
                    shuffle=False,
                    verbose=0,
                )
            except tf.errors.ResourceExhaustedError as error:
                # TensorFlow's files tell of a full disk by the same error.
                if "No space left" in str(error):
                    raise
                raise out_of_memory(config, name, workers.replicas) from error
            finally:
                stop.restore()
        if clock.agree(stop.received is not None):
            raise Interrupted(
                f"Stopped in stage {name!r} at step {clock.step}. Everything is saved: "
                f"go on with --resume --run-dir {self.folder.path}"
            )
        _LOG.info("Stage %s took %.1f minutes.", name, (time.monotonic() - began) / 60)
        return validation.best

    def _compile(self, objective, step, resume):
        """Make the stage's optimiser; to resume, as it was saved after `step` steps."""
        workers = self.workers
        with workers.scope():
            optimizer = make_optimizer(objective.stage, workers.replicas)
            self.model.compile(optimizer, objective=objective)
            self.model.optimizer.build(objective.variables(self.model))
        if resume:
            self.folder.load_state(self.model, self.model.optimizer)
            # Every machine has read it before the chief writes the next one.
            workers.barrier()
            iterations = tf.convert_to_tensor(self.model.optimizer.iterations)
            objective.skipped.assign(step - tf.cast(iterations, tf.int64))

    def _validation(self, objective, clock, batches, caches, best):
        """The callback that scores the validation split; `best` is the SBD so far."""
        stage = objective.stage
        if caches and batches is not None:
            batches = caches[1].join(batches)
        return Validation(
            self.folder,
            batches,
            self.examples,
            stage.validate_every,
            clock,
            best,
            predictor=None if objective.name in NOT_SCORED else self._predictor,
            losses=LocalLosses(self.model) if self.workers.strategy else None,
            waits=not self.workers.is_chief,
            bar=self.bar,
        )

    def _reports(self, objective, clock, validation, done):
        """The callbacks of the chief, which write, save and tell.

        Args:
            done: names of the stages before this one.
        """

        def about(epoch, step, elapsed):
            return {
                "stage": objective.name,
                "epoch": epoch,
                "step": step,
                "elapsed": elapsed,
                "done": done,
                "best": validation.best,
            }

        pictures = self._pictures
        if objective.name == "preprocess":
            pictures = MapPictures(self.model, self.examples, self.panels)
        scales_loss = hasattr(self.model.optimizer, "dynamic_scale")
        columns = history_columns(self.model.config, scales_loss)
        return [
            Recorder(self.folder, objective, clock, columns, about, pictures),
            Progress(objective, clock, self.bar),
        ]

    def _stream(self, batch_size, step, seed, caches):
        """This machine's training batches from a step on, of one device each."""
        where = batch_size, step * batch_size, seed
        if self.workers.replicas == 1:
            stream = self.stream(*where)
        else:
            share = (self.workers.replicas, self.workers.first, self.workers.local)
            stream = self.stream(*where, share=share)
        return caches[0].join(stream) if caches else stream
