"""Options of `train.py`, and what is told of them before anything else happens."""

from keras_recattend import ablation
from keras_recattend.cluster import check_strategy
from keras_recattend.command_line import flag_of
from keras_recattend.config import STAGES
from keras_recattend.data_options import add_data_options
from keras_recattend.errors import UserError
from keras_recattend.near_names import near_names

__all__ = ["add_training_options", "check_training_options"]

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def add_training_options(parser, datasets):
    """Add all options to an argument parser.

    Args:
        datasets: names of the data sets that there are.
    """
    _add_data(parser.add_argument_group("data"), datasets)
    _add_model(parser.add_argument_group("model"))
    _add_training(parser.add_argument_group("training"))
    _add_devices(parser.add_argument_group("devices and numbers"))
    _add_run(parser.add_argument_group("run"))


def _add_data(data, datasets):
    add = data.add_argument
    add("--dataset", default="leaves", help=", ".join(datasets))
    add("--data-dir", help="the raw benchmark's folder")
    add("--records-dir", help="TFRecords; default records/DATASET-...")
    add_data_options(data)
    add(
        "--val-fraction",
        type=float,
        default=0.2,
        help="share of the labelled images that validates; default 0.2, 0 = all train",
    )
    add("--fold", metavar="k/n", help="k-th of n folds validates")
    add(
        "--group",
        metavar="REGEX",
        help="images whose names have the same first group stay on one side of the "
        "split, as '(.+)_day' keeps a plant's days together",
    )
    add(
        "--val-images",
        type=int,
        default=200,
        metavar="N",
        help="validation images, evenly chosen, that are scored while it trains; "
        "default 200, 0 = all. In the end all are scored",
    )


def _add_model(model):
    add = model.add_argument
    add("--preset", help="default: the data set's own")
    add("--ablation", help=", ".join(ablation.NAMES))
    add(
        "--max-instances",
        type=int,
        metavar="N",
        help="most objects that it can find in an image; default: the preset's, or as "
        "many as the fullest image of own data has",
    )
    add(
        "--image-size",
        metavar="N|HxW",
        help="pixels of the network's input; default: the preset's",
    )
    add(
        "--min-area",
        type=int,
        metavar="N",
        help="objects with fewer pixels do not train, nor are they found where the "
        "preset's two limits are equal (not in *_paper); default: the preset's",
    )
    add("--init", metavar="NAME_OR_FOLDER", help="start from shipped weights or a run")


def _add_training(training):
    add = training.add_argument
    add("--stage", choices=[*STAGES, "all"], default="all")
    add("--seed", type=int, default=0, help="split, order, weights")
    add("--minutes", type=float, help="budget over the stages")
    add(
        "--shares",
        metavar="STAGE=N,...",
        help="stages to train, and how they share the minutes; default: the preset's",
    )
    add("--max-steps", type=int, help="end every stage after so many")
    add(
        "--batch-size",
        type=int,
        metavar="N",
        help="images of a batch in every stage, for GPUs; default: the preset's",
    )
    add(
        "--learning-rate-factor",
        type=float,
        default=1.0,
        metavar="F",
        help="times every stage's learning rate; below 1 with --init, to go on gently",
    )


def _add_devices(devices):
    add = devices.add_argument
    others = " or ".join(PRECISIONS[1:])
    add("--precision", default="float32", help=f"default float32, {others}")
    add(
        "--strategy",
        help="mirrored: all GPUs of this machine; multiworker: the machines of "
        "TF_CONFIG",
    )
    add(
        "--deterministic",
        action="store_true",
        help="the same weights, bit for bit, in every run; slower",
    )


def _add_run(run):
    add = run.add_argument
    add("--run-dir", help="default: a fresh runs/DATASET-DATE")
    add("--resume", action="store_true", help="go on in --run-dir")
    add(
        "--panels",
        type=int,
        default=2,
        metavar="N",
        help="validation images that TensorBoard shows; default 2, 0 = none",
    )
    add("--quiet", action="store_true", help="no progress bar")


def check_training_options(options):
    """Raise UserError where parsed options cannot be what was meant."""
    if options.resume and not options.run_dir:
        raise UserError("--resume needs --run-dir: the run to go on with.")
    _check_numbers(options)
    _check_budget(options)
    if options.fold and options.val_fraction == 0:
        raise UserError(
            f"--fold {options.fold} and --val-fraction 0 contradict one another: in a "
            "fold some images validate. Leave one of them out."
        )
    check_strategy(options.strategy)
    if options.precision not in PRECISIONS:
        raise UserError(
            f"There is no --precision {options.precision!r}."
            f"{near_names(options.precision, PRECISIONS)}"
        )


def _check_numbers(options):
    for name in ("minutes", "max_steps"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UserError(f"{flag_of(name)} must be above 0, got {value}.")
    for name in ("panels", "val_images"):
        value = getattr(options, name)
        if value < 0:
            raise UserError(f"{flag_of(name)} must be 0 or more, got {value}.")
    if not 0 < options.learning_rate_factor < float("inf"):
        raise UserError(
            "--learning-rate-factor must be a number above 0, got "
            f"{options.learning_rate_factor}."
        )
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed must be from 0 to 2^32 - 1, got {options.seed}.")


def _check_budget(options):
    if options.shares and options.stage != "all":
        raise UserError(
            f"--shares {options.shares} and --stage {options.stage} both say which "
            "stages to train. Leave one of them out."
        )
    if options.shares and not options.minutes and not options.resume:
        raise UserError("--shares divides --minutes: give them, too.")
    if options.deterministic and options.minutes:
        raise UserError(
            "--deterministic and --minutes exclude one another: how many steps fit "
            "into a minute is not the same twice. Use --max-steps, or the preset's."
        )
