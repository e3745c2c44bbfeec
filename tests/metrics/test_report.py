"""Rows, summaries and files of a result."""

import json
import math

import numpy as np
import pytest

from keras_recattend.metrics import (
    format_precisions,
    format_summary,
    read_csv,
    score_image,
    summarise,
    write_csv,
    write_json,
)
from keras_recattend.metrics.report import METRICS

TRUTH = np.array([[3, 3, 0, 0, 9], [3, 3, 0, 0, 9]])
EMPTY = np.zeros_like(TRUTH)
SURPLUS = np.array([[3, 3, 4, 0, 9], [3, 3, 0, 5, 9]])


def named_rows():
    pairs = {
        "perfect": (TRUTH, TRUTH),
        "surplus": (TRUTH, SURPLUS),
        "missed, all": (TRUTH, EMPTY),
        "no objects": (EMPTY, SURPLUS),
    }
    return [{"name": name, **score_image(*pair)} for name, pair in pairs.items()]


def test_score_image():
    row = score_image(TRUTH, SURPLUS)
    assert tuple(row) == METRICS
    assert all(type(value) is float for value in row.values())
    assert row == pytest.approx(
        {
            "sbd": 50,
            "best_dice": 100,
            "fbd": 100 * 12 / 14,
            "dic": 2,
            "abs_dic": 2,
            "true_count": 2,
            "predicted_count": 4,
            "mucov": 100,
            "mwcov": 100,
            "false_positives": 2,
            "false_negatives": 0,
            # Of the first two found, one is an object: half of the two true ones.
            "legacy_sbd": 50,
        }
    )
    assert score_image(TRUTH, EMPTY)["dic"] == -2


def test_legacy_sbd_takes_objects_in_the_order_of_ids():
    """Whatever the ids: the two objects first, then the surplus, which is free."""
    found = np.array([[3, 3, 40, 0, 9], [3, 3, 0, 50, 9]])
    row = score_image(TRUTH, found)
    assert row["legacy_sbd"] == 100
    assert row["sbd"] == 50


def test_summarise():
    summary = summarise(named_rows())
    counts = ["n_images", "n_images_with_objects"]
    assert list(summary) == [*counts, *METRICS, "with_objects"]
    assert summary["n_images"] == 4
    assert summary["n_images_with_objects"] == 3
    # Scores 100, 50, 0, 0; differences 0, 2, -2, 4.
    assert summary["sbd"]["mean"] == pytest.approx(37.5)
    assert summary["sbd"]["std"] == pytest.approx(np.std([100, 50, 0, 0]))
    assert summary["dic"]["mean"] == pytest.approx(1.0)
    assert summary["dic"]["std"] == pytest.approx(math.sqrt(5))
    assert summary["abs_dic"]["mean"] == pytest.approx(2.0)
    assert summary["abs_dic"]["std"] == pytest.approx(math.sqrt(2))
    # Coverage 100, 100, 0: the image without objects does not count.
    assert summary["mucov"]["mean"] == pytest.approx(200 / 3)
    assert summary["mwcov"]["std"] == pytest.approx(np.std([100, 100, 0]))
    assert summary["false_positives"]["mean"] == pytest.approx(6 / 4)


def test_images_without_objects_do_not_hide_the_others():
    """Most of COCO's have none of a category: 100 each where nothing is found."""
    half = score_image(TRUTH, np.where(TRUTH.max() == TRUTH, 0, TRUTH))
    empty = score_image(EMPTY, EMPTY)
    summary = summarise([half, *[empty] * 9])
    assert summary["sbd"]["mean"] == pytest.approx((half["sbd"] + 900) / 10)
    assert summary["with_objects"] == {
        key: {"mean": half[key], "std": 0.0} for key in ("sbd", "fbd", "abs_dic")
    }
    line = f"of 1 with objects:  SBD {half['sbd']:.1f} (0.0)"
    assert line in format_summary(summary)
    assert "with_objects" not in summarise([half])
    assert "with objects" not in format_summary(summarise([half]))


def test_summarise_one_image_has_no_deviation():
    summary = summarise(iter([score_image(TRUTH, SURPLUS)]))
    assert all(summary[key]["std"] == 0.0 for key in METRICS)


