"""The run folder: what is refused, and that nothing is ever half written."""

import csv
import errno
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny

from keras_recattend import history_file, shipped_weights
from keras_recattend.errors import UserError
from keras_recattend.model import RecurrentAttention
from keras_recattend.run_folder import RunError, RunFolder
from keras_recattend.shipped_weights import find_weights
from keras_recattend.training import make_optimizer


@pytest.fixture(scope="module")
def model():
    return RecurrentAttention(tiny.config())


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(tiny.config(), options={"seed": 4})
    return folder


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def half_written(folder):
    return [p.name for p in folder.path.rglob("*") if "writing" in p.name]


# -- create and read ---------------------------------------------------------------


def test_config_round_trip(folder):
    config, about = folder.read()
    assert config == tiny.config()
    assert about == {"options": {"seed": 4}}
    assert not half_written(folder)


def test_an_existing_folder_is_refused(folder):
    before = folder.config_file.read_text()
    with pytest.raises(RunError, match=r"exists already.*--resume.*--run-dir"):
        folder.create(tiny.config({"steps": 77}))
    assert folder.config_file.read_text() == before


def test_any_file_makes_a_folder_not_empty(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        RunFolder(tmp_path / "run").create(tiny.config())


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").create(tiny.config())


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match="exists already"):
        RunFolder(tmp_path / "run").create(tiny.config())


def test_a_place_below_a_file_is_refused_before_work_is_done(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UserError, match=r"file is a file.*--run-dir"):
        RunFolder(tmp_path / "file" / "run").check_free()


def test_a_read_only_place_is_refused_before_work_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(UserError, match=r"cannot be written to.*--run-dir"):
        RunFolder(tmp_path / "run").check_free()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def refused(self, **_):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(RunError, match=r"run cannot be .*Read-only file.*--run-dir"):
        RunFolder(tmp_path / "run").create(tiny.config())


def test_a_full_disk_leaves_a_folder_that_can_be_used(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(RunError, match=r"config\.json .*No space left.*Make room"):
            folder.create(tiny.config())
    folder.create(tiny.config())
    assert folder.read()[0] == tiny.config()


def test_a_folder_that_cannot_be_locked(folder, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(RunError, match=r"state .*Make room"), folder.locked():
        pass


def test_a_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"not a run folder.*config\.json"):
        RunFolder(tmp_path).read()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"format": 1, "config": {"name": "x"',
        "[]",
        '"text"',
        "{}",
        '{"format": 1}',
        '{"format": 1, "config": {"name": "tiny"}}',
        '{"format": 1, "config": 5}',
        b"\xff\xfe\x00broken",
    ],
)
def test_a_damaged_config_is_a_users_error(folder, text):
    data = text if isinstance(text, bytes) else text.encode()
    folder.config_file.write_bytes(data)
    with pytest.raises(UserError, match=r"config\.json"):
        folder.read()


def changed_config(folder, change):
    values = json.loads(folder.config_file.read_text())
    change(values)
    folder.config_file.write_text(json.dumps(values))


def test_an_unknown_option_names_the_near_ones(folder):
    changed_config(folder, lambda v: v["config"].update(image_sise=[32, 32]))
    with pytest.raises(UserError, match=r"(?s)config\.json.*image_sise.*image_size"):
        folder.read()


def test_a_setting_that_cannot_work_is_a_users_error(folder):
    changed_config(folder, lambda v: v["config"].update(normalization="bath"))
    with pytest.raises(UserError, match=r"(?s)config\.json.*normalization.*batch"):
        folder.read()


def test_another_format_is_refused(folder):
    changed_config(folder, lambda v: v.update(format=99))
    with pytest.raises(RunError, match="format"):
        folder.read()


# -- weights -----------------------------------------------------------------------


def test_weights_round_trip(folder, model):
    folder.save_weights(model, folder.last_weights)
    other = RecurrentAttention(tiny.config())
    assert folder.load_weights(other) == folder.last_weights
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not half_written(folder)


def test_best_weights_come_before_the_last(folder, model):
    folder.save_weights(model, folder.last_weights)
    folder.save_weights(model, folder.best_weights)
    assert folder.load_weights(model) == folder.best_weights
    assert folder.load_weights(model, folder.last_weights) == folder.last_weights


