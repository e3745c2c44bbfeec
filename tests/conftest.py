"""Options, the golden files' cases as test parameters, and tiny data."""

import functools
import logging
import os
import pathlib
import sys

# Before TensorFlow is imported: its plain kernels round as those of the golden files
# did. oneDNN's are faster, and a hundred times further away where a max pool nearly
# ties and the gradient takes another pixel.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import pytest

import keras_recattend  # noqa: F401
from keras_recattend.command_line import run_command

DEFAULT_GOLDEN = pathlib.Path(__file__).parent / "golden"


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        metavar="DIR",
        type=pathlib.Path,
        default=DEFAULT_GOLDEN,
        help="folder of golden .npz files; its cases are the tests' cases",
    )
    parser.addoption(
        "--slow", action="store_true", help="also run the tests marked slow"
    )


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "golden(file, prefix='', having=''): run once for each case of the golden file "
        "whose name starts with the prefix and that has the array `having`, given as "
        "the argument `case`",
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run it with --slow"))


def pytest_generate_tests(metafunc):
    """Give `case` the cases that are in the golden file, whatever their names."""
    marker = metafunc.definition.get_closest_marker("golden")
    if marker is None:
        return
    name, *prefix = marker.args
    path = metafunc.config.getoption("--golden") / f"{name}.npz"
    names = _case_names(path, *prefix, **marker.kwargs) if path.exists() else []
    missing = f"{path} has no case {''.join(prefix)}*"
    cases = [(path, name, None) for name in names] or [(path, "none", missing)]
    metafunc.parametrize("case", cases, ids=[c[1] for c in cases], indirect=True)


@pytest.fixture
def case(request):
    """One case of a golden file: its arrays by name, and the file's shared ones."""
    path, name, missing = request.param
    if missing and path.parent == DEFAULT_GOLDEN:
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in _arrays(path).items()
        if key.startswith(f"{name}/") or "/" not in key
    }


@pytest.fixture(scope="session")
def golden_directory(request):
    """The folder of golden files."""
    return request.config.getoption("--golden")


@pytest.fixture(scope="session", autouse=True)
def logging_as_it_is():
    """No command sets up logging here: pytest would close the stream it writes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "basicConfig", lambda **_: None)
        yield


@pytest.fixture
def random():
    """A generator that is the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def caller(monkeypatch, capfd):
    """Function from a command's file name and `main` to one that calls it.

    That takes arguments and returns (exit code, what was printed).
    """

    def of(name, main):
        def call(*arguments):
            monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
            capfd.readouterr()
            code = 0
            try:
                run_command(main)
            except SystemExit as end:
                code = end.code
            printed = capfd.readouterr()
            assert "Traceback" not in printed.err
            return code, printed.out + printed.err

        return call

    return of


def _case_names(path, prefix="", having=""):
    suffix = f"/{having}" if having else ""
    with np.load(path) as file:
        keys = [key for key in file.files if "/" in key and key.endswith(suffix)]
    names = [key.split("/")[0] for key in keys]
    return [name for name in dict.fromkeys(names) if name.startswith(prefix)]


@functools.lru_cache(maxsize=2)
def _arrays(path):
    with np.load(path) as file:
        return dict(file)
