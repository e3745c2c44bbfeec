"""Writes a folder of records: shards first, the manifest next, then one rename."""

import contextlib
import logging
from functools import partial
from pathlib import Path

from tqdm import tqdm

from datasets import processes
from datasets.contents import recorded_contents
from datasets.conversion import convert
from datasets.errors import DataError
from datasets.manifest import FORMAT_VERSION, Manifest, Shard, checksum
from datasets.shards import ShardWriter, finished_rows, is_complete
from datasets.source import Source
from datasets.unfinished import PROGRESS, finish, unfinished
from keras_recattend import __version__
from keras_recattend.places import is_refused

__all__ = ["write_records"]

SHARD_IMAGES = 64
MOST_SHARDS = 64
_LOG = logging.getLogger(__name__)


def write_records(
    source: Source,
    directory: str | Path,
    min_area: int,
    progress: bool = True,
    workers: int | None = None,
) -> Manifest:
    """Convert a source to a new folder of records.

    Nothing appears under `directory` before all is written. What a conversion that was
    interrupted, or stopped at a bad file, had done lies beside it in
    `.NAME-partial`, and the next call with the same settings goes on from there; only
    images that changed since are converted again. The records are the same whatever
    the number of processes and interruptions.

    Args:
        source: the data set.
        directory: the folder to make; must not exist, or be empty.
        min_area: objects with fewer pixels do not train, and are reported.
        progress: show a progress bar.
        workers: processes that read and compress; None = one for each core.

    Raises:
        DataError: the folder is in use, two images of one name, no image at all, an
            unfinished conversion of something else, a full disk, or whatever the
            source finds wrong with its files.
    """
    import tensorflow as tf

    directory = Path(directory)
    _check_free(directory)
    _check_names(source)
    plan = _plan(source)
    contents = recorded_contents(source) if source.own else {}
    with unfinished(directory, _description(source, min_area)) as folder:
        _check_free(directory)
        try:
            rows = _write(source, folder, plan, min_area, progress, workers)
            manifest = _manifest(source, folder, plan, min_area, rows, contents)
            manifest.save(folder)
        except (tf.errors.OpError, OSError) as error:
            _tell_what_stays(folder, directory)
            if isinstance(error, OSError) and not is_refused(error, folder):
                raise
            reason = error.strerror if isinstance(error, OSError) else error.message
            raise DataError(
                f"The records cannot be written to {folder}: {reason}. Make room and "
                "start again, or choose another place for them."
            ) from error
        except BaseException:
            _tell_what_stays(folder, directory)
            raise
        finish(folder, directory)
    manifest = Manifest.load(directory, verify=False)
    _report(manifest)
    return manifest


def _check_free(directory):
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataError(
            f"{directory} exists and is not empty; records are never written over "
            "something else. Delete it or choose another folder."
        )


def _check_names(source):
    if not source.items:
        raise DataError(f"{source.dataset} gave no image; at least one is needed.")
    seen = set()
    for item in source.items:
        if item.name in seen:
            raise DataError(f"Two images are called {item.name!r}; names must differ.")
        seen.add(item.name)


def _plan(source):
    """[(file name, items)] of the shards."""
    each = max(SHARD_IMAGES, -(-source.total // MOST_SHARDS))
    starts = range(0, source.total, each)
    return [
        (
            f"{source.dataset}-{i:05d}-of-{len(starts):05d}.tfrecord",
            source.items[start : start + each],
        )
        for i, start in enumerate(starts)
    ]


def _description(source, min_area):
    """What must be equal for an unfinished conversion to go on."""
    return {
        "format": FORMAT_VERSION,
        "data set": source.dataset,
        "from": source.location,
        "options": source.options,
        "classes": source.class_names,
        "least area": min_area,
    }


def _write(source, folder, plan, min_area, progress, workers):
    """Make the shards that are not there yet; returns the rows of all."""
    places = [(folder / name, _rows_file(folder, name), items) for name, items in plan]
    # With other images there may be another number of shards, which is in their names.
    for left in {*folder.glob("*.tfrecord")} - {shard for shard, *_ in places}:
        left.unlink()
        _rows_file(folder, left.name).unlink(missing_ok=True)
    kept = [finished_rows(*place, source.location) for place in places]
    waiting = [
        item
        for (_, _, items), rows in zip(places, kept, strict=True)
        for item in items[len(rows) :]
    ]
    done = source.total - len(waiting)
    if done:
        _LOG.info("%d of %d images are converted already.", done, source.total)
    bar = tqdm(
        desc=f"{source.dataset} to records",
        total=source.total,
        initial=done,
        unit="image",
        # None: only where someone is watching.
        disable=None if progress else True,
    )
    converted = processes.in_order(
        partial(convert, source.read, min_area), waiting, workers
    )
    all_rows = []
    with bar, contextlib.closing(converted):
        for (shard, rows_file, items), rows in zip(places, kept, strict=True):
            if not is_complete(shard, rows, items):
                with ShardWriter(shard, rows_file, rows) as writer:
                    for _ in items[len(rows) :]:
                        writer.write(next(converted))
                        bar.update()
                rows = writer.rows
            all_rows += rows
    return all_rows


def _rows_file(folder, name):
    return folder / PROGRESS / Path(name).with_suffix(".json").name


def _manifest(source, folder, plan, min_area, rows, contents):
    entries = [row.entry for row in rows]
    left_out = [
        {"source_id": "", "what": what, "count": count}
        for what, count in source.left_out.items()
        if count
    ]
    return Manifest(
        directory=str(folder),
        dataset=source.dataset,
        created_by=f"keras-recattend {__version__}",
        source=source.description() | contents,
        min_area=min_area,
        shards=tuple(
            Shard(
                name,
                len(items),
                (folder / name).stat().st_size,
                checksum(folder / name),
            )
            for name, items in plan
        ),
        images=tuple(entries),
        small=tuple(
            {"source_id": row.entry.source_id, "id": i, "area": area}
            for row in rows
            for i, area in row.small
        ),
        class_names=tuple(source.class_names),
        notes=tuple(
            left_out
            + [
                {"source_id": row.entry.source_id, "what": what, "count": count}
                for row in rows
                for what, count in row.notes.items()
            ]
        ),
    )


def _tell_what_stays(folder, directory):
    if any(folder.glob("*.tfrecord")):
        _LOG.warning(
            "What was converted so far stays in %s: the same command goes on from "
            "there. (Delete that folder to start %s anew.)",
            folder,
            directory,
        )


def _report(manifest):
    # With semicolons: some of what is counted has a comma in its name.
    summary = "; ".join(f"{what}: {n:,}" for what, n in manifest.summary.items())
    _LOG.info("%s: %s.", manifest.directory, summary)
    if manifest.notes:
        file = Path(manifest.directory) / "manifest.json"
        _LOG.info('Image by image: "notes" in %s.', file)
    if manifest.small:
        _LOG.warning(
            "%d objects under %d pixels do not train, but are scored (%s); see %s.",
            len(manifest.small),
            manifest.min_area,
            ", ".join(
                f"{d['source_id']} id {d['id']}: {d['area']} px"
                for d in manifest.small[:4]
            )
            + (", ..." if len(manifest.small) > 4 else ""),
            Path(manifest.directory) / "manifest.json",
        )
