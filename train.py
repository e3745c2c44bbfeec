"""Train a model.

    python train.py                                         synthetic leaves, minutes
    python train.py --dataset cvppp --data-dir DIR          CVPPP leaves, all stages
    python train.py --dataset cvppp --data-dir DIR --minutes 90 --run-dir runs/a1
    python train.py --run-dir runs/a1 --resume              go on after a stop
    python train.py --dataset cvppp --data-dir DIR --init runs/a0   from other weights
    python train.py --dataset cvppp --data-dir DIR --val-fraction 0 on every image

Everything about a run lies in its folder: config.json, split.json, history.csv,
history.png, TensorBoard's logs, best and last weights, metrics.json, images.csv. With
--val-fraction 0 nothing is scored: the last weights are the best, val_ columns and
scores stay empty, metrics.json says that there are none and images.csv is not written.
What to expect of such weights, python -m keras_recattend.cross_validation measures.
"""

import argparse
import contextlib
import datetime
import logging
import sys
from pathlib import Path

from keras_recattend.errors import (
    Parser,
    UserError,
    quiet_tensorflow,
    run_command,
)

_LOG = logging.getLogger("train")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def command_line():
    """Return the parser of all options."""
    from datasets.catalog import DATASETS
    from keras_recattend import ablation
    from keras_recattend.config import STAGES

    parser = Parser(__doc__)
    data = parser.add_argument_group("data")
    data.add_argument("--dataset", default="leaves", help=", ".join(DATASETS))
    data.add_argument("--data-dir", help="the raw benchmark's folder")
    data.add_argument("--records-dir", help="TFRecords; default records/DATASET-...")
    data.add_argument(
        "--category", help="coco, labelme: a name, several with commas, or all"
    )
    data.add_argument("--subset", help="cvppp: A1 (default), A2, A3 or A4")
    data.add_argument("--annotations", metavar="FILE", help="coco: one's own file")
    data.add_argument("--images", metavar="DIR", help="coco: where its pictures are")
    data.add_argument(
        "--skip-unlabelled",
        action="store_true",
        default=None,
        help="folder, labelme: leave images without labels out",
    )
    data.add_argument(
        "--val-fraction",
        type=float,
        default=0.2,
        help="share of the labelled images that validates; default 0.2, 0 = all train",
    )
    data.add_argument("--fold", metavar="k/n", help="k-th of n folds validates")
    data.add_argument(
        "--group",
        metavar="REGEX",
        help="images whose names have the same first group stay on one side of the "
        "split, as '(.+)_day' keeps a plant's days together",
    )
    data.add_argument(
        "--val-images",
        type=int,
        default=200,
        metavar="N",
        help="validation images, evenly chosen, that are scored while it trains; "
        "default 200, 0 = all. In the end all are scored",
    )
    model = parser.add_argument_group("model and training")
    model.add_argument("--preset", help="default: the data set's own")
    model.add_argument("--ablation", help=", ".join(ablation.NAMES))
    model.add_argument(
        "--max-instances",
        type=int,
        metavar="N",
        help="most objects that it can find in an image; default: the preset's, or as "
        "many as the fullest image of own data has",
    )
    model.add_argument(
        "--image-size",
        metavar="N|HxW",
        help="pixels of the network's input; default: the preset's",
    )
    model.add_argument(
        "--min-area",
        type=int,
        metavar="N",
        help="objects with fewer pixels do not train and are not found; default: the "
        "preset's",
    )
    model.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="images of a batch in every stage, for GPUs; default: the preset's",
    )
    model.add_argument(
        "--init", metavar="NAME_OR_FOLDER", help="start from shipped weights or a run"
    )
    model.add_argument("--stage", choices=[*STAGES, "all"], default="all")
    model.add_argument("--seed", type=int, default=0, help="split, order, weights")
    model.add_argument("--minutes", type=float, help="budget over the stages")
    model.add_argument(
        "--shares",
        metavar="STAGE=N,...",
        help="stages to train, and how they share the minutes; default: the preset's",
    )
    model.add_argument("--max-steps", type=int, help="end every stage after so many")
    model.add_argument(
        "--learning-rate-factor",
        type=float,
        default=1.0,
        metavar="F",
        help="times every stage's learning rate; below 1 with --init, to go on gently",
    )
    speed = parser.add_argument_group("devices and numbers")
    speed.add_argument(
        "--precision",
        default="float32",
        help="float32 (default), mixed_bfloat16 or mixed_float16",
    )
    speed.add_argument(
        "--strategy",
        help="mirrored: all GPUs of this machine; multiworker: the machines of "
        "TF_CONFIG",
    )
    speed.add_argument(
        "--deterministic",
        action="store_true",
        help="the same weights, bit for bit, in every run; slower",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--run-dir", help="default: a fresh runs/DATASET-DATE")
    run.add_argument("--resume", action="store_true", help="go on in --run-dir")
    run.add_argument(
        "--panels",
        type=int,
        default=2,
        metavar="N",
        help="validation images that TensorBoard shows; default 2, 0 = none",
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def parse(arguments=None):
    from datasets import splits
    from keras_recattend.cluster import check_strategy
    from keras_recattend.config import near_names

    options = command_line().parse_args(arguments)
    if options.resume and not options.run_dir:
        raise UserError("--resume needs --run-dir: the run to go on with.")
    for name, value in (("minutes", options.minutes), ("max-steps", options.max_steps)):
        if value is not None and value <= 0:
            raise UserError(f"--{name} must be above 0, got {value}.")
    _check_shares(options)
    if options.fold and options.val_fraction == 0:
        raise UserError(
            f"--fold {options.fold} and --val-fraction 0 contradict one another: in a "
            "fold some images validate. Leave one of them out."
        )
    if not 0 < options.learning_rate_factor < float("inf"):
        raise UserError(
            "--learning-rate-factor must be a number above 0, got "
            f"{options.learning_rate_factor}."
        )
    for name, value in (("panels", options.panels), ("val-images", options.val_images)):
        if value < 0:
            raise UserError(f"--{name} must be 0 or more, got {value}.")
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed must be from 0 to 2^32 - 1, got {options.seed}.")
    if options.group is not None:
        splits.group_pattern(options.group)
    check_strategy(options.strategy)
    if options.precision not in PRECISIONS:
        raise UserError(
            f"There is no --precision {options.precision!r}."
            f"{near_names(options.precision, PRECISIONS)}"
        )
    if options.deterministic and options.minutes:
        raise UserError(
            "--deterministic and --minutes exclude one another: how many steps fit "
            "into a minute is not the same twice. Use --max-steps, or the preset's."
        )
    return options


def _check_shares(options):
    """Raise UserError where --shares cannot be what was meant."""
    if options.shares and options.stage != "all":
        raise UserError(
            f"--shares {options.shares} and --stage {options.stage} both say which "
            "stages to train. Leave one of them out."
        )
    if options.shares and not options.minutes and not options.resume:
        raise UserError("--shares divides --minutes: give them, too.")


def main():
    with contextlib.ExitStack() as held:
        _run(parse(), held)


def _run(options, held):
    """Train as the options say; `held` is to keep the run folder's lock."""
    # Several machines must meet before TensorFlow has done anything.
    quiet_tensorflow(start=options.strategy != "multiworker")
    import tensorflow as tf

    from datasets import catalog
    from datasets.feed import Examples, Feed
    from datasets.lost_files import without_lost_files
    from datasets.training_data import find_training_data
    from keras_recattend.asked_config import asked_config
    from keras_recattend.cluster import check_strategy
    from keras_recattend.model import RecurrentAttention
    from keras_recattend.precision_cost import warn_if_slow
    from keras_recattend.reporting import versions
    from keras_recattend.run_folder import RunFolder
    from keras_recattend.run_options import kept, resumed
    from keras_recattend.training import seed_everything, stage_names
    from keras_recattend.transfer import start_from
    from keras_recattend.workers import Workers

    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RunFolder(options.run_dir or Path("runs") / f"{options.dataset}-{stamp}")
    cluster = check_strategy(options.strategy)
    is_chief = cluster is None or cluster.is_chief
    if options.resume:
        config, about = folder.read()
        if is_chief:
            held.enter_context(folder.locked())
        named = command_line().named()
        options = resumed(options, about["options"], named, parse([]))
        options = argparse.Namespace(**without_lost_files(vars(options)))
    else:
        dataset = catalog.actual_name(
            options.dataset, catalog.options_of(vars(options))
        )
        config = asked_config(options, dataset)
        about = {"options": kept(options), "versions": versions()}
        _check_places(options, folder, is_chief)
    machines = len(cluster.workers) if cluster else 1
    names = None if options.stage == "all" else [options.stage]
    names = stage_names(config, names, machines)
    workers = Workers.of(options.strategy)
    workers.check_batches(config, names)
    warn_if_slow(options.precision)
    fresh = not options.resume or folder.is_unbegun()
    data = find_training_data(options, config, folder, workers, fresh)
    config, split = data.config, data.split
    # Once more: with more objects it takes more memory.
    stage_names(config, names, machines)

    seed_everything(options.seed)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    with workers.scope():
        model = RecurrentAttention(config, dtype=options.precision)
    if options.init and fresh:
        start_from(model, options.init)
    if is_chief and fresh:
        _begin(folder, config, about, split, options, held)
    _LOG.info("Run %s: preset %s, %s", folder.path, config.name, about["versions"])
    _LOG.info("%d images train, %d validate.", len(split["train"]), len(split["val"]))
    if options.val_fraction == 0 and split["val"]:
        _LOG.warning(
            "The data set has a validation split of its own, which does not train, "
            "whatever --val-fraction says."
        )
    gpus = len(tf.config.list_physical_devices("GPU"))
    parameters = f"{model.count_params():,}"
    _LOG.info("%s parameters, %s GPU found.", parameters, gpus or "no")
    feed = Feed(data.manifest, split, config, data.rendered, options.val_images)
    if len(feed.examples) < len(split["val"]):
        _LOG.info(
            "%d of the images that validate are scored while it trains "
            "(--val-images), all of them in the end.",
            len(feed.examples),
        )
    _train(options, names, model, folder, feed, workers, resume=not fresh)
    if is_chief:
        _finish(config, folder, Examples(data.manifest, split["val"]))
    workers.barrier()


def _check_places(options, folder, is_chief):
    """Tell mistakes before data is converted and a folder is made."""
    from keras_recattend.run_folder import find_weights

    if is_chief:
        folder.check_free()
    if options.init:
        start = find_weights(options.init)
        start.read()
        start.weights_file()


def _begin(folder, config, about, split, options, held):
    """Make the run folder, or use the one that ended before its first epoch."""
    from datasets import splits

    if options.resume:
        _LOG.warning("%s has no saved state: it begins anew.", folder.path)
        folder.keep_history({"done": [], "stage": None})
    else:
        folder.create(config, **about)
        held.enter_context(folder.locked())
    made_with = {name: getattr(options, name) for name in ("seed", "fold", "group")}
    splits.save_split(split, folder.split_file, **made_with)


def _train(options, names, model, folder, feed, workers, resume):
    """Train the stages, or go on with them."""
    from keras_recattend.training import Training

    training = Training(
        model,
        folder,
        feed.stream,
        feed.validation,
        feed.examples,
        seed=options.seed,
        minutes=options.minutes,
        max_steps=options.max_steps,
        unchanged=feed.splits,
        bar=sys.stderr.isatty() and not options.quiet,
        panels=options.panels,
        workers=workers,
    )
    training.run(names, resume)


def _finish(config, folder, examples):
    """Score the best weights as evaluate.py does: on one device, in float32."""
    from keras_recattend.history import plot_history
    from keras_recattend.model import RecurrentAttention
    from keras_recattend.reporting import evaluate_run, leave_unscored

    if len(examples):
        model = RecurrentAttention(config, dtype="float32")
        folder.load_weights(model)
        remedy = f"Make room, and go on with --resume --run-dir {folder.path}"
        total = len(examples)
        evaluate_run(model, examples, folder.path, "val", total=total, remedy=remedy)
    else:
        leave_unscored(config.name, folder.path)
    plot_history(folder.history_file, folder.path / "history.png")


if __name__ == "__main__":
    run_command(main)
