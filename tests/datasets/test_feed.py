"""What a training reads: batches of one split, images of the other."""

import itertools

import numpy as np
import pytest
from tiny_plants import blocks, picture, preprocessor

from datasets.feed import Feed
from datasets.samples import Samples
from keras_recattend import presets
from keras_recattend.config import Augmentation


@pytest.fixture(scope="module")
def config():
    # Without augmentation, so that a batch shows which image it came from. The trunk
    # is not built: only sizes count here.
    return presets.get("leaves").replace(
        image_size=(20, 16),
        max_instances=5,
        augmentation=Augmentation(),
        box_network={"pools": (1,) * 5, "context_depths": ()},
    )


@pytest.fixture
def split(tiny_records):
    names = tiny_records.ids
    return {"train": names[:5], "val": names[5:], "test": [], "all": names}


@pytest.fixture
def feed(tiny_records, split, config):
    return Feed(tiny_records, split, config)


def which(batch):
    """Numbers of the images in an unchanged batch."""
    pictures = [picture(blocks(count=i % 4), i) / 255 for i in range(7)]
    return [
        int(np.argmin([np.abs(image - p).max() for p in pictures]))
        for image in batch["image"]
    ]


def test_batches_come_from_the_training_split_alone(feed):
    batches = itertools.islice(feed.stream(5, 0, 3).as_numpy_iterator(), 4)
    assert all(sorted(which(batch)) == [0, 1, 2, 3, 4] for batch in batches)


def test_a_stream_goes_on_where_it_was(feed):
    def first(start):
        return next(feed.stream(2, start, 3).as_numpy_iterator())

    whole = list(itertools.islice(feed.stream(2, 0, 3).as_numpy_iterator(), 3))
    np.testing.assert_array_equal(first(4)["image"], whole[2]["image"])


def test_examples_are_read_anew_at_every_pass(feed, tiny_records):
    """None is kept: photographs would fill the memory."""
    assert len(feed.examples) == 2
    for _ in range(2):
        assert [e.name for e in feed.examples] == tiny_records.ids[5:]
    first, again = next(iter(feed.examples)), next(iter(feed.examples))
    assert first is not again
    np.testing.assert_array_equal(first.image, again.image)


def test_validation_shows_its_own_images_once(feed):
    (batch,) = feed.validation(8).as_numpy_iterator()
    assert which(batch) == [5, 6]
    assert [example.name for example in feed.examples] == ["image5", "image6"]


def test_some_of_many_validation_images_are_watched(tiny_records, config):
    names = tiny_records.ids
    split = {"train": names[:1], "val": names[1:], "test": [], "all": names}
    feed = Feed(tiny_records, split, config, most_validating=3)
    (batch,) = feed.validation(8).as_numpy_iterator()
    assert which(batch) == [1, 3, 5]
    assert [example.name for example in feed.examples] == ["image1", "image3", "image5"]
    assert [images.count for images in feed.splits] == [1, 3]


def test_where_every_image_trains_none_validates(tiny_records, config):
    names = tiny_records.ids
    split = {"train": names, "val": [], "test": [], "all": names}
    feed = Feed(tiny_records, split, config)
    assert feed.validation(8) is None
    assert list(feed.examples) == []
    assert not feed.examples
    assert [images.count for images in feed.splits] == [7, 0]
    (batch,) = feed.stream(7, 0, 3).take(1).as_numpy_iterator()
    assert sorted(which(batch)) == list(range(7))


def test_both_splits_for_the_maps(feed):
    train, val = feed.splits
    assert (train.count, val.count) == (5, 2)
    (batch,) = train.batches(8).as_numpy_iterator()
    assert which(batch) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("most", [0, 3])
def test_a_collage_has_no_place_in_an_image(tiny_records, split, config, most):
    config = config.replace(
        preprocessor=preprocessor(),
        augmentation={"paste": most},
    )
    feed = Feed(tiny_records, split, config)
    batch = next(feed.stream(2, 0, 3).as_numpy_iterator())
    assert ("index" in batch) == ("matrix" in batch) == (most == 0)
    (batch,) = feed.validation(8).as_numpy_iterator()
    assert batch["index"].tolist() == [0, 1]


def test_every_split_is_read_once_for_all_stages(feed, monkeypatch):
    reads, read_all = [], Samples._read_all

    def counted(self):
        reads.append(len(self))
        return read_all(self)

    monkeypatch.setattr(Samples, "_read_all", counted)
    for _ in range(3):
        next(feed.stream(2, 0, 3).as_numpy_iterator())
        assert len(list(feed.validation(2))) == 1
    assert sorted(reads) == [2, 5]
