"""Several devices and machines give what one device gives."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from keras_recattend import replicas
from keras_recattend.cluster import Cluster, check_strategy
from keras_recattend.errors import UserError
from keras_recattend.metrics.report import read_csv
from keras_recattend.run_folder import RunFolder

RUNS = pathlib.Path(__file__).with_name("strategy_runs.py")
# Sums in another order; Adam's first steps divide small numbers by small numbers.
LOSS = {"rtol": 1e-4, "atol": 1e-5}
WEIGHTS = {"rtol": 0.0, "atol": 2e-4}


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, RUNS, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )


def finish(process, code=0):
    output, _ = process.communicate(timeout=400)
    assert process.returncode == code, output[-3000:]
    return output


def assert_same(a, b):
    with np.load(a) as one, np.load(b) as two:
        assert set(one.files) == set(two.files)
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], **WEIGHTS, err_msg=name)


def assert_same_history(a, b):
    rows = [read_csv(RunFolder(path).history.path) for path in (a, b)]
    assert len(rows[0]) == len(rows[1]) > 0
    numbers = 0
    for one, two in zip(*rows, strict=True):
        for name, value in one.items():
            if name in ("stage", "minutes", "images_per_second") or value in ("", None):
                continue
            np.testing.assert_allclose(
                float(two[name]), float(value), **LOSS, err_msg=name
            )
            numbers += 1
    assert numbers > 10


def both(path, stages, normalization):
    finish(start("both", path, stages, normalization))
    assert_same_history(path / "one", path / "two")
    assert_same(path / "one.npz", path / "two.npz")


def test_two_devices_equal_one(tmp_path):
    both(tmp_path, "segmentation", "group")


@pytest.mark.slow
def test_two_devices_equal_one_where_keras_alone_is_used(tmp_path):
    finish(start("plain", tmp_path))
    assert_same(tmp_path / "one.npz", tmp_path / "two.npz")


def uneven(path, stage, normalization="group"):
    finish(start("uneven", path, stage, normalization))
    one, two = (json.loads((path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert one.keys() == two.keys()
    assert one["loss_5"][0] != one["loss_5"][1]
    return one, two


def assert_uneven_is_the_same(path, stage):
    """Losses of each epoch, those of `evaluate`, what `predict` gives, the weights."""
    one, two = uneven(path, stage)
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, **LOSS, err_msg=name)
    for samples in (5, 3):
        files = [path / f"{name}-found-{samples}.npz" for name in ("one", "two")]
        with np.load(files[0]) as expected, np.load(files[1]) as found:
            assert len(expected["scores_" + str(samples)]) == samples
            for name in expected.files:
                np.testing.assert_allclose(
                    found[name], expected[name], 1e-3, 1e-3, err_msg=name
                )
    assert_same(path / "one.npz", path / "two.npz")


def test_batches_that_two_devices_cannot_divide(tmp_path):
    """A last batch of one image leaves a device without; of three, they are as many."""
    assert_uneven_is_the_same(tmp_path, "box")


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", ["segmentation", "own_canvases", "joint", "preprocess"]
)
def test_batches_that_two_devices_cannot_divide_in_every_stage(tmp_path, stage):
    assert_uneven_is_the_same(tmp_path, stage)


@pytest.mark.slow
def test_a_device_without_images_moves_no_statistics(tmp_path):
    """Blank images are computed in their place: their means would be far from these."""
    uneven(tmp_path, "segmentation", "batch")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        names = [n for n in one.files if n.endswith("moving_mean") and one[n].any()]
        assert names
        for name in names:
            np.testing.assert_allclose(two[name], one[name], atol=0.05, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["box", "own_canvases", "joint", "preprocess"])
def test_two_devices_equal_one_in_every_stage(tmp_path, stages):
    both(tmp_path, stages, "group")


@pytest.mark.slow
def test_batch_normalisation_moves_the_same_statistics_on_both_devices(tmp_path):
    """Each device normalises by its own images: near to one device, but not equal."""
    finish(start("both", tmp_path, "segmentation", "batch"))
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "two.npz") as two:
        names = [n for n in one.files if n.startswith("segmentation")]
        names = [n for n in names if n.endswith("moving_mean")]
        assert names
        for name in names:
            assert (two[name] != 0).any()
            np.testing.assert_allclose(two[name], one[name], atol=0.05)


def all_weights(path):
    with np.load(path) as arrays:
        return np.concatenate([arrays[name].ravel() for name in sorted(arrays.files)])


@pytest.mark.slow
def test_two_devices_equal_one_in_float16(tmp_path):
    """Rounding in 16 bits: further away than float32, but the same training."""
    finish(start("both", tmp_path, "segmentation", "group", "mixed_float16"))
    losses = []
    for name in ("one", "two"):
        rows = read_csv(RunFolder(tmp_path / name).history.path)
        losses.append([float(row["loss"]) for row in rows])
        assert [row["loss_scale"] for row in rows] == [2.0**15] * 2
        assert [row["skipped_steps"] for row in rows] == [0, 0]
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)


@pytest.mark.slow
def test_an_infinite_gradient_of_one_device_leaves_the_step_out_on_all(tmp_path):
    """The second of four steps; the loss scale, at first 2^15, is halved once."""
    finish(start("overflow", tmp_path))
    one, two = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")
    )
    for facts in (one, two):
        assert (facts["taken"], facts["skipped"], facts["scale"]) == (3, 1, 2.0**14)
        assert np.isfinite(list(facts.values())).all()
    assert two["loss"] == pytest.approx(one["loss"], rel=2e-3)
    assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=0.02)
    first, a, b = (all_weights(tmp_path / f"{n}.npz") for n in ("start", "one", "two"))
    assert np.linalg.norm(a - first) > 0.0
    assert np.linalg.norm(b - a) < 0.02 * np.linalg.norm(a - first)


def cluster_of(addresses, index):
    task = {"type": "worker", "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}


def free_addresses():
    """Two, which are both held until both are known."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]