@pytest.mark.parametrize(("prediction", "sbd"), [(EMPTY, 100.0), (TRUTH, 0.0)])
def test_no_objects_anywhere(prediction, sbd, tmp_path):
    summary = summarise([score_image(EMPTY, prediction)] * 3)
    assert summary["n_images_with_objects"] == 0
    assert summary["mucov"] == summary["mwcov"] == {"mean": 0.0, "std": 0.0}
    assert summary["sbd"]["mean"] == sbd
    # Nothing is no perfect score.
    assert "with_objects" not in summary
    write_json(summary, tmp_path / "metrics.json")
    assert "nan" not in format_summary(summary).lower()


def test_summarise_bad_rows():
    with pytest.raises(ValueError, match="at least one image"):
        summarise([])
    with pytest.raises(ValueError, match=r"'plant7' lacks \['best_dice'"):
        summarise([{"name": "plant7", "sbd": 1.0}])
    row = score_image(TRUTH, TRUTH)
    with pytest.raises(ValueError, match=r"Row 1 .* not finite in \['fbd'\]"):
        summarise([row, {**row, "fbd": math.nan}])


def test_format_summary():
    line = format_summary(summarise(named_rows()))
    assert line == (
        "SBD 37.5 (41.5)  |DiC| 2.00 (1.41)  DiC +1.00 (2.24)  FBD 46.4 (46.7)  "
        "MUCov 66.7 (47.1)  MWCov 66.7 (47.1)  FP 1.50  FN 0.50  4 images  "
        "of 3 with objects:  SBD 50.0 (40.8)  |DiC| 1.33 (0.94)  FBD 61.9 (44.2)"
    )
    one = format_summary(summarise([score_image(TRUTH, TRUTH)]))
    assert one.endswith("1 image")
    assert "DiC +0.00 (0.00)" in one


def test_format_summary_has_no_minus_zero():
    summary = summarise([score_image(TRUTH, TRUTH)])
    summary["dic"] = {"mean": -0.001, "std": 0.1}
    assert "DiC +0.00" in format_summary(summary)


def test_format_precisions():
    assert format_precisions(summarise(named_rows())) == ""
    values = {"ap_car": 3.0, "ap100m": 16.84, "ap50": None, "ap": 9.5, "n_images": 3}
    assert format_precisions(values) == "AP 9.5  AP50 -  AP100m 16.8"


def test_csv_round_trip(tmp_path):
    rows = named_rows()
    path = tmp_path / "new" / "per_image.csv"
    write_csv(rows, path)
    assert read_csv(path) == rows
    assert summarise(read_csv(path)) == summarise(rows)
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(["name", *METRICS])
    assert lines[1] == "perfect,100,100,100,0,0,2,2,100,100,0,0,100"
    assert lines[3].startswith('"missed, all",0,')
    assert len(lines) == 5


def test_csv_extra_columns_and_numeric_names(tmp_path):
    rows = [{"split": "val", "sbd": np.float32(0.1), "name": "007", "epoch": 3}]
    write_csv(iter(rows), tmp_path / "a.csv")
    (row,) = read_csv(tmp_path / "a.csv")
    assert list(row) == ["name", "split", "sbd", "epoch"]
    assert row["name"] == "007"
    assert row["sbd"] == float(np.float32(0.1))
    assert row["epoch"] == 3


def test_csv_bad_rows(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(ValueError, match="at least one row"):
        write_csv([], path)
    with pytest.raises(ValueError, match="Row 0 has no 'name'"):
        write_csv([score_image(TRUTH, TRUTH)], path)
    with pytest.raises(ValueError, match=r"Row 'b' has the columns \['name'\]"):
        write_csv([{"name": "a", "sbd": 1.0}, {"name": "b"}], path)
    assert not path.exists()


def test_json_round_trip(tmp_path):
    summary = summarise(named_rows())
    path = tmp_path / "metrics.json"
    write_json(summary, path)
    assert json.loads(path.read_text()) == summary
    assert path.read_text().endswith("}\n")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "metrics.json"
    write_json({"sbd": 1.0}, path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"sbd": math.nan}, path)
    assert json.loads(path.read_text()) == {"sbd": 1.0}
