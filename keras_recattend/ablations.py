"""Train the full model and every ablation of the paper's Table 4; write the table.

    python -m keras_recattend.ablations --dataset leaves --minutes 15
    python -m keras_recattend.ablations --dataset kitti --data-dir DIR --minutes 60
    python -m keras_recattend.ablations --minutes 15 --only full,glimpses_1

Each variation is a run of train.py with the same budget, seed and split, one after
another, in a folder of its own under --out. The same command goes on after a stop: what
is finished is not trained again, and a variation that was interrupted is resumed. One
that fails is named in the end; the others are trained. The table, ablations.md and
ablations.csv, is written anew after every variation.
"""

import logging
from pathlib import Path

from keras_recattend import ablation, presets
from keras_recattend.ablation_table import FULL, row_of, write_table
from keras_recattend.asked_config import asked_preset
from keras_recattend.command_line import Parser, run_command
from keras_recattend.errors import ConfigError, UserError
from keras_recattend.near_names import near_names
from keras_recattend.run_series import (
    COMMON,
    Run,
    RunSeries,
    add_options,
    budget,
)

__all__ = ["chosen", "main"]

_LOG = logging.getLogger("ablations")


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.prog = "python -m keras_recattend.ablations"
    add_options(parser, "variation", dataset="leaves")
    add = parser.add_argument
    add("--val-fraction", type=float, default=0.2, help="default 0.2")
    add("--fold", metavar="k/n", help="k-th of n folds validates")
    add("--only", metavar="A,B", help=", ".join((FULL, *ablation.NAMES)))
    add("--out", metavar="DIR", help="default: runs/ablations-PRESET")
    options = parser.parse_args(arguments)
    if options.minutes is None and options.max_steps is None:
        raise UserError("Give --minutes M, the budget of each variation.")
    if options.val_fraction == 0:
        raise UserError(
            "--val-fraction 0 leaves no image to compare the variations on. Give a "
            "fraction above 0, or --fold k/n."
        )
    return options


def chosen(config, only=None):
    """Return the variations to train, the full model first.

    Args:
        config: the preset's `Config`.
        only: names with commas between, or None = all that the preset can have.

    Raises:
        ConfigError: a name that does not exist, or that the preset cannot have.
    """
    names, reasons = ablation.applicable(config)
    if only is None:
        for reason in reasons.values():
            _LOG.info("Left out: %s", reason)
        return [FULL, *names]
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    for name in wanted:
        if name not in (FULL, *ablation.NAMES):
            known = (FULL, *ablation.NAMES)
            raise ConfigError(
                f"There is no ablation {name!r}." + near_names(name, known)
            )
        if name in reasons:
            raise ConfigError(reasons[name])
    if not wanted:
        raise ConfigError("--only names no ablation." + near_names("", ablation.NAMES))
    return [name for name in (FULL, *names) if name in wanted]


def main():
    options = parse()
    preset = asked_preset(options)
    names = chosen(presets.get(preset), options.only)
    out = Path(options.out or Path("runs") / f"ablations-{preset}")
    about = [
        f"Ablations of the preset `{preset}` on {options.dataset}: {budget(options)}."
    ]
    series = series_of(options, out)
    runs = [Run(n, () if n == FULL else ("--ablation", n)) for n in names]
    with series.opened():
        series.train(runs, lambda: _report(series, about))


def series_of(options, out):
    """The `RunSeries` of parsed options."""
    return RunSeries(out, "ablations", options, (*COMMON, "val_fraction", "fold"))


def _report(series, about):
    """Write the table of all finished runs, in the order of the paper's; its paths."""
    names = [n for n in (*ablation.NAMES, FULL) if series.is_finished(n)]
    rows = [row_of(name, series.out / name) for name in names]
    return write_table(rows, about, series.out) if rows else []


if __name__ == "__main__":
    run_command(main)
