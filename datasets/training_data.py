"""The data that `train.py` trains on: found, converted once, divided."""

import logging
from typing import NamedTuple

from datasets import catalog, splits
from datasets.description import room_for, tell
from datasets.leakage import check_start
from datasets.manifest import Manifest
from keras_recattend.config import Config
from keras_recattend.data_options import options_of

__all__ = ["TrainingData", "find_training_data"]


_LOG = logging.getLogger(__name__)


class TrainingData(NamedTuple):
    """What a training needs of its data.

    Attributes:
        config: the run's, with room for the objects of own data.
        manifest: of the records.
        split: who trains and who validates, see `datasets.splits`.
        rendered: the manifest of the plants that are mixed in, or None.
    """

    config: Config
    manifest: Manifest
    split: splits.Split
    rendered: Manifest | None


def find_training_data(options, config, folder, workers, fresh) -> TrainingData:
    """Convert what is not converted yet, and divide it or take the run's division.

    Args:
        options: of `train.py`, as parsed. config: as asked for.
        folder: the `RunFolder`. fresh: whether the training begins.
        workers: the machines: the chief converts, the others find what it made.

    Raises:
        DataError: as of `catalog.prepare` and `splits.make_split`, or images that
            validate have trained the weights to start from.
    """
    if not workers.is_chief:
        workers.barrier()
    manifest = catalog.prepare(
        options.dataset,
        options.data_dir,
        options.records_dir,
        min_area=config.min_object_area,
        **options_of(vars(options)),
    )
    if fresh:
        split = splits.make_split(
            manifest, options.val_fraction, options.seed, options.fold, options.group
        )
        if options.init:
            check_start(options.init, manifest, split, options.fold)
    else:
        split = splits.load_split(folder.split_file, manifest)
    if fresh and options.max_instances is None:
        config = _with_room(config, manifest)
    # Rendering takes minutes: after the last mistake that can be told.
    rendered = catalog.companions(config)
    if workers.is_chief:
        workers.barrier()
    tell(manifest, config.max_instances)
    return TrainingData(config, manifest, split, rendered)


def _with_room(config, manifest):
    """The config with as many outputs as `room_for` says."""
    most = room_for(manifest.dataset, manifest.max_objects, config.max_instances)
    if most == config.max_instances:
        return config
    _LOG.info(
        "The fullest image has %d objects: max_instances is %d, not the preset's %d "
        "(--max-instances N for another number).",
        manifest.max_objects,
        most,
        config.max_instances,
    )
    return config.replace(max_instances=most)