@pytest.mark.slow
def test_two_machines_train_stop_and_go_on(tmp_path):
    """Ctrl-C on one of them stops both after the same step; the result is one's."""
    run, addresses = tmp_path / "run", free_addresses()
    pair = [start("worker", run, 3, **cluster_of(addresses, i)) for i in (0, 1)]
    outputs = [finish(process, code=1) for process in pair]
    for output in outputs:
        assert "Stopped in stage 'segmentation' at step 3" in output
    assert RunFolder(run).load_about()["step"] == 3
    pair = [start("worker", run, 0, **cluster_of(addresses, i)) for i in (0, 1)]
    for process in pair:
        finish(process)
    assert_same(tmp_path / "worker0.npz", tmp_path / "worker1.npz")
    assert len(list((run / "logs").glob("events*"))) == 2  # the chief's, twice
    finish(start("both", tmp_path, "segmentation", "group"))
    assert_same(tmp_path / "one.npz", tmp_path / "worker0.npz")


# -- options -------------------------------------------------------------------------


def test_no_strategy_needs_no_cluster():
    assert check_strategy(None) is None
    assert check_strategy("mirrored") is None


def test_an_unknown_strategy_names_its_neighbours():
    with pytest.raises(UserError, match=r"'miror'.*'mirrored'"):
        check_strategy("miror")


def test_multiworker_without_a_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=r"TF_CONFIG.*docs/scaling.md"):
        check_strategy("multiworker")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "cannot be read"),
        ({"cluster": {}}, "task"),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}, "'ps'"),
        (
            {"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}},
            "lists 1",
        ),
    ],
)
def test_a_cluster_that_makes_no_sense(value, words):
    text = value if isinstance(value, str) else json.dumps(value)
    with pytest.raises(UserError, match=words):
        Cluster.of_environment({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("kind", "number", "index"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)]
)
def test_the_chief_comes_first(kind, number, index):
    machines = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    value = {"cluster": machines, "task": {"type": kind, "index": number}}
    cluster = Cluster.of_environment({"TF_CONFIG": json.dumps(value)})
    assert cluster.workers == ("a:1", "b:1", "c:1")
    assert cluster.index == index
    assert cluster.is_chief == (kind == "chief")


def test_one_device_shares_with_nobody():
    assert replicas.count() == 1
    assert replicas.share(3.0) == 3.0
    assert replicas.totals([1.0, 2.0])[1].numpy() == 2.0
    seed = [1, 2]
    drawn = replicas.uniform([4, 3], seed)
    assert drawn.shape == (4, 3)
