import numpy as np
import pytest

from datasets import leaves, processes
from datasets.errors import DataError
from datasets.leaves import rendered_leaves
from datasets.synthetic_leaves import render_rosette

SMALL = {"train": 3, "val": 2, "test": 1, "size": (48, 64), "leaves": (3, 6)}


def test_splits_names_and_sizes():
    source = rendered_leaves(**SMALL)
    assert source.total == 6
    pairs = list(source.examples())
    assert [split for _, split in pairs] == ["train"] * 3 + ["val"] * 2 + ["test"]
    assert [e.name for e, _ in pairs] == [f"leaves{i:05d}" for i in range(6)]
    for example, _ in pairs:
        assert example.image.shape == (48, 64, 3)
        assert 1 <= example.count <= 6


def test_plant_k_has_the_seed_k():
    pairs = list(rendered_leaves(**SMALL, seed=2).examples())
    image, labels = render_rosette(2_000_004, size=(48, 64), leaves=(3, 6))
    np.testing.assert_array_equal(pairs[4][0].image, image)
    np.testing.assert_array_equal(pairs[4][0].labels, labels)


def test_several_processes_give_the_same_plants(monkeypatch):
    monkeypatch.setattr(processes, "FEW", 1)
    source = rendered_leaves(**SMALL)
    together = processes.in_order(source.read, source.items, 2)
    for (one, _), (other, _) in zip(source.examples(), together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_another_renderer_makes_another_description(monkeypatch):
    before = rendered_leaves(**SMALL).description()
    monkeypatch.setattr(leaves, "RENDERER", leaves.RENDERER + 1)
    assert rendered_leaves(**SMALL).description() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": -1}, "0 or more"),
        ({"train": 0, "val": 0, "test": 0}, "0 or more"),
        ({"train": 2_000_000}, "At most"),
        ({"data_dir": "raw"}, "reads no files, got raw"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(DataError, match=message):
        rendered_leaves(**options)
