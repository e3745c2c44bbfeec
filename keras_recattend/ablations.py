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

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from keras_recattend import ablation, presets
from keras_recattend.ablation_table import FULL, row_of, write_table
from keras_recattend.config import ConfigError, near_names
from keras_recattend.errors import Parser, UserError, run_command
from keras_recattend.run_folder import RunFolder

try:
    import fcntl
except ImportError:  # Windows: two commands at once are the user's to avoid.
    fcntl = None

__all__ = ["chosen", "main", "train_all"]

_LOG = logging.getLogger("ablations")

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
# train.py's exit code after Ctrl-C, with everything saved; and how a process ends that
# was stopped before it could catch the signal.
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM)
# What train.py is sent for what this command receives; it saves on either. (Windows,
# which has no sessions, gives Ctrl-C to both.)
_PASSED_ON = {signal.SIGTERM: signal.SIGTERM}
if os.name == "posix":
    _PASSED_ON |= {signal.SIGINT: signal.SIGINT, signal.SIGHUP: signal.SIGTERM}
# Options that every run takes over as they are.
_PASSED = ("dataset", "data_dir", "records_dir", "category", "subset", "annotations")
_PASSED += ("images", "skip_unlabelled", "val_fraction", "fold", "preset")
_PASSED += ("max_instances", "min_area", "minutes", "max_steps", "seed", "precision")
_FOLDERS = ("data_dir", "records_dir", "annotations", "images")
_LOCK = "ablations.lock"
# What the command itself writes: a folder that has nothing else is its own.
_OWN = ("ablations.json", _LOCK)


