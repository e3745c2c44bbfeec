"""How a command line ends."""

import pytest

from datasets.errors import DataError
from keras_recattend.callbacks import Interrupted, NotFinite
from keras_recattend.command_line import run_command
from keras_recattend.errors import ConfigError, UserError
from keras_recattend.run_folder import RunError


def ends_with(error):
    def main():
        raise error

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


@pytest.mark.parametrize(
    "kind", [UserError, RunError, NotFinite, ConfigError, DataError]
)
def test_a_users_mistake_is_one_message_and_code_2(kind, capsys):
    assert ends_with(kind("Give a folder.")) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: Give a folder.\n"
    assert captured.out == ""


def test_ctrl_c_ends_quietly(capsys):
    assert ends_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "\nInterrupted.\n"


def test_ctrl_c_in_training_says_how_to_go_on(capsys):
    """Training saves and raises `Interrupted`: no traceback, and not code 0."""
    assert ends_with(Interrupted("Go on with --resume --run-dir runs/a")) == 130
    error = capsys.readouterr().err
    assert "--resume --run-dir runs/a" in error
    assert "Traceback" not in error


def test_a_defect_keeps_its_traceback():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(main)


def test_success_is_no_exit():
    run_command(lambda: None)
