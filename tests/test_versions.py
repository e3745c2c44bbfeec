"""The packages that results depend on, by the names that pip has for them."""

import importlib.metadata

import keras_recattend
from keras_recattend.versions import installed_versions


def test_what_is_installed():
    found = installed_versions()
    assert list(found) == ["keras_recattend", "tensorflow", "keras", "numpy"]
    assert found.pop("keras_recattend") == keras_recattend.__version__
    for name, number in found.items():
        assert number == importlib.metadata.version(name)
