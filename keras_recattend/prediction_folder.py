"""The folder of predictions: what is written, what is done already, what stays."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path

from keras_recattend import file_lock
from keras_recattend.errors import UserError
from keras_recattend.image_files import is_grey
from keras_recattend.input_files import RESULTS, readable, source_of
from keras_recattend.png import encoded_png, png_of_labels
from keras_recattend.prediction_record import Record
from keras_recattend.prediction_settings import differences, digest_of
from keras_recattend.regions import regions_of
from keras_recattend.result_pictures import picture_of, thumbnail_of
from keras_recattend.whole_files import write_atomically

__all__ = [
    "OutputError",
    "PredictionFolder",
    "writing_to",
]

FORMAT = 1
TABLES = ("counts.csv", "objects.csv", "report.html")
FAILURES = "failures.json"
*FOLDERS, EXPLANATIONS = RESULTS  # explanations only where they are asked for
# Stays, empty: two processes could lock two files of a name that comes and goes.
LOCK = "lock"
# What napari saves a label map as.
CORRECTIONS = (".tif", ".tiff")


class OutputError(UserError):
    """Results cannot be written where they should be."""


@contextlib.contextmanager
def writing_to(path):
    """Turn what the file system says into an `OutputError` that says what to do."""
    try:
        yield
    except OSError as error:
        # Where a file is renamed, the one that stands in the way.
        path = error.filename2 or error.filename or path
        remedy = "Make room, or name another place."
        if isinstance(error, PermissionError):
            remedy = (
                "Close it where another program has it open (a spreadsheet), see that "
                "you may write there, or name another place."
            )
        raise OutputError(
            f"{readable(path)} cannot be written to ({error.strerror or error}). "
            f"{remedy} What is done stays done: the same command goes on."
        ) from error


class PredictionFolder:
    """Results of pictures that were predicted with the same settings.

    Args:
        path: the folder. It is new, empty of results, or was made by this class.

    Raises:
        OutputError: it holds files under the names of results that were not.
    """

    def __init__(self, path):
        self.path = Path(path)
        with writing_to(path):
            if self.settings_file.is_file():
                return
            if self.path.exists() and not self.path.is_dir():
                raise OutputError(
                    f"{readable(path)} is a file; name a folder with --out."
                )
            names = (*FOLDERS, EXPLANATIONS, *TABLES, FAILURES)
            foreign = [name for name in names if (self.path / name).exists()]
        if foreign:
            raise OutputError(
                f"{readable(path)} has {', '.join(foreign)} already, which predict.py "
                "did not write. Nothing was changed; name another folder with --out."
            )

    @property
    def folders(self):
        """The folders of results, in which no inputs are to be looked for."""
        return [self.path / name for name in (*FOLDERS, EXPLANATIONS)]

    @property
    def settings_file(self):
        return self.path / "settings.json"

    @property
    def failures_file(self):
        return self.path / FAILURES

    def labels_file(self, name):
        return self.path / "labels" / f"{name}.png"

    def current_labels(self, name):
        """The label map as it is now: a TIFF that somebody saved there, or the PNG."""
        png = self.labels_file(name)
        files = [png.with_name(name + suffix) for suffix in CORRECTIONS]
        return next((file for file in files if file.is_file()), png)

    def overlay_file(self, name):
        return self.path / "overlays" / f"{name}.png"

    def explanation_files(self, name):
        """The picture of all steps, and the animation."""
        folder = self.path / EXPLANATIONS
        return folder / f"{name}.png", folder / f"{name}.gif"

    def record_file(self, name):
        return self.path / "records" / f"{name}.json"

    @contextlib.contextmanager
    def locked(self):
        """Hold the folder for this process, from `prepare` to the last table.

        Raises:
            OutputError: another process has it, or it cannot be written to.
        """
        with writing_to(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            # "a": where somebody has a file of that name, it stays as it is.
            file = open(self.path / LOCK, "a")  # noqa: SIM115
        with file:
            if not file_lock.take(file):
                raise OutputError(
                    f"Another predict.py writes to {readable(self.path)} just now. "
                    "Wait until it has ended, and give this command again, or name "
                    "another folder with --out."
                )
            yield

    def prepare(self, settings, sources, overwrite=False):
        """Make the folder ready for results made with these settings.

        Args:
            settings: what the results depend on, as of `settings_of`.
            sources: resolved paths of the pictures to come.
            overwrite: whether results made with other settings may be replaced.

        Raises:
            OutputError: there are such results; or the folder cannot be written to.
        """
        old = self._settings()
        changes = differences(old, settings) if old else []
        if changes:
            self._check_replaceable(changes, set(map(str, sources)), overwrite)
        with writing_to(self.path):
            # First of all: it tells that the folders are ours.
            text = json.dumps({"format": FORMAT, **settings}, indent=2) + "\n"
            write_atomically(self.settings_file, text.encode())
            for folder in self.folders:
                if folder.name != EXPLANATIONS:
                    folder.mkdir(parents=True, exist_ok=True)
                # What a process that was killed left behind.
                for path in folder.glob(".*.tmp"):
                    path.unlink(missing_ok=True)
        self.digest = digest_of(settings)

    def records(self):
        """Return the `Record` of each picture that has one, by its source."""
        found = {}
        for path in sorted((self.path / "records").glob("*.json")):
            try:
                record = Record.from_json(path.read_bytes())
            except (OSError, ValueError, TypeError, KeyError):
                continue  # damaged: the picture is predicted anew
            found[Path(record.source)] = record
        return found

    def is_done(self, record, file):
        """Whether all results of a picture are there and still belong to it."""
        try:
            about = file.stat()
        except OSError:
            return False
        return (
            record is not None
            and record.settings == self.digest
            and record.is_of(about)
            and self.current_labels(record.name).is_file()
            and self.overlay_file(record.name).is_file()
        )

    def labels_digest(self, name):
        """Digest of the label map's file as it is now; None where there is none."""
        path = self.current_labels(name)
        with writing_to(path):
            if not path.is_file():
                return None
            return hashlib.sha256(path.read_bytes()).hexdigest()

    def was_corrected(self, record):
        """Whether the label map is another than the one that was predicted."""
        return self.labels_digest(record.name) not in (None, record.labels_sha256)

    def is_kept(self, record):
        """Whether somebody corrected the label map of a picture that is as it was.

        It is done, whichever settings had predicted it.
        """
        return (
            record is not None
            and self.has_picture(record)
            and self.was_corrected(record)
        )

    def is_explained(self, record):
        """Whether the explanation of a picture that is done is there."""
        return all(path.is_file() for path in self.explanation_files(record.name))

    def write_explanation(self, name, explanation):
        """Write the picture of all steps and the animation of one image.

        Args:
            name: of the results. explanation: an `Explanation`.

        Raises:
            OutputError: the file system refuses.
        """
        picture, animation = self.explanation_files(name)
        with writing_to(picture.parent):
            explanation.plot(picture)
            explanation.animate(animation)

    def write(self, file, name, image, found, longest, about=None, dark=False):
        """Write the results of one picture, its record last: it says all are whole.

        Args:
            file: the picture. about: its `os.stat_result` from before it was read.
            name: of the results.
            image: uint8 [H, W, 3]. found: its `Found`.
            longest: side of the overlay in pixels; larger pictures are reduced.
            dark: as of `read_picture`.

        Returns:
            The `Record`.

        Raises:
            OutputError: the file system refuses.
        """
        about = about or file.stat()
        labels = png_of_labels(found.labels)
        picture = picture_of(image, found.labels, longest)
        record = Record(
            file=readable(file),
            source=str(source_of(file)),
            bytes=about.st_size,
            modified=about.st_mtime_ns,
            name=name,
            settings=self.digest,
            height=image.shape[0],
            width=image.shape[1],
            labels_sha256=hashlib.sha256(labels).hexdigest(),
            regions=regions_of(found.labels, found.scores),
            thumbnail=_as_text(thumbnail_of(picture)),
            grey=is_grey(image),
            dark=dark,
        )
        with writing_to(self.path):
            # Those of the result that is replaced. The label map goes first and comes
            # last: without its own record it would pass for somebody's work.
            for path in (self.labels_file(name), *self.explanation_files(name)):
                path.unlink(missing_ok=True)
            write_atomically(self.overlay_file(name), encoded_png(picture))
            write_atomically(self.record_file(name), record.to_json())
            write_atomically(self.labels_file(name), labels)
        return record

    def redraw(self, record, image, labels, longest, digest):
        """Write the overlay of a label map that somebody changed, and its thumbnail.

        Args:
            record: of the picture.
            image: uint8 [H, W, 3]. labels: [H, W], as they are now.
            longest: side of the overlay in pixels. digest: of the label map's file.

        Raises:
            OutputError: the file system refuses.
        """
        picture = picture_of(image, labels, longest)
        record = dataclasses.replace(
            record, thumbnail=_as_text(thumbnail_of(picture)), drawn=digest
        )
        with writing_to(self.path):
            write_atomically(self.overlay_file(record.name), encoded_png(picture))
            write_atomically(self.record_file(record.name), record.to_json())

    def is_earlier(self, record):
        """Whether other settings made the record."""
        return record.settings != self.digest

    def has_picture(self, record):
        """Whether the picture that was predicted is there, as it was."""
        try:
            return record.is_of(os.stat(record.source))
        except OSError:
            return False

    def is_changed(self, record):
        """Whether the picture is another now; one that is gone is told besides."""
        return os.path.exists(record.source) and not self.has_picture(record)

    def _settings(self):
        if not self.settings_file.is_file():
            return None
        try:
            values = json.loads(self.settings_file.read_bytes())
            known = values.pop("format") == FORMAT
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{readable(self.settings_file)} cannot be read ({error!r}). Name "
                "another folder with --out."
            ) from error
        if not known:
            raise OutputError(
                f"{readable(self.settings_file)} was written by another version. Name "
                "another folder with --out."
            )
        return values

    def _check_replaceable(self, changes, sources, overwrite):
        records = self.records()
        if not records:
            return
        what = f"{readable(self.path)} holds results of other settings: " + "; ".join(
            changes
        )
        if not overwrite:
            raise OutputError(
                f"{what}. Name another folder with --out, or replace those results "
                "with --overwrite."
            )
        others = [r for source, r in records.items() if str(source) not in sources]
        if gone := [r for r in others if not os.path.lexists(r.source)]:
            file = readable(self.record_file(gone[0].name))
            raise OutputError(
                f"{what}. {len(gone)} of them are of pictures that are not there any "
                f"more ({gone[0].file}) and would stay behind. Delete their records "
                f"({file}), or name another folder with --out."
            )
        if others:
            raise OutputError(
                f"{what}. {len(others)} of them are of pictures that are not among "
                f"the given ones ({others[0].file}) and would stay behind. Give those "
                "pictures, too, or name another folder with --out."
            )


def _as_text(data):
    return base64.b64encode(data).decode()
