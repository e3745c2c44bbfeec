"""The paper's model as one would write it first with Keras: what we compare with.

The same arithmetic as `keras_recattend` with the preset `cvppp_paper`, and nothing
done for its speed: Keras' layers and its batch normalisation in several passes, image
and canvas through the whole controller at every step, masks at full size wherever
masks are compared, always all T steps. Outputs, losses and gradients are equal to
rounding (`tests/benchmarks/test_plain.py`).
"""

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import kernel_initializer
from keras_recattend.layers.fused_normalization import EPSILON
from keras_recattend.layers.gaussian import BETA, filter_means
from keras_recattend.layers.normalization import MOMENTUM
from keras_recattend.losses import IOU_EPSILON, matched_iou_loss, monotonic_score_loss
from keras_recattend.matching import greedy_match, hungarian_match
from keras_recattend.sampling import draw_switches, noisy, probability
from keras_recattend.stages.objective import kernel_decay, split_seed
from keras_recattend.truth import Truth

__all__ = ["PlainModel", "copy_weights"]


class StepNormalization(keras.layers.Layer):
    """`keras.layers.BatchNormalization` with own weights for every time step."""

    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps

    def build(self, input_shape):
        shape = (self.steps, input_shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros")
        self.moving_mean, self.moving_variance = (
            self.add_weight(name=name, shape=shape, trainable=False)
            for name in ("moving_mean", "moving_variance")
        )

    def call(self, x, step=0, training=False):
        # What Keras' layer does on TensorFlow, line by line.
        if training:
            mean, variance = keras.ops.moments(x, axes=[0, 1, 2])
            row = tf.one_hot(step, self.steps)[:, tf.newaxis]
            share = (1.0 - MOMENTUM) * row
            for moving, batch in (
                (self.moving_mean, mean),
                (self.moving_variance, variance),
            ):
                current = tf.convert_to_tensor(moving)
                moving.assign(current + share * (tf.stop_gradient(batch) - current))
        else:
            mean, variance = (
                self._at(self.moving_mean, step),
                self._at(self.moving_variance, step),
            )
        return keras.ops.batch_normalization(
            x,
            mean,
            variance,
            axis=-1,
            offset=self._at(self.beta, step),
            scale=self._at(self.gamma, step),
            epsilon=EPSILON,
        )

    @staticmethod
    def _at(weights, step):
        return tf.convert_to_tensor(weights)[step]


class PlainModel(keras.Model):
    """Args: config: that of `cvppp_paper`, or one with other sizes."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        network, segmentation = config.box_network, config.segmentation
        small = kernel_initializer(config.initializer)
        common = {"padding": "same", "kernel_initializer": small}
        self.controller = [
            keras.layers.Conv2D(depth, 3, **common) for depth in network.depths
        ]
        self.cnn = [
            keras.layers.Conv2D(depth, 3, **common) for depth in segmentation.depths
        ]
        self.transposed = [
            keras.layers.Conv2DTranspose(depth, 3, strides=factor, **common)
            for depth, factor in zip(
                segmentation.transposed_depths,
                segmentation.transposed_factors,
                strict=True,
            )
        ]
        self.norms = {
            name: [StepNormalization(config.timespan) for _ in layers]
            for name, layers in (
                ("controller", self.controller),
                ("cnn", self.cnn),
                ("transposed", self.transposed),
            )
        }
        self.lstm = keras.layers.LSTMCell(network.lstm_units)
        self.attention = [
            keras.layers.Dense(network.mlp_units, activation="relu"),
            keras.layers.Dense(
                config.image_size[0]
                // network.stride
                * (config.image_size[1] // network.stride)
            ),
        ]
        self.box = keras.layers.Dense(9, kernel_initializer=small)
        self.score = keras.layers.Dense(1, kernel_initializer=small)
        # Weights cannot be made inside of a loop: one step makes them all.
        image = tf.zeros([1, *config.image_size, 3])
        center, size, _, hidden = self.look(image, image[..., 0], 0, False)
        _, features = self.segment(image, image[..., 0], center, size, size, 0, False)
        self.score_of(hidden, features)
        self.built = True

    # -- one step ----------------------------------------------------------------------

    def look(self, image, canvas, step, training):
        """Return (center, size, log gamma of the box, LSTM state)."""
        network = self.config.box_network
        x = tf.concat([image, canvas[..., tf.newaxis]], axis=-1)
        for layer, norm, pool in zip(
            self.controller, self.norms["controller"], network.pools, strict=True
        ):
            x = tf.nn.relu(norm(layer(x), step=step, training=training))
            if pool > 1:
                x = keras.ops.max_pool(x, pool, pool, "same")
        features = tf.reshape(x, [tf.shape(x)[0], -1, network.depths[-1]])
        batch, cells = tf.shape(features)[0], features.shape[1]
        weights = tf.fill([batch, cells], 1.0 / cells)
        state = [tf.zeros([batch, network.lstm_units])] * 2
        for glimpse in range(network.glimpses):
            read = tf.reduce_sum(weights[..., tf.newaxis] * features, axis=1)
            hidden, state = self.lstm(read, state)
            if glimpse < network.glimpses - 1:
                logits = self.attention[1](self.attention[0](hidden))
                weights = tf.nn.softmax(logits)
        raw = self.box(hidden)
        extent = tf.constant(self.config.image_size, tf.float32)
        center = (raw[:, 0:2] + 1.0) * extent / 2.0
        return center, tf.exp(raw[:, 2:4]) * extent, raw[:, 7], hidden

    def filters(self, center, size, shown):
        """Eq. 11-14: densities along y and x. `shown`: the size that sets variance."""
        result = []
        for axis in (0, 1):
            pixels = self.config.image_size[axis]
            length = self.config.segmentation.patch_size[axis]
            means = filter_means(center[:, axis], size[:, axis] + 1.0, length)
            variance = (shown[:, axis] / length)[:, tf.newaxis, tf.newaxis]
            a = tf.range(pixels, dtype=tf.float32)[:, tf.newaxis]
            distance = a - means[:, tf.newaxis]
            scale = tf.math.rsqrt(2.0 * 3.141592653589793 * variance)
            result.append(tf.exp(-tf.square(distance) / (2.0 * variance)) * scale)
        return result

    def segment(self, image, canvas, center, size, shown, step, training):
        """Return (mask [B, H, W], the CNN's last map)."""
        rows, columns = self.filters(center, size, shown)
        x = tf.concat([image, canvas[..., tf.newaxis]], axis=-1)
        patch = tf.einsum("byh,byxc,bxw->bhwc", rows, x, columns)
        network = self.config.segmentation
        x = patch
        for layer, norm, pool in zip(
            self.cnn, self.norms["cnn"], network.pools, strict=True
        ):
            x = tf.nn.relu(norm(layer(x), step=step, training=training))
            if pool > 1:
                x = keras.ops.max_pool(x, pool, pool, "same")
        features = x
        for layer, norm in zip(self.transposed, self.norms["transposed"], strict=True):
            x = tf.nn.relu(norm(layer(x), step=step, training=training))
        pasted = tf.einsum("byh,bhw,bxw->byx", rows, x[..., 0], columns)
        gamma = tf.exp(self.config.box_network.mask_gamma)
        return tf.sigmoid(gamma * pasted - BETA), features

    def score_of(self, hidden, features):
        flat = tf.reshape(features, [-1, self.config.segmentation.features_size])
        return tf.sigmoid(self.score(tf.concat([hidden, flat], axis=-1)))[:, 0]

    # -- all steps ---------------------------------------------------------------------

    def call(self, image, training=False):
        """Return {"masks" [B, T, H, W], "scores" [B, T]} of all T steps."""

        def step(t, canvas):
            center, size, _, hidden = self.look(image, canvas, t, training)
            mask, features = self.segment(
                image, canvas, center, size, size, t, training
            )
            return mask, {"masks": mask, "scores": self.score_of(hidden, features)}

        return self._loop(image, ("masks", "scores"), step)

    def unroll(self, image, truth, cut, switches, noise_seed):
        """The joint stage's loop, the truth mixed in: masks, scores, box IoUs."""
        use_box, use_mask = switches
        boxes = _filled(truth, self.config.image_size)

        def step(t, canvas):
            center, size, gamma, hidden = self.look(image, canvas, t, True)
            rows, columns = self.filters(center, size, size)
            rows = tf.reduce_sum(rows, axis=-1)[:, :, tf.newaxis]
            columns = tf.reduce_sum(columns, axis=-1)[:, tf.newaxis]
            gamma = tf.exp(gamma)[:, tf.newaxis, tf.newaxis]
            box_mask = tf.sigmoid(gamma * rows * columns - BETA)
            box_iou = full_size_iou(box_mask[:, tf.newaxis], boxes)
            greedy = greedy_match(box_iou)
            true_mask = tf.reduce_sum(
                greedy[..., tf.newaxis, tf.newaxis] * truth.masks, axis=1
            )
            true_mask = noisy(true_mask, noise_seed + tf.stack([0, t]))
            shown = use_box[:, t, tf.newaxis]
            true_center, true_size = (
                tf.reduce_sum(greedy[..., tf.newaxis] * values, axis=1)
                for values in (cut.center, cut.size)
            )
            mask, features = self.segment(
                image,
                canvas,
                shown * true_center + (1.0 - shown) * center,
                shown * true_size + (1.0 - shown) * size,
                size,
                t,
                True,
            )
            shown = use_mask[:, t, tf.newaxis, tf.newaxis]
            written = shown * true_mask + (1.0 - shown) * mask
            scores = self.score_of(hidden, features)
            return written, {"masks": mask, "scores": scores, "box_iou": box_iou}

        return self._loop(image, ("masks", "scores", "box_iou"), step)

    def _loop(self, image, names, step):
        timespan = self.config.timespan
        arrays = {name: tf.TensorArray(tf.float32, timespan) for name in names}

        def body(t, canvas, arrays):
            written, values = step(t, canvas)
            canvas = tf.maximum(canvas, tf.stop_gradient(written))
            return t + 1, canvas, {n: a.write(t, values[n]) for n, a in arrays.items()}

        start = tf.zeros(tf.shape(image)[:3])
        _, _, arrays = tf.while_loop(
            lambda t, *_: t < timespan,
            body,
            (tf.constant(0), start, arrays),
            maximum_iterations=timespan,
        )
        return {
            name: tf.einsum("tb...->bt...", array.stack())
            for name, array in arrays.items()
        }

    # -- training ----------------------------------------------------------------------

    def joint_terms(self, batch, step):
        """Return the joint stage's loss terms (eq. 21-27), as `JointStage` has them."""
        stage, timespan = self.config.stages["joint"], self.config.timespan
        root = tf.stack([tf.constant(0, tf.int32), tf.cast(step, tf.int32)])
        seeds = split_seed(root, 3)
        truth = Truth.of_labels(batch["labels"], timespan, stage.box_padding)
        size = tf.shape(truth.exists)[0]
        switches = [
            draw_switches(
                probability(step, timespan, offset, stage.sampling_period), size, drawn
            )
            for offset, drawn in (
                (stage.box_offset, seeds[0]),
                (stage.mask_offset, seeds[1]),
            )
        ]
        cut = self._noisy_boxes(batch, truth, seeds[2])
        outputs = self.unroll(batch["image"], truth, cut, switches, seeds[2])
        # Each output with all true masks at full size, one output at a time.
        iou = tf.stack(
            [
                full_size_iou(outputs["masks"][:, t, tf.newaxis], truth.masks)
                for t in range(timespan)
            ],
            axis=1,
        )
        first = self.config.first_outputs_only
        match = hungarian_match(iou, truth.exists, first)
        box_match = hungarian_match(outputs["box_iou"], truth.exists, first)
        target = tf.reduce_sum(match, axis=-1)
        kernels = self.trainable_variables
        return {
            "segmentation": matched_iou_loss(iou, match),
            "box": matched_iou_loss(outputs["box_iou"], box_match),
            "score": monotonic_score_loss(outputs["scores"], target),
            "decay": stage.weight_decay * kernel_decay(kernels),
        }

    def _noisy_boxes(self, batch, truth, seed):
        stage = self.config.stages["joint"]
        shift, change = stage.box_noise
        seeds = split_seed(seed, 2)
        shape = tf.concat([tf.shape(truth.exists), [1]], axis=0)
        ratio, least = stage.box_padding
        ratio += tf.random.stateless_uniform(shape, seeds[0], -change, change)
        moved = tf.random.stateless_uniform(
            tf.shape(truth.top_left), seeds[1], -shift, shift
        )
        timespan = self.config.timespan
        return Truth.of_labels(batch["labels"], timespan, (ratio, least), moved)

    def train_step(self, batch):
        step = self.optimizer.iterations
        with tf.GradientTape() as tape:
            terms = self.joint_terms(batch, step)
            loss = tf.add_n(list(terms.values()))
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss} | terms


def full_size_iou(a, b):
    """Eq. 22 as it is written: `sum(a b) / sum(a + b - a b + 1e-5)` over H and W."""
    union = a + b - a * b + IOU_EPSILON
    return tf.reduce_sum(a * b, axis=[-2, -1]) / tf.reduce_sum(union, axis=[-2, -1])


def _filled(truth, image_size):
    """The true boxes as masks [B, T, H, W]."""
    inside = truth.exists[..., tf.newaxis, tf.newaxis]
    for axis, shape in ((0, [-1, 1]), (1, [1, -1])):
        a = tf.reshape(tf.range(image_size[axis], dtype=tf.float32), shape)
        low, high = (
            corner[..., axis, tf.newaxis, tf.newaxis]
            for corner in (truth.top_left, truth.bottom_right)
        )
        inside *= tf.cast((a >= low) & (a <= high), tf.float32)
    return inside


def copy_weights(model, plain):
    """Give a built `PlainModel` all weights of a `RecurrentAttention`."""
    pairs = []
    segmentation = model.segmentation
    for name, ours, theirs in (
        ("controller", model.controller.stack, plain.controller),
        ("cnn", segmentation.cnn, plain.cnn),
        ("transposed", segmentation.transposed, plain.transposed),
    ):
        pairs += zip(theirs, ours.convolutions, strict=True)
        pairs += zip(plain.norms[name], ours.normalizations, strict=True)
    glimpses = model.box_head.glimpse_network
    pairs += [(plain.lstm, glimpses.lstm), (plain.box, model.box_head.linear)]
    pairs += zip(plain.attention, glimpses.mlp, strict=True)
    for theirs, ours in pairs:
        values = {_last(weight): weight for weight in ours.weights}
        for weight in theirs.weights:
            weight.assign(values[_last(weight)])
    kernels = (model.scoring.state_kernel, model.scoring.features_kernel)
    plain.score.kernel.assign(tf.concat(kernels, axis=0))
    plain.score.bias.assign(model.scoring.bias)


def _last(weight):
    return weight.path.rsplit("/", 1)[-1]
