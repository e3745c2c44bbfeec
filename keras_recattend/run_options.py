"""The options that a run keeps in its `config.json`, and takes over when it goes on."""

import argparse
import logging
from pathlib import Path

from datasets import catalog
from keras_recattend.paths import PATHS, from_the_root
from keras_recattend.run_folder import is_shipped

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

    Paths that are given count: data may have moved. Where the raw files are gone and
    the records were named, the records do.

    Args:
        options: as parsed.
        stored: as from `kept`.
        named: names of the options that the command line has.
        defaults: the options of a command line without any.
    """
    # Runs of before an option was there had its default.
    stored = kept(defaults) | stored
    of_call = kept(options)
    for name, value in stored.items():
        given = of_call[name]
        if name not in named or given == value:
            continue
        if name in PATHS:
            stored[name] = given
        else:
            flag = "--" + name.replace("_", "-")
            _LOG.warning(
                "%s %s is not used: the run goes on with %s.", flag, given, value
            )
    return argparse.Namespace(**vars(options) | without_lost_files(stored))


def without_lost_files(values):
    """Return options without raw files that are gone, where records are named; tells.

    Args:
        values: `dataset` and all of `PATHS`, as from `kept`; others stay.
    """
    raw = [name for name in PATHS if name != "records_dir"]
    lost = [values[n] for n in raw if values[n] and not Path(values[n]).exists()]
    if not lost or not values["records_dir"]:
        return values
    _LOG.warning("%s is not there any more: the records alone are used.", lost[0])
    dataset = catalog.actual_name(values["dataset"], catalog.options_of(values))
    return values | {"dataset": dataset} | dict.fromkeys(raw)
