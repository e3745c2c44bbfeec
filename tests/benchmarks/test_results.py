"""Ratios, tables and the report's page."""

import json

import pytest

from benchmarks import report, results, suite, table
from benchmarks.case import Case, Result
from benchmarks.profiling import self_times
from keras_recattend.errors import UserError


def measured(name, seconds, megabytes, images=4, **case):
    return Result(
        Case(name, **({"kind": "train"} | case)),
        seconds,
        megabytes * 1_000_000,
        7.0,
        images,
        tuple(2 * s for s in seconds),
    )


@pytest.fixture
def groups():
    return {
        "training": results.rows(
            [measured("plain", (8.0, 6.0, 90.0), 1000), measured("ours", (2.0,), 550)]
        ),
        "inference": results.rows(
            [
                measured("plain", (4.0,), 1, kind="infer", variant="plain"),
                measured("ours", (1.0,), 1, images=8, kind="infer"),
            ]
        ),
    }


def test_ratios_are_of_medians_an_image(groups):
    assert results.ratios(groups) == {
        "training_step": pytest.approx(4.0),
        "inference_10_objects": pytest.approx(8.0),
        "training_memory": pytest.approx(0.55),
    }


def test_a_row_has_times_an_image_and_an_object(groups):
    plain, ours = groups["inference"]
    assert ours["seconds_per_image"] == pytest.approx(0.125)
    assert ours["processor_seconds_per_image"] == pytest.approx(0.25)
    assert ours["images_per_second"] == pytest.approx(8.0)
    assert ours["seconds_per_object"] == pytest.approx(0.0125)
    assert "seconds_per_object" not in plain


def test_a_table_leaves_out_columns_that_no_row_has(groups):
    lines = table.table(groups["training"]).splitlines()
    assert len(lines) == 4
    assert "s / object" not in lines[0]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].split("|")[2].strip() == "2.000"
    assert "s / object" in table.table(groups["inference"])


def test_the_page_keeps_what_is_outside_of_the_markers(groups):
    values = results.summary(groups, quick=False)
    json.dumps(values)
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    page = report.with_tables(text, values)
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "4.00 | at least 2.5" in page
    assert "0.55 | at most 0.6" in page
    assert report.with_tables(page, values) == page
    with pytest.raises(UserError, match="results: begin"):
        report.with_tables("no markers", values)


def test_the_plot_is_a_png(groups, tmp_path):
    one = results.rows([measured("x", (1.0,), 5, size=96, timespan=6)])
    names = {name for panel in report.PANELS for name in panel[1]}
    report.plot({"groups": dict.fromkeys(names, one)}, tmp_path / "cost.png")
    assert (tmp_path / "cost.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("groups_of", [suite.groups, suite.quick_groups])
def test_the_suite_has_what_the_ratios_need(groups_of):
    groups = groups_of()
    for title in ("training", "inference"):
        cases = {case.name: case for case in groups[title]}
        plain, ours = cases["plain"], cases["ours"]
        assert (plain.variant, plain.onednn) == ("plain", False)
        assert (ours.variant, ours.onednn) == ("ours", True)
        same = ("kind", "preset", "size", "timespan", "batch", "objects")
        for name in same:
            assert getattr(plain, name) == getattr(ours, name), name
        assert plain.preset == "cvppp_paper"
        assert plain.objects == 10


def test_the_plot_shows_groups_of_the_suite():
    assert {name for panel in report.PANELS for name in panel[1]} <= set(suite.groups())


def test_self_times():
    lines = [
        [("outer", 0, 100), ("inner", 10, 30), ("leaf", 15, 5), ("inner", 50, 20)],
        [("leaf", 0, 7)],
    ]
    assert self_times(lines) == {"outer": 50, "inner": 45, "leaf": 12}


def test_the_tables_of_the_readme_are_those_of_the_saved_numbers():
    values = json.loads((report.FOLDER / "results.json").read_text())
    values["mask_rcnn"] = json.loads((report.FOLDER / "mask_rcnn.json").read_text())
    readme = (report.FOLDER / "README.md").read_text()
    assert report.with_tables(readme, values) == readme
