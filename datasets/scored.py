"""The images that `evaluate.py` scores: of the run's own data, or others."""

from datasets import catalog, splits
from datasets.lost_files import without_lost_files
from datasets.manifest import Manifest
from keras_recattend.data_options import actual_name, options_of
from keras_recattend.errors import UserError
from keras_recattend.paths import PATHS

__all__ = ["images_to_score"]


def images_to_score(options, trained, config, folder) -> tuple[Manifest, list[str]]:
    """Return the records, and the names of the split's images.

    Args:
        options: of `evaluate.py`, as parsed.
        trained: the options that the run keeps, as from `run_options.kept`.
        config: of the run. folder: its `RunFolder`.

    Raises:
        UserError: no such image, or annotations that other images need.
        DataError: as of `catalog.prepare`.
    """
    given = options_of(vars(options))
    dataset = options.dataset or trained.get("dataset") or config.dataset
    own = _is_own(dataset, given, trained)
    known, data_dir, records_dir = {}, options.data_dir, options.records_dir
    if own:
        known, data_dir, records_dir = _of_the_run(options, given, trained, folder)
        dataset = actual_name(dataset, options_of(trained) | given)
    manifest = catalog.prepare(
        dataset,
        data_dir,
        records_dir,
        min_area=config.min_object_area,
        **known | given,
    )
    ids = _of_split(options, manifest, folder, trained if own else None)
    if not ids and own and options.split == "val":
        raise UserError(
            f"{folder.path} was trained on every labelled image (--val-fraction 0): "
            "none validates. Score other images, with --dataset, --data-dir and "
            "--split all, or measure what to expect with python -m "
            "keras_recattend.cross_validation."
        )
    if not ids:
        raise UserError(f"The split {options.split!r} of {dataset} has no image.")
    return manifest, ids


def _is_own(dataset, given, trained):
    """Whether the run was trained on this data set, by either of its names."""
    known = options_of(trained)
    actual = actual_name(trained.get("dataset"), known)
    return actual_name(dataset, known | given) == actual


def _of_the_run(options, given, trained, folder):
    """The run's own options of its data, and where that lies: (options, raw, records).

    What the command line names goes first.
    """
    known = options_of(trained)
    if options.data_dir:
        if "annotations" in known and "annotations" not in given:
            raise UserError(
                f"{folder.path} was trained on {known['annotations']}, which says "
                "nothing of the images in --data-dir. Give theirs with --annotations "
                "FILE.json."
            )
        known.pop("images", None)
        return known, options.data_dir, options.records_dir
    where = {name: trained.get(name) for name in ("dataset", *PATHS)}
    # Records made with other options are no use, and stay for the training.
    of_run = trained.get("records_dir") if _adds_nothing(given, trained) else None
    where["records_dir"] = options.records_dir or of_run
    if not given.keys() & PATHS:
        where = without_lost_files(where)
    if "images" in given:
        where["data_dir"] = None
    known = {k: v for k, v in known.items() if k not in PATHS or where[k]}
    return known, where["data_dir"], where["records_dir"]


def _adds_nothing(given, trained):
    """Whether the options given are those by which the run's records were made."""
    known = options_of(trained)
    dataset = actual_name(trained["dataset"], known)
    usual = catalog.usual_options(dataset)
    given, known, usual = (
        catalog.canonical(dataset, options) for options in (given, known, usual)
    )
    known = usual | known
    return all(given[name] == known.get(name) for name in given.keys() - PATHS)


def _of_split(options, manifest, folder, trained):
    """Names of the split's images; `trained` is None where others than the run's own.

    Shipped weights come without the file of the split, but with what it was made by.
    """
    stored = folder.split_file
    if options.split in ("all", "test"):
        # Not divided by us; and the test images may have come after the training.
        return splits.undivided(manifest)[options.split]
    if trained is None or not stored.is_file():
        return splits.make_split(manifest, **splits.made_by(trained or {}))[
            options.split
        ]
    split = splits.load_split(stored, manifest)
    ids = split[options.split]
    if options.all_images and options.split == "val":
        ids = sorted({*ids, *_unseen(manifest, split)})
    return ids


def _unseen(manifest, split):
    """Images that the run's records left out, having no object, and did not train."""
    return {
        image.source_id
        for image in manifest.images
        if image.objects == 0 and image.split in ("", "val")
    }.difference(split["all"])
