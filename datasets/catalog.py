"""The data sets by name, and `prepare`: raw files to records, once."""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from datasets.cityscapes import find_cityscapes
from datasets.coco import canonical_category, find_coco
from datasets.contents import changed_contents, may_be_others, renewed
from datasets.cvppp import find_cvppp
from datasets.errors import DataError
from datasets.folder import find_folder, survey_folder
from datasets.kitti import find_kitti
from datasets.labelme import find_labelme, survey_labelme
from datasets.leaves import COMPANIONS, rendered_leaves
from datasets.manifest import Manifest
from datasets.own_coco import find_own_coco, survey_own_coco
from datasets.source import Source
from datasets.survey import Survey
from datasets.writer import write_records
from keras_recattend import data_options
from keras_recattend.config import Config
from keras_recattend.near_names import near_names
from keras_recattend.paths import from_the_root

__all__ = [
    "DATASETS",
    "Dataset",
    "canonical",
    "companions",
    "prepare",
    "survey",
    "usual_options",
]

MIN_AREA = 25
# Those that say where files lie: what the files are tells whether they are others.
PLACES = ("annotations", "images")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """One entry of the catalog.

    Attributes:
        find: `find(data_dir, **options) -> Source`; its keyword arguments are the
            data set's options.
        title: what it is, in a line.
        raw: it is made from raw files, in `data_dir`.
        own: of somebody's own pictures, other ones in every folder.
        canonical: {option: function} that give one form to values that mean the same.
        survey: `find` that collects what is wrong; None = it stops at the first.
    """

    find: Callable[..., Source]
    title: str
    raw: bool = True
    own: bool = False
    canonical: dict[str, Callable] = field(default_factory=dict)
    survey: Callable[..., Survey] | None = None


DATASETS = {
    "leaves": Dataset(rendered_leaves, "rendered rosettes", raw=False),
    "cvppp": Dataset(find_cvppp, "CVPPP 2017 leaf segmentation challenge"),
    "kitti": Dataset(find_kitti, "KITTI cars, masks of Zhang et al. 2015"),
    "cityscapes": Dataset(find_cityscapes, "Cityscapes, 8 instance classes"),
    "coco": Dataset(
        find_coco,
        "MS-COCO, one category, several or all",
        canonical={"category": canonical_category},
    ),
    "folder": Dataset(
        find_folder,
        "own images/ and labels/ (index PNG or TIFF)",
        own=True,
        survey=survey_folder,
    ),
    "own_coco": Dataset(
        find_own_coco,
        "own COCO file; the same as coco with --annotations",
        own=True,
        canonical={
            "category": canonical_category,
            "annotations": from_the_root,
            "images": from_the_root,
        },
        survey=survey_own_coco,
    ),
    "labelme": Dataset(
        find_labelme,
        "own LabelMe files, one JSON an image",
        own=True,
        canonical={"category": canonical_category},
        survey=survey_labelme,
    ),
}


def canonical(dataset: str, options: dict) -> dict:
    """Return options in one form, so that those that mean the same are equal.

    Args:
        dataset, options: as from `data_options`.
    """
    forms = _entry(dataset).canonical
    return {n: forms[n](v) if n in forms else v for n, v in options.items()}


def usual_options(dataset: str) -> dict:
    """Return the options of a data set that stand for themselves where none is given.

    Args:
        dataset: as from `data_options.actual_name`.
    """
    parameters = inspect.signature(_entry(dataset).find).parameters.values()
    usual = {p.name: p.default for p in parameters if p.name in data_options.NAMES}
    return {name: value for name, value in usual.items() if value is not None}


def survey(dataset: str, data_dir: str | Path | None = None, **options) -> Survey:
    """Find a data set, with what is wrong with it; nothing is read or converted.

    Args:
        dataset, data_dir, options: as for `prepare`.

    Raises:
        DataError: unknown names, or nothing there; for benchmarks whatever is wrong.
    """
    dataset = data_options.actual_name(dataset, options)
    entry = _entry(dataset)
    _check_options(dataset, entry, options)
    if entry.survey:
        return entry.survey(data_dir, **options)
    return Survey(entry.find(data_dir, **options))