def test_the_optimizers_moments_are_not_in_the_weights(folder):
    model = RecurrentAttention(tiny.config())
    optimizer = make_optimizer(model.config.stages["box"])
    model.compile(optimizer)
    optimizer.build(model.trainable_variables)
    folder.save_weights(model, folder.last_weights)
    with h5py.File(folder.last_weights) as file:
        assert "optimizer" not in file
    assert model.optimizer is optimizer


def test_no_weights_yet(folder, model):
    with pytest.raises(RunError, match=r"no weights.*best.*last"):
        folder.load_weights(model)


@pytest.mark.parametrize(
    "changes",
    [
        {"box_network": {"feature_depth": 12}},
        {"box_network": {"joint_layers": 3}},
        {"box_network": {"joint_layers": 1}},
        {"box_network": {"glimpses": 2, "lstm_units": 9}},
        {"normalization": "group"},
        {"normalization": "batch_per_step", "stages": {}},
    ],
    ids=["wider", "deeper", "shallower", "another head", "group", "per step"],
)
def test_weights_of_another_configuration_are_refused(folder, model, changes):
    folder.save_weights(model, folder.last_weights)
    other = RecurrentAttention(tiny.config().replace(**changes))
    with pytest.raises(RunError, match=r"does not fit.*'tiny'.*config\.json"):
        folder.load_weights(other)


def damaged(data):
    """Files of a size, damaged in each of some ways: {what: bytes}."""
    flipped = bytearray(data)
    for place in range(len(data) // 20, len(data) // 2, 97):
        flipped[place] ^= 255
    return {
        "empty": b"",
        "cut short": data[: len(data) // 3],
        "zeros": bytes(len(data)),
        "text": b"no weights",
        "flipped": bytes(flipped),
    }


@pytest.mark.parametrize("what", damaged(b""))
def test_damaged_weights_are_a_users_error(folder, model, what):
    folder.save_weights(model, folder.last_weights)
    data = folder.last_weights.read_bytes()
    folder.last_weights.write_bytes(damaged(data)[what])
    with pytest.raises(RunError, match=r"last\.weights\.h5 is damaged \(.*Copy"):
        folder.load_weights(model)


def test_an_interrupted_write_leaves_the_old_weights(folder, model, monkeypatch):
    folder.save_weights(model, folder.last_weights)
    before = folder.last_weights.read_bytes()

    def fail(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "save_weights", fail)
    with pytest.raises(KeyboardInterrupt):
        folder.save_weights(model, folder.last_weights)
    assert folder.last_weights.read_bytes() == before


GO_ON = r"cannot be written \(.*\)\. Make room; go on with --resume --run-dir .*run$"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Can't decrement id ref count (file write failed: time = now\n)"),
    ],
    ids=["of the system", "of HDF5"],
)
def test_a_full_disk_leaves_the_old_weights(folder, model, monkeypatch, error):
    folder.save_weights(model, folder.last_weights)
    before = folder.last_weights.read_bytes()

    def fail(path):
        raise error

    monkeypatch.setattr(model, "save_weights", fail)
    with pytest.raises(RunError, match=r"last\.weights\.h5 " + GO_ON):
        folder.save_weights(model, folder.last_weights)
    assert folder.last_weights.read_bytes() == before
    assert not half_written(folder)


def test_room_for_weights_is_made_before_hdf5_begins(folder, model, monkeypatch):
    """HDF5 crashes the process where there is none: no error can be caught."""
    sizes, save = [], model.save_weights

    def saved(path):
        sizes.append(path.stat().st_size)
        save(path)

    monkeypatch.setattr(model, "save_weights", saved)
    folder.save_weights(model, folder.last_weights)
    assert sizes[0] > folder.last_weights.stat().st_size
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"last\.weights\.h5 " + GO_ON):
        folder.save_weights(model, folder.last_weights)
    assert len(sizes) == 1


# -- state -------------------------------------------------------------------------


