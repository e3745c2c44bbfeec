"""Inside a training step on several devices: what is summed, and whose rows are whose.

Every device ("replica") has a part of a batch's rows, in their order: an equal one, or
what Keras gives it of the smaller last batch of an epoch (see `divided`). An objective
returns shares: summed over the replicas they are what one device would have returned
for the whole batch. On one device, and outside of a step, every function here does the
plain thing.
"""

import contextlib
import threading
import typing

import tensorflow as tf

__all__ = [
    "batch_mean",
    "count",
    "divided",
    "images",
    "means",
    "normal",
    "own",
    "share",
    "total",
    "totals",
    "uniform",
    "with_a_row",
]


class _Part(typing.NamedTuple):
    """This replica's rows of a batch that is not divided equally.

    Attributes:
        first: int32, its first row.
        rows: int32, how many it computes: one where it has none.
        whole: int32, how many the batch has.
        weight: float32, the share of the batch's rows that are its own.
    """

    first: tf.Tensor
    rows: tf.Tensor
    whole: tf.Tensor
    weight: tf.Tensor


class _Known(threading.local):
    """The part that is computed now; every replica has a thread to make its graph."""

    part = None


_known = _Known()


@contextlib.contextmanager
def divided(batch):
    """Within it, replicas may have unequal parts of a batch, or none; gives the part.

    A replica without rows takes a blank image in their place, since not everything can
    be computed of none; nothing of it counts.

    Args:
        batch: this replica's rows, a dict of tensors [B, ...]. Where B is known while
            the graph is made, the parts are equal and nothing needs to be told.
    """
    if count() == 1 or batch["image"].shape[0] is not None:
        yield batch
        return
    rows = tf.shape(batch["image"])[0]
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    of_all = total(tf.one_hot(replica, count()) * tf.cast(rows, tf.float32))
    of_all = tf.cast(of_all, tf.int32)
    whole, computed = tf.reduce_sum(of_all), tf.maximum(rows, 1)
    first = tf.cumsum(of_all, exclusive=True)[replica]
    _known.part = _Part(
        first=tf.minimum(first, whole - computed),
        rows=computed,
        whole=whole,
        weight=tf.cast(rows, tf.float32) / tf.cast(whole, tf.float32),
    )
    try:
        yield {name: with_a_row(values) for name, values in batch.items()}
    finally:
        _known.part = None


def with_a_row(values):
    """Return tensors [B, ...] as they are, or one row of zeros where B is 0."""
    values = tf.convert_to_tensor(values)
    missing = 1 - tf.minimum(tf.shape(values)[0], 1)
    others = [[0, 0]] * (values.shape.rank - 1)
    padded = tf.pad(values, [[0, missing], *others])
    return tf.ensure_shape(padded, [None, *values.shape[1:]])


def count():
    """Return the number of replicas that take this step together."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def total(value):
    """Return the sum of a tensor over all replicas, without gradient."""
    return totals([value])[0]


def totals(values):
    """Return the sums of some tensors over all replicas, without gradient."""
    values = [own(tf.stop_gradient(value)) for value in values]
    if count() == 1 or not values:
        return values
    # What is read from a variable has no device, and could not be sent anywhere.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce("SUM", values)


def means(values):
    """Return the means of some tensors over all replicas by rows, without gradient."""
    return totals([share(value) for value in values])


def own(value):
    """Return what a replica computed, 0 where it has no rows."""
    if _known.part is None:
        return value
    return tf.where(_known.part.weight > 0.0, value, tf.zeros_like(value))


def images(batch):
    """Return what a batch counts in a mean over batches, the same on every replica."""
    if _known.part is not None:
        return tf.cast(_known.part.whole, tf.float32)
    return tf.cast(tf.shape(batch["image"])[0], tf.float32)


def share(value):
    """Return this replica's share of what is the same on all of them."""
    if _known.part is not None:
        return value * _known.part.weight
    return value / count() if count() > 1 else value


def batch_mean(values):
    """Return this replica's share of the mean over the whole batch."""
    return share(tf.reduce_mean(values))


def uniform(shape, seed, low=0.0, high=1.0):
    """Draw as `tf.random.stateless_uniform`; the first axis is the batch's rows.

    What is drawn for an image depends on its place in the whole batch: replicas do not
    draw the same numbers, and together draw those of one device.

    Args:
        shape: of this replica's part. seed: int32 [2]. low, high: range.
    """
    return _own_rows(
        lambda whole: tf.random.stateless_uniform(whole, seed, low, high), shape
    )


def normal(shape, seed):
    """Draw as `tf.random.stateless_normal`, by rows as `uniform` does."""
    return _own_rows(lambda whole: tf.random.stateless_normal(whole, seed), shape)


def _own_rows(draw, shape):
    replicas, part = count(), _known.part
    if replicas == 1:
        return draw(shape)
    shape = tf.convert_to_tensor(shape)
    if part is None:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return draw(tf.concat([[replicas], shape], axis=0))[number]
    # So many for each image of the batch.
    each = shape[0] // part.rows
    drawn = draw(tf.concat([[part.whole * each], shape[1:]], axis=0))
    return drawn[part.first * each : (part.first + part.rows) * each]
