"""The cross-validation's command with train.py stubbed."""

import errno
import json
import logging
import pathlib
import signal
import sys

import hand_made_fold
import pytest
import stub_train
import tiny
from stub_train import after

from keras_recattend import cross_validation, fold_scores, presets, run_series
from keras_recattend.child_process import locked
from keras_recattend.metrics.report import read_csv
from keras_recattend.run_folder import RunFolder


def leave_run(path):
    number = int(path.name.removeprefix("fold-"))
    hand_made_fold.leave(path, number, [80.0 + number, 90.0 + number])


def leave_state(path):
    stub_train.leave_state(path, tiny.config())


@pytest.fixture(autouse=True)
def in_a_fresh_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(presets.PRESETS, "tiny", tiny.config)


@pytest.fixture
def trained(monkeypatch):
    return stub_train.stub(monkeypatch, leave_run)


@pytest.fixture
def call(caller):
    return caller("cross_validation", cross_validation.main)


USUAL = ("--preset", "tiny", "--dataset", "cvppp", "--folds", 3, "--out", "out")


def metrics():
    return json.loads(pathlib.Path("out/metrics.json").read_text())


def test_one_run_a_fold_one_after_another(trained, call):
    commands, _ = trained
    options = ("--seed", 7, "--data-dir", "data", "--minutes", 2, "--init", "leaves")
    options += ("--precision", "mixed_bfloat16", "--learning-rate-factor", "0.50")
    options += ("--shares", "box=2,joint=1", "--batch-size", 4)
    options += ("--group", "(.+)_day", "--val-images", 50)
    code, _ = call(*USUAL, *options)
    assert code == 0
    assert len(commands) == 3
    for number, command in enumerate(commands, start=1):
        assert command[0] == sys.executable
        assert pathlib.Path(command[1]).name == "train.py"
        assert after(command, "--fold") == f"{number}/3"
        assert after(command, "--run-dir") == str(pathlib.Path(f"out/fold-{number}"))
        assert "--resume" not in command
        asked = {"--dataset": "cvppp", "--data-dir": "data", "--preset": "tiny"}
        asked |= {"--minutes": "2.0", "--seed": "7", "--init": "leaves"}
        asked |= {"--precision": "mixed_bfloat16", "--learning-rate-factor": "0.5"}
        asked |= {"--shares": "box=2,joint=1", "--batch-size": "4"}
        asked |= {"--group": "(.+)_day", "--val-images": "50"}
        for option, value in asked.items():
            assert after(command, option) == value
    assert metrics()["missing_folds"] == []
    assert metrics()["n_images"] == 6
    assert metrics()["sbd"]["mean"] == pytest.approx(87.0)
    names = [row["name"] for row in read_csv("out/images.csv")]
    assert names == [f"f{k}-{i}" for k in (1, 2, 3) for i in (0, 1)]
    text = pathlib.Path("out/cross-validation.md").read_text()
    assert text.startswith(
        "3-fold cross-validation of the preset `tiny` on cvppp, from `leaves`: "
        "2 minutes each, batches of 4, mixed_bfloat16, seed 7, divided "
        "box=2,joint=1, learning rates times 0.5."
    )
    assert "| **all images** | 6 | 87.0 (" in text


def test_scores_are_written_after_every_fold(trained, call):
    _, codes = trained
    seen = []

    def look(path):
        seen.append(metrics()["missing_folds"])
        leave_run(path)

    codes["fold-2"] = 0, look
    codes["fold-3"] = 0, look
    assert call(*USUAL)[0] == 0
    assert seen == [[2, 3], [3]]


def test_some_folds_now_and_the_others_another_time(trained, call):
    commands, _ = trained
    assert call(*USUAL, "--only", "3,1")[0] == 0
    assert [after(c, "--fold") for c in commands] == ["1/3", "3/3"]
    assert metrics()["missing_folds"] == [2]
    assert call(*USUAL)[0] == 0
    assert [after(c, "--fold") for c in commands[2:]] == ["2/3"]
    assert metrics()["missing_folds"] == []


def test_each_fold_goes_on_from_the_same_fold_of_another_cross_validation(
    trained, call
):
    commands, _ = trained
    call(*USUAL)
    for number in (1, 2, 3):
        pathlib.Path(f"out/fold-{number}/best.weights.h5").touch()
    again = (*USUAL[:-1], "again", "--init", "out")
    assert call(*again)[0] == 0
    starts = [after(c, "--init") for c in commands[3:]]
    assert starts == [str(pathlib.Path(f"out/fold-{k}")) for k in (1, 2, 3)]
    text = pathlib.Path("again/cross-validation.md").read_text()
    assert "on cvppp, from `out`, fold by fold: seed 0." in text.splitlines()[0]
    # What is finished needs no start any more.
    pathlib.Path("out/fold-2/best.weights.h5").unlink()
    assert call(*again)[0] == 0
    assert len(commands) == 6


