"""The warning where 16 bits make training slower."""

import math

import pytest

from keras_recattend import precision_cost
from keras_recattend.precision_cost import slowdown, warn_if_slow


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_both_kinds_of_16_bits_can_be_measured(dtype):
    assert 0 < slowdown(dtype) < math.inf


def test_slowdown_is_the_ratio_of_the_quickest_calls(monkeypatch):
    """The first call, which prepares the kernels, does not count where it is slow."""
    seconds = {"bfloat16": [9.0, 0.6, 0.5, 0.7], "float32": [5.0, 0.1, 0.1, 0.4]}
    monkeypatch.setattr(
        precision_cost, "_timed", lambda image, _: seconds[image.dtype.name].pop(0)
    )
    assert slowdown("bfloat16") == pytest.approx(5.0)
    assert seconds == {"bfloat16": [], "float32": []}


def test_a_precision_that_is_slow_here_is_told_with_its_factor(monkeypatch, caplog):
    measured = []
    monkeypatch.setattr(
        precision_cost, "slowdown", lambda dtype: measured.append(dtype) or 11.7
    )
    warn_if_slow("mixed_bfloat16")
    assert measured == ["bfloat16"]
    assert "12 times as long in bfloat16 as in float32" in caplog.text
    assert "without --precision mixed_bfloat16" in caplog.text


@pytest.mark.parametrize(
    ("precision", "times"), [("mixed_float16", 1.9), ("float32", 3)]
)
def test_nothing_is_said_where_it_is_not_slower(monkeypatch, caplog, precision, times):
    """float32 is not even measured."""
    monkeypatch.setattr(precision_cost, "slowdown", lambda dtype: times)
    warn_if_slow(precision)
    assert not caplog.text
