"""Cross-validate a preset: train one run a fold, score every image once.

    python -m keras_recattend.cross_validation --dataset cvppp --data-dir DIR \\
        --folds 5 --minutes 84 --out runs/cv
    python -m keras_recattend.cross_validation --dataset folder --data-dir own
    ... --only 2,3                        these folds alone; the others another time
    ... --init runs/cv --out runs/cv2     each fold goes on from the same fold there

Each fold is a run of train.py, --fold k/n of the same seed, in --out/fold-k, one after
another; without --minutes and --max-steps each takes the preset's own steps. The same
command goes on after a stop: what is finished is not trained again, and a fold that was
interrupted is resumed. One that fails is named in the end; the others are trained.

After every fold metrics.json (means and deviations over all images and over the folds,
every fold, every image; missing_folds), images.csv and the table cross-validation.md
are written anew from all that is finished. Weights trained on all images afterwards,
train.py --val-fraction 0, have no scores of their own: these are what to expect.
"""

from pathlib import Path

from keras_recattend import presets
from keras_recattend.asked_config import asked_preset
from keras_recattend.command_line import Parser, run_command
from keras_recattend.errors import UserError
from keras_recattend.fold_scores import combine, read_fold, write_scores
from keras_recattend.run_folder import RunFolder
from keras_recattend.run_series import (
    COMMON,
    Run,
    RunSeries,
    add_options,
    budget,
)

__all__ = ["chosen", "fold_arguments", "main"]

KIND = "cross-validation"


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.prog = "python -m keras_recattend.cross_validation"
    add_options(parser, "fold")
    add = parser.add_argument
    add(
        "--init",
        metavar="NAME_OR_FOLDER",
        help="start from shipped weights, a run, or a cross-validation, fold by fold",
    )
    add("--learning-rate-factor", type=float, metavar="F", help="as in train.py")
    add("--shares", metavar="STAGE=N,...", help="as in train.py")
    add("--folds", type=int, default=5, metavar="N", help="default 5")
    add("--only", metavar="K,K", help="train these folds, from 1; default: all")
    add("--out", metavar="DIR", help="default: runs/cv-PRESET")
    options = parser.parse_args(arguments)
    if options.folds < 2:
        raise UserError(f"--folds must be 2 or more, got {options.folds}.")
    return options


def chosen(count, only=None):
    """Return the numbers of the folds to train, in order.

    Args:
        count: of all folds. only: numbers with commas between, or None = all.

    Raises:
        UserError: no number, or one that is no fold.
    """
    if only is None:
        return list(range(1, count + 1))
    try:
        numbers = sorted({int(part) for part in only.split(",") if part.strip()})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1 or numbers[-1] > count:
        raise UserError(
            f"--only takes numbers of folds from 1 to {count}, as 2,3; got {only!r}."
        )
    return numbers


def main():
    options = parse()
    numbers = chosen(options.folds, options.only)
    preset = asked_preset(options)
    presets.get(preset)
    series = series_of(options, options.out or Path("runs") / f"cv-{preset}")
    about = _about(options, preset)
    left = [k for k in numbers if not series.is_finished(_name(k))]
    _check_starts(options.init, left)
    runs = [Run(_name(k), fold_arguments(options, k)) for k in numbers]
    with series.opened():
        series.train(runs, lambda: _report(series, options.folds, about))


def series_of(options, out):
    """The `RunSeries` of parsed options."""
    passed = (*COMMON, "learning_rate_factor", "shares")
    return RunSeries(out, KIND, options, passed, ("folds", "init"))


def _is_series(init):
    """Whether a training starts from a cross-validation: fold by fold."""
    return init is not None and (Path(init) / f"{KIND}.json").is_file()


def fold_arguments(options, number):
    """What train.py is given for the fold of this number alone."""
    arguments = ("--fold", f"{number}/{options.folds}")
    if options.init is None:
        return arguments
    start = options.init
    if _is_series(start):
        start = Path(start) / _name(number)
    return *arguments, "--init", str(start)


def _check_starts(init, numbers):
    """Raise UserError where a cross-validation to start from lacks one of the folds."""
    if not _is_series(init):
        return
    folders = {k: RunFolder(Path(init) / _name(k)) for k in numbers}
    missing = [
        str(k)
        for k, folder in folders.items()
        # Stages that are not scored leave the last weights alone.
        if not folder.metrics_file.is_file()
        or not (folder.best_weights.is_file() or folder.last_weights.is_file())
    ]
    if missing:
        raise UserError(
            f"The cross-validation in {init} has no finished weights of fold "
            f"{', '.join(missing)} to start from. Train it first, or name the folds "
            "that it has with --only."
        )


def _name(number):
    return f"fold-{number}"


def _about(options, preset):
    """What stands above the table."""
    start = f", from `{options.init}`" if options.init else ""
    if _is_series(options.init):
        start += ", fold by fold"
    factor = options.learning_rate_factor
    rates = f", learning rates times {factor:g}" if factor else ""
    shares = f", divided {options.shares}" if options.shares else ""
    return [
        f"{options.folds}-fold cross-validation of the preset `{preset}` on "
        f"{options.dataset}{start}: {budget(options)}{shares}{rates}.",
        "",
        "Every image is scored once, by weights that it did not train. They are the "
        "best of its fold's training, by the SBD of the fold's images themselves; "
        "*last epoch* has those that it ended with, on the images that were scored "
        "while it trained (`--val-images`). Mean (standard deviation).",
    ]


def _report(series, count, about):
    """Write the scores of all finished folds; return the paths."""
    numbers = [k for k in range(1, count + 1) if series.is_finished(_name(k))]
    folds = [read_fold(k, series.out / _name(k)) for k in numbers]
    return write_scores(combine(folds, count), about, series.out) if folds else []


if __name__ == "__main__":
    run_command(main)
