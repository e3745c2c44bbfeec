"""What a run remembers of its command line."""

import logging
from pathlib import Path

import train
from datasets.lost_files import without_lost_files
from keras_recattend.run_options import kept, resumed


def resumed_by(arguments, stored):
    named = train.command_line().named(arguments)
    return resumed(train.parse(arguments), stored, named, train.parse([]))


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


def test_home_is_written_out(tmp_path, monkeypatch):
    """A shell leaves `--data-dir=~/own` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a0").mkdir()
    given = ["--data-dir=~/own", "--records-dir=~/records", "--run-dir=~/a1"]
    options = train.parse([*given, "--init=~/a0"])
    values = kept(options)
    assert Path(values["data_dir"]) == (tmp_path / "own").resolve()
    assert Path(values["records_dir"]) == (tmp_path / "records").resolve()
    assert Path(values["init"]) == (tmp_path / "a0").resolve()
    assert Path(options.run_dir) == tmp_path / "a1"


def test_where_the_start_lies_is_kept(tmp_path, monkeypatch):
    """It is asked for again when the run is a start itself, from anywhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a0").mkdir()
    assert kept(train.parse(["--init", "a0"]))["init"] == str(Path("a0").resolve())
    # Shipped weights are known by their name, whatever lies in such a folder.
    (tmp_path / "leaves").mkdir()
    assert kept(train.parse(["--init", "leaves"]))["init"] == "leaves"


def test_data_that_has_moved(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    for folder in ("old", "new"):
        Path(folder).mkdir()
    given = ["--data-dir", "old", "--records-dir", "r"]
    stored = kept(train.parse(given))
    resume = ["--resume", "--run-dir", "a"]

    def go_on(*more):
        return resumed_by([*resume, *more], stored)

    # The same command: the same folder, however it is spelled.
    assert go_on(*given).data_dir == str(Path("old").resolve())
    assert not caplog.records
    Path("old").rmdir()
    assert go_on("--data-dir", "new").data_dir == str(Path("new").resolve())
    assert not caplog.records
    options = without_lost_files(vars(go_on()))
    assert options["data_dir"] is None
    assert options["records_dir"] == str(Path("r").resolve())
    assert options["dataset"] == "leaves"
    assert "the records alone are used" in caplog.text


def test_a_run_goes_on_with_its_own_options(caplog):
    stored = kept(train.parse(["--seed", "3", "--max-steps", "7"]))
    given = ["--resume", "--run-dir", "a", "--seed", "4", "--strategy", "mirrored"]
    with caplog.at_level(logging.WARNING):
        options = resumed_by(given, stored)
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
    options = resumed_by(["--resume", "--run-dir", "a"], stored)
    assert options.precision == "float32"


def test_a_run_of_before_val_images_goes_on_to_score_all(caplog):
    """Its best SBD is of all of them."""
    stored = kept(train.parse([]))
    del stored["val_images"]
    assert resumed_by(["--resume", "--run-dir", "a"], stored).val_images == 0
    given = ["--resume", "--run-dir", "a", "--val-images", "0"]
    assert resumed_by(given, stored).val_images == 0
    assert not caplog.records


def test_options_that_are_not_used_are_told_though_they_are_the_defaults(caplog):
    """Somebody may want to go back to them."""
    stored = kept(train.parse(["--precision", "mixed_bfloat16", "--stage", "box"]))
    given = ["--resume", "--run-dir", "a", "--precision", "float32", "--stage=all"]
    options = resumed_by(given, stored)
    assert (options.precision, options.stage) == ("mixed_bfloat16", "box")
    assert set(caplog.messages) == {
        "--precision float32 is not used: the run goes on with mixed_bfloat16.",
        "--stage all is not used: the run goes on with box.",
    }
