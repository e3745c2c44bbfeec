"""Runs of train.py in one folder, asked for alike, one after another.

What is finished is not trained again, what was interrupted is resumed, and one that
fails does not keep the others from being trained.
"""

import contextlib
import dataclasses
import json
import logging
import sys
from pathlib import Path

from keras_recattend.child_process import INTERRUPTED, locked, run_child
from keras_recattend.command_line import flag_of
from keras_recattend.data_options import add_data_options
from keras_recattend.errors import UserError
from keras_recattend.paths import PATHS, from_the_root
from keras_recattend.places import check_place, writing
from keras_recattend.run_folder import RunFolder

__all__ = ["COMMON", "Run", "RunSeries", "add_options", "budget"]

_LOG = logging.getLogger(__name__)

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
# Options of `add_options` that every run takes over as they are.
COMMON = (
    *("dataset", "data_dir", "records_dir", "category", "subset", "annotations"),
    *("images", "skip_unlabelled", "group", "preset", "max_instances", "min_area"),
    *("val_images", "image_size", "batch_size", "minutes", "max_steps", "seed"),
    "precision",
)


def add_options(parser, each, dataset=None):
    """Give a parser the options that a series passes on to train.py, and its own.

    Args:
        each: what one run is, for the help: "variation".
        dataset: the default data set; None = one must be given.
    """
    add = parser.add_argument
    needed = {"required": True} if dataset is None else {"default": dataset}
    add("--dataset", **needed, help="as in train.py")
    add("--data-dir", help="the raw benchmark's folder")
    add("--records-dir", help="TFRecords; default records/DATASET-...")
    add_data_options(parser)
    add("--group", metavar="REGEX", help="as in train.py: images that stay together")
    add("--preset", help="default: the data set's own")
    add("--val-images", type=int, metavar="N", help="as in train.py; default 200")
    add("--max-instances", type=int, metavar="N", help="default: the preset's")
    add("--image-size", metavar="N|HxW", help="as in train.py")
    add("--min-area", type=int, metavar="N", help="default: the preset's")
    add("--batch-size", type=int, metavar="N", help="default: the preset's")
    add("--precision", help="default: train.py's, float32")
    add("--minutes", type=float, metavar="M", help=f"budget of each {each}")
    add("--max-steps", type=int, metavar="N", help="end every stage after so many")
    add("--seed", type=int, default=0, help="split, order, weights")
    add("--quiet", action="store_true", help="no progress bar")


def budget(options):
    """Return how long, how exactly and from which seed each run trains, in words."""
    told = []
    if options.minutes:
        told.append(f"{options.minutes:g} minutes each")
    if options.max_steps:
        told.append(f"stages of {options.max_steps} steps at most")
    if options.batch_size:
        told.append(f"batches of {options.batch_size}")
    if options.precision:
        told.append(options.precision)
    return ", ".join([*told, f"seed {options.seed}"])


@dataclasses.dataclass(frozen=True)
class Run:
    """One of the series.

    Attributes:
        name: of its folder.
        arguments: of train.py, besides those that all runs have.
    """

    name: str
    arguments: tuple = ()


