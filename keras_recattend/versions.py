"""Versions of what a result depends on besides its settings."""

__all__ = ["installed_versions"]


def installed_versions() -> dict[str, str]:
    """Return the version of this package, TensorFlow, Keras and NumPy, by name."""
    # Here, so that light modules do not import TensorFlow.
    import keras
    import numpy
    import tensorflow

    import keras_recattend

    modules = (keras_recattend, tensorflow, keras, numpy)
    return {module.__name__: module.__version__ for module in modules}
