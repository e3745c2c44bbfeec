"""The run folder: everything about one training, from its first minute."""

import contextlib
import json
import os
from pathlib import Path

import h5py
import numpy as np

from keras_recattend import child_process
from keras_recattend.config import Config
from keras_recattend.history_file import HistoryFile
from keras_recattend.places import check_place
from keras_recattend.run_errors import RunError, first_line, reading, writing
from keras_recattend.whole_files import replacing

__all__ = ["RunError", "RunFolder"]

FORMAT = 1
# Bytes that HDF5 takes for each array besides its values: 1,400 in the shipped weights.
HDF5_OVERHEAD = 4096


@contextlib.contextmanager
def _without_optimizer(model):
    """Keep Keras from writing the optimizer's moments into a file of weights."""
    optimizer = model.__dict__.pop("optimizer", None)
    try:
        yield
    finally:
        if optimizer is not None:
            model.__dict__["optimizer"] = optimizer


def _named(model, optimizer):
    """All variables by names that are the same in every process.

    Keras numbers models and optimizers as they come: `adam_w_1/...` in a run that
    trained a stage before is `adam_w/...` in the one that goes on.
    """
    named = {f"model/{v.path.split('/', 1)[1]}": v for v in model.variables}
    if optimizer is not None:
        named |= {f"optimizer/{i}": v for i, v in enumerate(optimizer.variables)}
    return named


