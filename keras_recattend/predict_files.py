"""From files to the folder of predictions: batches, what fails, what is done."""

import dataclasses
import logging
import os
import typing
from pathlib import Path

import numpy as np
import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from keras_recattend.ahead import WriteBehind, grouped, read_ahead
from keras_recattend.corrections import redraw
from keras_recattend.image_files import MOST_PIXELS_A_BATCH, ImageError, read_picture
from keras_recattend.input_files import readable, result_names, source_of
from keras_recattend.prediction_summaries import write_summaries

__all__ = ["Outcome", "predict_files"]

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Outcome:
    """What became of the pictures.

    Attributes:
        predicted: number that were predicted now.
        skipped: number whose results were there.
        explained: number of those whose explanation was missing and was written now.
        kept: (file, message) where a corrected label map stood in the way.
        failed: {`source_of` it: (file, message)} of those that could not be read.
        settled: the `source_of` those that have results.
    """

    predicted: int = 0
    skipped: int = 0
    explained: int = 0
    kept: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    failed: dict[Path, tuple[str, str]] = dataclasses.field(default_factory=dict)
    settled: set[Path] = dataclasses.field(default_factory=set)

    def __str__(self):
        explained = f" ({self.explained} explained now)" if self.explained else ""
        return (
            f"{self.predicted} predicted, {self.skipped} done before{explained}, "
            f"{len(self.kept)} kept, {len(self.failures)} failed"
        )

    @property
    def failures(self):
        """(file, message) of those that could not be read."""
        return list(self.failed.values())

    @property
    def done(self):
        """The number of pictures that have results."""
        return self.predicted + self.skipped + len(self.kept)

    def fail(self, file, message):
        """Note and tell that a file failed."""
        self.failed[source_of(file)] = readable(file), readable(message)
        _LOG.warning("skipped: %s", readable(message))

    def keep(self, file, labels):
        """Note and tell that a corrected label map stays."""
        message = (
            f"{readable(labels)} was changed since it was predicted and is kept. Move "
            "it away to predict the picture anew."
        )
        self.kept.append((readable(file), message))
        self.settled.add(source_of(file))
        _LOG.warning("kept: %s", message)


class _Picture(typing.NamedTuple):
    """One that was read; `about` is its `os.stat_result` from before that."""

    file: Path
    name: str
    about: os.stat_result
    image: np.ndarray
    dark: bool

    @property
    def pixels(self):
        return self.image.shape[0] * self.image.shape[1]


def predict_files(
    predictor,
    folder,
    files,
    *,
    problems=(),
    overwrite=False,
    overlay_size=1600,
    coco=None,
    weights="",
    explain=None,
    most=None,
):
    """Predict files into a prepared `PredictionFolder`.

    Files are read ahead and results written behind in threads, while the network runs.
    Pictures whose results are there are skipped. Tables and report show all pictures
    that the folder has, whenever they were predicted or failed. They are written when
    interrupted, too.

    Args:
        predictor: a `Predictor`, or any function with `batch_size` from a list of
            uint8 [H, W, 3] to a list of `Found`.
        folder: a `PredictionFolder` after `prepare`.
        files: paths of pictures, each once.
        problems: (path, message) of what was named but is not there.
        overwrite: predict pictures that are done, too.
        overlay_size: longest side of an overlay, in pixels.
        coco: file to write COCO json to.
        weights: how they are called in the report.
        explain: function from a list of images to a list of `Explanation`, in place of
            the predictor: they are written, too, also of pictures that are done.
            None = results alone.
        most: objects that the weights can find in a picture, to tell where more may be.

    Returns:
        An `Outcome`.

    Raises:
        UserError: results cannot be written.
    """
    call = _Call(predictor, folder, explain, overlay_size)
    for path, message in problems:
        call.outcome.fail(path, message)
    call.sort(files, overwrite)
    try:
        call.run()
        redraw(folder, overlay_size)
    except KeyboardInterrupt:
        write_summaries(folder, call.outcome, weights=weights, most=most)
        raise
    write_summaries(folder, call.outcome, weights=weights, most=most, coco=coco)
    return call.outcome


