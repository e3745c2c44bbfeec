"""Export a trained model for use without this package.

    python export.py --weights cvppp --out exported
    python export.py --weights runs/a1 --out models/leaves/1 --min-area 50

Writes a TensorFlow SavedModel to the folder --out: images of any size in, label map,
masks, scores, boxes and count out, with all that predict.py does before and after the
network inside. TensorFlow alone loads it, in Python, C++ or TensorFlow Serving.
docs/export.md describes its signatures. Exit code: 0 all well, 2 nothing was written.
"""

import logging
import time

from keras_recattend.command_line import Parser, quiet_tensorflow, run_command
from keras_recattend.inference_options import add_inference_options, inference_changes

_LOG = logging.getLogger("export")


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.add_argument(
        "--weights", required=True, help="name of shipped weights, or a run folder"
    )
    parser.add_argument("--out", required=True, help="folder to write to")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an export that is there"
    )
    add_inference_options(parser)
    return parser.parse_args(arguments)


def main():
    options = parse()
    from keras_recattend import saved_model
    from keras_recattend.shipped_weights import find_weights

    # All that can be wrong is told before TensorFlow is loaded.
    find_weights(options.weights).read()
    saved_model.check_free(options.out, options.overwrite)
    quiet_tensorflow()
    from keras_recattend import load

    start = time.monotonic()
    segmenter = load(options.weights, **inference_changes(options))
    saved_model.write(
        segmenter.model, options.out, options.overwrite, weights=options.weights
    )
    _LOG.info("Written to %s in %.0f s.", options.out, time.monotonic() - start)


if __name__ == "__main__":
    run_command(main)
