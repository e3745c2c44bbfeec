"""`export.py` as a user calls it, and the example of a server and its client."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_run
from PIL import Image

import export
import keras_recattend

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a network that always finds something."""
    return tiny_run.make(tmp_path_factory.mktemp("runs") / "run")[0].path


@pytest.fixture
def call(caller):
    """Function from arguments to (exit code, what was printed)."""
    return caller("export.py", export.main)


def test_as_a_process(run, tmp_path):
    command = [sys.executable, ROOT / "export.py", "--weights", run, "--out"]
    done = subprocess.run(
        [*command, "models/leaves/1", "--min-area", "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Written to models/leaves/1" in done.stderr
    about = json.loads((tmp_path / "models/leaves/1/export.json").read_text())
    assert about["weights"] == str(run)
    assert about["config"]["inference"]["min_area"] == 7
    assert (tmp_path / "models/leaves/1/saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "nothing", "--out", "new"], "neither a folder nor the name"),
        (["--weights", "RUN", "--out", "full"], "no model exported"),
        (["--weights", "RUN", "--out", "full", "--overwrite"], "no model exported"),
        (["--weights", "RUN", "--out", "done"], "--overwrite"),
        (["--weights", "RUN", "--out", "full/file"], "is a file"),
        (["--weights", "RUN"], "--out"),
        (["--weights", "RUN", "--out", "new", "--min-area", "-1"], "less than 0"),
        (["--weights", "RUN", "--out", "n", "--score-threshold", "2"], "0 to 1"),
    ],
)
def test_mistakes_are_told(run, tmp_path, call, monkeypatch, options, message):
    for name in ("full/file", "done/saved_model.pb", "done/export.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    monkeypatch.chdir(tmp_path)
    code, text = call(*(run if option == "RUN" else option for option in options))
    assert code == 2
    assert message in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["done", "full"]
    assert (tmp_path / "done" / "saved_model.pb").read_text() == "mine"


@pytest.mark.slow
def test_the_examples_client_and_server(run, tmp_path):
    segmenter = keras_recattend.load(run)
    segmenter.model.save(tmp_path / "exported")
    files = []
    for i, size in enumerate([(32, 32), (70, 35)]):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(tiny.ellipses(i, 2, size)[0]).save(files[-1])
    server = subprocess.Popen(
        [sys.executable, EXAMPLES / "rest_server.py", tmp_path / "exported", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        try:
            port = server.stdout.readline().split()[-1]
            url = f"http://localhost:{port}/v1/models/leaves"
            done = subprocess.run(
                [sys.executable, EXAMPLES / "rest_client.py", url, *files],
                capture_output=True,
                text=True,
                timeout=120,
            )
        finally:
            server.terminate()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for file, line in zip(files, lines, strict=True):
        result = segmenter.segment(file)
        assert line.startswith(f"{file} {result.count} ")
        with Image.open(f"{file}.labels.png") as labels:
            np.testing.assert_array_equal(np.asarray(labels), result.labels)