class _Call:
    """Pictures on their way through the network into the folder.

    Args:
        predictor, folder, explain, overlay_size: as for `predict_files`.

    Attributes:
        outcome: what became of them so far.
    """

    def __init__(self, predictor, folder, explain, overlay_size):
        self.outcome = Outcome()
        self._predictor, self._explain = predictor, explain
        self._folder, self._overlay_size = folder, overlay_size
        self._records = folder.records()
        # (file, name) each.
        self._todo, self._unexplained = [], []

    def sort(self, files, overwrite):
        """Give names, and find out what is to be done."""
        taken = {source: record.name for source, record in self._records.items()}
        for file, name in zip(files, result_names(files, taken), strict=True):
            record = self._records.get(source_of(file))
            if not overwrite and self._is_done(record, file):
                self.outcome.skipped += 1
                self.outcome.settled.add(source_of(file))
                if self._explain is not None and not self._folder.is_explained(record):
                    self._unexplained.append((file, name))
            elif not self._must_stay(file, name):
                self._todo.append((file, name))

    def _is_done(self, record, file):
        return self._folder.is_done(record, file) or self._folder.is_kept(record)

    def run(self):
        """Predict and explain all that is to be done."""
        total = len(self._todo) + len(self._unexplained)
        with (
            logging_redirect_tqdm(),
            # disable=None: only where someone is watching.
            tqdm.tqdm(total=total, unit="image", disable=None) as progress,
            WriteBehind() as behind,
        ):
            function = self._explain or self._predictor
            size = self._predictor.batch_size
            for batch in self._batches(self._todo, size, progress):
                for part, results in self._asked(function, batch):
                    behind(self._write, part, results)
                progress.update(len(batch))
            # Label maps, which may be corrected ones, stay as they are.
            for batch in self._batches(self._unexplained, 1, progress):
                for part, explanations in self._asked(self._explain, batch):
                    behind(self._write_explanations, part, explanations)
                progress.update(1)

    def _write(self, batch, results):
        for picture, result in zip(batch, results, strict=True):
            # Hours may have passed since it was looked at.
            if self._must_stay(picture.file, picture.name):
                continue
            found = result.found if self._explain else result
            self._folder.write(
                picture.file,
                picture.name,
                picture.image,
                found,
                self._overlay_size,
                picture.about,
                picture.dark,
            )
            if self._explain:
                self._folder.write_explanation(picture.name, result)
            self.outcome.predicted += 1
            self.outcome.settled.add(source_of(picture.file))

    def _write_explanations(self, batch, explanations):
        for picture, explanation in zip(batch, explanations, strict=True):
            self._folder.write_explanation(picture.name, explanation)
            self.outcome.explained += 1

    def _must_stay(self, file, name):
        """Whether the label map of that name is somebody's work; if so, it is told."""
        record = self._records.get(source_of(file))
        labels = self._folder.current_labels(name)
        if record is not None and self._folder.was_corrected(record):
            self.outcome.keep(file, labels)
            return True
        if record is None and labels.exists():
            self.outcome.fail(file, _in_the_way(labels))
            return True
        return False

    def _batches(self, todo, size, progress):
        """Yield lists of `_Picture`s that can be read."""
        pictures = self._pictures(todo, progress)
        return grouped(pictures, size, MOST_PIXELS_A_BATCH, lambda one: one.pixels)

    def _pictures(self, todo, progress):
        ahead = read_ahead(_read, todo, MOST_PIXELS_A_BATCH, lambda one: one.pixels)
        for (file, _), picture, error in ahead:
            if error is None:
                yield picture
                continue
            if isinstance(error, ImageError):
                self.outcome.fail(file, str(error))
            elif isinstance(error, OSError):
                self.outcome.fail(file, f"{file} cannot be opened ({error.strerror}).")
            else:
                raise error
            progress.update(1)

    def _asked(self, function, batch):
        """Yield (part of the batch, its results): one part, if memory suffices.

        One picture alone that does not fit has failed.
        """
        try:
            results = function([picture.image for picture in batch])
        except Exception as error:
            if not _out_of_memory(error):
                raise
            if len(batch) > 1:
                for one in batch:
                    yield from self._asked(function, [one])
            else:
                (picture,) = batch
                height, width = picture.image.shape[:2]
                self.outcome.fail(
                    picture.file,
                    f"{picture.file} ({width} x {height}) does not fit into memory. "
                    "Reduce it or cut it into parts.",
                )
            return
        yield batch, results


def _read(item):
    file, name = item
    about = file.stat()  # before it is read: a change in between shows
    return _Picture(file, name, about, *read_picture(file))


def _out_of_memory(error):
    # By name: this module works without TensorFlow.
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "ResourceExhaustedError"
    )


def _in_the_way(path):
    return (
        f"{readable(path)} is there, but not on record: it may be yours. Move it away "
        "and run again."
    )
