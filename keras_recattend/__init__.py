"""Recurrent-attention instance segmentation in TensorFlow 2 / Keras 3."""

import os

# oneDNN's convolutions are half as fast again on CPUs where TensorFlow does not turn
# them on by itself; it reads the variable once, when it is first imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

__version__ = "0.1.0"
