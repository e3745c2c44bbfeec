"""Outline and count the objects in your own pictures.

    python predict.py photo.jpg --weights runs/demo --out results
    python predict.py photos/ --recursive --weights runs/a1 --out results
    python predict.py "photos/*_rgb.png" --weights runs/a1 --out results --coco all.json
    python predict.py photo.jpg --weights cvppp --out results --explain

Reads PNG, JPEG, TIFF, BMP, WebP, GIF (its first frame) and PPM of any size. Writes to
the folder --out: labels/NAME.png (pixel value = number of the object),
overlays/NAME.png (outlines and numbers), counts.csv, objects.csv and report.html, which
any browser opens; with --explain also explain/NAME.png and explain/NAME.gif, what the
network did at every step. docs/prediction.md describes them. The same command again
goes on where it was: pictures that are done are skipped. Exit code: 0 all well, 1 some
pictures failed, or kept a corrected label map (they are named), 2 nothing could be
done.
"""

import logging
import sys
from pathlib import Path

from keras_recattend.command_line import Parser, quiet_tensorflow, run_command
from keras_recattend.errors import UserError
from keras_recattend.inference_options import (
    add_inference_options,
    inference_changes,
    number,
)

_LOG = logging.getLogger("predict")


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, folder or glob")
    parser.add_argument(
        "--weights", required=True, help="name of shipped weights, or a run folder"
    )
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument(
        "--recursive", action="store_true", help="also look into folders of folders"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the results of these pictures; after a stop, go on without it",
    )
    parser.add_argument("--coco", metavar="FILE", help="write COCO json, too")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="draw what the network did at every step, as PNG and animated GIF",
    )
    parser.add_argument(
        "--batch-size", type=number(int, 1), default=8, metavar="N", help="default: 8"
    )
    parser.add_argument(
        "--overlay-size",
        type=number(int, 16),
        default=1600,
        metavar="N",
        help="longest side of an overlay in pixels; default: 1600",
    )
    add_inference_options(parser, views=True)
    return parser.parse_args(arguments)


def main():
    options = parse()
    from keras_recattend import coco_export, predict_files, prediction_folder
    from keras_recattend.input_files import find_images, source_of
    from keras_recattend.prediction_settings import settings_of
    from keras_recattend.shipped_weights import find_weights

    # All that can be wrong is told before TensorFlow is loaded.
    find_weights(options.weights).read()
    folder = prediction_folder.PredictionFolder(options.out)
    files, problems = find_images(
        options.paths, options.recursive, without=folder.folders
    )
    if not files:
        raise UserError("There is no picture. " + " ".join(m for _, m in problems))
    coco_file = Path(options.coco) if options.coco else None
    if coco_file:
        coco_export.check_free(coco_file)
    quiet_tensorflow()
    from keras_recattend import load

    segmenter = load(options.weights, options.batch_size, **inference_changes(options))
    settings = settings_of(
        segmenter.model.config, segmenter.weights, options.weights, options.overlay_size
    )
    with folder.locked():
        folder.prepare(settings, map(source_of, files), options.overwrite)
        outcome = predict_files.predict_files(
            segmenter.predictor,
            folder,
            files,
            problems=problems,
            overwrite=options.overwrite,
            overlay_size=options.overlay_size,
            coco=coco_file,
            weights=options.weights,
            explain=segmenter.explain if options.explain else None,
            most=segmenter.model.config.max_instances,
        )
    _finish(outcome, folder.path)


def _finish(outcome, out):
    _LOG.info("%s. Open %s", outcome, out / "report.html")
    if outcome.failures:
        names = [file for file, _ in outcome.failures]
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        _LOG.info("Failed (reasons: counts.csv): %s%s", ", ".join(names[:10]), more)
    if not outcome.done:
        raise UserError(f"No picture could be read; see {out / 'counts.csv'}.")
    if outcome.failures or outcome.kept:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