class RunFolder:
    """Files of one run.

    `config.json`, `history.csv` (one row an epoch), `best.weights.h5` (by SBD on the
    validation split; where there is none, the last), `last.weights.h5`,
    `metrics.json`, `images.csv`, TensorBoard's `logs/`, and `state/`, with which
    `--resume` goes on. But for `history.csv` and the logs, which grow, every file is
    written under another name and then renamed: an interrupted write leaves the old
    one.

    Args:
        path: of the folder.

    Attributes:
        history: the `HistoryFile`.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.history = HistoryFile(self.path / "history.csv", self._resume)

    @property
    def config_file(self):
        return self.path / "config.json"

    @property
    def best_weights(self):
        return self.path / "best.weights.h5"

    @property
    def last_weights(self):
        return self.path / "last.weights.h5"

    @property
    def metrics_file(self):
        return self.path / "metrics.json"

    @property
    def images_file(self):
        return self.path / "images.csv"

    @property
    def split_file(self):
        return self.path / "split.json"

    @property
    def maps(self):
        """Maps of the pre-processing network, while a run needs them."""
        return self.path / "maps"

    @property
    def state_file(self):
        return self.path / "state" / "training.npz"

    def check_free(self):
        """Tell why the folder could not be made, before anything is.

        Raises:
            UserError: it exists and is not empty, or cannot be written to.
        """
        taken = os.path.isfile(self.path)
        if not taken:
            check_place(self.path, "--run-dir")
            taken = self.path.exists() and any(self.path.iterdir())
        if taken:
            raise RunError(
                f"The run folder {self.path} exists already. Go on with --resume, "
                "or name another one with --run-dir."
            )

    def create(self, config, **about):
        """Make the folder and write `config.json`; `about` says how it was asked for.

        Raises:
            UserError: the folder exists and is not empty, or cannot be written to.
        """
        self.check_free()
        with writing(self.path, "Name another folder with --run-dir."):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write_config(config, **about)

    def write_config(self, config, **about):
        """Write `config.json` of a folder that is there; `about` as for `create`."""
        self.write_json(
            self.config_file, {"format": FORMAT, "config": config.to_dict(), **about}
        )

    def read(self):
        """Return (config, about). Raises RunError where it is no run folder."""
        if not self.config_file.is_file():
            raise RunError(
                f"{self.path} is not a run folder: it has no config.json. A run folder "
                "is what train.py made, for example runs/demo."
            )
        try:
            values = json.loads(self.config_file.read_text())
            known = values.pop("format") == FORMAT
            config = Config.from_dict(values.pop("config")) if known else None
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            # ValueError: no JSON, no text, unknown options and impossible settings.
            raise RunError(f"{self.config_file} cannot be read: {error!r}") from error
        if not known:
            raise RunError(
                f"{self.config_file} has another format than {FORMAT}: it was made "
                "by another version. Train anew, or use that version."
            )
        return config, values

    @contextlib.contextmanager
    def locked(self):
        """Hold the folder for the training of this process.

        Raises:
            UserError: another process trains in it, or it cannot be written to.
        """
        with self.writing(self.state_file.parent):
            self.state_file.parent.mkdir(exist_ok=True)
        lock = self.state_file.with_name("lock")
        with child_process.locked(lock, self.path, "--run-dir"):
            yield

    def writing(self, path):
        """A context that turns a full disk, and the like, into a RunError.

        Args:
            path: of what is written inside, for a run that was begun.
        """
        return writing(path, f"Make room; {self._resume}")

    @property
    def _resume(self):
        return f"go on with --resume --run-dir {self.path}"

    def weights_file(self, path=None):
        """Return `path`, or the best weights, or the last. Raises RunError: none."""
        candidates = [path] if path else [self.best_weights, self.last_weights]
        for candidate in map(Path, candidates):
            if candidate.is_file():
                return candidate
        raise RunError(
            f"{self.path} holds no weights yet (looked for "
            f"{', '.join(Path(c).name for c in candidates)})."
        )

    def load_weights(self, model, path=None):
        """Load weights into the model: `path`, or the best, or the last.

        Raises:
            RunError: there are none, they are damaged, or they belong to another
                configuration.
        """
        candidate = self.weights_file(path)
        remedy = (
            "Copy the file again, or take it away: best.weights.h5 and last.weights.h5 "
            "stand in for one another."
        )
        with reading(candidate, remedy):
            count = _count_arrays(candidate)
        try:
            with _without_optimizer(model):
                model.load_weights(candidate)
            if count != len(model.weights):
                raise ValueError(
                    f"{count} arrays, but the model has {len(model.weights)}."
                )
        except (ValueError, KeyError) as error:
            raise RunError(
                f"{candidate} does not fit the configuration "
                f"{model.config.name!r}: {first_line(error)} Use the config.json that "
                "lies beside the weights."
            ) from error
        return candidate

    def save_weights(self, model, path):
        """Write the model's weights; the old file stays whole until the new one is.

        Raises:
            RunError: they cannot be written, as on a full disk.
        """
        with (
            self.writing(path),
            _without_optimizer(model),
            replacing(path) as temporary,
        ):
            _make_room(temporary, model)
            try:
                model.save_weights(temporary)
            except RuntimeError as error:
                # HDF5's, of a disk that another process filled meanwhile.
                raise OSError(None, first_line(error)) from error

    def save_state(self, model, optimizer, about):
        """Write all variables of model and optimizer, and `about` (JSON).

        Raises:
            RunError: they cannot be written, as on a full disk.
        """
        arrays = {k: v.numpy() for k, v in _named(model, optimizer).items()}
        arrays["about"] = np.array(json.dumps(about))
        with self.writing(self.state_file):
            self.state_file.parent.mkdir(exist_ok=True)
            with replacing(self.state_file) as temporary:
                np.savez(temporary, **arrays)

    def is_unbegun(self):
        """Whether a run ended before its first epoch, and nothing of it is lost.

        Raises:
            RunError: something was trained, and there is no state to go on with.
        """
        if self.state_file.is_file():
            return False
        epochs = self.history.count()
        # The first epoch's row is written just before its state.
        if epochs > 1 or self.last_weights.is_file() or self.metrics_file.is_file():
            raise RunError(
                f"{self.path} was trained and has no {self.state_file.name} in "
                f"{self.state_file.parent.name} to resume from. Its weights can still "
                "be used: --init them in a new folder."
            )
        return True

    def load_about(self):
        """Return what `save_state` was told, or None when there is no state."""
        if not self.state_file.is_file():
            return None
        with self._state() as read:
            about = read("about")
            with self._undamaged():
                return json.loads(str(about))

    def load_state(self, model, optimizer=None):
        """Put the saved variables back into the model and the built optimizer.

        Raises:
            RunError: the state is damaged, or belongs to another configuration.
        """
        with self._state() as read:
            for name, variable in _named(model, optimizer).items():
                shape, values = tuple(variable.shape), read(name)
                if values is None or values.shape != shape:
                    raise RunError(
                        f"{self.state_file} belongs to another configuration: it has "
                        f"no {name} of shape {shape}."
                    )
                variable.assign(values)

    @contextlib.contextmanager
    def _state(self):
        """Yield a function from a name to that array of the state; None = it has none.

        It raises RunError where the file is damaged.
        """
        # Opened here: numpy leaves the file of a damaged archive open.
        with self._undamaged():
            file = open(self.state_file, "rb")  # noqa: SIM115
        with file:
            with self._undamaged():
                arrays = np.load(file)
                names = set(arrays.files)

            def read(name):
                with self._undamaged():
                    return arrays[name] if name in names else None

            with arrays:
                yield read

    def _undamaged(self):
        return reading(
            self.state_file,
            "The run cannot be resumed. Its weights can still be used: --init them in "
            "a new folder.",
        )

    @staticmethod
    def write_json(path, values):
        """Write JSON under another name, then rename.

        Raises:
            RunError: it cannot be written, as on a full disk.
        """
        remedy = "Make room, and start the same command again."
        with writing(path, remedy), replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n")


def _make_room(path, model):
    """Meet a full disk before HDF5 does: it tries again in the end, and crashes."""
    size = 4 * model.count_params() + HDF5_OVERHEAD * len(model.weights)
    path.write_bytes(bytes(size))


def _count_arrays(path):
    """Read all arrays of a file of weights; return how many there are."""
    count = 0

    def visit(_, item):
        nonlocal count
        if isinstance(item, h5py.Dataset):
            item[()]
            count += 1

    with h5py.File(path) as file:
        file.visititems(visit)
    return count