def with_optimizer(config):
    model = RecurrentAttention(config)
    optimizer = make_optimizer(config.stages["box"])
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_state_round_trip_into_another_model(folder):
    """A notebook that makes the model anew can resume as a new process can."""
    config = tiny.config()
    model, optimizer = with_optimizer(config)
    optimizer.iterations.assign(17)
    optimizer.variables[-1].assign(optimizer.variables[-1] + 3.0)
    folder.save_state(model, optimizer, {"stage": "box", "step": 17})
    assert not half_written(folder)
    assert folder.load_about() == {"stage": "box", "step": 17}
    other, other_optimizer = with_optimizer(config)
    folder.load_state(other, other_optimizer)
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(optimizer.variables, other_optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(other_optimizer.iterations) == 17


def test_state_of_another_configuration_is_refused(folder):
    folder.save_state(*with_optimizer(tiny.config()), {})
    for changes in ({"lstm_units": 9}, {"joint_layers": 3}):
        other = tiny.config().replace(box_network=changes)
        with pytest.raises(RunError, match="another configuration"):
            folder.load_state(RecurrentAttention(other))


def test_a_run_is_not_begun_anew_over_what_was_trained(folder):
    """One row alone may be of an epoch that was killed before its state."""
    for epoch in (1, 2):
        assert folder.is_unbegun()
        folder.history.append({"stage": "box", "epoch": epoch}, ["stage", "epoch"])
    with pytest.raises(RunError, match=r"was trained and has no training\.npz"):
        folder.is_unbegun()


def test_no_state_is_none(folder):
    assert folder.load_about() is None


@pytest.mark.parametrize("what", damaged(b""))
def test_a_damaged_state_is_a_users_error(folder, model, what):
    folder.save_state(model, None, {"stage": None})
    data = folder.state_file.read_bytes()
    folder.state_file.write_bytes(damaged(data)[what])
    told = r"training\.npz is damaged \(.*cannot be resumed.*--init"
    with pytest.raises(RunError, match=told):
        folder.load_state(model)
    if what != "flipped":
        with pytest.raises(RunError, match=told):
            folder.load_about()


def test_a_state_without_what_was_told(folder):
    folder.state_file.parent.mkdir()
    np.savez(folder.state_file, other=1)
    with pytest.raises(RunError, match=r"training\.npz is damaged"):
        folder.load_about()


def test_a_full_disk_leaves_the_old_state(folder, model, monkeypatch):
    folder.save_state(model, None, {"stage": None})
    before = folder.state_file.read_bytes()
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match=r"training\.npz " + GO_ON):
        folder.save_state(model, None, {"stage": "box"})
    assert folder.state_file.read_bytes() == before
    assert not half_written(folder)


# -- history and shipped weights ---------------------------------------------------


def test_history_has_one_header_and_gaps_stay_empty(folder):
    columns = ["stage", "loss", "sbd"]
    folder.history.append({"stage": "box", "loss": 1.5, "other": 1}, columns)
    folder.history.append({"stage": "joint", "loss": 0.5, "sbd": 80.0}, columns)
    with open(folder.history.path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"stage": "box", "loss": "1.5", "sbd": ""},
        {"stage": "joint", "loss": "0.5", "sbd": "80.0"},
    ]


def test_history_that_a_spreadsheet_has_open(folder, monkeypatch, caplog):
    """On Windows: no reason for a training to end, and no row is lost."""
    columns = ["stage", "epoch"]
    folder.history.append({"stage": "box", "epoch": 1}, columns)
    with monkeypatch.context() as patch:

        def refused(path, *rest, **options):
            raise PermissionError(13, "Permission denied", str(path))

        patch.setattr(history_file, "open", refused, raising=False)
        folder.history.append({"stage": "box", "epoch": 2}, columns)
    assert "written with the next" in caplog.text
    folder.history.append({"stage": "box", "epoch": 3}, columns)
    with open(folder.history.path, newline="") as file:
        rows = [(row["stage"], int(row["epoch"])) for row in csv.DictReader(file)]
    assert rows == [("box", 1), ("box", 2), ("box", 3)]


