"""Options that export.py and predict.py share."""

import argparse

import pytest

from keras_recattend.inference_options import (
    add_inference_options,
    inference_changes,
    number,
)


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    add_inference_options(parser)
    return inference_changes(parser.parse_args(arguments))


def test_what_is_not_given_is_no_change():
    assert parsed() == {}
    assert parsed("--min-area", "0") == {"min_area": 0}
    assert parsed("--score-threshold", "0.4", "--min-area", "9") == {
        "score_threshold": 0.4,
        "min_area": 9,
    }


@pytest.mark.parametrize(
    ("kind", "limits", "text", "message"),
    [
        (int, (0,), "-1", "-1 is less than 0"),
        (float, (0, 1), "1.5", "1.5 is not from 0 to 1"),
        (float, (0, 1), "nan", "nan is not from 0 to 1"),
        (float, (0,), "nan", "nan is less than 0"),
    ],
)
def test_a_number_out_of_range(kind, limits, text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        number(kind, *limits)(text)


def test_text_that_is_no_number_is_named_by_its_kind():
    assert number(int, 0).__name__ == "int"
    with pytest.raises(ValueError, match="invalid literal"):
        number(int, 0)("many")
