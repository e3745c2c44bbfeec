"""The options that a run keeps in its `config.json`, and takes over when it goes on."""

import argparse
import logging
from pathlib import Path

from keras_recattend.command_line import flag_of
from keras_recattend.paths import PATHS, from_the_root
from keras_recattend.shipped_weights import is_shipped

__all__ = ["kept", "resumed"]

_LOG = logging.getLogger(__name__)

# Where a run trains is no part of it: it may go on somewhere else.
LEFT_OUT = ("resume", "run_dir", "quiet", "panels", "strategy")


def kept(options):
    """Return what a run keeps of `train.py`'s parsed options, {name: value}.

    Paths are kept from the root on.
    """
    values = {k: v for k, v in vars(options).items() if k not in LEFT_OUT}
    for name in PATHS:
        if values[name]:
            values[name] = from_the_root(values[name])
    start = values["init"]
    if start and not is_shipped(start) and Path(start).is_dir():
        values["init"] = from_the_root(start)
    return values


def resumed(options, stored, named, defaults):
    """Return the options of the run that goes on; tells of others that were given.

    Paths that are given count: data may have moved.

    Args:
        options: as parsed.
        stored: as from `kept`.
        named: names of the options that the command line has.
        defaults: the options of a command line without any.
    """
    # Runs of before an option was there had its default; of before --val-images, all.
    stored = kept(defaults) | {"val_images": 0} | stored
    of_call = kept(options)
    for name, value in stored.items():
        given = of_call[name]
        if name not in named or given == value:
            continue
        if name in PATHS:
            stored[name] = given
        else:
            _LOG.warning(
                "%s %s is not used: the run goes on with %s.",
                flag_of(name),
                given,
                value,
            )
    return argparse.Namespace(**vars(options) | stored)
