"""oneDNN's kernels, by which users compute, against the plain ones of the tests."""

import os
import pathlib
import platform
import subprocess
import sys

import kernels_case
import numpy as np
import pytest

CASE = pathlib.Path(kernels_case.__file__)
# Of an array's greatest value; and of gradients that are zero but for rounding (a bias
# before a normalisation).
TOLERANCE = 1e-3
ROUNDING = 1e-5


@pytest.mark.skipif(
    os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0",
    reason="this process computes by oneDNN itself",
)
def test_onednn_gives_what_the_plain_kernels_give(tmp_path):
    """conftest.py switches it off for all other tests, and users have it on."""
    path = tmp_path / "onednn.npz"
    subprocess.run(
        [sys.executable, CASE, path],
        check=True,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1"},
        capture_output=True,
        timeout=300,
    )
    plain = kernels_case.values()
    with np.load(path) as onednn:
        assert set(onednn.files) == set(plain)
        differences = {
            name: np.abs(onednn[name] - value).max() for name, value in plain.items()
        }
    for name, difference in differences.items():
        limit = TOLERANCE * np.abs(plain[name]).max() + ROUNDING
        assert difference <= limit, f"{name}: {difference} is above {limit}"
    if platform.machine() == "x86_64":
        # Where oneDNN is, it rounds otherwise: it was on indeed.
        assert max(differences.values()) > 0
