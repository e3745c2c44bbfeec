"""Score a trained model.

    python evaluate.py --run runs/demo --split val
    python evaluate.py --run runs/a1 --split val --overlays 6 --out scores
    python evaluate.py --weights cvppp --dataset cvppp --data-dir DIR --split all \\
        --out scores

    python evaluate.py --run runs/a1 --split test --submission answer.h5
    python evaluate.py --run runs/streets --semantic-dir MAPS --submission results.zip
    python evaluate.py --run runs/zebras --all-images --split val --out all-of-val
    python evaluate.py --run runs/streets --inference foreground_threshold=0.3 --out b

Writes metrics.json, images.csv (one row an image), the predicted label maps as index
PNGs in labels/ and, with --overlays N, a picture that shows N images as input, truth
and prediction side by side. --submission writes what the benchmark's server takes
(cvppp: NAME.h5, cityscapes: a folder or NAME.zip, coco: NAME.json). Images without
labels are predicted and not scored. --inference changes a step between the network and
the result, out of those in docs/metrics.md, which says what every number means.
"""

import dataclasses
import logging
from pathlib import Path

from keras_recattend.command_line import Parser, quiet_tensorflow, run_command
from keras_recattend.data_options import add_data_options
from keras_recattend.errors import UserError
from keras_recattend.inference_options import inference_settings

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
    parser.add_argument("--out", help="folder to write to; default of runs: RUN/SPLIT")
    parser.add_argument("--overlays", type=int, default=0, metavar="N")
    parser.add_argument(
        "--no-labels", action="store_true", help="do not write the label maps"
    )
    parser.add_argument("--submission", metavar="FILE", help="for the server")
    parser.add_argument(
        "--semantic-dir", metavar="DIR", help="cityscapes: maps that name the objects"
    )
    parser.add_argument(
        "--inference",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="as mask_threshold=0.3, several times if need be; default: as in training",
    )
    add_data_options(parser, default="the run's own", all_images=True)
    return parser.parse_args(arguments)


def main():
    options = parse()
    quiet_tensorflow()
    from datasets import records
    from datasets.scored import images_to_score
    from keras_recattend import official
    from keras_recattend.model import RecurrentAttention
    from keras_recattend.reporting import evaluate_run, versions
    from keras_recattend.run_folder import RunFolder
    from keras_recattend.shipped_weights import find_weights

    folder = RunFolder(options.run) if options.run else find_weights(options.weights)
    config, about = folder.read()
    config = config.replace(inference=inference_settings(options.inference))
    out = _free_folder(options, folder)
    trained = about.get("options", {})
    manifest, ids = images_to_score(options, trained, config, folder)
    benchmark = official.of_records(
        manifest, ids, options.submission, options.semantic_dir
    )
    model = RecurrentAttention(config)
    weights = folder.load_weights(model)
    _LOG.info("%d images, weights %s, %s", len(ids), weights, versions())
    evaluate_run(
        model,
        records.examples(manifest, ids),
        out,
        split=options.split,
        overlays=options.overlays,
        labels=not options.no_labels,
        about={
            "dataset": manifest.dataset,
            "dataset_options": manifest.source["options"],
            "semantic_dir": options.semantic_dir,
            "inference": dataclasses.asdict(config.inference),
        },
        benchmark=benchmark,
        total=len(ids),
    )
    _LOG.info("Written to %s.", out)


def _free_folder(options, folder):
    """Where the scores go."""
    from keras_recattend.reporting import check_free
    from keras_recattend.shipped_weights import PRETRAINED

    if not options.out and folder.path.parent == PRETRAINED:
        raise UserError(
            f"{folder.path.name} is part of the package, which is no place for scores: "
            "name a folder with --out."
        )
    out = Path(options.out or folder.path / options.split)
    check_free(out)
    return out


if __name__ == "__main__":
    run_command(main)
