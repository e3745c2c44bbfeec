"""What a data set is like, in a few lines of text."""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from datasets import catalog
from datasets.manifest import Manifest

__all__ = ["advice", "describe", "histogram", "room_for", "tell"]

_LOG = logging.getLogger(__name__)

# Objects an image that own data may ask for by itself: each takes a step.
MOST_INSTANCES = 100
# Most lines and widest bar of a histogram.
LINES, WIDTH = 20, 40


def describe(sizes: Sequence[tuple[int, int]], counts: Sequence[int]) -> str:
    """Return sizes and objects an image in one line.

    Args:
        sizes: (height, width) of each image.
        counts: objects of each labelled image.
    """
    heights, widths = zip(*sizes, strict=True)
    low, high = (min(heights), min(widths)), (max(heights), max(widths))
    size = f"{low[0]} x {low[1]}"
    if high != low:
        size += f" to {high[0]} x {high[1]}"
    text = f"{len(sizes)} images of {size} (height x width)"
    if not counts:
        return text + ", none labelled"
    return text + (
        f"; objects an image: {min(counts)} to {max(counts)}, median "
        f"{np.median(counts):g}, {sum(counts)} in all"
    )


def tell(manifest: Manifest, max_instances: int) -> None:
    """Report the data, and images with more objects than a model has outputs for."""
    images = manifest.images
    counts = [image.objects for image in images if image.objects is not None]
    _LOG.info("%s.", describe([(i.height, i.width) for i in images], counts))
    crowded = manifest.crowded(max_instances)
    if crowded:
        _LOG.warning(
            "%d of %d images have more than the preset's %d objects (as %s; the most "
            "are %d): the largest are kept. --max-instances %d takes all.",
            len(crowded),
            len(images),
            max_instances,
            crowded[0],
            manifest.max_objects,
            manifest.max_objects,
        )


def histogram(counts: Sequence[int]) -> list[str]:
    """Return lines of text, one for each number of objects, or range of numbers."""
    if not counts:
        return []
    step = -(-(max(counts) - min(counts) + 1) // LINES)
    bins = Counter((count - min(counts)) // step for count in counts)
    most = max(bins.values())
    lines = []
    for i in range(max(bins) + 1):
        first = min(counts) + i * step
        label = f"{first}" if step == 1 else f"{first}-{first + step - 1}"
        # Whatever is there is seen.
        bar = "#" * -(-bins[i] * WIDTH // most)
        lines.append(f"{label:>9} objects {bins[i]:>6} {bar}".rstrip())
    return lines


def room_for(dataset: str, most: int, outputs: int) -> int:
    """Return how many objects of an image a training has outputs for, if not told.

    Own data may ask for more than the preset has; a benchmark's preset has what its
    data wants.

    Args:
        dataset: name in the catalog.
        most: objects of the fullest image.
        outputs: the preset's `max_instances`.
    """
    own = catalog.DATASETS[dataset].own
    return max(outputs, min(most, MOST_INSTANCES)) if own else outputs


def advice(crowded: int, total: int, most: int, preset: str, outputs: int) -> str:
    """Return what a training keeps of images with many objects, and what to do.

    Args:
        crowded: images with more than `outputs` objects.
        total: all images.
        most: objects of the fullest image.
        preset: its name.
        outputs: what `room_for` says.
    """
    if not crowded:
        return f"With the preset {preset} up to {outputs} objects: enough for all."
    return (
        f"With the preset {preset} up to {outputs} objects; {crowded} of {total} "
        f"images have more, of which training keeps the largest {outputs}. "
        f"train.py --max-instances {most} takes all."
    )
