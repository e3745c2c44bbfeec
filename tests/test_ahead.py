"""Reading ahead and writing behind."""

import threading

import pytest

from keras_recattend.ahead import WriteBehind, read_ahead


def test_results_come_in_order_and_exceptions_are_given():
    def read(item):
        if item == 2:
            raise OSError("gone")
        return item * 10

    found = list(read_ahead(read, [1, 2, 3], 100, lambda _: 1))
    assert [(item, result) for item, result, _ in found] == [
        (1, 10),
        (2, None),
        (3, 30),
    ]
    assert [str(error) for *_, error in found if error] == ["gone"]


def test_reading_goes_on_while_the_caller_works():
    second = threading.Event()

    def read(item):
        if item == 2:
            second.set()
        return item

    results = read_ahead(read, [1, 2], 10, lambda _: 1)
    next(results)
    assert second.wait(10), "the second item waited to be asked for"
    assert next(results)[1] == 2


def test_reading_pauses_when_enough_waits():
    done = []
    results = read_ahead(lambda i: done.append(i) or i, range(20), 3, lambda _: 1)
    next(results)
    # One was taken; three may wait.
    assert len(done) <= 4
    assert [result for _, result, _ in results] == list(range(1, 20))


def test_a_reader_that_is_left_early_ends():
    results = read_ahead(lambda i: i, range(100), 2, lambda _: 1)
    next(results)
    results.close()
    assert not [t for t in threading.enumerate() if t.name == "read ahead"]


def test_writing_is_done_in_another_thread_in_order():
    written, threads = [], set()

    def write(value):
        written.append(value)
        threads.add(threading.get_ident())

    with WriteBehind() as behind:
        for value in range(5):
            behind(write, value)
    assert written == list(range(5))
    assert threading.get_ident() not in threads


def test_what_writing_raises_comes_with_the_next_call_or_at_the_end():
    def fail():
        raise OSError("full")

    with pytest.raises(OSError, match="full"), WriteBehind() as behind:
        behind(fail)
    with WriteBehind() as behind:
        behind(fail)
        with pytest.raises(OSError, match="full"):
            behind(print)


def test_an_interrupted_caller_still_waits_for_the_writing():
    going, written = threading.Event(), []

    def write():
        going.wait(10)
        written.append(1)

    def interrupted():
        with WriteBehind() as behind:
            behind(write)
            threading.Timer(0.05, going.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written == [1]
