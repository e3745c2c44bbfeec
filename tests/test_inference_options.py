"""Options of command lines that change how weights are used."""

import argparse

import pytest

from keras_recattend.config import Inference
from keras_recattend.errors import ConfigError
from keras_recattend.inference_options import (
    add_inference_options,
    inference_changes,
    inference_settings,
    number,
)


def parsed(*arguments, **options):
    parser = argparse.ArgumentParser()
    add_inference_options(parser, **options)
    return inference_changes(parser.parse_args(arguments))


def test_what_is_not_given_is_no_change():
    assert parsed() == {}
    assert parsed("--min-area", "0") == {"min_area": 0}
    assert parsed("--score-threshold", "0.4", "--min-area", "9") == {
        "score_threshold": 0.4,
        "min_area": 9,
    }


def test_views_are_for_commands_that_have_them(capsys):
    assert parsed(views=True) == {}
    assert parsed("--views", "4", views=True) == {"views": 4}
    for arguments, options in (
        (["--views", "4"], {}),
        (["--views", "3"], {"views": True}),
    ):
        with pytest.raises(SystemExit):
            parsed(*arguments, **options)
    assert "(choose from 1, 2, 4, 8)" in capsys.readouterr().err.replace("'", "")


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


def test_settings_have_the_kind_of_their_default():
    given = ["mask_threshold=0.3", "min_area = 1200", "bilateral=True", "stop=false"]
    settings = inference_settings([*given, "zoom=2"])
    assert settings == {
        "mask_threshold": 0.3,
        "min_area": 1200,
        "bilateral": True,
        "stop": False,
        "zoom": 2.0,
    }
    assert type(settings["zoom"]) is float
    assert Inference(**settings).min_area == 1200
    assert inference_settings([]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mask_treshold=0.3", "'mask_treshold'.*Did you mean 'mask_threshold'"),
        ("mask_threshold", "NAME=VALUE, got 'mask_threshold'"),
        ("mask_threshold=", "mask_threshold takes a number of 0 or more, got ''"),
        ("mask_threshold=nan", "got 'nan'"),
        ("min_area=1.5", "a whole number of 0 or more, got '1.5'"),
        ("min_area=-1", "got '-1'"),
        ("bilateral=1", "true or false, got '1'"),
    ],
)
def test_settings_that_make_no_sense(text, message):
    with pytest.raises(ConfigError, match=message):
        inference_settings([text])