def test_history_ends_where_the_state_does(folder):
    """A kill between the two: the epoch comes again, and must not be there twice."""
    columns = ["stage", "epoch", "sbd"]
    epochs = [("box", 1), ("box", 2), ("joint", 1), ("joint", 2), ("joint", 3)]
    for stage, epoch in epochs:
        folder.history.append({"stage": stage, "epoch": epoch}, columns)
    before = folder.history.path.read_bytes()
    about = {"done": ["box"], "stage": "joint", "epoch": 3}
    folder.history.keep(about)
    assert folder.history.path.read_bytes() == before
    folder.history.keep(about | {"epoch": 2})
    with open(folder.history.path, newline="") as file:
        rows = [(row["stage"], int(row["epoch"])) for row in csv.DictReader(file)]
    assert rows == epochs[:4]
    # Between two stages there is no epoch to go on with.
    folder.history.keep({"done": ["box"], "stage": None})
    folder.history.append({"stage": "joint", "epoch": 1}, columns)
    with open(folder.history.path, newline="") as file:
        rows = [(row["stage"], int(row["epoch"])) for row in csv.DictReader(file)]
    assert rows == epochs[:3]


def test_a_run_without_history_has_none_to_keep(folder):
    folder.history.keep({"done": [], "stage": "box", "epoch": 1})
    assert not folder.history.path.exists()


@pytest.mark.parametrize("left", [b"", b"stage,ep", b"stage,epoch,sbd\r\n"])
def test_a_history_that_a_full_disk_cut_short_begins_anew(folder, left):
    """Without a row there is none to keep, and the run must go on."""
    folder.history.path.write_bytes(left)
    folder.history.keep({"done": [], "stage": None})
    assert not folder.history.path.exists()


def test_rows_are_never_without_a_heading(folder):
    folder.history.path.touch()
    for epoch in (1, 2):
        folder.history.append({"stage": "box", "epoch": epoch}, ["stage", "epoch"])
    with open(folder.history.path, newline="") as file:
        assert [*csv.reader(file)] == [["stage", "epoch"], ["box", "1"], ["box", "2"]]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "stage,epoch\nbox,first\n"])
def test_a_history_of_somebody_else(folder, text):
    folder.history.path.write_text(text)
    with pytest.raises(RunError, match=r"history\.csv is damaged .*Take it away"):
        folder.history.keep({"done": [], "stage": "box", "epoch": 1})
    assert folder.history.path.read_text() == text


def test_a_full_disk_while_the_history_is_written(folder, monkeypatch):
    columns = ["stage", "epoch"]
    for epoch in (1, 2):
        folder.history.append({"stage": "box", "epoch": epoch}, columns)
    before = folder.history.path.read_bytes()
    monkeypatch.setattr(csv, "DictWriter", full)
    with pytest.raises(RunError, match=r"history\.csv " + GO_ON):
        folder.history.append({"stage": "box", "epoch": 3}, columns)
    monkeypatch.setattr(csv, "writer", full)
    with pytest.raises(RunError, match=r"history\.csv " + GO_ON):
        folder.history.keep({"done": [], "stage": "box", "epoch": 1})
    assert folder.history.path.read_bytes() == before
    assert not half_written(folder)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    for name in ("leaves", "cvppp"):
        RunFolder(tmp_path / "pretrained" / name).create(tiny.config())
    monkeypatch.setattr(shipped_weights, "PRETRAINED", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_find_weights(shipped, folder):
    assert find_weights("cvppp").path == shipped / "cvppp"
    assert find_weights(folder.path).path == folder.path
    with pytest.raises(RunError, match=r"'cvpp' is neither.*'cvppp'"):
        find_weights("cvpp")
    with pytest.raises(RunError, match=r"Known: cvppp, leaves"):
        find_weights("something else")


def test_a_folder_that_is_no_run_does_not_hide_shipped_weights(
    shipped, folder, tmp_path, monkeypatch
):
    """As the folder of the leaves' photographs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cvppp").mkdir()
    assert find_weights("cvppp").path == shipped / "cvppp"
    (tmp_path / "cvppp" / "config.json").touch()
    assert find_weights("cvppp").path == Path("cvppp")
    (tmp_path / "photos").mkdir()
    assert find_weights("photos").path == Path("photos")  # told when it is read


def test_find_weights_where_none_are_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "PRETRAINED", tmp_path)
    with pytest.raises(RunError, match="None are shipped"):
        find_weights("cvppp")
