"""Rendered plants among the samples: which ones, how many, and the rest unchanged."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from tiny_plants import blocks, preprocessor, source_of

from datasets import catalog, records
from datasets.example import Example
from datasets.feed import Feed
from datasets.pipeline import training_stream
from datasets.synthetic_leaves import render_rosette
from datasets.writer import write_records
from keras_recattend import presets
from keras_recattend.config import Augmentation

SIZE = (20, 16)
PLANTS = 4
SHARE = 0.3
PLAIN = Augmentation(rendered=SHARE)
MOVED = dataclasses.replace(PLAIN, flip_horizontal=True, shift=0.1, gain=0.2)
KEYS = ("image", "labels", "count", "classes")


@pytest.fixture(scope="module")
def plants(tmp_path_factory):
    """Four plants, each of one grey, brighter than any image of `tiny_records`."""
    labels = blocks(count=1)
    pictures = [np.full((*SIZE, 3), 250 + i, np.uint8) for i in range(PLANTS)]
    examples = [Example(f"p{i}", p, labels) for i, p in enumerate(pictures)]
    folder = tmp_path_factory.mktemp("plants") / "records"
    return write_records(source_of(examples), folder, min_area=1)


def singles(manifest, plants, count, augmentation=PLAIN, **options):
    """`count` batches of one sample, unless `batch_size` is among the options."""
    options = {"batch_size": 1, "seed": 0} | options
    dataset = training_stream(
        manifest, manifest.ids, SIZE, 5, augmentation, rendered=plants, **options
    )
    return list(itertools.islice(dataset.as_numpy_iterator(), count))


def plant_of(batch):
    """The plant's number, or None for an image of the data set."""
    grey = batch["image"][0].min() * 255
    return round(float(grey)) - 250 if grey > 249 else None


def test_plants_are_spread_evenly(tiny_records, plants):
    found = [plant_of(b) for b in singles(tiny_records, plants, 60)]
    for n in range(61):
        assert sum(p is not None for p in found[:n]) == math.floor(n * SHARE)
    numbers = np.array([p for p in found if p is not None][:16]).reshape(4, PLANTS)
    np.testing.assert_array_equal(np.sort(numbers, axis=1), [range(PLANTS)] * 4)
    assert len({tuple(one) for one in numbers}) > 1


def test_every_pass_over_the_images_shows_each_once(tiny_records, plants):
    batches = [b for b in singles(tiny_records, plants, 40) if plant_of(b) is None]
    alone = singles(tiny_records, None, 28, Augmentation())
    assert len(batches) == 28
    # As without plants: only what stands between them is new.
    for mixed, own in zip(batches, alone, strict=True):
        for key in KEYS:
            np.testing.assert_array_equal(mixed[key], own[key])


@pytest.mark.parametrize("start", [1, 3, 4, 10, 17])
@pytest.mark.parametrize("paste", [0, 2])
def test_a_resumed_stream_goes_on(tiny_records, plants, start, paste):
    augmentation = dataclasses.replace(MOVED, paste=paste)
    whole = singles(tiny_records, plants, start + 8, augmentation)
    rest = singles(tiny_records, plants, 8, augmentation, start=start)
    for left, right in zip(whole[start:], rest, strict=True):
        for key in KEYS:
            np.testing.assert_array_equal(left[key], right[key])


def test_devices_read_their_rows_of_the_whole_batches(tiny_records, plants):
    options = {"augmentation": MOVED, "batch_size": 6, "start": 12}
    whole = singles(tiny_records, plants, 3, **options)
    parts = singles(tiny_records, plants, 6, **options, share=(3, 1, 2))
    for number, part in enumerate(parts):
        first = 2 + 2 * (number % 2)
        for key in KEYS:
            rows = whole[number // 2][key][first : first + 2]
            np.testing.assert_array_equal(part[key], rows)


def test_share_and_records_belong_together(tiny_records, plants):
    with pytest.raises(ValueError, match=r"rendered=0.3 needs records"):
        singles(tiny_records, None, 1)
    with pytest.raises(ValueError, match=r"rendered=0.0 needs .* none otherwise"):
        singles(tiny_records, plants, 1, Augmentation())
    with pytest.raises(ValueError, match="with_places does not go"):
        singles(tiny_records, plants, 1, with_places=True)
    with pytest.raises(ValueError, match=r"0 to less than 1, got 1\.0"):
        singles(tiny_records, plants, 1, Augmentation(rendered=1.0))


def config(**changes):
    return presets.get("leaves").replace(
        image_size=(32, 48), augmentation={"rendered": 0.5}, **changes
    )


def test_the_plants_that_a_training_needs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "COMPANIONS", 3)
    assert catalog.companions(config().replace(augmentation={"rendered": 0.0})) is None
    manifest = catalog.companions(config(max_instances=9, min_object_area=1))
    assert len(manifest.ids) == 3
    assert manifest.min_area == 1
    assert all((i.height, i.width) == (32, 48) for i in manifest.images)
    assert manifest.directory.startswith("records")
    (example, *_) = records.examples(manifest)
    usual, _ = render_rosette(0, (32, 48))
    assert not np.array_equal(example.image, usual)
    # The same records again.
    assert catalog.companions(config(min_object_area=1)).images == manifest.images


def test_the_feed_hands_them_over(tiny_records, plants):
    names = tiny_records.ids
    split = {"train": names[:5], "val": names[5:], "test": [], "all": names}
    settings = presets.get("leaves").replace(
        image_size=SIZE,
        max_instances=5,
        augmentation=Augmentation(rendered=0.5),
        preprocessor=preprocessor(),
        box_network={"pools": (1,) * 5, "context_depths": ()},
    )
    feed = Feed(tiny_records, split, settings, plants)
    batches = list(itertools.islice(feed.stream(1, 0, 3).as_numpy_iterator(), 8))
    assert [plant_of(b) is not None for b in batches] == [False, True] * 4
    # Maps of images are of no use to plants.
    assert "index" not in batches[0]
    (batch,) = feed.validation(8).as_numpy_iterator()
    assert len(batch["image"]) == 2
