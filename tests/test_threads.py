"""What is set before TensorFlow starts, and what the user's own settings stay."""

import os
import pathlib
import subprocess
import sys

import pytest

from keras_recattend.threads import cores, fit_threads, usable_cores

ROOT = pathlib.Path(__file__).parents[1]


def cgroup_2(folder, text):
    (folder / "cpu.max").write_text(text)
    return folder


def cgroup_1(folder, quota):
    (folder / "cpu").mkdir()
    (folder / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu/cpu.cfs_period_us").write_text("100000\n")
    return folder


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("damaged", None),
    ],
)
def test_quota(tmp_path, text, cores):
    assert usable_cores(cgroup_2(tmp_path, text))[1] == cores


@pytest.mark.parametrize(("quota", "cores"), [(-1, None), (300000, 3)])
def test_quota_of_older_systems(tmp_path, quota, cores):
    assert usable_cores(cgroup_1(tmp_path, quota))[1] == cores


def test_no_control_groups(tmp_path):
    scheduled, quota = usable_cores(tmp_path)
    assert scheduled >= 1
    assert quota is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("max 100000", 64), ("200000 100000", 2), ("12800000 100000", 64)],
)
def test_cores_are_those_of_the_quota(tmp_path, monkeypatch, text, number):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), False)
    assert cores(cgroup_2(tmp_path, text)) == number


def test_threads_fit_the_quota_and_the_users_number_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), False)
    cgroup = cgroup_2(tmp_path, "200000 100000\n")
    environment = {"TF_NUM_INTEROP_THREADS": "5"}
    fit_threads(environment, cgroup)
    assert environment == {"TF_NUM_INTEROP_THREADS": "5", "TF_NUM_INTRAOP_THREADS": "2"}
    environment = {}
    fit_threads(environment, cgroup_2(tmp_path, "max 100000\n"))
    assert environment == {}


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_is_on_unless_the_user_says_otherwise(given, expected):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    code = (
        "import sys, os, keras_recattend; "
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], 'tensorflow' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    ).stdout
    # It comes too late once TensorFlow is there.
    assert output.split() == [expected, "False"]
