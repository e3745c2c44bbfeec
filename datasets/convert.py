"""Convert a data set to TFRecords, without training.

    python -m datasets.convert --dataset kitti --data-dir DIR --out records/kitti
    python -m datasets.convert --dataset coco --category zebra --data-dir DIR
    python -m datasets.convert --dataset cvppp --subset A4 --data-dir DIR --workers 8

Raw files are read in the benchmark's own layout; what is missing is named, with where
it is obtained. A conversion that was interrupted, or stopped at a bad file, goes on
where it was when the same command is given again. What was read, and what of it was
not taken over and why, is told in the end and stored in manifest.json.

train.py converts by itself what it needs: this is for other machines, other programs,
or doing the slow part first. Without --out the records go to where train.py looks.
"""

import logging

from keras_recattend.command_line import Parser, quiet_tensorflow, run_command
from keras_recattend.data_options import actual_name, add_data_options, options_of

_LOG = logging.getLogger("convert")


def parse(arguments=None):
    from datasets.catalog import DATASETS

    parser = Parser(__doc__)
    parser.prog = "python -m datasets.convert"
    titles = "; ".join(f"{name}: {entry.title}" for name, entry in DATASETS.items())
    parser.add_argument("--dataset", required=True, help=titles)
    parser.add_argument("--data-dir", metavar="DIR", help="the raw benchmark's folder")
    parser.add_argument(
        "--out",
        metavar="RECORDS",
        help="folder to make, which must not hold anything else; default: a folder "
        "records/DATASET-NUMBER, where train.py looks as well",
    )
    add_data_options(parser, all_images=True)
    parser.add_argument(
        "--min-area",
        type=int,
        metavar="N",
        help="objects with fewer pixels (at the image's own size) do not train; "
        "default: what the data set's preset says, which train.py expects",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read and compress; default: one for each core",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(arguments)


def main():
    options = parse()
    quiet_tensorflow()
    from datasets import catalog

    given = options_of(vars(options))
    preset = _preset(actual_name(options.dataset, given))
    least = preset.min_object_area if preset else catalog.MIN_AREA
    manifest = catalog.prepare(
        options.dataset,
        options.data_dir,
        options.out,
        min_area=least if options.min_area is None else options.min_area,
        progress=not options.quiet,
        workers=options.workers,
        **given,
    )
    _LOG.info(
        "%d images with at most %d objects in %s.",
        len(manifest.images),
        manifest.max_objects,
        manifest.directory,
    )
    if preset and (crowded := manifest.crowded(preset.max_instances)):
        _LOG.warning(
            "%d images have more than the %d objects of the preset %s (as %s): "
            "training keeps the largest.",
            len(crowded),
            preset.max_instances,
            preset.name,
            crowded[0],
        )


def _preset(dataset):
    """The data set's own preset; None where it has none."""
    from keras_recattend import presets

    return presets.get(dataset) if dataset in presets.PRESETS else None


if __name__ == "__main__":
    run_command(main)
