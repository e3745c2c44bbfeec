import numpy as np
import pytest

from datasets import leaves
from datasets.errors import DataError
from datasets.leaves import rendered_leaves
from datasets.synthetic_leaves import render_rosette

SMALL = {"train": 3, "val": 2, "test": 1, "size": (48, 64), "leaves": (3, 6)}


def test_splits_names_and_sizes():
    source = rendered_leaves(**SMALL, workers=1)
    assert source.total == 6
    pairs = list(source.examples())
    assert [split for _, split in pairs] == ["train"] * 3 + ["val"] * 2 + ["test"]
    assert [e.name for e, _ in pairs] == [f"leaves{i:05d}" for i in range(6)]
    for example, _ in pairs:
        assert example.image.shape == (48, 64, 3)
        assert 1 <= example.count <= 6


def test_plant_k_has_the_seed_k():
    pairs = list(rendered_leaves(**SMALL, seed=2, workers=1).examples())
    image, labels = render_rosette(2_000_004, size=(48, 64), leaves=(3, 6))
    np.testing.assert_array_equal(pairs[4][0].image, image)
    np.testing.assert_array_equal(pairs[4][0].labels, labels)


def test_several_processes_give_the_same_plants(monkeypatch):
    monkeypatch.setattr(leaves, "FEW", 1)
    alone = list(rendered_leaves(**SMALL, workers=1).examples())
    together = list(rendered_leaves(**SMALL, workers=2).examples())
    for (one, _), (other, _) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_another_renderer_makes_another_description(monkeypatch):
    before = rendered_leaves(**SMALL).description()
    monkeypatch.setattr(leaves, "RENDERER", leaves.RENDERER + 1)
    assert rendered_leaves(**SMALL).description() != before


def test_one_process_goes_on_where_others_cannot_start(monkeypatch, caplog):
    class Broken:
        def __init__(self, *_, **__):
            pass

        def map(self, function, jobs, chunksize):
            yield function(jobs[0])
            raise leaves.BrokenProcessPool

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(leaves, "FEW", 1)
    alone = list(rendered_leaves(**SMALL, workers=1).examples())
    monkeypatch.setattr(leaves, "ProcessPoolExecutor", Broken)
    rescued = list(rendered_leaves(**SMALL, workers=2).examples())
    assert "one process goes on" in caplog.text
    for (one, _), (other, _) in zip(alone, rescued, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


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
