import logging
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from datasets import augmentation as augment
from datasets import compiled as module
from datasets.compiled import available, compiled
from keras_recattend.config import Augmentation

SIZE = (24, 20)
GEOMETRY = Augmentation(flip_vertical=True, rotation=180, scale=(0.8, 1.3), shift=0.1)
MOST = 6


@pytest.fixture
def lose_xla(monkeypatch):
    """Function that makes this a machine where XLA does not compile."""

    def refuse(_):
        raise tf.errors.UnimplementedError(None, None, "no compiler here")

    def lose():
        monkeypatch.setattr(module, "_probe", refuse)
        available.cache_clear()

    yield lose
    available.cache_clear()


def samples(count, size=SIZE):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, *size, 3)).astype(np.uint8)
    labels = random.integers(0, MOST + 1, (count, *size)).astype(np.uint8)
    return images, labels


def changed(number, image, labels):
    """What the pipeline does to a sample."""
    seed = tf.stack([tf.constant(3, tf.int64), number])
    transform = augment.draw(GEOMETRY, seed, labels.shape)
    image, labels = augment.apply(
        GEOMETRY, transform, image, labels, tf.constant([9.0, 8.0, 7.0])
    )
    return image, *augment.order_objects(labels, None, MOST, MOST)


def stream(count, size=SIZE, parallel=2):
    data = tf.data.Dataset.from_tensor_slices(samples(count, size)).enumerate()
    return data.map(lambda i, s: changed(i, *s), num_parallel_calls=parallel)


def collected(dataset):
    return [np.stack(part) for part in zip(*dataset.as_numpy_iterator(), strict=True)]


def assert_same(left, right, atol=0.0):
    np.testing.assert_allclose(left[0], right[0], atol=atol)
    for one, other in zip(left[1:], right[1:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_compiled_here():
    assert available()
    function = compiled(lambda x: x + 1)
    graph = tf.function(function).get_concrete_function(tf.zeros([2])).graph
    attributes = [f.attr for f in graph.as_graph_def().library.function]
    assert any(a["_XlaMustCompile"].b for a in attributes)


def test_without_xla_the_same_is_computed_plainly(lose_xla, caplog):
    expected = collected(stream(4))
    lose_xla()
    with caplog.at_level(logging.WARNING, logger=module.__name__):
        plain = collected(stream(4))
        plain_again = collected(stream(4))
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "XLA cannot compile here" in caplog.text
    assert_same(plain, plain_again)
    assert_same(plain, expected, atol=1e-5)


def test_the_number_of_threads_changes_nothing():
    expected = collected(stream(24, parallel=1))
    assert expected[2].max() == MOST
    assert_same(collected(stream(24, parallel=4)), expected)


def test_compiled_once_for_all_images():
    """Nothing that is compiled may depend on what is in an image."""
    numbers = iter(stream(61, (17, 19)))
    began = time.perf_counter()
    next(numbers)
    first = time.perf_counter() - began
    began = time.perf_counter()
    assert sum(1 for _ in numbers) == 60
    assert time.perf_counter() - began < 3 * first


def test_streams_of_several_sizes_at_once():
    sizes = [(16, 16), (24, 20), (8, 31)]
    expected = [collected(stream(6, size, parallel=1)) for size in sizes]
    together = collected(
        tf.data.Dataset.zip(*[stream(6, size) for size in sizes]).map(
            lambda *parts: tuple(x for part in parts for x in part)
        )
    )
    for i, one in enumerate(expected):
        assert_same(together[4 * i : 4 * i + 4], one)


def test_other_threads_may_compile_meanwhile():
    expected = collected(stream(40))
    results = []

    def compile_others():
        for size in range(3, 8):
            function = tf.function(lambda x: tf.sort(x * 2), jit_compile=True)
            results.append(function(tf.zeros([size])).shape[0])

    thread = threading.Thread(target=compile_others)
    thread.start()
    got = collected(stream(40))
    thread.join()
    assert results == list(range(3, 8))
    assert_same(got, expected)
