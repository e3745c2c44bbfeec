"""Options of command lines that change how weights are used, one place for all."""

import argparse
import dataclasses
import math

from keras_recattend.config import Inference
from keras_recattend.config_checks import VIEW_COUNTS
from keras_recattend.errors import ConfigError
from keras_recattend.near_names import near_names

__all__ = [
    "add_inference_options",
    "inference_changes",
    "inference_settings",
    "number",
]

OPTIONS = ("score_threshold", "min_area", "views")
_TRUTHS = {"true": True, "false": False}


def add_inference_options(parser, views=False):
    """Add --score-threshold and --min-area to an argument parser.

    Args:
        views: whether to add --views, too.
    """
    parser.add_argument(
        "--score-threshold",
        type=number(float, 0, 1),
        metavar="X",
        help="0 to 1: stop below this score; default: as the weights were tuned",
    )
    parser.add_argument(
        "--min-area",
        type=number(int, 0),
        metavar="N",
        help="drop objects of fewer pixels; default: as the weights were tuned",
    )
    if views:
        parser.add_argument(
            "--views",
            type=int,
            choices=VIEW_COUNTS,
            help="look at each picture flipped and turned in so many ways and keep "
            "what most of them show: 8 is surer, 1 faster; default: as the weights "
            "were tuned",
        )


def inference_changes(options):
    """Return what was given of them, as `keras_recattend.load` takes it."""
    given = {name: getattr(options, name, None) for name in OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def inference_settings(texts):
    """Read settings of `config.Inference` that are given as NAME=VALUE.

    Args:
        texts: as ["mask_threshold=0.3", "bilateral=true"].

    Returns:
        {name: value}, for `Config.replace(inference=...)`.

    Raises:
        ConfigError: no such setting, no value, or one of another kind.
    """
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Inference)}
    settings = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in kinds:
            raise ConfigError(f"Inference has no {name!r}.{near_names(name, kinds)}")
        if not equals:
            raise ConfigError(f"--inference takes NAME=VALUE, got {text!r}.")
        settings[name] = _value(name, kinds[name], value)
    return settings


def _value(name, kind, text):
    try:
        value = _TRUTHS[text.lower()] if kind is bool else kind(text)
        if not math.isfinite(value) or value < 0:
            raise ValueError
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "a whole number of 0 or more"}
        raise ConfigError(
            f"{name} takes {expected.get(kind, 'a number of 0 or more')}, got {text!r}."
        ) from None
    return value


def number(kind, least, most=None):
    """Return a type for argparse: a number from `least` on, to `most` if given."""

    def checked(text):
        value = kind(text)
        if most is None and not value >= least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if most is not None and not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    checked.__name__ = kind.__name__  # what argparse calls text that is no number
    return checked
