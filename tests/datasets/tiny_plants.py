"""Tiny pictures with label maps, as arrays, palette files and sources."""

import numpy as np
from PIL import Image

from datasets.source import Item, Source
from keras_recattend.config import Preprocessor

PALETTE = [0, 0, 0, 250, 0, 0, 0, 250, 0, 250, 0, 0, 0, 0, 250]


def blocks(height=20, width=16, count=3):
    """A label map of rectangles side by side; object i has 4 * (i + 4) pixels."""
    labels = np.zeros((height, width), np.uint16)
    for i in range(count):
        labels[2 : 6 + i, 4 * i + 1 : 4 * i + 5] = i + 1
    return labels


def picture(labels, seed=0):
    """An RGB picture of the labels: noise, and objects brighter."""
    noise = np.random.default_rng(seed).integers(0, 90, (*labels.shape, 3))
    return (noise + 40 * labels[..., None]).clip(0, 255).astype(np.uint8)


def save_palette(labels, path):
    """A palette PNG in which ids 1 and 3 have the same colour."""
    image = Image.frombytes("P", labels.shape[::-1], labels.astype(np.uint8).tobytes())
    image.putpalette(PALETTE)
    image.save(path)


def source_of(examples, dataset="tiny", splits=None, location="", options=None):
    """A source that hands over the given examples; in this process only."""
    splits = splits or [""] * len(examples)
    pairs = enumerate(zip(examples, splits, strict=True))
    return Source(
        dataset,
        location,
        options or {},
        tuple(Item(example.name, split, data=i) for i, (example, split) in pairs),
        lambda item: (examples[item.data], {}),
    )


def preprocessor():
    """The smallest pre-processing network, of one convolution each way."""
    return Preprocessor(
        depths=(4,),
        pools=(1,),
        transposed_depths=(9,),
        transposed_factors=(1,),
        skips=(),
    )
