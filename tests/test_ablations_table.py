"""The ablations' table from hand-made runs, and the command with train.py stubbed."""

import csv
import json
import logging
import os
import pathlib
import signal
import sys

import h5py
import numpy as np
import pytest
import stub_train
import tiny
from stub_train import after

from keras_recattend import ablation, ablation_table, ablations, presets, run_series
from keras_recattend.child_process import locked
from keras_recattend.command_line import run_command
from keras_recattend.run_folder import RunError, RunFolder

# Two stages of 3 and 1.5 minutes: the last row of each counts.
HISTORY = """stage,epoch,step,minutes
box,1,100,1.0
box,2,200,3.0
joint,1,5,0.5
joint,2,10,1.5
"""
SCORES = {
    "mwcov": 75.14,
    "mucov": 64.6,
    "false_positives": 0.375,
    "false_negatives": 0.283,
    "sbd": 70.0,
    "abs_dic": 0.5,
}


def tiny_preset():
    return tiny.preprocessed().replace(box_network={"glimpses": 5})


def leave_run(path, **scores):
    """What a finished training leaves: 30 numbers of weights, 4.5 minutes."""
    name = path.name
    config = tiny_preset()
    if name != "full":
        config = ablation.apply(config, name)
    folder = RunFolder(path)
    folder.create(config)
    with h5py.File(folder.last_weights, "w") as file:
        file["a/kernel"] = np.zeros((3, 4))
        file["b/c/bias"] = np.zeros(18)
    folder.history.path.write_text(HISTORY)
    means = SCORES | scores
    metrics = {k: {"mean": v, "std": 1.0} for k, v in means.items()}
    folder.write_json(folder.metrics_file, {"split": "val", **metrics})


# -- the table ---------------------------------------------------------------------


def test_a_row_of_a_run(tmp_path):
    leave_run(tmp_path / "glimpses_1")
    assert ablation_table.row_of("glimpses_1", tmp_path / "glimpses_1") == {
        "name": "glimpses_1",
        "title": "Iter-1",
        "set": "val",
        "mwcov": 75.14,
        "mucov": 64.6,
        "avg_fp": 0.375,
        "avg_fn": 0.283,
        "sbd": 70.0,
        "abs_dic": 0.5,
        "parameters": 30,
        "steps": "200 + 10",
        "minutes": 4.5,
    }


def test_the_tables_as_files(tmp_path):
    leave_run(tmp_path / "no_box_net", mwcov=57.0, false_positives=0.125)
    leave_run(tmp_path / "full")
    rows = [ablation_table.row_of(n, tmp_path / n) for n in ("no_box_net", "full")]
    text, table = ablation_table.write_table(rows, ["About."], tmp_path)
    assert text.read_text().splitlines() == [
        "About.",
        "",
        "|  | Set | MWCov | MUCov | AvgFP | AvgFN | SBD | \\|DiC\\| | Parameters "
        "| Steps | Minutes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| No Box Net | val | 57.0 | **64.6** | **0.125** | **0.283** | **70.0** | "
        "**0.50** | 30 | 200 + 10 | 4.5 |",
        "| Full (Iter-5) | val | **75.1** | **64.6** | 0.375 | **0.283** | **70.0** | "
        "**0.50** | 30 | 200 + 10 | 4.5 |",
    ]
    with open(table, newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["name"] for row in written] == ["no_box_net", "full"]
    assert float(written[1]["mwcov"]) == 75.14
    assert float(written[0]["avg_fp"]) == 0.125
    assert list(written[0]) == ["name", *ablation_table.COLUMNS]


@pytest.mark.parametrize("damage", ['{"split": "val"}', "no JSON", '{"sbd": 3}'])
def test_a_damaged_run_is_named(tmp_path, damage):
    leave_run(tmp_path / "full")
    (tmp_path / "full" / "metrics.json").write_text(damage)
    with pytest.raises(RunError, match=r"full.metrics\.json .*Move"):
        ablation_table.row_of("full", tmp_path / "full")


# -- the command -------------------------------------------------------------------


@pytest.fixture(autouse=True)
def in_a_fresh_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(presets.PRESETS, "tiny", tiny_preset)


