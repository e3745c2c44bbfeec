"""A model that `fit` trains on one stage's objective, on one device or several."""

import keras
import tensorflow as tf

from keras_recattend import replicas
from keras_recattend.stages.joint import JointStage
from keras_recattend.stages.objective import Objective, check_batch

__all__ = ["ObjectiveModel"]


class ObjectiveModel(keras.Model):
    """The training half of `RecurrentAttention`: a step, and what is kept of it.

    Keras' own step knows pairs of inputs and targets, and a loss for each output. Here
    an `Objective` makes the loss terms out of the whole batch, a dict of "image"
    float32 [B, H, W, 3] from 0 to 1, "labels" [B, H, W] (objects 1 to n, 0 =
    background) and what else `Objective` names.

    Attributes:
        objective: what is trained, see `keras_recattend.stages`; None before `compile`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # The matching is scipy's, and images that are finished leave the batch: XLA can
        # do neither. Keras would choose it by itself on GPUs.
        self.supports_jit = False
        self.objective = None

    def compile(self, optimizer="adam", objective=None, **kwargs):
        """Prepare for `fit` on one stage's objective; the default is the joint stage.

        Args:
            optimizer: as in Keras.
            objective: see `keras_recattend.stages`.

        Raises:
            ValueError: losses or metrics of Keras, which have no place here.
        """
        own = ("loss", "loss_weights", "metrics", "weighted_metrics")
        if given := [name for name in own if kwargs.get(name) is not None]:
            raise ValueError(
                f"{type(self).__name__} is compiled without {', '.join(given)}: losses "
                "and metrics are an objective's, as stages.objective('box', config)."
            )
        objective = objective or JointStage(self.config)
        if not isinstance(objective, Objective):
            raise ValueError(
                "The objective is one of keras_recattend.stages, as "
                f"stages.objective('box', config); got {objective!r}."
            )
        kwargs.setdefault("jit_compile", False)
        super().compile(optimizer=optimizer, **kwargs)
        self.objective = objective

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Build the optimizer alone: the model is built when it is made.

        On several devices Keras would take a batch off the stream for that, and fail
        to average its label maps.
        """
        optimizer = self.optimizer if self.objective else None
        if optimizer is not None and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.objective.variables(self))

    @property
    def metrics(self):
        """Running means of the objective's numbers; Keras resets them each epoch."""
        if not self.objective:
            return []
        return [*self.objective.trackers.values(), self.objective.gradient_norm]

    # No Python branch or loop here depends on a tensor: AutoGraph would only double
    # the time that tracing takes.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, batch):
        check_batch(batch)
        with replicas.divided(batch) as part:
            return self._train_on(part)

    def _train_on(self, batch):
        step = self.optimizer.iterations + self.objective.skipped
        with tf.GradientTape() as tape:
            terms, measures = self.objective(self, batch, step, training=True)
            loss = tf.add_n(list(terms.values()))
            scaled = self.optimizer.scale_loss(loss)
        # Of this step: applying the gradients may double a float16 model's.
        scale = self.optimizer.scale_loss(tf.constant(1.0))
        variables = self.objective.variables(self)
        gradients = self._shared(tape.gradient(scaled, variables))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.objective.skipped.assign(step + 1 - self.optimizer.iterations)
        self._share_statistics(variables)
        self._track_gradients(gradients, scale)
        results = self._track({"loss": loss} | terms | measures, batch)
        norm = {"gradient_norm": self.objective.gradient_norm.result()}
        return results | self._reported(norm)

    @staticmethod
    def _shared(gradients):
        """The gradients of the whole batch, divided by the number of replicas.

        Keras adds up what the replicas give it after it has clipped, and looks for
        infinities, each by itself. Equal parts are clipped alike: see
        `training.make_optimizer`.
        """
        if replicas.count() == 1:
            return gradients
        known = [i for i, g in enumerate(gradients) if g is not None]
        summed = replicas.totals([gradients[i] for i in known])
        for i, gradient in zip(known, summed, strict=True):
            gradients[i] = gradient / replicas.count()
        return gradients

    def _share_statistics(self, trained):
        """Give every replica the mean of their moving statistics."""
        if replicas.count() == 1 or self.objective.stage.freeze_normalization:
            return
        layers = {v.path.rpartition("/")[0] for v in trained}
        statistics = [
            v
            for v in self.non_trainable_variables
            if v.path.rpartition("/")[0] in layers
        ]
        means = replicas.means([tf.convert_to_tensor(v) for v in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            variable.assign(mean)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, batch):
        check_batch(batch)
        with replicas.divided(batch) as part:
            return self._track(self.validation_values(part), part)

    def validation_values(self, batch):
        """Return loss, terms and measures of a validation batch, float32 scalars."""
        # A fixed step: the same canvases are drawn every time.
        step = tf.constant(0, tf.int64)
        terms, measures = self.objective(self, batch, step, training=False)
        return {"loss": tf.add_n(list(terms.values()))} | terms | measures

    def _track(self, values, batch):
        weight = replicas.images(batch)
        trackers = self.objective.trackers
        values = replicas.totals([values[name] for name in trackers])
        for tracker, value in zip(trackers.values(), values, strict=True):
            tracker.update_state(value, sample_weight=weight)
        return self._reported({name: t.result() for name, t in trackers.items()})

    @staticmethod
    def _reported(results):
        """Numbers of a step as Keras' `fit` wants them."""
        strategy = tf.distribute.get_strategy()
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # Over several machines Keras takes the mean along a first axis.
            return {name: value[tf.newaxis] for name, value in results.items()}
        return results

    def _track_gradients(self, gradients, scale):
        """Keep the running mean of the gradients' norm, before any clipping.

        Args:
            gradients: as from `_shared`, times `scale`.
        """
        norm = tf.linalg.global_norm(gradients) * replicas.count() / scale
        weight = tf.constant(1.0)
        if hasattr(self.optimizer, "dynamic_scale"):
            # A step whose scaled gradients overflow is left out by the optimizer: it
            # does not count here either. Without a scale nothing leaves it out, and
            # `Pace` is to see it before the weights are saved.
            weight = tf.cast(tf.math.is_finite(norm), tf.float32)
            norm = tf.math.multiply_no_nan(norm, weight)
        self.objective.gradient_norm.update_state(norm, sample_weight=weight)
