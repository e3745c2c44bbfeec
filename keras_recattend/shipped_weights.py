"""Weights by their name: those that the package has, and those of a run."""

from pathlib import Path

from keras_recattend.near_names import near_names
from keras_recattend.run_folder import RunError, RunFolder

__all__ = ["PRETRAINED", "find_weights", "is_shipped"]

PRETRAINED = Path(__file__).parent / "pretrained"


def is_shipped(name):
    """Whether `find_weights` takes it for the name of shipped weights."""
    is_run = (Path(name) / "config.json").is_file()
    return not is_run and name in _shipped_names()


def _shipped_names():
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def find_weights(name):
    """Return the folder of weights: a folder, or the name of shipped weights.

    A folder of that name goes first if it is a run; photographs of leaves may well lie
    in `leaves`.

    Raises:
        RunError: there is no such folder, naming the shipped ones.
    """
    if is_shipped(name):
        return RunFolder(PRETRAINED / name)
    path = Path(name)
    if path.is_dir():
        return RunFolder(path)
    shipped = _shipped_names()
    raise RunError(
        f"{name!r} is neither a folder nor the name of shipped weights."
        + (near_names(name, shipped) if shipped else " None are shipped.")
    )
