"""Recurrent-attention instance segmentation in TensorFlow 2 / Keras 3."""

import os

from keras_recattend.threads import fit_threads

# oneDNN's convolutions are half as fast again on CPUs where TensorFlow does not turn
# them on by itself; it reads the variable once, when it is first imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
fit_threads()

__version__ = "0.1.0"


def __getattr__(name):
    # As in `load`; it also tells Keras of the class, for its own `load_model`.
    if name == "RecurrentAttention":
        from keras_recattend.model import RecurrentAttention

        return RecurrentAttention
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(weights, batch_size=8, **inference):
    """Load a trained model for the segmentation of pictures.

    Args:
        weights: name of shipped weights, or a run folder of `train.py`.
        batch_size: pictures run together.
        inference: changes of how the network is asked, as `config.Inference` names
            them: `min_area=50`, `score_threshold=0.4`.

    Returns:
        A `keras_recattend.api.Segmenter`.

    Raises:
        UserError: there are no such weights, or they do not fit their configuration.
        ConfigError: an unknown name of an option.

    Example:
        >>> model = keras_recattend.load("runs/demo")
        >>> result = model.segment("plant.jpg")
        >>> result.count, result.labels, result.scores, result.boxes
        >>> result.plot("overlay.png")
    """
    # Here, so that importing the package does not import TensorFlow.
    from keras_recattend import api

    return api.load(weights, batch_size=batch_size, **inference)