@pytest.fixture
def trained(monkeypatch):
    """Commands that were run; each leaves a finished run. `codes` = other ends."""
    return stub_train.stub(monkeypatch, leave_run)


def call(*arguments):
    old, sys.argv = sys.argv, ["ablations", *map(str, arguments)]
    try:
        run_command(ablations.main)
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = old
    return 0


USUAL = ("--preset", "tiny", "--dataset", "cvppp", "--minutes", 2, "--out", "out")


def test_all_variations_one_after_another(trained):
    commands, _ = trained
    assert call(*USUAL, "--seed", 7, "--data-dir", "data", "--fold", "1/3") == 0
    assert [after(c, "--run-dir") for c in commands] == [
        str(pathlib.Path("out") / name) for name in ("full", *ablation.NAMES)
    ]
    assert "--ablation" not in commands[0]
    for command, name in zip(commands[1:], ablation.NAMES, strict=True):
        assert after(command, "--ablation") == name
    for command in commands:
        assert command[0] == sys.executable
        assert pathlib.Path(command[1]).name == "train.py"
        assert "--resume" not in command
        asked = ("--dataset", "cvppp", "--data-dir", "data", "--fold", "1/3")
        asked += ("--preset", "tiny", "--minutes", "2.0", "--seed", "7")
        for option, value in zip(asked[::2], asked[1::2], strict=True):
            assert after(command, option) == value
    text = pathlib.Path("out/ablations.md").read_text()
    assert "`tiny` on cvppp: 2 minutes each, seed 7" in text
    titles = [line.split("|")[1].strip() for line in text.splitlines()[4:]]
    assert titles == [
        "No Pre Proc.",
        "No Box Net",
        "No Angle",
        "No Sched. Samp.",
        "Iter-1",
        "Iter-3",
        "Full (Iter-5)",
    ]


def test_what_is_finished_is_not_trained_again(trained):
    commands, _ = trained
    assert call(*USUAL, "--only", "full,glimpses_1") == 0
    assert len(commands) == 2
    before = pathlib.Path("out/full/metrics.json").stat().st_mtime_ns
    assert call(*USUAL, "--only", "full, glimpses_3,glimpses_1") == 0
    assert [after(c, "--run-dir") for c in commands[2:]] == [
        str(pathlib.Path("out/glimpses_3"))
    ]
    assert pathlib.Path("out/full/metrics.json").stat().st_mtime_ns == before
    # The table has all that is there.
    assert len(pathlib.Path("out/ablations.csv").read_text().splitlines()) == 4


def leave_state(path):
    stub_train.leave_state(path, tiny_preset())


def test_an_interrupted_variation_is_resumed(trained, capfd):
    commands, codes = trained
    codes["glimpses_1"] = 130, leave_state
    assert call(*USUAL, "--only", "full,glimpses_1,glimpses_3") == 130
    message = capfd.readouterr().err
    assert "Stopped in glimpses_1" in message
    assert "Traceback" not in message
    assert len(commands) == 2
    assert len(pathlib.Path("out/ablations.csv").read_text().splitlines()) == 2
    assert call(*USUAL, "--only", "full,glimpses_1,glimpses_3") == 0
    assert "--resume" in commands[2]
    assert "--ablation" not in commands[2]
    assert after(commands[2], "--run-dir") == str(pathlib.Path("out/glimpses_1"))
    assert "--resume" not in commands[3]


def test_a_run_that_ended_before_its_first_epoch_is_begun_by_train_py(trained):
    commands, codes = trained
    codes["full"] = -signal.SIGINT, lambda p: RunFolder(p).create(tiny_preset())
    assert call(*USUAL, "--only", "full") == 130
    assert call(*USUAL, "--only", "full") == 0
    assert "--resume" in commands[1]
    assert (pathlib.Path("out/full") / "metrics.json").is_file()


