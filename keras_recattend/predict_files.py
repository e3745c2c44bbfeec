"""From files to the folder of predictions: batches, what fails, what is done."""

import dataclasses
import logging
import os
from pathlib import Path

import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from keras_recattend.ahead import WriteBehind, grouped, read_ahead
from keras_recattend.coco import write_coco
from keras_recattend.html_report import html_report
from keras_recattend.image_files import MOST_PIXELS_A_BATCH, ImageError, read_image
from keras_recattend.input_files import readable, result_names, source_of
from keras_recattend.predictions import writing_to
from keras_recattend.whole_files import write_atomically

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
        failures: (file, message) of those that could not be read.
        sources: the `source_of` each failure.
    """

    predicted: int = 0
    skipped: int = 0
    explained: int = 0
    kept: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    failures: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    sources: set[Path] = dataclasses.field(default_factory=set)

    def __str__(self):
        explained = f" ({self.explained} explained now)" if self.explained else ""
        return (
            f"{self.predicted} predicted, {self.skipped} done before{explained}, "
            f"{len(self.kept)} kept, {len(self.failures)} failed"
        )

    @property
    def done(self):
        """The number of pictures that have results."""
        return self.predicted + self.skipped + len(self.kept)

    def fail(self, file, message):
        """Note and tell that a file failed."""
        self.failures.append((readable(file), readable(message)))
        self.sources.add(source_of(file))
        _LOG.warning("skipped: %s", readable(message))

    def keep(self, file, labels):
        """Note and tell that a corrected label map stays."""
        message = (
            f"{readable(labels)} was changed since it was predicted and is kept. Move "
            "it away to predict the picture anew."
        )
        self.kept.append((readable(file), message))
        _LOG.warning("kept: %s", message)


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
    that the folder has, whenever they were predicted, and this call's failures. They
    are written when interrupted, too.

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
    records = folder.records()
    names = result_names(files, {s: r.name for s, r in records.items()})
    outcome, todo, unexplained = Outcome(), [], []
    for path, message in problems:
        outcome.fail(path, message)
    for file, name in zip(files, names, strict=True):
        record = records.get(source_of(file))
        if not overwrite and folder.is_done(record, file):
            outcome.skipped += 1
            if explain is not None and not folder.is_explained(record):
                unexplained.append((file, name))
        elif not _must_stay(folder, record, file, name, outcome):
            todo.append((file, name))
    try:
        with (
            logging_redirect_tqdm(),
            # disable=None: only where someone is watching.
            tqdm.tqdm(
                total=len(todo) + len(unexplained), unit="image", disable=None
            ) as progress,
            WriteBehind() as behind,
        ):

            def write(batch, results):
                for (file, name, about, image), one in zip(batch, results, strict=True):
                    # Hours may have passed since it was looked at.
                    record = records.get(source_of(file))
                    if _must_stay(folder, record, file, name, outcome):
                        continue
                    found = one.found if explain else one
                    folder.write(file, name, image, found, overlay_size, about)
                    if explain:
                        folder.write_explanation(name, one)
                    outcome.predicted += 1

            def write_explanation(batch, explanations):
                for (_, name, *_), one in zip(batch, explanations, strict=True):
                    folder.write_explanation(name, one)
                    outcome.explained += 1

            for batch in _batches(todo, predictor.batch_size, outcome, progress):
                for part, results in _run(explain or predictor, batch, outcome):
                    behind(write, part, results)
                progress.update(len(batch))
            # Label maps, which may be corrected ones, stay as they are.
            for batch in _batches(unexplained, 1, outcome, progress):
                for part, explanations in _run(explain, batch, outcome):
                    behind(write_explanation, part, explanations)
                progress.update(1)
    except KeyboardInterrupt:
        _write_summaries(folder, outcome, None, weights, most)
        raise
    _write_summaries(folder, outcome, coco, weights, most)
    return outcome


def _must_stay(folder, record, file, name, outcome):
    """Whether the label map of that name is somebody's work; if so, it is told."""
    labels = folder.current_labels(name)
    if record is not None and folder.was_corrected(record):
        outcome.keep(file, labels)
        return True
    if record is None and labels.exists():
        outcome.fail(file, _in_the_way(labels))
        return True
    return False


