"""docs/examples/dsb2018.py on a miniature."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.folder import find_folder

FILE = Path(__file__).parents[1] / "docs" / "examples" / "dsb2018.py"


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("dsb2018", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def miniature(root):
    """Image "a" RGBA, "b" RGB; a nucleus of 4 x 4 and one of 3 x 3, sharing a pixel."""
    for name, mode in (("a", "RGBA"), ("b", "RGB")):
        for part in ("images", "masks"):
            (root / name / part).mkdir(parents=True)
        image = Image.new(mode, (12, 10), (1, 2, 3, 255)[: len(mode)])
        image.save(root / name / "images" / f"{name}.png")
        large, small = np.zeros((2, 10, 12), np.uint8)
        large[1:5, 1:5] = 255
        small[4:7, 4:7] = 255
        Image.fromarray(large).save(root / name / "masks" / "y.png")
        Image.fromarray(small).convert("RGBA").save(root / name / "masks" / "x.png")
    return root


def test_folders_that_the_tool_reads(tmp_path, example):
    assert example.convert(miniature(tmp_path / "raw"), tmp_path / "own") == 2
    read = [e for e, _ in find_folder(tmp_path / "own").examples()]
    assert [e.name for e in read] == ["a", "b"]
    expected = np.zeros((10, 12), int)
    expected[1:5, 1:5] = 2
    # "x" comes first, and the shared pixel belongs to the smaller one.
    expected[4:7, 4:7] = 1
    for one in read:
        np.testing.assert_array_equal(one.labels, expected)
        assert (one.image == (1, 2, 3)).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own", "raw"]


def test_refusals(tmp_path, example):
    raw = miniature(tmp_path / "raw")
    (tmp_path / "own").mkdir()
    with pytest.raises(FileExistsError, match="own exists"):
        example.convert(raw, tmp_path / "own")
    with pytest.raises(FileNotFoundError, match="ID/images"):
        example.convert(tmp_path / "own", tmp_path / "new")
    with pytest.raises(ValueError, match="one size"):
        example.label_map([np.ones((2, 2), bool), np.ones((2, 3), bool)])
