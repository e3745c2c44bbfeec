"""`train.py --strategy` as its user calls it: two devices, two machines."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import test_strategy
import tiny_command

from keras_recattend.metrics.report import read_csv
from keras_recattend.run_folder import RunFolder

HERE = pathlib.Path(__file__).parent
TINY = HERE / "tiny_command.py"
SEVERAL = HERE.parent / "docs" / "examples" / "several_devices.py"
KEPT = "Foreground and angles of"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "own"
    tiny_command.write_pictures(folder)
    return folder


def start(folder, own, *arguments, before=(TINY,), **environment):
    """Start `train.py` in `folder` on the tiny pictures."""
    options = ["train.py", "--dataset", "folder", "--data-dir", own, "--seed", 3]
    return subprocess.Popen(
        [sys.executable, *map(str, [*before, *options, "--quiet", *arguments])],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )


@contextlib.contextmanager
def machines(folder, own, *arguments, runs=("run", "run"), **environment):
    """Start two machines on loopback; those that the block leaves are killed."""
    addresses = test_strategy.free_addresses()
    pair = []
    for index, run in enumerate(runs):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        options = [*arguments, "--strategy", "multiworker", "--run-dir", run]
        interrupt = environment if index == 1 else {}
        pair.append(
            start(folder, own, *options, TF_CONFIG=json.dumps(config), **interrupt)
        )
    try:
        yield pair
    finally:
        for process in pair:
            process.kill()


def finish(process, code=0):
    output, _ = process.communicate(timeout=400)
    assert process.returncode == code, output[-3000:]
    assert "Traceback" not in output
    return output


def assert_complete(run):
    """Whatever a run of one device leaves is there, and nothing else."""
    names = {path.name for path in run.iterdir()}
    assert names == {
        "best.weights.h5",
        "config.json",
        "history.csv",
        "history.png",
        "images.csv",
        "last.weights.h5",
        "logs",
        "metrics.json",
        "split.json",
        "state",
    }
    assert RunFolder(run).load_about()["stage"] is None
    assert "strategy" not in json.loads((run / "config.json").read_text())["options"]


def assert_same_state(a, b):
    states = [RunFolder(run).state_file for run in (a, b)]
    with np.load(states[0]) as one, np.load(states[1]) as two:
        assert set(one.files) == set(two.files)
        names = [name for name in one.files if name != "about"]
        assert len(names) > 20
        for name in names:
            np.testing.assert_allclose(
                two[name], one[name], rtol=0.0, atol=2e-4, err_msg=name
            )


@pytest.fixture(scope="module")
def alone(tmp_path_factory, own):
    """The run of one device."""
    folder = tmp_path_factory.mktemp("alone")
    finish(start(folder, own, "--preset", "tiny", "--run-dir", "run"))
    assert_complete(folder / "run")
    return folder / "run"


def test_two_devices_train_as_one(tmp_path, own, alone):
    options = ["--preset", "tiny", "--strategy", "mirrored", "--run-dir", "run"]
    output = finish(start(tmp_path, own, *options, before=(SEVERAL, 2, TINY)))
    assert "2 devices train together: /device:CPU:0, /device:CPU:1." in output
    assert_complete(tmp_path / "run")
    test_strategy.assert_same_history(alone, tmp_path / "run")
    assert_same_state(alone, tmp_path / "run")


def test_one_device_says_so_and_trains(tmp_path, own, alone):
    options = ["--preset", "tiny", "--strategy", "mirrored", "--run-dir", "run"]
    output = finish(start(tmp_path, own, *options))
    assert "there is one device, /device:CPU:0. It trains as without it." in output
    assert_complete(tmp_path / "run")
    test_strategy.assert_same_history(alone, tmp_path / "run")


def test_a_batch_that_the_devices_cannot_divide(tmp_path, own):
    options = ["--preset", "tiny", "--strategy", "mirrored", "--run-dir", "run"]
    output = finish(start(tmp_path, own, *options, before=(SEVERAL, 3, TINY)), 2)
    assert "error: Stage box has batches of 4 images, which 3 devices" in output
    assert not (tmp_path / "run").exists()


def test_two_machines_convert_train_stop_and_go_on(tmp_path, own, alone):
    """Ctrl-C on the one that is not the chief, in the middle of an epoch."""
    with machines(tmp_path, own, "--preset", "tiny", CTRL_C_IN_STEP="3") as pair:
        outputs = [finish(process, 130) for process in pair]
    for number, output in enumerate(outputs):
        assert f"Machine {number + 1} of 2; waiting for the others." in output
        assert "Stopped in stage 'box' at step 3" in output
        assert "go on with --resume --run-dir run" in output
    assert (tmp_path / "records").is_dir()
    run = tmp_path / "run"
    assert RunFolder(run).load_about()["step"] == 3
    with machines(tmp_path, own, "--resume") as pair:
        outputs = [finish(process) for process in pair]
    assert "Stage segmentation took" in outputs[1]
    assert_complete(run)
    # The chief alone records: once before the stop, once after it, and a stage more.
    assert len(list((run / "logs").glob("events*"))) == 3
    steps = [(r["stage"], r["step"]) for r in read_csv(RunFolder(run).history.path)]
    assert [(stage, int(step)) for stage, step in steps] == [
        ("box", 2),
        ("box", 3),
        ("box", 4),
        ("segmentation", 2),
        ("segmentation", 4),
    ]
    assert_same_state(alone, run)


def test_a_run_of_two_machines_goes_on_on_one(tmp_path, own, alone):
    with machines(tmp_path, own, "--preset", "tiny", CTRL_C_IN_STEP="2") as pair:
        for process in pair:
            finish(process, 130)
    finish(start(tmp_path, own, "--run-dir", "run", "--resume"))
    assert_complete(tmp_path / "run")
    assert_same_state(alone, tmp_path / "run")


@pytest.mark.parametrize("runs", [("run", "run"), ("run", "elsewhere")])
def test_machines_share_the_kept_maps_or_make_their_own(tmp_path, own, runs):
    with machines(tmp_path, own, "--preset", "tiny_maps", runs=runs) as pair:
        outputs = [finish(process) for process in pair]
    # One line for the images that train and one for those that validate.
    assert outputs[0].count(KEPT) == 2
    assert outputs[1].count(KEPT) == (0 if runs[1] == "run" else 2)
    assert_complete(tmp_path / "run")
    assert not (tmp_path / "elsewhere").exists()
    finish(start(tmp_path, own, "--preset", "tiny_maps", "--run-dir", "alone"))
    test_strategy.assert_same_history(tmp_path / "alone", tmp_path / "run")