def _batches(todo, size, outcome, progress):
    """Yield lists of (file, name, about, image); those that fail go to `outcome`."""
    pictures = _pictures(todo, outcome, progress)
    return grouped(pictures, size, MOST_PIXELS_A_BATCH, lambda one: _pixels(one[-1]))


def _pictures(todo, outcome, progress):
    """Yield (file, name, about, image) of those that can be read."""
    ahead = read_ahead(
        _read, todo, MOST_PIXELS_A_BATCH, lambda result: _pixels(result[1])
    )
    for (file, name), result, error in ahead:
        if error is None:
            yield file, name, *result
            continue
        if isinstance(error, ImageError):
            outcome.fail(file, str(error))
        elif isinstance(error, OSError):
            outcome.fail(file, f"{file} cannot be opened ({error.strerror}).")
        else:
            raise error
        progress.update(1)


def _read(item):
    file, _ = item
    about = file.stat()  # before it is read: a change in between shows
    return about, read_image(file)


def _pixels(image):
    return image.shape[0] * image.shape[1]


def _run(function, batch, outcome):
    """Yield (part of the batch, results of its images): one part, if memory suffices.

    One picture alone that does not fit has failed.
    """
    try:
        results = function([image for *_, image in batch])
    except Exception as error:
        if not _out_of_memory(error):
            raise
        if len(batch) > 1:
            for one in batch:
                yield from _run(function, [one], outcome)
        else:
            file, _, _, image = batch[0]
            outcome.fail(
                file,
                f"{file} ({image.shape[1]} x {image.shape[0]}) does not fit into "
                "memory. Reduce it or cut it into parts.",
            )
        return
    yield batch, results


def _out_of_memory(error):
    # By name: this module works without TensorFlow.
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "ResourceExhaustedError"
    )


def _write_summaries(folder, outcome, coco, weights, most):
    records, left_out = [], []
    for source, record in folder.records().items():
        if source in outcome.sources:
            continue  # results of a picture that cannot be read any more
        earlier = folder.is_earlier(record) and not folder.was_corrected(record)
        (left_out if earlier else records).append(record)
    for some in (records, left_out):
        some.sort(key=lambda record: (record.file, record.name))
    _tell_gone(records)
    _tell_earlier(left_out)
    # Looked at once: a picture may change while the summaries are written.
    kept = {r.name: why for r in records if (why := folder.why_kept(r))}
    _tell_full([r for r in records if r.name not in kept], most)
    folder.write_tables(records, outcome.failures, kept, most)
    with writing_to(folder.path):
        page = html_report(records, outcome.failures, weights, kept)
        write_atomically(folder.path / "report.html", page.encode())
    if coco is not None:
        with writing_to(coco):
            write_coco(folder, records, coco)


def _tell_gone(records):
    """Tell of rows whose pictures were moved or deleted: they stay, perhaps twice."""
    gone = [record for record in records if not os.path.lexists(record.source)]
    if gone:
        _LOG.warning(
            "%d pictures in the tables are no longer where they were (%s); if they "
            "were moved, they may be there twice. Their rows stay until their files "
            "in records/ are deleted (%s.json).",
            len(gone),
            gone[0].file,
            gone[0].name,
        )


def _tell_earlier(left_out):
    """Tell of results of other settings, after an --overwrite that was interrupted."""
    if left_out:
        _LOG.warning(
            "%d pictures have results of earlier settings alone and are in no table "
            "(%s). Give them, too.",
            len(left_out),
            left_out[0].file,
        )


def _tell_full(records, most):
    """Tell of pictures that may have more objects than the weights can find."""
    full = [record for record in records if most is not None and record.count >= most]
    if full:
        _LOG.warning(
            "%d pictures have %d objects, as many as these weights can find, or more "
            "(%s): their counts may be too low. train.py --max-instances N makes "
            "weights that find more.",
            len(full),
            most,
            full[0].file,
        )


def _in_the_way(path):
    return (
        f"{readable(path)} is there, but not on record: it may be yours. Move it away "
        "and run again."
    )
