"""Who trains, who validates, who tests: seeded, stored, the benchmark's own if any."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.errors import DataError
from datasets.manifest import Manifest

__all__ = [
    "evenly_chosen",
    "load_split",
    "made_by",
    "make_split",
    "parse_fold",
    "save_split",
    "undivided",
]

Split = dict[str, list[str]]


def make_split(
    manifest: Manifest,
    val_fraction: float = 0.2,
    seed: int = 0,
    fold: str | None = None,
) -> Split:
    """Divide the images of a data set.

    Images that the benchmark itself calls "val" or "test" stay there. Without a native
    "val", the other labelled images are shuffled by the seed and divided: either
    `val_fraction` of them for validation, or the k-th of n equal folds. With a
    `val_fraction` of 0 they all train.

    Args:
        manifest: of the records.
        val_fraction: share of the labelled images that validate, one at least; 0 =
            none.
        seed: of the shuffle; the same seed gives the same split, and the n folds of
            one seed cover every image once.
        fold: "k/n", k from 1 to n, instead of `val_fraction`.

    Returns:
        {"train", "val", "test", "all"}: names of images, sorted. "all" has everything
        labelled; "test" is empty where the data set has none, "val" where all train.

    Raises:
        DataError: a bad fold or fraction, or nothing left to train or validate.
    """
    labelled = [image for image in manifest.images if image.objects is not None]
    val = sorted(i.source_id for i in labelled if i.split == "val")
    rest = sorted(i.source_id for i in labelled if i.split not in ("val", "test"))
    if val:
        if fold is not None:
            raise DataError(
                f"The data set {manifest.dataset} comes with its own validation split; "
                f"it cannot be divided into folds. Leave out --fold {fold}."
            )
        train = rest
    else:
        train, val = _divide(manifest, rest, val_fraction, seed, fold)
    if not train:
        raise DataError(f"{manifest.directory} has no labelled image left to train on.")
    return {
        "train": sorted(train),
        "val": sorted(val),
        **undivided(manifest),
    }


def undivided(manifest: Manifest) -> Split:
    """Return what no seed decides, nor needs anything to train on: "test" and "all"."""
    images = manifest.images
    return {
        "test": sorted(i.source_id for i in images if i.split == "test"),
        "all": sorted(i.source_id for i in images if i.objects is not None),
    }


def made_by(options: dict) -> dict:
    """Pick what `make_split` needs from the options that a training keeps."""
    names = ("val_fraction", "seed", "fold")
    return {name: options[name] for name in names if options.get(name) is not None}


def evenly_chosen(names: Sequence[str], most: int) -> Sequence[str]:
    """Return `most` of some names (0 = all), evenly spread over their order.

    Benchmarks name images by where they were taken: every place has its share.
    """
    if not most or most >= len(names):
        return names
    return [names[i * len(names) // most] for i in range(most)]


def parse_fold(fold: str, total: int) -> tuple[int, int]:
    """Read "k/n" (k from 1). Raises DataError where it makes no sense for `total`."""
    try:
        k, n = (int(part) for part in fold.split("/"))
    except ValueError:
        raise DataError(
            f"A fold is given as k/n, for example 1/5, got {fold!r}."
        ) from None
    if n < 2 or not 1 <= k <= n:
        raise DataError(f"Fold k/n needs n of 2 or more and k from 1 to n, got {fold}.")
    if n > total:
        raise DataError(f"{total} labelled images cannot make {n} folds.")
    return k, n


def save_split(split: Split, path: str | Path, **made_with) -> None:
    """Store a split as JSON, with what it was made with (seed, fold, ...)."""
    text = json.dumps({"made_with": made_with, **split}, indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load_split(path: str | Path, manifest: Manifest | None = None) -> Split:
    """Read what `save_split` stored.

    Args:
        path: the JSON file.
        manifest: if given, every name must be in it.

    Raises:
        DataError: no such file, another content, or names that the records lack.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        split = {name: list(values[name]) for name in ("train", "val", "test", "all")}
    except FileNotFoundError:
        raise DataError(f"There is no split file {path}.") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{path} is no split file; expected JSON with lists of names under train, "
            f"val, test and all ({error!r}). Delete it to have a new split made."
        ) from error
    if manifest is not None:
        missing = {name for names in split.values() for name in names}
        missing = sorted(missing - set(manifest.ids))
        if missing:
            raise DataError(
                f"{path} names {len(missing)} images that the records in "
                f"{manifest.directory} lack ({', '.join(missing[:3])}). The split was "
                "made for other records: give those, or have a new split made."
            )
    return split


def _divide(manifest, names, val_fraction, seed, fold):
    if val_fraction == 0 and fold is None:
        return names, []
    if len(names) < 2:
        raise DataError(
            f"{manifest.directory} has {len(names)} labelled images to divide; at "
            "least 2 are needed, one to train and one to validate."
        )
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    if fold is not None:
        k, n = parse_fold(fold, len(names))
        chosen = {str(name) for name in np.array_split(np.array(shuffled), n)[k - 1]}
    else:
        if not 0 < val_fraction < 1:
            raise DataError(
                "val_fraction must lie between 0 and 1, or be 0 to train on every "
                f"labelled image, got {val_fraction}."
            )
        count = round(len(names) * val_fraction)
        chosen = set(shuffled[: min(max(count, 1), len(names) - 1)])
    return [n for n in names if n not in chosen], [n for n in names if n in chosen]
