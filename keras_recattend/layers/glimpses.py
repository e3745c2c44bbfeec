"""The glimpse LSTM: soft attention on the feature map, a few times (eq. 4-5)."""

import math
import typing

import keras
import tensorflow as tf

from keras_recattend.layers.convolution import kernel_initializer
from keras_recattend.layers.float32 import Float32Layer

__all__ = ["GlimpseNetwork", "Glimpses", "as_cells"]


class Glimpses(typing.NamedTuple):
    """What the glimpse LSTM did: lists over glimpses, and the logits after the last.

    Attributes:
        hidden, cell: float32 [N, units] each.
        attention: float32 [N, P] each, P = H' W' cells in row-major order.
        logits: [N, P], the attention logits after the last glimpse.
    """

    hidden: list
    cell: list
    attention: list
    logits: tf.Tensor


def as_cells(feature_map):
    """[N, H', W', L] -> [N, P, L] float32, row-major."""
    shape = feature_map.shape
    flat = tf.reshape(feature_map, [-1, shape[1] * shape[2], shape[3]])
    return tf.cast(flat, tf.float32)


@keras.saving.register_keras_serializable("keras_recattend")
class GlimpseNetwork(Float32Layer):
    """LSTM that looks at the feature map a few times by soft attention (eq. 4-5).

    The first glimpse is uniform, or the softmax of a prior; the following ones come
    from the hidden state by a two-layer MLP with softmax over all cells. The LSTM
    starts from zero for every object: only the canvas remembers. Where one glimpse is
    all, there is no MLP.

    Args:
        glimpses, lstm_units, mlp_units: sizes.
        grid: (H', W') of the feature map, P = H' W' positions.
        block: the MLP gives one logit to each block of this many cells each way.
        last_logits: whether the MLP is applied after the last glimpse as well.
        initializer: "he" or "small".
    """

    def __init__(
        self,
        glimpses,
        lstm_units,
        mlp_units,
        grid,
        block=1,
        last_logits=False,
        initializer="he",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.glimpses = glimpses
        self.lstm_units = lstm_units
        self.mlp_units = mlp_units
        self.grid = tuple(grid)
        self.block = block
        self.last_logits = last_logits
        self.initializer = initializer
        self.lstm = keras.layers.LSTMCell(
            lstm_units,
            kernel_initializer=self._initial("glorot_uniform"),
            recurrent_initializer=self._initial("orthogonal"),
            dtype="float32",
            name="lstm",
        )
        self.mlp = []
        if glimpses > 1 or last_logits:
            self.mlp = [
                self._dense(mlp_units, activation="relu", name="mlp0"),
                self._dense(math.prod(self.grid) // block**2, name="mlp1"),
            ]

    def _initial(self, usual):
        """One variable's initialiser: a Keras object gives the same numbers twice."""
        return kernel_initializer("small") if self.initializer == "small" else usual

    def _dense(self, units, **options):
        return keras.layers.Dense(
            units,
            kernel_initializer=self._initial("glorot_uniform"),
            bias_initializer=self._initial("zeros"),
            dtype="float32",
            **options,
        )

    def build(self, features_shape):
        self.lstm.build((None, features_shape[-1]))
        if self.mlp:
            self.mlp[0].build((None, self.lstm_units))
            self.mlp[1].build((None, self.mlp_units))

    def call(self, features, prior=None):
        """Look at `features` [N, P, L], float32; `prior` logits [N, P] or None."""
        batch = tf.shape(features)[0]
        state = [tf.zeros([batch, self.lstm_units])] * 2
        cells = math.prod(self.grid)
        logits = tf.zeros([batch, cells]) if prior is None else prior
        hidden, cell, attention = [], [], []
        for glimpse in range(self.glimpses):
            weights = tf.nn.softmax(logits)
            read = tf.matmul(weights[:, tf.newaxis], features)[:, 0]
            output, state = self.lstm(read, state)
            hidden.append(output)
            cell.append(state[1])
            attention.append(weights)
            if glimpse < self.glimpses - 1 or self.last_logits:
                logits = self._spread(self.mlp[1](self.mlp[0](output)))
                if prior is not None:
                    logits += prior
        return Glimpses(hidden, cell, attention, logits)

    def _spread(self, logits):
        """Give every cell its block's logit."""
        if self.block == 1:
            return logits
        height, width = (extent // self.block for extent in self.grid)
        logits = tf.reshape(logits, [-1, height, 1, width, 1])
        logits = tf.tile(logits, [1, 1, self.block, 1, self.block])
        return tf.reshape(logits, [-1, math.prod(self.grid)])

    def head_arguments(self):
        """Return the arguments that a head passes on to it as they are, by name."""
        names = ("glimpses", "lstm_units", "mlp_units", "initializer")
        return {name: getattr(self, name) for name in names}

    def get_config(self):
        return super().get_config() | {
            **self.head_arguments(),
            "grid": self.grid,
            "block": self.block,
            "last_logits": self.last_logits,
        }
