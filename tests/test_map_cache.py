"""Maps computed once an image: what is kept, when it is made anew, what it costs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from keras_recattend import map_cache
from keras_recattend.map_cache import MapCache, Unchanged, network_fingerprint
from keras_recattend.model import RecurrentAttention

COUNT = 5


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return RecurrentAttention(tiny.preprocessed())


def pictures(count=COUNT):
    images = [tiny.ellipses(i, 2)[0] for i in range(count)]
    return np.stack(images).astype(np.float32) / 255


def unchanged(count=COUNT, calls=None):
    def batches(batch_size):
        if calls is not None:
            calls.append(batch_size)
        whole = {"image": pictures(count), "index": np.arange(count)}
        return tf.data.Dataset.from_tensor_slices(whole).batch(batch_size)

    return Unchanged(count, batches)


def filled(model, folder, name="train"):
    cache = MapCache(model, folder, name)
    assert cache.fill(unchanged(), batch_size=2)
    return cache


def test_batches_get_the_maps_of_their_images(model, tmp_path):
    cache = filled(model, tmp_path)
    order = np.array([3, 0, 4, 3])
    batch = {"image": pictures()[order], "index": order, "labels": order}
    (got,) = cache.join(tf.data.Dataset.from_tensors(batch))
    assert set(got) == {"image", "labels", "extra"}
    expected = model.maps(pictures()[order]).extra
    assert got["extra"].shape == expected.shape
    np.testing.assert_allclose(got["extra"], expected, atol=0.5 / 255 + 1e-6)


def test_maps_move_with_their_image(model, tmp_path):
    """Flipped to the left: left (0) and right (4), 1 and 3, 7 and 5 change places."""
    cache = filled(model, tmp_path)
    matrix = np.array([[[1, 0, 0], [0, -1, tiny.SIZE[1] - 1]]], np.float32)
    batch = {"image": pictures(1)[:, :, ::-1], "index": [0], "matrix": matrix}
    (got,) = cache.join(tf.data.Dataset.from_tensors(batch))
    whole = model.maps(pictures(1)).extra.numpy()[:, :, ::-1]
    expected = whole[..., [4, 3, 2, 1, 0, 7, 6, 5, 8]]
    np.testing.assert_allclose(got["extra"], expected, atol=0.5 / 255 + 1e-4)
    assert "matrix" not in got


def test_an_image_is_computed_once(model, tmp_path):
    cache = filled(model, tmp_path)
    written = {p.name: p.stat().st_mtime_ns for p in cache.folder.iterdir()}
    assert len(written) == COUNT + 1
    calls = []
    again = MapCache(model, tmp_path, "train")
    assert again.complete
    assert again.fill(unchanged(calls=calls))
    assert calls == []
    assert written == {p.name: p.stat().st_mtime_ns for p in cache.folder.iterdir()}


def test_what_an_interruption_left_is_gone_on_with(model, tmp_path):
    cache = filled(model, tmp_path)
    kept = {p.name: p.stat().st_mtime_ns for p in cache.folder.glob("*.png")}
    (cache.folder / "complete").unlink()
    (cache.folder / "00000002.png").unlink()
    again = filled(model, tmp_path)
    assert {p.name for p in again.folder.glob("*.png")} == set(kept)
    for path in again.folder.glob("*.png"):
        assert (path.stat().st_mtime_ns == kept[path.name]) == (
            "2.png" not in path.name
        )


def test_another_network_has_other_maps(model, tmp_path):
    old = filled(model, tmp_path)
    other_split = filled(model, tmp_path, "val")
    before = network_fingerprint(model.preprocessor)
    bias = model.preprocessor.transposed.convolutions[-1].bias
    bias.assign(bias + 1.0)
    assert network_fingerprint(model.preprocessor) != before
    new = filled(model, tmp_path)
    assert not old.folder.exists()
    assert other_split.folder.exists()
    dataset = tf.data.Dataset.from_tensors({"index": np.arange(COUNT)})
    (got,) = new.join(dataset)
    expected = model.maps(pictures()).extra
    np.testing.assert_allclose(got["extra"], expected, atol=0.5 / 255 + 1e-6)


def test_it_gives_up_where_it_would_take_too_long(model, tmp_path):
    cache = MapCache(model, tmp_path, "train")
    assert not cache.fill(unchanged(), batch_size=1, seconds=1e-9)
    assert not cache.complete
    assert cache.fill(unchanged(), batch_size=1, seconds=1e9)


def test_machines_whose_last_bits_differ_share_the_maps(model, tmp_path):
    """The chief's name for the weights holds on all of them, and nobody's go."""
    name = network_fingerprint(model.preprocessor)
    assert len(name) == 12
    assert int(name, 16) < 2**53
    filled(model, tmp_path)
    bias = model.preprocessor.transposed.convolutions[-1].bias
    bias.assign(np.nextafter(bias.numpy() + 1e-3, 1.0, dtype=np.float32))
    assert network_fingerprint(model.preprocessor) != name
    other = MapCache(model, tmp_path, "train", name)
    assert other.complete
    calls = []
    assert other.fill(unchanged(calls=calls))
    assert calls == []


def test_what_reading_takes_before_the_first_batch_counts_once(
    model, tmp_path, monkeypatch
):
    now = [0.0]
    monkeypatch.setattr(map_cache.time, "monotonic", lambda: now[0])

    def batches(size):
        now[0] += 100.0  # all images are decoded
        for batch in unchanged().batches(size):
            yield batch
            now[0] += 1.0

    slow = Unchanged(COUNT, batches)
    cache = MapCache(model, tmp_path, "train")
    assert not cache.fill(slow, batch_size=1, seconds=99.0)
    assert cache.fill(slow, batch_size=1, seconds=101.0 + COUNT)
