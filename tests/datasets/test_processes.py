import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from datasets import processes, samples
from datasets.errors import DataError
from keras_recattend import threads


def square(number):
    if number == 1:
        time.sleep(0.3)
    return number * number


def fail_at_five(number):
    if number == 5:
        raise DataError("five.png is damaged")
    return number


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch):
    monkeypatch.setattr(processes, "FEW", 1)


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order(count):
    # The slow job 1 is not overtaken.
    found = list(processes.in_order(square, range(12), count))
    assert found == [i * i for i in range(12)]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_comes_when_it_is_its_turn(count):
    results = processes.in_order(fail_at_five, range(9), count)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="five"):
        next(results)


def test_one_process_goes_on_where_others_cannot_start(monkeypatch, caplog):
    class Broken:
        def __init__(self, *_, **__):
            self.left = 2

        def submit(self, function, job):
            if not self.left:
                raise processes.BrokenProcessPool
            self.left -= 1
            return Done(function(job))

        def shutdown(self, **_):
            pass

    class Done:
        def __init__(self, value):
            self.value = value

        def result(self):
            return self.value

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Broken)
    monkeypatch.setattr(processes, "AHEAD", 1)
    found = list(processes.in_order(square, range(8), 2))
    assert found == [i * i for i in range(8)]
    assert "one process goes on" in caplog.text


def test_as_many_processes_as_a_containers_quota_has_cores(monkeypatch):
    """Not as many as the machine has."""
    numbers = []

    class Pool:
        def __init__(self, number, **_):
            numbers.append(number)

        def submit(self, *_):
            raise processes.BrokenProcessPool

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), False)
    monkeypatch.setattr(threads, "_quota", lambda _: 3)
    assert list(processes.in_order(square, range(12))) == [i * i for i in range(12)]
    assert numbers == [3]
    assert samples.parallel()["num_parallel_calls"] == 3


def test_no_more_waits_than_asked(monkeypatch):
    """Results that nobody has taken yet do not pile up."""
    running = []

    class Pool:
        def submit(self, function, job):
            running.append(job)
            return self

        def result(self):
            return running.pop(0)

    waiting = [len(running) for _ in processes._through(Pool(), square, range(50), 6)]
    assert len(waiting) == 50
    assert 0 < max(waiting) <= 6


def test_nothing_to_do():
    assert list(processes.in_order(square, [], 4)) == []


@pytest.mark.skipif(os.name != "posix", reason="sessions and signals")
def test_no_process_outlives_a_killed_program(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys, time
from datasets import processes

def job(number):
    print("working", flush=True)
    time.sleep(0.1)

if __name__ == "__main__":
    processes.FEW = 1
    list(processes.in_order(job, range(1000), 2))
"""
    )
    running = subprocess.Popen(
        [sys.executable, program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert os.read(running.stdout.fileno(), 7) == b"working"
        running.kill()
        # The output ends when the last process has closed it.
        os.set_blocking(running.stdout.fileno(), False)
        deadline = time.monotonic() + 20
        while running.stdout.read() != b"" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert time.monotonic() < deadline
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        running.stdout.close()
