"""Learning rates at points worked out by hand, and the clock of a stage."""

import types

import pytest

from keras_recattend import schedules
from keras_recattend.config import Stage
from keras_recattend.schedules import Clock, learning_rate


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1e-3), (4999, 1e-3), (5000, 9e-4), (9999, 9e-4), (10_000, 8.1e-4)],
)
def test_staircase(step, expected):
    stage = Stage(
        steps=1, schedule="staircase", learning_rate=1e-3, decay=0.9, period=5000
    )
    # The paper's schedule knows steps alone.
    assert learning_rate(stage, step, progress=0.5) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (0.0, 0.02),  # never quite 0
        (0.05, 1.0),  # half of the warm-up
        (0.1, 2.0),  # its end: the peak
        (0.325, 1.7343146),  # a quarter of the way: 0.2 + 1.8 (1 + cos 45) / 2
        (0.55, 1.1),  # halfway: the mean of peak and end
        (1.0, 0.2),
    ],
)
def test_cosine(progress, expected):
    stage = Stage(steps=1, schedule="cosine", learning_rate=2.0, decay=0.1, warmup=0.1)
    expected = 0.2 + 0.9 * (1 + 2**-0.5) if progress == 0.325 else expected
    assert learning_rate(stage, 12_345, progress) == pytest.approx(expected)


def test_cosine_without_warm_up():
    stage = Stage(steps=1, learning_rate=1.0, decay=0.0, warmup=0.0)
    assert learning_rate(stage, 0, 0.0) == pytest.approx(1.0)
    assert learning_rate(stage, 0, 0.5) == pytest.approx(0.5)


def test_warm_up_to_the_end():
    stage = Stage(steps=1, learning_rate=2.0, warmup=1.0)
    rates = [learning_rate(stage, 0, progress) for progress in (0.5, 1.0)]
    assert rates == [1.0, 2.0]


@pytest.fixture
def time(monkeypatch):
    """A clock on the wall that stands still until it is set."""
    wall = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(schedules.time, "monotonic", lambda: wall.now)
    return wall


def test_clock_by_steps(time):
    clock = Clock(steps=10)
    assert clock.progress == 0.0
    clock.step = 4
    time.now += 1e6
    assert clock.progress == pytest.approx(0.4)
    assert not clock.done
    clock.step = 10
    assert clock.done
    clock.step = 12
    assert clock.progress == 1.0


def test_clock_with_most_steps():
    clock = Clock(steps=100, max_steps=5)
    clock.step = 4
    assert clock.progress == pytest.approx(0.8)
    clock.step = 5
    assert clock.done
    assert Clock(steps=3, max_steps=5).steps == 3


def test_clock_by_minutes(time):
    clock = Clock(steps=10, minutes=2.0)
    clock.step = 10_000
    time.now += 30.0
    assert clock.elapsed == pytest.approx(30.0)
    assert clock.progress == pytest.approx(0.25)
    time.now += 90.0
    assert clock.done


def test_clock_by_minutes_with_most_steps(time):
    clock = Clock(steps=10, minutes=2.0, max_steps=3)
    clock.step = 2
    assert clock.progress == 0.0
    clock.step = 3
    assert clock.done


@pytest.mark.parametrize("max_steps", [None, 70_000, 99_999])
def test_without_a_budget_schedules_go_by_the_step_itself(max_steps):
    """To the last bit: a staircase falls at one step, and no earlier or later."""
    clock = Clock(steps=69_997, max_steps=max_steps)
    for step in range(69_997):
        clock.step = step
        if clock.schedule_step != step:
            raise AssertionError(step)


def test_most_steps_run_through_the_schedules(time):
    clock = Clock(steps=30_000, max_steps=40)
    clock.step = 4
    assert clock.schedule_step == 3000.0
    clock.step = 39
    assert clock.schedule_step == 29_250.0
    time.now += 1e6
    assert clock.schedule_step == 29_250.0


def test_minutes_run_through_the_schedules(time):
    clock = Clock(steps=30_000, minutes=10.0)
    clock.step = 7
    assert clock.schedule_step == 0.0
    time.now += 150.0
    assert clock.schedule_step == pytest.approx(7500.0)
    resumed = Clock(steps=30_000, minutes=10.0, step=7, elapsed=150.0)
    assert resumed.schedule_step == pytest.approx(7500.0)


def test_time_before_a_resume_counts(time):
    clock = Clock(steps=10, minutes=2.0, step=7, elapsed=90.0)
    assert clock.step == 7
    assert clock.progress == pytest.approx(0.75)
    time.now += 15.0
    assert clock.progress == pytest.approx(0.875)
