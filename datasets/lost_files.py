"""Raw files that a run was trained on and that are gone since."""

import logging
from pathlib import Path

from keras_recattend.data_options import actual_name, options_of
from keras_recattend.paths import PATHS

__all__ = ["without_lost_files"]

_LOG = logging.getLogger(__name__)


def without_lost_files(values: dict) -> dict:
    """Return options without raw files that are gone, where records are named; tells.

    Args:
        values: `dataset` and all of `PATHS`, as from `run_options.kept`; others stay.
    """
    raw = [name for name in PATHS if name != "records_dir"]
    lost = [values[n] for n in raw if values[n] and not Path(values[n]).exists()]
    if not lost or not values["records_dir"]:
        return values
    _LOG.warning("%s is not there any more: the records alone are used.", lost[0])
    # Without its file of annotations, "coco" would be the benchmark.
    dataset = actual_name(values["dataset"], options_of(values))
    return values | {"dataset": dataset} | dict.fromkeys(raw)
