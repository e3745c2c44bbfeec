"""Inside a training step on several devices: what is summed, and whose rows are whose.

Every device ("replica") has an equal part of a batch's rows, in their order. An
objective returns shares: summed over the replicas they are what one device would have
returned for the whole batch. On one device, and outside of a step, every function here
does the plain thing.
"""

import tensorflow as tf

__all__ = [
    "batch_mean",
    "count",
    "means",
    "normal",
    "share",
    "total",
    "totals",
    "uniform",
]


def count():
    """Return the number of replicas that take this step together."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def total(value):
    """Return the sum of a tensor over all replicas, without gradient."""
    return totals([value])[0]


def totals(values):
    """Return the sums of some tensors over all replicas, without gradient."""
    values = [tf.stop_gradient(value) for value in values]
    return _reduced(tf.distribute.ReduceOp.SUM, values)


def means(values):
    """Return the means of some tensors over all replicas, without gradient."""
    values = [tf.stop_gradient(value) for value in values]
    return _reduced(tf.distribute.ReduceOp.MEAN, values)


def _reduced(operation, values):
    if count() == 1 or not values:
        return values
    # What is read from a variable has no device, and could not be sent anywhere.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(operation, values)


def share(value):
    """Return this replica's share of what is the same on all of them."""
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
    replicas = count()
    if replicas == 1:
        return draw(shape)
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return draw(tf.concat([[replicas], tf.convert_to_tensor(shape)], axis=0))[number]
