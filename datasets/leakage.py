"""Leakage: images that validate a training, and trained the weights it starts from."""

import logging
from pathlib import Path

from datasets import catalog, splits
from datasets.cvppp import USUAL_SUBSET
from datasets.errors import DataError
from keras_recattend.data_options import actual_name, options_of
from keras_recattend.run_folder import RunError
from keras_recattend.shipped_weights import find_weights

__all__ = ["check_start", "trained_names"]

_LOG = logging.getLogger(__name__)
MOST_NAMES = 3


def check_start(start, manifest, split, fold=None):
    """Tell of images that validate, and trained the weights to start from.

    Args:
        start: name of shipped weights, or a run folder.
        manifest: of the records. split: of `datasets.splits`.
        fold: "k/n" where the training is one of a cross-validation.

    Raises:
        DataError: there are such images, and the training is a fold: it is asked for
            in order to score images that no weights have seen.
    """
    trained, certain = _trained(start, manifest)
    seen = sorted(trained & set(split["val"]))
    if not seen:
        return
    names = ", ".join(seen[:MOST_NAMES]) + (", ..." if len(seen) > MOST_NAMES else "")
    told = (
        f"{len(seen)} of the {len(split['val'])} images that validate have trained "
        f"{start}, or what that started from, by their names ({names})"
    )
    if certain.isdisjoint(seen):
        told += ". They lay in another folder then; if they are the same"
    elif fold:
        raise DataError(
            f"{told}: they cannot score the fold {fold}. Start from weights of the "
            "same fold and --seed, or from some that know none of these images."
        )
    _LOG.warning(
        "%s: their scores will be too good. The same --fold or --val-fraction and "
        "--seed as there would keep them apart.",
        told,
    )


def trained_names(start, manifest):
    """Return the names of this data set's images that trained weights.

    Those that trained what the weights themselves started from are among them, as far
    as that is still there.

    Args:
        start: name of shipped weights, or a run folder.
        manifest: of the data set.

    Raises:
        RunError: there are no such weights. DataError: their split cannot be read.
    """
    return _trained(start, manifest)[0]


def _trained(start, manifest):
    """All names, and those without doubt.

    Somebody's own pictures that lay in another folder than the manifest's may be
    others: 001.png is in many.
    """
    names, certain = set(), set()
    for folder, options in _chain(start):
        if not _of_same_data(options, manifest):
            continue
        of_run = _names(folder, options, manifest)
        names |= of_run
        if not _lay_elsewhere(options, manifest):
            certain |= of_run
    return names, certain


def _chain(start, known=()):
    """Yield (folder, options) of weights, of what they started from, and so on."""
    folder = find_weights(start)
    if folder.path in known:
        return
    options = folder.read()[1].get("options", {})
    yield folder, options
    if options.get("init"):
        try:
            yield from _chain(options["init"], (*known, folder.path))
        except RunError:
            _LOG.warning(
                "%s started from %s, which is not there any more: whether images that "
                "validate have trained it cannot be told.",
                folder.path,
                options["init"],
            )


def _of_same_data(options, manifest):
    """Whether a run of these options trained on this data set, and this subset of it.

    Subsets of CVPPP have plants of the same names.
    """
    given = options_of(options)
    if actual_name(options.get("dataset"), given) != manifest.dataset:
        return False
    subset = manifest.source.get("options", {}).get("subset")
    return subset is None or given.get("subset", USUAL_SUBSET) == subset


def _lay_elsewhere(options, manifest):
    """Whether a run trained on own pictures, and not on those of the manifest."""
    now = manifest.source.get("location")
    then = [options.get(name) for name in ("data_dir", "images", "annotations")]
    then = [Path(path) for path in then if path]
    if not (catalog.DATASETS[manifest.dataset].own and now and then):
        return False
    now = Path(now)
    return not any(
        path.is_relative_to(now) or now.is_relative_to(path) for path in then
    )


def _names(folder, options, manifest):
    """Of the images that trained one run."""
    stored = folder.split_file
    if stored.is_file():
        return set(splits.load_split(stored)["train"])
    if catalog.DATASETS[manifest.dataset].own:
        # Shipped weights do not tell whose images they were.
        return set()
    return set(splits.make_split(manifest, **splits.made_by(options))["train"])
