"""What a run remembers of its command line."""

import logging
from pathlib import Path

import train
from keras_recattend.run_options import kept, resumed


def test_where_it_trains_is_not_kept():
    options = train.parse(["--strategy", "mirrored", "--run-dir", "a", "--quiet"])
    values = kept(options)
    assert not {"strategy", "run_dir", "quiet", "resume", "panels"} & set(values)
    assert values["seed"] == 0
    assert values["precision"] == "float32"


def test_paths_are_kept_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = kept(train.parse(["--data-dir", "own"]))
    assert values["data_dir"] == str(Path(tmp_path, "own").resolve())
    assert values["records_dir"] is None


def test_a_run_goes_on_with_its_own_options(caplog):
    stored = kept(train.parse(["--seed", "3", "--max-steps", "7"]))
    given = ["--resume", "--run-dir", "a", "--seed", "4", "--strategy", "mirrored"]
    with caplog.at_level(logging.WARNING):
        options = resumed(train.parse(given), stored, train.parse([]))
    assert (options.seed, options.max_steps) == (3, 7)
    assert (options.resume, options.run_dir, options.strategy) == (
        True,
        "a",
        "mirrored",
    )
    assert caplog.messages == ["--seed 4 is not used: the run goes on with 3."]


def test_a_run_of_before_an_option_was_there_has_its_default():
    stored = kept(train.parse([]))
    del stored["precision"]
    options = resumed(
        train.parse(["--resume", "--run-dir", "a"]), stored, train.parse([])
    )
    assert options.precision == "float32"
