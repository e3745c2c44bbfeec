"""Workers that take turns."""

import pytest

from benchmarks.case import Case
from benchmarks.interleaved import measure
from benchmarks.subjects import CountingModel, config_of, pictures

SMALL = {"size": 64, "timespan": 4, "batch": 1, "objects": 2}


@pytest.mark.slow
def test_both_variants_side_by_side():
    cases = [
        Case("plain", "infer", "plain", onednn=False, **SMALL),
        Case("ours", "infer", **SMALL),
    ]
    results = measure(cases, 2)
    assert [result.case for result in results] == cases
    for result in results:
        assert len(result.seconds) == 2
        assert min(result.seconds) > 0
        assert min(result.processor_seconds) > 0
        assert result.peak_bytes > 0
        assert result.images == 1


@pytest.mark.parametrize("objects", [0, 2])
def test_the_counting_model_finds_what_the_first_pixel_says(objects):
    case = Case("ours", "infer", **(SMALL | {"objects": objects}))
    config = config_of(case)
    found = CountingModel(config).infer(pictures(config, 1, objects)["image"])
    assert found["count"].numpy().tolist() == [objects]
    # One step more says that it is the end.
    assert found["steps"].numpy().tolist() == [objects + 1]