def prepare(
    dataset: str,
    data_dir: str | Path | None = None,
    records_dir: str | Path | None = None,
    min_area: int = MIN_AREA,
    progress: bool = True,
    workers: int | None = None,
    **options,
) -> Manifest:
    """Return the records of a data set; convert the raw files if that is due.

    Records that are there already are used again when they are intact and were made
    from the same files, wherever they lie, with the same options. Otherwise the reason
    is told, and nothing is overwritten.

    Args:
        dataset: a name in `DATASETS`.
        data_dir: folder of the raw files. May be left out when `records_dir` holds
            records already.
        records_dir: where the records go; None = `records/DATASET-NUMBER` with a
            number made from folder, options and `min_area`, so that different ones
            do not meet (`records/leaves` for the leaves as they come).
        min_area: objects with fewer pixels do not train.
        progress: show a progress bar.
        workers: processes that convert; None = one for each core. The records do not
            depend on it.
        **options: of the data set, as `subset="A4"` or `train=100`.

    Raises:
        DataError: unknown names, missing or damaged files, or records of something
            else in `records_dir`.
    """
    dataset = data_options.actual_name(dataset, options)
    entry = _entry(dataset)
    _check_options(dataset, entry, options)
    options = canonical(dataset, options)
    if workers is not None and workers < 1:
        raise DataError(f"The number of workers must be 1 or more, got {workers}.")
    if min_area < 0:
        raise DataError(f"The least area must be 0 pixels or more, got {min_area}.")
    given = data_dir is not None or "annotations" in options
    if entry.raw and not given and records_dir and _has_records(records_dir):
        # The raw files are not needed any more: only compare what was asked for.
        manifest = Manifest.load(records_dir)
        if (dataset, manifest.dataset) == ("coco", "own_coco"):
            raise DataError(
                f"The records in {records_dir} were made of a COCO file of one's own: "
                "give --dataset own_coco to use them without that file."
            )
        _compare(manifest, dataset, min_area, {"options": options}, partly=True)
        return manifest
    source = entry.find(data_dir, **options)
    if records_dir is None:
        records_dir = Path("records") / _folder_name(source, entry, min_area)
    if not _has_records(records_dir):
        return write_records(source, records_dir, min_area, progress, workers)
    manifest, now = Manifest.load(records_dir), time.time_ns()
    _compare(manifest, dataset, min_area, source.description())
    _LOG.info("Using the records in %s.", records_dir)
    if may_be_others(manifest.source, source.location):
        compared = renewed(manifest.source, source.location, now)
        # Somebody else's records may be used as they are.
        with contextlib.suppress(OSError):
            dataclasses.replace(manifest, source=compared).save(records_dir)
    # Where they lie now, for whoever reads the benchmark's own labels.
    now = manifest.source | {"location": source.location}
    return dataclasses.replace(manifest, source=now)


def companions(config: Config) -> Manifest | None:
    """Return the records of the plants that `augmentation.rendered` mixes in, or None.

    They are rendered once, at the network's size, into `records/leaves-...`; none is a
    plant of the data set `leaves`, whose seed is 0.
    """
    if not config.augmentation.rendered:
        return None
    return prepare(
        "leaves",
        min_area=config.min_object_area,
        train=COMPANIONS,
        val=0,
        test=0,
        size=config.image_size,
        seed=1,
    )


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
                + (near_names(name, known) if known else "")
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
    compared = {*options} if partly else {*options, *stored["options"]}
    for name in sorted(compared.difference(PLACES)):
        have, want = stored["options"].get(name), options.get(name)
        if have != want:
            differences.append(f"{name} {have}, not {want}")
    if not partly:
        differences += _other_files(stored, wanted)
    if differences:
        raise DataError(
            f"The records in {manifest.directory} were made differently: "
            f"{'; '.join(differences)}. Delete that folder to have them made again, or "
            "give another one with --records-dir (datasets.convert: --out)."
        )


def _other_files(stored, wanted):
    """What tells the raw files from those of the records, in a list of at most one.

    The same files at another place are no others: they were moved.
    """
    if stored["files"] == wanted["files"]:
        changed = changed_contents(stored, wanted["location"])
        return [_difference(changed=changed)] if changed else []
    if stored["location"] != wanted["location"]:
        return [f"from {stored['location']}, not {wanted['location']}"]
    return [_changed_files(stored["files"], wanted["files"])]


def _changed_files(stored, found):
    old, new = dict(map(tuple, stored)), dict(map(tuple, found))
    added, gone = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(name for name in new.keys() & old.keys() if new[name] != old[name])
    return _difference(added, gone, changed)


def _difference(added=(), gone=(), changed=()):
    parts = [
        f"{len(names)} {word} ({names[0]})"
        for names, word in ((added, "new"), (gone, "gone"), (changed, "changed"))
        if names
    ]
    return "raw files differ since: " + ", ".join(parts)