def parse(arguments=None):
    parser = Parser(__doc__)
    parser.prog = "python -m keras_recattend.ablations"
    add = parser.add_argument
    add("--dataset", default="leaves", help="as in train.py")
    add("--data-dir", help="the raw benchmark's folder")
    add("--records-dir", help="TFRecords; default records/DATASET-...")
    add("--category", help="coco: a name, several with commas, or all")
    add("--subset", help="cvppp: A1 (default), A2, A3 or A4")
    add("--annotations", metavar="FILE", help="coco: one's own file")
    add("--images", metavar="DIR", help="coco: where its pictures are")
    # None and not False: runs of before the option was there had it unset.
    add("--skip-unlabelled", action="store_true", default=None, help="as in train.py")
    add("--val-fraction", type=float, default=0.2, help="default 0.2")
    add("--fold", metavar="k/n", help="k-th of n folds validates")
    add("--preset", help="default: the data set's own")
    add("--max-instances", type=int, metavar="N", help="default: the preset's")
    add("--min-area", type=int, metavar="N", help="default: the preset's")
    add("--precision", help="default: train.py's, float32")
    add("--minutes", type=float, metavar="M", help="budget of each variation")
    add("--max-steps", type=int, metavar="N", help="end every stage after so many")
    add("--only", metavar="A,B", help=", ".join((FULL, *ablation.NAMES)))
    add("--out", metavar="DIR", help="default: runs/ablations-PRESET")
    add("--seed", type=int, default=0, help="split, order, weights")
    add("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.minutes is None and options.max_steps is None:
        raise UserError("Give --minutes M, the budget of each variation.")
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


def train_all(names, options, out, lock=None):
    """Train the variations one after another; write the table after each.

    One that fails does not keep the others from being trained, unless it is the first
    of the table: then the reason is likely to be one of all.

    Args:
        names: of `chosen`. options: of `parse`. out: folder of the runs.
        lock: of `_locked`, for the runs to hold as well.

    Raises:
        KeyboardInterrupt: a run was stopped, with everything saved.
        UserError: runs failed.
    """
    left = [n for n in names if not RunFolder(out / n).metrics_file.is_file()]
    _LOG.info("%d to train%s.", len(left), _hours(options, len(left)))
    failed, rows, files = [], _rows(out), None
    for number, name in enumerate(names, start=1):
        folder = RunFolder(out / name)
        place = f"{number} of {len(names)}: {name}"
        if folder.metrics_file.is_file():
            _LOG.info("== %s is finished already: %s", place, folder.path)
        else:
            _LOG.info("== %s -> %s", place, folder.path)
            if code := _train(name, folder, options, lock):
                failed.append(f"{name} (code {code})")
                _LOG.warning("== %s failed, for the reason above.", place)
                if not rows:
                    break
                continue
        rows = _rows(out)
        files = write_table(rows, _about(options), out)
    if files:
        _LOG.info("%s", files[0].read_text())
        _LOG.info("Written: %s and %s", *files)
    if failed:
        raise UserError(
            f"train.py failed in {', '.join(failed)}, for the reasons above. What is "
            "finished stays; the same command tries again what is not."
        )


def _train(name, folder, options, lock=None):
    """Train one variation, or go on with it; return train.py's exit code."""
    if folder.state_file.is_file():
        arguments = ["--resume", "--run-dir", str(folder.path)]
    else:
        _set_aside(folder.path)
        arguments = [*_passed(options), "--run-dir", str(folder.path)]
        if name != FULL:
            arguments += ["--ablation", name]
    if options.quiet:
        arguments.append("--quiet")
    code = _run([sys.executable, str(TRAIN), *arguments], lock)
    if code in INTERRUPTED:
        raise KeyboardInterrupt(f"Stopped in {name}. The same command goes on with it.")
    return code


def _set_aside(path):
    """Rename a run that ended before its first epoch: nothing of it can be resumed."""
    if not path.exists() or not any(path.iterdir()):
        return
    number = 1
    while (other := path.with_name(f"{path.name}.unfinished-{number}")).exists():
        number += 1
    path.rename(other)
    _LOG.warning(
        "%s ended before its first epoch; it is kept as %s and begun again.",
        path,
        other.name,
    )


def _passed(options):
    """The command line's options as train.py takes them."""
    arguments = []
    for name in _PASSED:
        value = getattr(options, name)
        if value is not None:
            arguments.append("--" + name.replace("_", "-"))
            # True: an option that takes no value.
            arguments += [] if value is True else [str(value)]
    return arguments


@contextlib.contextmanager
def _locked(out):
    """Hold the folder's lock, for this command and the runs that it starts.

    Yields:
        The open file, which the runs inherit: where this command is killed, the run
        that it left behind trains on, and holds the lock until it ends.

    Raises:
        UserError: another command, or a run that one left behind, has the folder.
    """
    if fcntl is None:
        yield None
        return
    # "a": what another process wrote there stays.
    with open(out / _LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"Another process trains in {out} just now: this command, started "
                "twice, or a train.py that went on when its command was killed (the "
                f"last one had the number {file.read() or 'unknown'}). Wait until it "
                "has ended, end it with kill, after which it saves, or name another "
                "folder with --out."
            ) from None
        file.truncate(0)
        yield file


def _note(lock, number):
    """Write a run's process number into the lock's file."""
    if lock:
        lock.truncate(0)
        lock.write(str(number))
        lock.flush()


def _run(command, lock=None):
    """Run a command to its end and return its exit code; 130 where it was stopped.

    It has a session of its own, so that Ctrl-C and the signal of a scheduler, to this
    process or to its whole group, reach it once: handed on from here. It is given the
    time to save.
    """
    received, started = [], []

    def hand_on(number, _):
        received.append(number)
        for process in started:
            process.send_signal(_PASSED_ON[number])

    # Ignored ones stay so: nohup.
    numbers = [n for n in _PASSED_ON if signal.getsignal(n) != signal.SIG_IGN]
    old = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        files = [lock.fileno()] if lock else ()
        with subprocess.Popen(command, pass_fds=files, start_new_session=True) as run:
            _note(lock, run.pid)
            early = list(received)
            started.append(run)
            # Never twice: the second would end it at once, with nothing saved.
            for number in early[:1]:
                run.send_signal(_PASSED_ON[number])
            code = run.wait()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    return INTERRUPTED[0] if received else code


def _rows(out):
    """Rows of all finished runs in the folder, in the order of the paper's table."""
    return [
        row_of(name, out / name)
        for name in (*ablation.NAMES, FULL)
        if RunFolder(out / name).metrics_file.is_file()
    ]


def _about(options):
    """What stands above the table."""
    budget = []
    if options.minutes:
        budget.append(f"{options.minutes:g} minutes each")
    if options.max_steps:
        budget.append(f"stages of {options.max_steps} steps at most")
    if options.precision:
        budget.append(options.precision)
    return [
        f"Ablations of the preset `{_preset(options)}` on {options.dataset}: "
        f"{', '.join(budget)}, seed {options.seed}."
    ]


def _hours(options, count):
    """How long it may take, where that is known."""
    return f", {options.minutes * count / 60:.1f} hours" if options.minutes else ""


def _preset(options):
    """The preset's name; as in train.py, COCO's is not that of a file of one's own."""
    own = options.annotations or options.images
    dataset = "own_coco" if own else options.dataset
    return options.preset or presets.of_dataset(dataset)


def _check_same(options, out):
    """Refuse a folder of runs that were asked for otherwise; note how these are.

    One table compares what was trained alike.
    """
    asked = {name: getattr(options, name) for name in _PASSED}
    for name in _FOLDERS:
        if asked[name]:
            asked[name] = str(Path(asked[name]).resolve())
    file = out / "ablations.json"
    if not file.is_file() and not _is_free(out):
        raise UserError(
            f"{out} exists already and holds something else than ablations. Name "
            "another folder with --out."
        )
    if any((out / name).exists() for name in (FULL, *ablation.NAMES)):
        _refuse_others(asked, _read(file), out)
        return
    out.mkdir(parents=True, exist_ok=True)
    RunFolder.write_json(file, asked)


def _is_free(out):
    """Whether there is no such folder, or nothing in it but what the command wrote."""
    if not out.is_dir():
        return not out.exists()
    return all(path.name in _OWN for path in out.iterdir())


def _refuse_others(asked, before, out):
    different = [name for name in _PASSED if before.get(name) != asked[name]]
    if different:
        told = [f"--{n.replace('_', '-')} {before.get(n)}" for n in different]
        raise UserError(
            f"The runs in {out} were made with {', '.join(told)}. Give the same, or "
            "name another folder with --out."
        )


def _read(file):
    try:
        values = json.loads(file.read_text())
        return dict(values)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}). Name another folder with --out."
        ) from error


def main():
    options = parse()
    if not TRAIN.is_file():
        raise UserError(
            f"{TRAIN} is not there: this command runs the repository's train.py. Call "
            "it in a clone of the repository, not from an installed package."
        )
    names = chosen(presets.get(_preset(options)), options.only)
    out = Path(options.out or Path("runs") / f"ablations-{_preset(options)}")
    _check_same(options, out)
    with _locked(out) as lock:
        train_all(names, options, out, lock)


if __name__ == "__main__":
    run_command(main)