class RunSeries:
    """A folder of runs that were asked for alike: one table compares them.

    Args:
        out: the folder.
        kind: what the runs are; the folder's own files are KIND.json, which says how
            they were asked for, and KIND.lock.
        options: of the command line, with those of `add_options`.
        passed: names of the options that every run takes over as they are.
        noted: names of further options that are the same for all runs.
    """

    def __init__(self, out, kind, options, passed=COMMON, noted=()):
        self.out = Path(out)
        self._options = options
        self._passed = passed
        self._noted = (*passed, *noted)
        self._file = self.out / f"{kind}.json"
        self._lock_file = self.out / f"{kind}.lock"
        self._lock = None

    @contextlib.contextmanager
    def opened(self):
        """Make the folder, or check that it goes on as it began, and lock it.

        Raises:
            UserError: there is no train.py, the folder holds something else, its runs
                were asked for otherwise, another process trains in it, or it cannot be
                written to.
        """
        if not TRAIN.is_file():
            raise UserError(
                f"{TRAIN} is not there: this command runs the repository's train.py. "
                "Call it in a clone of the repository, not from an installed package."
            )
        check_place(self.out, "--out")
        self._check_same()
        with writing(self.out, "Make room, or name another folder with --out."):
            self.out.mkdir(parents=True, exist_ok=True)
        with locked(self._lock_file, self.out, "--out") as self._lock:
            # Another command may have been quicker.
            self._check_same()
            if not self._has_runs():
                RunFolder.write_json(self._file, self._asked())
            yield self

    def folder(self, name):
        """The `RunFolder` of a run."""
        return RunFolder(self.out / name)

    def is_finished(self, name):
        """Whether a run was trained to its end."""
        return self.folder(name).metrics_file.is_file()

    def train(self, runs, report):
        """Train the runs that are not finished; report after each.

        One that fails does not keep the others from being trained, unless nothing was
        reported before: then the reason is likely to be one of all.

        Args:
            runs: a list of `Run`. report: function without arguments that writes
                tables of all that is finished and returns their paths; the first is
                shown in the end.

        Raises:
            KeyboardInterrupt: a run was stopped, with everything saved.
            UserError: runs failed.
        """
        left = [run for run in runs if not self.is_finished(run.name)]
        minutes = self._options.minutes
        time = f", {minutes * len(left) / 60:.1f} hours" if minutes else ""
        _LOG.info("%d to train%s.", len(left), time)
        failed, files = [], _reported(report)
        for number, run in enumerate(runs, start=1):
            place = f"{number} of {len(runs)}: {run.name}"
            if self.is_finished(run.name):
                _LOG.info("== %s is finished already: %s", place, self.out / run.name)
                continue
            _LOG.info("== %s -> %s", place, self.out / run.name)
            if code := self._train(run):
                failed.append(f"{run.name} (code {code})")
                _LOG.warning("== %s failed, for the reason above.", place)
                if not files:
                    break
                continue
            files = _reported(report)
        if files:
            _LOG.info("%s", files[0].read_text(encoding="utf-8"))
            _LOG.info("Written: %s", ", ".join(map(str, files)))
        if failed:
            raise UserError(
                f"train.py failed in {', '.join(failed)}, for the reasons above. What "
                "is finished stays; the same command tries again what is not."
            )

    def _train(self, run):
        """Train a run, or go on with it; return train.py's exit code."""
        folder = self.folder(run.name)
        arguments = ["--run-dir", str(folder.path)]
        if folder.config_file.is_file():
            arguments.append("--resume")
        else:
            arguments += [*self.passed_on(), *run.arguments]
        if self._options.quiet:
            arguments.append("--quiet")
        code = run_child([sys.executable, str(TRAIN), *arguments], self._lock)
        if code in INTERRUPTED:
            raise KeyboardInterrupt(
                f"Stopped in {run.name}. The same command goes on with it."
            )
        return code

    def passed_on(self):
        """The command line's options as train.py takes them."""
        arguments = []
        for name in self._passed:
            value = getattr(self._options, name)
            if value is not None:
                arguments.append(flag_of(name))
                # True: an option that takes no value.
                arguments += [] if value is True else [str(value)]
        return arguments

    def _asked(self):
        """How the runs are asked for: {option: value}."""
        asked = {name: getattr(self._options, name) for name in self._noted}
        for name in PATHS:
            if asked[name]:
                asked[name] = from_the_root(asked[name])
        return asked

    def _check_same(self):
        """Refuse a folder of something else, or of runs asked for otherwise."""
        if not self._file.is_file() and not self._is_free():
            raise UserError(
                f"{self.out} exists already and holds something else than what this "
                "command makes. Name another folder with --out."
            )
        if self._has_runs():
            self._refuse_others()

    def _has_runs(self):
        """Whether any run was begun."""
        return self._file.is_file() and any(p.is_dir() for p in self.out.iterdir())

    def _is_free(self):
        """Whether there is no such folder, or nothing in it but what opening left."""
        if not self.out.is_dir():
            return not self.out.exists()
        return all(path == self._lock_file for path in self.out.iterdir())

    def _refuse_others(self):
        before, asked = _read(self._file), self._asked()
        told = [
            f"{flag_of(name)} {before.get(name)}"
            for name in self._noted
            if before.get(name) != asked[name]
        ]
        if told:
            raise UserError(
                f"The runs in {self.out} were made with {', '.join(told)}. Give the "
                "same, or name another folder with --out."
            )


def _reported(report):
    """Write the tables; return their paths, none where they cannot be written now."""
    try:
        return report()
    except PermissionError as error:
        _LOG.warning(
            "%s cannot be written (%s). Is it open in another program? The same "
            "command writes it anew.",
            error.filename2 or error.filename,
            error.strerror,
        )
        return []


def _read(file):
    try:
        values = json.loads(file.read_text())
        return dict(values)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}). Name another folder with --out."
        ) from error
