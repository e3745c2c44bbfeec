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

from keras_recattend.command_line import Parser, quiet_tensorflow, run_command

_LOG = logging.getLogger("train")


def command_line():
    """Return the parser of all options."""
    from datasets.catalog import DATASETS
    from keras_recattend.training_options import add_training_options

    parser = Parser(__doc__)
    add_training_options(parser, DATASETS)
    return parser


def parse(arguments=None):
    from datasets import splits
    from keras_recattend.training_options import check_training_options

    options = command_line().parse_args(arguments)
    check_training_options(options)
    if options.group is not None:
        splits.group_pattern(options.group)
    return options


def main():
    with contextlib.ExitStack() as held:
        _run(parse(), held)


def _run(options, held):
    """Train as the options say; `held` is to keep the run folder's lock."""
    # Several machines must meet before TensorFlow has done anything.
    quiet_tensorflow(start=options.strategy != "multiworker")
    import tensorflow as tf

    from datasets.feed import Examples, Feed
    from datasets.lost_files import without_lost_files
    from datasets.training_data import find_training_data
    from keras_recattend.asked_config import asked_config
    from keras_recattend.cluster import check_strategy
    from keras_recattend.memory import check_memory
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
        config = asked_config(options)
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
    # With room for more objects it takes more memory.
    check_memory(config, names, machines)

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
    from keras_recattend.shipped_weights import find_weights

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
        # Its data may have changed, and with it the room for objects.
        folder.write_config(config, **about)
        folder.history.keep({"done": [], "stage": None})
    else:
        folder.create(config, **about)
        held.enter_context(folder.locked())
    made_with = {name: getattr(options, name) for name in ("seed", "fold", "group")}
    with folder.writing(folder.split_file):
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
        with folder.writing(folder.metrics_file):
            leave_unscored(config.name, folder.path)
    picture = folder.path / "history.png"
    with folder.writing(picture):
        plot_history(folder.history.path, picture)


if __name__ == "__main__":
    run_command(main)