@pytest.mark.parametrize("lacking", ["best.weights.h5", "metrics.json"])
def test_a_cross_validation_to_start_from_must_have_the_folds(trained, call, lacking):
    commands, _ = trained
    call(*USUAL)
    for number in (1, 2, 3):
        pathlib.Path(f"out/fold-{number}/best.weights.h5").touch()
        pathlib.Path(f"out/fold-{number}/last.weights.h5").unlink(missing_ok=True)
    pathlib.Path("out/fold-2", lacking).unlink()
    again = (*USUAL[:-1], "again", "--init", "out")
    code, printed = call(*again)
    assert code == 2
    assert "no finished weights of fold 2 to start from" in printed
    assert "--only" in printed
    assert len(commands) == 3
    assert not pathlib.Path("again").exists()
    assert call(*again, "--only", "1,3")[0] == 0
    assert len(commands) == 5


def test_an_interrupted_fold_is_resumed(trained, call):
    commands, codes = trained
    codes["fold-2"] = 130, leave_state
    code, printed = call(*USUAL)
    assert code == 130
    assert "Stopped in fold-2" in printed
    assert metrics()["missing_folds"] == [2, 3]
    assert call(*USUAL)[0] == 0
    assert len(commands) == 4
    assert "--resume" in commands[2]
    assert "--fold" not in commands[2]
    assert after(commands[2], "--run-dir") == str(pathlib.Path("out/fold-2"))
    assert metrics()["missing_folds"] == []


def test_a_fold_that_ended_before_its_first_epoch_is_begun_by_train_py(trained, call):
    commands, codes = trained
    codes["fold-1"] = -signal.SIGTERM, lambda p: RunFolder(p).create(tiny.config())
    assert call(*USUAL)[0] == 130
    assert call(*USUAL)[0] == 0
    assert ["--resume" in command for command in commands] == [False, True] + 2 * [
        False
    ]
    assert metrics()["missing_folds"] == []


def test_a_failed_fold_is_named_and_the_others_are_trained(trained, call):
    commands, codes = trained
    codes["fold-2"] = 1, lambda path: None
    code, printed = call(*USUAL)
    assert code == 2
    assert "failed in fold-2 (code 1)" in printed
    assert metrics()["missing_folds"] == [2]
    assert call(*USUAL)[0] == 0
    assert after(commands[-1], "--fold") == "2/3"


def test_where_the_first_fails_the_others_are_not_begun(trained, call):
    """A data set with its own validation split, say."""
    commands, codes = trained
    codes["fold-1"] = 2, lambda path: None
    assert call(*USUAL)[0] == 2
    assert len(commands) == 1
    assert not pathlib.Path("out/metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--folds", "1"], ["--folds", "2 or more", "1"]),
        (["--only", "4"], ["from 1 to 3", "'4'"]),
        (["--only", "0,1"], ["from 1 to 3", "'0,1'"]),
        (["--only", "two"], ["from 1 to 3", "'two'"]),
        (["--only", ","], ["from 1 to 3"]),
        (["--preset", "tny"], ["'tny'", "'tiny'"]),
        (["--dataset", "cvpp", "--preset", "tny"], ["'tiny'"]),
        (["--fold", "1/3"], ["--fold", "--folds"]),
    ],
    ids="_".join,
)
def test_mistakes_are_told_before_anything_is_trained(trained, call, arguments, words):
    code, printed = call(*USUAL, *arguments)
    assert code == 2
    for word in words:
        assert word in printed, printed
    assert not trained[0]
    assert not list(pathlib.Path().iterdir())


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (["--folds", "4"], "--folds 3"),
        (["--seed", "1"], "--seed 0"),
        (["--init", "leaves"], "--init None"),
        (["--learning-rate-factor", "0.5"], "--learning-rate-factor None"),
        (["--shares", "box=1"], "--shares None"),
    ],
    ids="_".join,
)
def test_folds_of_other_options_are_not_mixed_in(trained, call, other, told):
    assert call(*USUAL, "--only", "1")[0] == 0
    code, printed = call(*USUAL, *other)
    assert code == 2
    assert told in printed
    assert len(trained[0]) == 1


def test_a_data_set_must_be_named(trained, call):
    """train.py's default, the synthetic leaves, has a validation split of its own."""
    code, printed = call("--folds", 3)
    assert code == 2
    assert "--dataset" in printed
    assert not trained[0]


