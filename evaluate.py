"""Score a trained model.

    python evaluate.py --run runs/demo --split val
    python evaluate.py --run runs/a1 --split val --overlays 6 --out scores
    python evaluate.py --weights cvppp --dataset cvppp --data-dir DIR --split all

Writes metrics.json, images.csv (one row an image), the predicted label maps as index
PNGs in labels/ and, with --overlays N, a picture that shows N images as input, truth
and prediction side by side.
"""

import logging
from pathlib import Path

from keras_recattend.errors import (
    Parser,
    UserError,
    quiet_tensorflow,
    run_command,
)

_LOG = logging.getLogger("evaluate")
SPLITS = ("train", "val", "test", "all")


def parse(arguments=None):
    parser = Parser(__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", help="a run folder of train.py")
    what.add_argument("--weights", help="name of shipped weights, or a run folder")
    parser.add_argument("--dataset", help="default: the run's own")
    parser.add_argument("--data-dir", help="the raw benchmark's folder")
    parser.add_argument("--records-dir", help="TFRecords; default records/DATASET-...")
    parser.add_argument("--split", choices=SPLITS, default="val")
    parser.add_argument("--out", help="folder to write to; default: RUN/SPLIT")
    parser.add_argument("--overlays", type=int, default=0, metavar="N")
    parser.add_argument(
        "--no-labels", action="store_true", help="do not write the label maps"
    )
    return parser.parse_args(arguments)


def main():
    options = parse()
    quiet_tensorflow()
    from keras_recattend.model import RecurrentAttention
    from keras_recattend.reporting import evaluate_run, versions
    from keras_recattend.run_folder import RunFolder, find_weights

    folder = RunFolder(options.run) if options.run else find_weights(options.weights)
    config, about = folder.read()
    examples = _examples(options, config, about.get("options", {}), folder)
    out = Path(options.out or folder.path / options.split)
    if (out / "metrics.json").exists():
        raise UserError(
            f"{out} holds an evaluation already. Name another folder with --out, or "
            "delete that one."
        )
    model = RecurrentAttention(config)
    weights = folder.load_weights(model)
    _LOG.info("%d images, weights %s, %s", len(examples), weights, versions())
    evaluate_run(
        model,
        examples,
        out,
        split=options.split,
        overlays=options.overlays,
        labels=not options.no_labels,
    )
    _LOG.info("Written to %s.", out)


def _examples(options, config, trained, folder):
    """The labelled examples of the split, at their original size."""
    from datasets import catalog, records, splits

    dataset = options.dataset or trained.get("dataset") or config.dataset
    own = dataset == trained.get("dataset")
    data_dir, records_dir = options.data_dir, options.records_dir
    if own and not data_dir:
        data_dir, records_dir = (
            trained.get("data_dir"),
            records_dir or trained.get("records_dir"),
        )
    manifest = catalog.prepare(
        dataset, data_dir, records_dir, min_area=config.min_object_area
    )
    stored = folder.path / "split.json"
    if options.split == "all":
        ids = splits.make_split(manifest)["all"]
    elif own and stored.is_file():
        ids = splits.load_split(stored, manifest)[options.split]
    else:
        ids = splits.make_split(manifest)[options.split]
    examples = [e for e in records.examples(manifest, ids) if e.labels is not None]
    if not examples:
        raise UserError(
            f"The split {options.split!r} of {dataset} has no labelled image to score."
        )
    return examples


if __name__ == "__main__":
    from datasets.errors import DataError

    run_command(main, DataError)
