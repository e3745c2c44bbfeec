"""Make a trained run part of the package, so that its weights have a name.

    python -m keras_recattend.shipping --run runs/a1 --name cvppp --card card.md

Copies weights, configuration and scores of the run to keras_recattend/pretrained/NAME,
with the card (Markdown: the data and its terms, what the weights are for, where they
fail) as README.md. For the people who publish this package.
"""

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from keras_recattend.errors import Parser, UserError, run_command
from keras_recattend.run_folder import PRETRAINED, RunFolder

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
    "minutes",
    "precision",
    "max_steps",
)
FILES = ("best.weights.h5", "metrics.json", "images.csv")


def ship(run, name, card, folder=PRETRAINED, replace=False):
    """Copy what others need of a run to `folder/name`, in one step.

    Args:
        run: the run folder, trained and scored.
        name: by which the weights will be found.
        card: a Markdown file about them.
        replace: whether weights of that name may be replaced.

    Returns:
        The path of the new folder.

    Raises:
        UserError: the run is not complete, the weights are too large, the card is
            missing, or there are weights of that name.
    """
    run, card, target = Path(run), Path(card), Path(folder) / name
    if not name.isidentifier():
        raise UserError(f"A name has letters, digits and underscores; got {name!r}.")
    RunFolder(run).read()
    for path in (*(run / file for file in FILES), card):
        if not path.is_file():
            raise UserError(f"{path} is missing: a shipped model needs it.")
    size = (run / FILES[0]).stat().st_size
    if size > MOST_BYTES:
        raise UserError(
            f"{run / FILES[0]} has {size:,} bytes; shipped weights have {MOST_BYTES:,} "
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
        for file in FILES:
            shutil.copyfile(run / file, made / file)
        shutil.copyfile(card, made / "README.md")
        RunFolder.write_json(made / "config.json", _without_paths(run))
        if target.exists():
            shutil.rmtree(target)
        os.replace(made, target)
    return target


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
    parser.add_argument("--name", required=True, help="by which they are found")
    parser.add_argument("--card", required=True, help="Markdown about the weights")
    parser.add_argument("--replace", action="store_true", help="put in place of others")
    options = parser.parse_args()
    target = ship(options.run, options.name, options.card, replace=options.replace)
    _LOG.info("Written to %s.", target)


if __name__ == "__main__":
    run_command(main)
