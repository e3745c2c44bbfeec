"""The data sets by name, and `prepare`: raw files to records, once."""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datasets.cvppp import find_cvppp
from datasets.errors import DataError
from datasets.leaves import rendered_leaves
from datasets.manifest import Manifest
from datasets.source import Source
from datasets.writer import write_records
from keras_recattend.config import near_names

__all__ = ["DATASETS", "Dataset", "prepare"]

MIN_AREA = 25
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalog.

    Attributes:
        find: `find(data_dir, **options) -> Source`; its keyword arguments are the
            data set's options, of which `free` ones do not change the result.
        title: what it is, in a line.
        raw: it is made from raw files, in `data_dir`.
        free: names of options that change how, not what, is read.
    """

    find: Callable[..., Source]
    title: str
    raw: bool = True
    free: tuple[str, ...] = ()


DATASETS = {
    "leaves": Dataset(
        rendered_leaves, "rendered rosettes", raw=False, free=("workers",)
    ),
    "cvppp": Dataset(find_cvppp, "CVPPP 2017 leaf segmentation challenge"),
}


def prepare(
    dataset: str,
    data_dir: str | Path | None = None,
    records_dir: str | Path | None = None,
    min_area: int = MIN_AREA,
    progress: bool = True,
    **options,
) -> Manifest:
    """Return the records of a data set; convert the raw files if that is due.

    Records that are there already are used again when they are intact and were made
    from the same files with the same options. Otherwise the reason is told, and
    nothing is overwritten.

    Args:
        dataset: a name in `DATASETS`.
        data_dir: folder of the raw files. May be left out when `records_dir` holds
            records already.
        records_dir: where the records go; None = `records/DATASET-NUMBER` with a
            number made from folder, options and `min_area`, so that different ones
            do not meet (`records/leaves` for the leaves as they come).
        min_area: objects with fewer pixels are dropped.
        progress: show a progress bar.
        **options: of the data set, as `subset="A4"` or `train=100`.

    Raises:
        DataError: unknown names, missing or damaged files, or records of something
            else in `records_dir`.
    """
    entry = _entry(dataset)
    _check_options(dataset, entry, options)
    if entry.raw and data_dir is None and records_dir and _has_records(records_dir):
        # The raw files are not needed any more: only compare what was asked for.
        manifest = Manifest.load(records_dir)
        asked = {k: v for k, v in options.items() if k not in entry.free}
        _compare(manifest, dataset, min_area, {"options": asked}, partly=True)
        return manifest
    source = entry.find(data_dir, **options)
    if records_dir is None:
        records_dir = Path("records") / _folder_name(source, entry, min_area)
    if not _has_records(records_dir):
        return write_records(source, records_dir, min_area, progress)
    manifest = Manifest.load(records_dir)
    _compare(manifest, dataset, min_area, source.description())
    _LOG.info("Using the records in %s.", records_dir)
    return manifest


def _entry(dataset):
    if dataset not in DATASETS:
        raise DataError(
            f"There is no data set {dataset!r}." + near_names(dataset, DATASETS)
        )
    return DATASETS[dataset]


def _check_options(dataset, entry, options):
    known = [n for n in inspect.signature(entry.find).parameters if n != "data_dir"]
    for name in options:
        if name not in known:
            raise DataError(
                f"The data set {dataset} has no option {name!r}."
                + near_names(name, known)
            )


def _has_records(directory):
    return (Path(directory) / "manifest.json").is_file()


def _folder_name(source, entry, min_area):
    """`leaves`, or `cvppp-` and eight digits that stand for folder and options."""
    usual = not entry.raw and source.options == entry.find().options
    if usual and min_area == MIN_AREA:
        return source.dataset
    described = json.dumps([source.location, source.options, min_area], sort_keys=True)
    return f"{source.dataset}-{hashlib.sha256(described.encode()).hexdigest()[:8]}"


def _compare(manifest, dataset, min_area, wanted, partly=False):
    """Raise DataError unless the records are what was asked for."""
    stored = manifest.source
    differences = []
    if manifest.dataset != dataset:
        differences.append(f"data set {manifest.dataset}, not {dataset}")
    if manifest.min_area != min_area:
        differences.append(f"least area {manifest.min_area}, not {min_area}")
    # By way of JSON, so that tuples and lists compare as equal.
    options = json.loads(json.dumps(wanted["options"]))
    for name in sorted(options if partly else {*options, *stored["options"]}):
        have, want = stored["options"].get(name), options.get(name)
        if have != want:
            differences.append(f"{name} {have}, not {want}")
    if not partly:
        if stored["location"] != wanted["location"]:
            differences.append(f"from {stored['location']}, not {wanted['location']}")
        elif stored["files"] != wanted["files"]:
            differences.append(_changed_files(stored["files"], wanted["files"]))
    if differences:
        raise DataError(
            f"The records in {manifest.directory} were made differently: "
            f"{'; '.join(differences)}. Delete that folder to have them made again, or "
            "give another one with --records-dir."
        )


def _changed_files(stored, found):
    old, new = dict(map(tuple, stored)), dict(map(tuple, found))
    added, gone = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(name for name in new.keys() & old.keys() if new[name] != old[name])
    parts = [
        f"{len(names)} {word} ({names[0]})"
        for names, word in ((added, "new"), (gone, "gone"), (changed, "changed"))
        if names
    ]
    return "raw files differ since: " + ", ".join(parts)