def test_a_folder_of_something_else_is_refused(trained, call):
    pathlib.Path("out").mkdir()
    pathlib.Path("out/metrics.json").write_text("mine")
    code, printed = call(*USUAL)
    assert code == 2
    assert "something else" in printed
    assert not trained[0]
    assert metrics_text() == "mine"


def test_a_folder_that_cannot_be_made(trained, call):
    pathlib.Path("notes").write_text("mine")
    code, printed = call(*USUAL, "--out", "notes/out")
    assert code == 2
    assert "notes is a file; name another folder with --out" in printed
    assert not trained[0]


def test_a_disk_that_is_full_at_once(trained, call, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "mkdir", full)
    code, printed = call(*USUAL)
    assert code == 2
    assert "cannot be written (No space left on device). Make room" in printed


def metrics_text():
    return pathlib.Path("out/metrics.json").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="locks")
def test_two_commands_at_once(trained, call):
    assert call(*USUAL, "--only", "1")[0] == 0
    with locked(pathlib.Path("out/cross-validation.lock"), "out", "--out"):
        code, printed = call(*USUAL)
    assert code == 2
    assert "Another process trains in out" in printed
    assert len(trained[0]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="locks")
def test_a_command_that_is_refused_leaves_the_others_options(trained, call):
    """The first still converts: none of its folds is there."""
    file = pathlib.Path("out/cross-validation.json")
    options = cross_validation.parse([str(word) for word in USUAL])
    with cross_validation.series_of(options, "out").opened():
        before = file.read_bytes()
        code, printed = call(*USUAL, "--minutes", "60")
        assert code == 2
        assert "Another process trains in out" in printed
        assert file.read_bytes() == before
    assert call(*USUAL)[0] == 0


def test_a_table_that_is_open_elsewhere(trained, call, monkeypatch, caplog):
    """On Windows: the folds are trained all the same."""

    def busy(rows, path):
        raise PermissionError(13, "Access is denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(fold_scores, "write_csv", busy)
        assert call(*USUAL)[0] == 0
    assert len(trained[0]) == 3
    assert "images.csv cannot be written" in caplog.text
    assert call(*USUAL)[0] == 0
    assert len(read_csv(pathlib.Path("out/images.csv"))) > 0


def test_home_is_written_out(trained, call, tmp_path, monkeypatch):
    """A shell leaves `--out=~/cv` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert call(*USUAL[:-2], "--out=~/cv")[0] == 0
    assert (tmp_path / "home" / "cv" / "fold-1" / "metrics.json").is_file()
    for number in (1, 2, 3):
        (tmp_path / "home" / "cv" / f"fold-{number}" / "best.weights.h5").touch()
    assert call(*USUAL, "--init=~/cv")[0] == 0
    start = after(trained[0][3], "--init")
    assert start == str(tmp_path / "home" / "cv" / "fold-1")
    assert not pathlib.Path("~").exists()


def test_an_installed_package_without_train_py(trained, call, monkeypatch):
    monkeypatch.setattr(run_series, "TRAIN", pathlib.Path("lib/train.py"))
    code, printed = call(*USUAL)
    assert code == 2
    assert "clone of the repository" in printed


def test_the_default_folder(trained, call, caplog):
    caplog.set_level(logging.INFO)
    assert call(*USUAL[:-2], "--only", "1", "--minutes", "90")[0] == 0
    assert pathlib.Path("runs/cv-tiny/fold-1/metrics.json").is_file()
    assert "1 to train, 1.5 hours" in caplog.text
    assert str(pathlib.Path("runs/cv-tiny/images.csv")) in caplog.text


def test_the_options_fit_train_py():
    import train

    given = ["--dataset", "cvppp", "--data-dir", "x", "--minutes", "2", "--init", "a"]
    given += ["--skip-unlabelled"]
    given += ["--max-instances", "40", "--min-area", "9", "--max-steps", "5"]
    given += ["--learning-rate-factor", "0.5", "--shares", "box=1"]
    options = cross_validation.parse([*given, "--folds", "3"])
    series = cross_validation.series_of(options, "out")
    fold = cross_validation.fold_arguments(options, 1)
    known = train.parse([*series.passed_on(), *fold])
    assert (known.minutes, known.max_steps, known.init) == (2.0, 5, "a")
    assert known.skip_unlabelled is True
    assert (known.max_instances, known.min_area) == (40, 9)
    assert known.learning_rate_factor == 0.5
    assert known.shares == "box=1"
    assert known.fold == "1/3"
