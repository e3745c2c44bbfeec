"""Scheduled sampling: when training shows the truth instead of the model's output."""

import tensorflow as tf

from keras_recattend import replicas

__all__ = ["draw_switches", "noisy", "probability"]

# A true segment written to the canvas loses up to this much, per pixel (authors).
CANVAS_NOISE = 0.3


def probability(step, timespan, offset, period, decay=0.5, base=1.0, scaled=True):
    """Return theta_t, the probability of the truth, for every time step t.

    `min(1, base decay^(max(0, step - offset) / period) (1 + ln(1 + 3 t)))`, continuous
    decay, as the authors have it.

    Args:
        step: of the stage's own steps, see `Clock.schedule_step`.
        timespan: T.
        offset, period: of the schedule, in steps.
        scaled: whether later time steps keep the truth longer (the factor with t).

    Returns:
        float32 [T].
    """
    elapsed = tf.maximum(0.0, tf.cast(step, tf.float32) - float(offset))
    theta = base * tf.pow(float(decay), elapsed / float(period))
    t = tf.range(timespan, dtype=tf.float32)
    factor = 1.0 + tf.math.log(1.0 + 3.0 * t) if scaled else tf.ones_like(t)
    return tf.minimum(1.0, theta * factor)


def draw_switches(theta, batch_size, seed):
    """Draw for each image and time step whether the truth is shown, float32 [B, T].

    Args:
        theta: [T]. seed: int32 [2], for a stateless draw.
    """
    uniform = replicas.uniform([batch_size, theta.shape[0]], seed)
    return tf.cast(uniform < theta[tf.newaxis], tf.float32)


def noisy(masks, seed):
    """Return true masks times 1 - U(0, 0.3) per pixel, as they go to the canvas."""
    return masks * (1.0 - replicas.uniform(tf.shape(masks), seed, 0.0, CANVAS_NOISE))
