"""Files and folders of somebody else: one message, and no traceback."""

import errno
import json
import os
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import check, contents, manifest
from datasets.errors import DataError
from datasets.folder import find_folder
from datasets.labelme import find_labelme
from datasets.readable import readable

TOLD = r"cannot be read \(Permission denied\)\. See that you may read it"


def refuse(path):
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.fixture
def own(tmp_path):
    """An image with a label map, and with LabelMe's JSON."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.ones((9, 8), np.uint8)).save(tmp_path / name / "a.png")
    values = {"imagePath": "a.png", "shapes": []}
    (tmp_path / "images" / "a.json").write_text(json.dumps(values))
    return tmp_path


@pytest.fixture
def closed(monkeypatch):
    """Function that makes a folder one that may not be listed."""
    listed = Path.iterdir

    def close(folder):
        monkeypatch.setattr(
            Path, "iterdir", lambda p: refuse(p) if p == folder else listed(p)
        )

    return close


def test_what_it_says():
    with pytest.raises(DataError, match="^/a/b " + TOLD), readable():
        refuse("/a/b")
    with pytest.raises(DataError, match=r"^A file cannot be read \(odd\)"), readable():
        raise OSError("odd")
    with pytest.raises(DataError, match=r"^mine$"), readable():
        raise DataError("mine")


@pytest.mark.parametrize("name", [".", "images", "labels"])
def test_folders_of_own_pictures(own, closed, name):
    assert find_folder(own).total == 1
    closed(own / name)
    with pytest.raises(DataError, match=f"^{own / name} " + TOLD):
        find_folder(own)


def test_folders_of_labelme(own, closed):
    assert find_labelme(own / "images").total == 1
    closed(own / "images")
    with pytest.raises(DataError, match="images " + TOLD):
        find_labelme(own / "images")


def test_a_folder_that_is_looked_at(own, closed):
    (own / "images").rename(own / "pictures")
    closed(own)
    with pytest.raises(DataError, match=TOLD):
        check._looks_like(check.parse([str(own)]))


def test_a_file_whose_content_is_recorded(own, monkeypatch):
    source = find_folder(own)
    stored = source.description() | contents.recorded_contents(source)
    monkeypatch.setattr(manifest, "open", lambda p, mode: refuse(p), raising=False)
    with pytest.raises(DataError, match=r"a\.png " + TOLD):
        contents.recorded_contents(source)
    with pytest.raises(DataError, match=r"a\.png " + TOLD):
        contents.changed_contents(stored, str(own / "elsewhere"))


def test_a_file_whose_time_may_not_be_read(own, monkeypatch):
    stub = types.SimpleNamespace(path=os.path, stat=refuse)
    monkeypatch.setattr(contents, "os", stub)
    with pytest.raises(DataError, match=r"a\.png " + TOLD):
        contents.touched_since(0, str(own), ["images/a.png"])
