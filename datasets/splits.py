"""Who trains, who validates, who tests: seeded, stored, the benchmark's own if any."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.errors import DataError
from datasets.manifest import Manifest

__all__ = [
    "evenly_chosen",
    "group_pattern",
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
    group: str | None = None,
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
        group: regular expression that is found in every name; images of which its
            first group (without any, the whole of it) is the same stay on one side: a
            plant's photographs of many days. The n folds then have as many groups.

    Returns:
        {"train", "val", "test", "all"}: names of images, sorted. "all" has everything
        labelled; "test" is empty where the data set has none, "val" where all train.

    Raises:
        DataError: a bad fold, fraction or group, or nothing left to train or validate.
    """
    labelled = [image for image in manifest.images if image.objects is not None]
    val = sorted(i.source_id for i in labelled if i.split == "val")
    rest = sorted(i.source_id for i in labelled if i.split not in ("val", "test"))
    if val:
        for flag, value in (("fold", fold), ("group", group)):
            if value is not None:
                raise DataError(
                    f"The data set {manifest.dataset} comes with its own validation "
                    f"split; it is not divided. Leave out --{flag} {value}."
                )
        train = rest
    else:
        units = [[name] for name in rest] if group is None else _grouped(rest, group)
        train, val = _divide(manifest, units, val_fraction, seed, fold)
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
    names = ("val_fraction", "seed", "fold", "group")
    return {name: options[name] for name in names if options.get(name) is not None}


def group_pattern(group: str) -> re.Pattern:
    """Compile what `make_split` groups by. Raises DataError where it cannot be."""
    try:
        return re.compile(group)
    except re.error as error:
        raise DataError(f"--group {group} is no regular expression: {error}.") from None


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
        raise DataError(
            f"{total} labelled images (with --group, groups of them) cannot make {n} "
            "folds."
        )
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


def _grouped(names, group):
    """The names in lists, of which a split takes all or none."""
    pattern, groups = group_pattern(group), {}
    for name in names:
        found = pattern.search(name)
        if found is None:
            raise DataError(
                f"--group {group} is not found in the name {name!r}: every image "
                "belongs to a group, as by '(.+)_day' plant1_day03 does to plant1."
            )
        key = found[1] if pattern.groups else found[0]
        groups.setdefault(key, []).append(name)
    return list(groups.values())


def _divide(manifest, units, val_fraction, seed, fold):
    """(names that train, names that validate); a unit stays together."""
    names = [name for unit in units for name in unit]
    if val_fraction == 0 and fold is None:
        return names, []
    if len(units) < 2:
        groups = f", in {len(units)} groups" if len(names) > len(units) else ""
        raise DataError(
            f"{manifest.directory} has {len(names)} labelled images to divide{groups}; "
            "at least 2 are needed, one to train and one to validate."
        )
    shuffled = [units[i] for i in np.random.default_rng(seed).permutation(len(units))]
    if fold is not None:
        k, n = parse_fold(fold, len(units))
        places = np.array_split(np.arange(len(units)), n)[k - 1]
        chosen = {name for place in places for name in shuffled[place]}
    else:
        if not 0 < val_fraction < 1:
            raise DataError(
                "val_fraction must lie between 0 and 1, or be 0 to train on every "
                f"labelled image, got {val_fraction}."
            )
        count, chosen = max(round(len(names) * val_fraction), 1), set()
        # The last unit trains, however small the others are.
        for unit in shuffled[:-1]:
            if len(chosen) < count:
                chosen.update(unit)
    return [n for n in names if n not in chosen], [n for n in names if n in chosen]