def test_a_failed_variation_is_named_and_the_others_are_trained(trained, capfd):
    commands, codes = trained
    codes["no_box_net"] = 2, lambda path: None
    codes["glimpses_1"] = 1, lambda path: None
    assert call(*USUAL) == 2
    message = capfd.readouterr().err
    assert "failed in no_box_net (code 2), glimpses_1 (code 1)" in message
    assert "Traceback" not in message
    assert len(commands) == 7
    with open("out/ablations.csv", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert sorted(names) == sorted(
        {"full", *ablation.NAMES} - {"no_box_net", "glimpses_1"}
    )
    assert call(*USUAL) == 0
    again = [after(command, "--run-dir") for command in commands[7:]]
    assert again == [str(pathlib.Path("out") / n) for n in ("no_box_net", "glimpses_1")]


def test_where_the_first_fails_the_others_are_not_begun(trained, capfd):
    commands, codes = trained
    codes["full"] = 2, lambda path: None
    assert call(*USUAL) == 2
    assert "failed in full (code 2)" in capfd.readouterr().err
    assert len(commands) == 1
    assert call(*USUAL) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--preset", "tiny"], ["--minutes"]),
        ([*USUAL, "--val-fraction", "0"], ["--val-fraction 0", "--fold"]),
        ([*USUAL, "--only", "glimpse_1"], ["'glimpse_1'", "'glimpses_1'"]),
        ([*USUAL, "--only", ","], ["--only"]),
        ([*USUAL, "--preset", "tny"], ["'tny'", "'tiny'"]),
        (
            ["--dataset", "cvppp", "--minutes", "1", "--only", "no_angles"],
            ["no_angles does not apply", "no pre-processing network"],
        ),
    ],
    ids=["budget", "no split", "near name", "none", "preset", "does not apply"],
)
def test_mistakes_are_told_before_anything_is_trained(trained, capfd, arguments, words):
    assert call(*arguments) == 2
    message = capfd.readouterr().err
    for word in words:
        assert word in message, message
    assert not trained[0]
    assert not list(pathlib.Path().iterdir())


def test_what_does_not_apply_is_left_out_and_told(trained, caplog):
    caplog.set_level(logging.INFO)
    names = ablations.chosen(presets.get("cvppp"))
    assert names == [
        "full",
        "no_box_net",
        "no_scheduled_sampling",
        "glimpses_1",
        "glimpses_3",
    ]
    assert "no_preprocessing does not apply to the preset cvppp" in caplog.text


def test_runs_of_another_budget_are_not_mixed_in(trained, capfd):
    assert call(*USUAL, "--only", "full") == 0
    other = [*USUAL[:5], 3, *USUAL[6:]]
    assert call(*other, "--only", "glimpses_1") == 2
    message = capfd.readouterr().err
    assert "--minutes 2.0" in message
    assert "--out" in message
    assert len(trained[0]) == 1


def test_a_folder_of_something_else_is_refused(trained, capfd):
    pathlib.Path("out").mkdir()
    pathlib.Path("out/thesis.tex").write_text("mine")
    assert call(*USUAL) == 2
    assert "something else" in capfd.readouterr().err
    assert not trained[0]
    assert [p.name for p in pathlib.Path("out").iterdir()] == ["thesis.tex"]


def test_an_installed_package_without_train_py(trained, capfd, monkeypatch):
    monkeypatch.setattr(run_series, "TRAIN", pathlib.Path("lib/train.py"))
    assert call(*USUAL) == 2
    assert "clone of the repository" in capfd.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="locks")
def test_two_commands_at_once(trained, capfd):
    assert call(*USUAL, "--only", "full") == 0
    with locked(pathlib.Path("out/ablations.lock"), "out", "--out"):
        assert call(*USUAL) == 2
    assert "Another process trains in out" in capfd.readouterr().err
    assert len(trained[0]) == 1


def test_the_options_fit_train_py():
    """What is passed on, train.py knows."""
    import train

    given = ["--minutes", "2", "--data-dir", "x", "--fold", "1/3", "--skip-unlabelled"]
    given += ["--max-instances", "40", "--min-area", "9"]
    given += ["--precision", "mixed_bfloat16"]
    options = ablations.parse(given)
    series = ablations.series_of(options, "out")
    known = train.parse([*series.passed_on(), "--ablation", "glimpses_1"])
    assert known.minutes == 2.0
    assert known.skip_unlabelled is True
    assert (known.max_instances, known.min_area) == (40, 9)
    assert known.precision == "mixed_bfloat16"
    assert known.ablation == "glimpses_1"
    assert json.dumps(known.seed) == "0"
