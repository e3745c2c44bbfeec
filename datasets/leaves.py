"""The data set `leaves`: rendered rosettes, so everything runs with no download."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from datasets.errors import DataError
from datasets.example import Example
from datasets.source import Source

__all__ = ["rendered_leaves"]

# Plants of different `seed`s never share a plant's seed below this many plants.
SEED_STRIDE = 1_000_000
# Raise it when the same seed comes to give another plant: old records then say so.
RENDERER = 1
# Below this many plants, starting processes costs more than it saves.
FEW = 16
_LOG = logging.getLogger(__name__)


def rendered_leaves(
    data_dir: None = None,
    train: int = 400,
    val: int = 40,
    test: int = 40,
    size: tuple[int, int] = (256, 256),
    leaves: tuple[int, int] = (5, 20),
    seed: int = 0,
    workers: int | None = None,
) -> Source:
    """Describe a set of rendered plants; rendering happens when they are read.

    Plant number k has the seed `seed * 1,000,000 + k`, counted through train, val and
    test, so that no two plants are alike and each can be rendered by itself.

    Args:
        data_dir: has no meaning here and must be None.
        train, val, test: number of plants of each split.
        size: (height, width) in pixels.
        leaves: (fewest, most) leaves of a plant.
        seed: of the whole set.
        workers: processes that render; None = one for each core, 1 = none extra.

    Returns:
        The source; images are named "leaves00000" and so on.
    """
    if data_dir is not None:
        raise DataError(
            f"The leaves data set is rendered and reads no files, got {data_dir}. "
            "Leave out --data-dir, or choose another --dataset."
        )
    counts = {"train": train, "val": val, "test": test}
    if min(counts.values()) < 0 or sum(counts.values()) < 1:
        raise DataError(f"The number of plants must be 0 or more, got {counts}.")
    if sum(counts.values()) > SEED_STRIDE:
        raise DataError(f"At most {SEED_STRIDE} plants are possible, got {counts}.")
    splits = [name for name, count in counts.items() for _ in range(count)]
    size, leaves = tuple(size), tuple(leaves)
    jobs = [(seed * SEED_STRIDE + k, size, leaves) for k in range(len(splits))]

    def examples() -> Generator[tuple[Example, str], None, None]:
        rendered = _render_all(jobs, workers or os.cpu_count() or 1)
        for k, (image, labels) in enumerate(rendered):
            yield Example(f"leaves{k:05d}", image, labels.astype(np.uint16)), splits[k]

    return Source(
        dataset="leaves",
        location="",
        options={
            **counts,
            "size": list(size),
            "leaves": list(leaves),
            "seed": seed,
            "renderer": RENDERER,
        },
        files=(),
        total=len(splits),
        examples=examples,
    )


def _render(job):
    from datasets.synthetic_leaves import render_rosette

    seed, size, leaves = job
    return render_rosette(seed, size=size, leaves=leaves)


def _render_all(jobs, workers):
    """Render in order; in several processes where there is enough to do."""
    done = 0
    if workers > 1 and len(jobs) > FEW:
        # "spawn": forking a process that has loaded TensorFlow may hang.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            workers,
            mp_context=context,
            # Ctrl-C is for the main process, which then stops the others.
            initializer=signal.signal,
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
        try:
            for rendered in pool.map(_render, jobs, chunksize=4):
                yield rendered
                done += 1
        except BrokenProcessPool:
            # A main script without `if __name__ == "__main__"` cannot be spawned.
            _LOG.warning("Rendering processes could not start; one process goes on.")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for job in jobs[done:]:
        yield _render(job)
