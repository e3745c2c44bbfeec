"""What every training stage has: named loss terms, trained variables, seeds."""

import keras
import tensorflow as tf

from keras_recattend import boxes, replicas

__all__ = ["Objective", "check_batch", "kernel_decay", "split_seed"]


def check_batch(batch):
    """Raise ValueError unless it is what a stage can read."""
    if not isinstance(batch, dict) or not {"image", "labels"} <= batch.keys():
        got = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(
            'A batch is a dict of "image", float32 [B, H, W, 3] from 0 to 1, and '
            f'"labels", integers [B, H, W]; got {got}.'
        )
    dtype = tf.convert_to_tensor(batch["image"]).dtype
    if not dtype.is_floating:
        raise ValueError(
            f"Images of a batch are floats from 0 to 1, got {dtype.name}: divide by "
            "255."
        )


class Objective:
    """One stage's loss, as `RecurrentAttention.train_step` calls it.

    Args:
        config: the model's `Config`.
        seed: of everything drawn at random. With the step it determines every draw,
            so a resumed run goes on as an uninterrupted one would.

    Attributes:
        name: the stage's name. stage: the config's `Stage` of this name.
        terms: names of the loss terms, which add up to the loss.
        measures: names of further numbers worth watching.
        progress: share of the stage that is done, float32 scalar variable, kept by
            training.
        ahead: by how many steps the stage's schedules are ahead of the optimiser,
            float32 scalar variable, kept by training: 0 unless a budget shortens them.
        skipped: steps that the optimiser left out, since a gradient was not finite
            (float16), int64 scalar variable: they count for the schedules.
        trackers: a running mean for the loss, each term and each measure.
        gradient_norm: a running mean of training steps alone. Here and not in the
            model, whose files of weights would hold it.
        reads_maps: whether it needs what the pre-processing network says.
    """

    name = ""
    terms = ()
    measures = ()
    reads_maps = True

    def __init__(self, config, seed=0):
        self.config = config
        self.stage = config.stages[self.name]
        self.seed = seed
        self.progress = tf.Variable(0.0, trainable=False, name="progress")
        self.ahead = tf.Variable(0.0, trainable=False, name="ahead")
        self.skipped = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="skipped",
        )
        if self.has_decay:
            self.terms = (*self.terms, "decay")
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ("loss", *self.terms, *self.measures)
        }
        self.gradient_norm = keras.metrics.Mean(name="gradient_norm")

    @property
    def has_decay(self):
        """Whether weight decay is a loss (adamw decays by itself)."""
        return self.stage.optimizer != "adamw" and self.stage.weight_decay > 0

    def variables(self, model):
        """Return the model's variables that this stage trains."""
        return model.instance_variables

    def __call__(self, model, batch, step, training):
        """Return (terms, measures), two dicts of float32 scalars.

        On several devices they are shares that add up to the batch's: see `replicas`.

        Args:
            batch: "image" [B, H, W, 3], "labels" integers [B, H, W], where the preset
                has classes "classes" int32 [B, max_instances], and "extra"
                [B, H, W, E] where it has extra channels and no network that makes
                them (or they are known already).
            step: optimiser steps made so far.

        Raises:
            ValueError: the batch lacks something, or its images are no fractions.
        """
        check_batch(batch)
        # More objects than slots: the largest, of least id, are kept.
        labels = tf.cast(batch["labels"], tf.int32)
        slots = self.config.max_instances
        batch = batch | {"labels": tf.where(labels > slots, 0, labels)}
        if self.reads_maps and model.preprocessor is not None and "extra" not in batch:
            # Once an image and step, however often the stage looks at it.
            batch = batch | {"extra": model.maps(batch["image"]).extra}
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(step, tf.int32)])
        values = self.evaluate(model, batch, step, seed, training)
        terms, measures = tf.nest.map_structure(replicas.own, values)
        if self.has_decay:
            variables = self.variables(model)
            decay = self.stage.weight_decay * kernel_decay(variables)
            terms["decay"] = replicas.share(decay)
        return terms, measures

    def true_boxes(self, labels):
        """Return (center, size, exists) of all objects: [B, T, 2] twice and [B, T].

        Args:
            labels: int32 [B, H, W]. Boxes are padded as the stage says.
        """
        low, high, area = boxes.label_boxes(labels, self.config.max_instances)
        low, high = boxes.pad_boxes(low, high, *self.stage.box_padding, area > 0)
        return (low + high) / 2.0, high - low, tf.cast(area > 0, tf.float32)

    def batch_statistics(self, training):
        """Whether batches are normalised by their own statistics, which move the kept.

        Not where the stage freezes the normalisation.
        """
        return training and not self.stage.freeze_normalization

    def evaluate(self, model, batch, step, seed, training):
        raise NotImplementedError


def kernel_decay(variables):
    """Return half the squared sum of all kernels; no biases, no normalisation."""
    kernels = [v for v in variables if "kernel" in v.path.rsplit("/", 1)[-1]]
    return tf.add_n([tf.nn.l2_loss(tf.convert_to_tensor(v)) for v in kernels])


def split_seed(seed, count):
    """Return `count` independent seeds, int32 [count, 2], for stateless draws."""
    return tf.random.experimental.stateless_split(seed, count)
