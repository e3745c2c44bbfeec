"""Make a trained run part of the package, so that its weights have a name.

    python -m keras_recattend.shipping --run runs/a1 --name cvppp --card card.md
    python -m keras_recattend.shipping --run runs/everything --scores runs/cv \
        --name cvppp --card card.md

Copies weights, configuration and scores of the run to keras_recattend/pretrained/NAME,
with the card (Markdown: the data and its terms, what the weights are for, where they
fail) as README.md. A run on all labelled images has no scores of its own: --scores
takes them from a cross-validation of the same preset. For the people who publish this
package.
"""

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from keras_recattend.command_line import Parser, run_command
from keras_recattend.errors import UserError
from keras_recattend.run_folder import RunFolder
from keras_recattend.shipped_weights import PRETRAINED

__all__ = ["ship"]

_LOG = logging.getLogger(__name__)
MOST_BYTES = 8_000_000
# Options of the training that are worth knowing; paths of the machine are not.
KEPT_OPTIONS = (
    "dataset",
    "category",
    "subset",
    "preset",
    "ablation",
    "val_fraction",
    "fold",
    "seed",
    "batch_size",
    "stage",
    "minutes",
    "shares",
    "precision",
    "max_steps",
    "learning_rate_factor",
)
WEIGHTS = "best.weights.h5"
SCORES = ("metrics.json", "images.csv")


def ship(run, name, card, folder=PRETRAINED, replace=False, scores=None):
    """Copy what others need of a run to `folder/name`, in one step.

    Args:
        run: the run folder, trained to its end.
        name: by which the weights will be found.
        card: a Markdown file about them.
        replace: whether weights of that name may be replaced.
        scores: a folder with `metrics.json` and `images.csv`, of a cross-validation
            say; None = the run's own.

    Returns:
        The path of the new folder.

    Raises:
        UserError: the run or its scores are not complete or not of one preset, the
            weights are too large, the card is missing, or there are weights of that
            name.
    """
    run, card, target = Path(run), Path(card), Path(folder) / name
    scores = run if scores is None else Path(scores)
    if not name.isidentifier():
        raise UserError(f"A name has letters, digits and underscores; got {name!r}.")
    config, _ = RunFolder(run).read()
    for path in (run / WEIGHTS, card):
        if not path.is_file():
            raise UserError(f"{path} is missing: a shipped model needs it.")
    _check_scores(run, scores, config.name)
    size = (run / WEIGHTS).stat().st_size
    if size > MOST_BYTES:
        raise UserError(
            f"{run / WEIGHTS} has {size:,} bytes; shipped weights have {MOST_BYTES:,} "
            "at most."
        )
    if target.exists() and not replace:
        raise UserError(
            f"{target} exists. Compare its metrics.json with the run's, then give "
            "--replace or another --name."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ship-", dir=target.parent) as made:
        made = Path(made) / name
        made.mkdir()
        shutil.copyfile(run / WEIGHTS, made / WEIGHTS)
        for file in SCORES:
            shutil.copyfile(scores / file, made / file)
        shutil.copyfile(card, made / "README.md")
        RunFolder.write_json(made / "config.json", _without_paths(run))
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    return target


def _check_scores(run, folder, preset):
    """Raise UserError where the folder lacks scores, or they are of something else."""
    metrics = run / SCORES[0]
    if not metrics.is_file():
        raise UserError(
            f"{metrics} is missing: the training has not come to its end. Go on with "
            f"train.py --resume --run-dir {run}"
        )
    if folder == run and _read(metrics).get("n_images") == 0:
        raise UserError(
            f"{metrics} has no scores: every labelled image trained. Give --scores, "
            "the folder of a cross-validation of the same preset (python -m "
            "keras_recattend.cross_validation)."
        )
    for path in (folder / file for file in SCORES):
        if not path.is_file():
            raise UserError(f"{path} is missing: a shipped model needs its scores.")
    values = _read(folder / SCORES[0])
    if folder != run and not values.get("n_images"):
        raise UserError(f"{folder / SCORES[0]} has no scores of any image.")
    if missing := values.get("missing_folds"):
        raise UserError(
            f"The cross-validation in {folder} has not come to its end (missing folds: "
            f"{', '.join(map(str, missing))}). Call it again."
        )
    if values.get("preset", preset) != preset:
        raise UserError(
            f"The scores in {folder} are of the preset {values['preset']}, the weights "
            f"in {run} of {preset}."
        )


def _read(metrics):
    try:
        return dict(json.loads(metrics.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{metrics} cannot be read: {error}") from error


def _without_paths(run):
    """The run's config.json, without where its data lay."""
    values = json.loads((run / "config.json").read_text())
    options = values.get("options", {})
    kept = {n: options[n] for n in KEPT_OPTIONS if options.get(n) is not None}
    return values | {"options": kept}


def main():
    parser = Parser(__doc__)
    parser.prog = "python -m keras_recattend.shipping"
    parser.add_argument("--run", required=True, help="a run folder of train.py")
    parser.add_argument(
        "--scores",
        metavar="FOLDER",
        help="of a cross-validation; default: the run's own scores",
    )
    parser.add_argument("--name", required=True, help="by which they are found")
    parser.add_argument("--card", required=True, help="Markdown about the weights")
    parser.add_argument("--replace", action="store_true", help="put in place of others")
    options = parser.parse_args()
    target = ship(
        options.run,
        options.name,
        options.card,
        replace=options.replace,
        scores=options.scores,
    )
    _LOG.info("Written to %s.", target)


if __name__ == "__main__":
    run_command(main)
