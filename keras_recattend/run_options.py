"""The options that a run keeps in its `config.json`, and takes over when it goes on."""

import argparse
import logging
from pathlib import Path

__all__ = ["kept", "resumed"]

_LOG = logging.getLogger(__name__)

# Where a run trains is no part of it: it may go on somewhere else.
LEFT_OUT = ("resume", "run_dir", "quiet", "panels", "strategy")
PATHS = ("data_dir", "records_dir", "annotations", "images")


def kept(options):
    """Return what a run keeps of `train.py`'s parsed options, {name: value}."""
    values = {k: v for k, v in vars(options).items() if k not in LEFT_OUT}
    for name in PATHS:
        if values[name]:
            values[name] = str(Path(values[name]).resolve())
    return values


def resumed(options, stored, defaults):
    """Return the options of the run that goes on; tells of others that were given.

    Args:
        options: as parsed.
        stored: as from `kept`.
        defaults: the options of a command line without any.
    """
    # Runs of before an option was there had its default.
    stored = kept(defaults) | stored
    for name, value in stored.items():
        given = getattr(options, name)
        if given not in (getattr(defaults, name), value):
            flag = "--" + name.replace("_", "-")
            _LOG.warning(
                "%s %s is not used: the run goes on with %s.", flag, given, value
            )
    return argparse.Namespace(**vars(options) | stored)
