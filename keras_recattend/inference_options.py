"""Options of command lines that change how weights are used, one place for all."""

import argparse

__all__ = ["add_inference_options", "inference_changes", "number"]

OPTIONS = ("score_threshold", "min_area")


def add_inference_options(parser):
    """Add --score-threshold and --min-area to an argument parser."""
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


def inference_changes(options):
    """Return what was given of them, as `keras_recattend.load` takes it."""
    given = {name: getattr(options, name) for name in OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


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
