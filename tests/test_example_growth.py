"""docs/growth.md: from photographs by plant and day to a table and a plot."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import predict

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


growth, growing_plants = load("growth"), load("growing_plants")


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def results(folder, names):
    """What predict.py writes, as far as it is read: leaf i has 10 i pixels."""
    folder.mkdir()
    counts, objects = ["file,name,count,mean_score,status,message"], ["name,area"]
    for name, leaves in names.items():
        status = "failed" if leaves is None else "ok"
        count = "" if leaves is None else leaves
        counts.append(f"{name}.png,{name},{count},0.9,{status},")
        objects += [f"{name},{10 * i}" for i in range(1, (leaves or 0) + 1)]
    (folder / "counts.csv").write_text("\n".join(counts))
    (folder / "objects.csv").write_text("\n".join(objects))
    return folder


def test_a_row_a_plant_and_day(tmp_path, capsys):
    names = {"b_day10": 3, "a_day2": 1, "b_day9": 0, "broken": None}
    folder = results(tmp_path / "results", names)
    growth.main([str(folder), str(tmp_path / "out"), "--mm-per-pixel", "0.5"])
    rows = table(tmp_path / "out" / "growth.csv")
    assert [(r["plant"], r["day"], r["leaves"], r["area"]) for r in rows] == [
        ("a", "2", "1", "2.5"),
        ("b", "9", "0", "0.0"),
        ("b", "10", "3", "15.0"),
    ]
    assert {row["unit"] for row in rows} == {"mm2"}
    told = capsys.readouterr()
    assert "broken.png" in told.err
    assert "3 photographs of 2 plants" in told.out


def test_other_names(tmp_path):
    folder = results(tmp_path / "results", {"3-x": 2, "4-x": 3})
    rows = growth.rows_of(folder, r"(?P<day>\d+)-(?P<plant>.+)", None)
    assert [(r["plant"], r["day"], r["area"]) for r in rows] == [
        ("x", 3, 30),
        ("x", 4, 60),
    ]


def test_days_are_dates_or_numbers_and_none_is_rounded(tmp_path):
    pattern = r"(?P<day>[\d.]+)-(?P<plant>.+)"
    names = {"20240430-x": 1, "20240501-x": 2, "20240502-x": 3}
    folder = results(tmp_path / "dates", names)
    growth.main([str(folder), str(tmp_path / "out"), "--pattern", pattern])
    rows = table(tmp_path / "out" / "growth.csv")
    assert [row["day"] for row in rows] == ["2024-04-30", "2024-05-01", "2024-05-02"]
    # Minutes since the start, say; and the 45th is no day of a month.
    names = {"1000001-x": 1, "1000002.5-x": 2, "20240545-x": 3}
    folder = results(tmp_path / "numbers", names)
    growth.main([str(folder), str(tmp_path / "out2"), "--pattern", pattern])
    rows = table(tmp_path / "out2" / "growth.csv")
    assert [row["day"] for row in rows] == ["1000001", "1000002.5", "20240545"]
    folder = results(tmp_path / "both", {"20240430-x": 1, "3-x": 2})
    with pytest.raises(ValueError, match="some days are dates"):
        growth.rows_of(folder, pattern, None)


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        ({"a": 1}, growth.PATTERN, "a does not fit"),
        ({"a_day1": 1, "a_day01": 1}, growth.PATTERN, "the same day"),
        ({"a_day1": None}, growth.PATTERN, "no readable photograph"),
        ({"a_day1": 1}, r"(?P<plant>.+)", "--pattern needs"),
    ],
)
def test_mistakes(tmp_path, names, pattern, message):
    folder = results(tmp_path / "results", names)
    with pytest.raises(SystemExit, match=message):
        growth.main([str(folder), str(tmp_path / "out"), "--pattern", pattern])
    assert not (tmp_path / "out").exists()


def test_plants_that_grow():
    for plant in growing_plants.PLANTS:
        days = [growing_plants.photograph_of(plant, d)[1] for d in (3, 9, 18)]
        counts = [int(labels.max()) for labels in days]
        areas = [int((labels > 0).sum()) for labels in days]
        assert counts[0] < counts[1] < counts[2]
        assert areas[0] < areas[1] < areas[2]


def test_from_photographs_to_the_plot(tmp_path, monkeypatch):
    """The commands of docs/growth.md, on two plants and three days."""
    monkeypatch.setattr(growing_plants, "DAYS", (3, 9, 18))
    plants = {k: v for k, v in growing_plants.PLANTS.items() if k in "AB"}
    monkeypatch.setattr(growing_plants, "PLANTS", plants)
    monkeypatch.chdir(tmp_path)
    assert growing_plants.draw(Path("photos")) == 6
    monkeypatch.setattr(
        sys, "argv", ["predict.py", "photos", "--weights", "leaves", "--out", "results"]
    )
    predict.main()
    growth.main(["results", "growth"])
    rows = {f"{row['name']}.png": row for row in table("growth/growth.csv")}
    truth = {row["file"]: row for row in table("photos/truth.csv")}
    assert rows.keys() == truth.keys()
    for name, true in truth.items():
        assert abs(int(rows[name]["leaves"]) - int(true["leaves"])) <= 3
        assert float(rows[name]["area"]) == pytest.approx(float(true["area"]), rel=0.25)
    with Image.open("growth/growth.png") as picture:
        assert picture.size == (1200, 480)
        colours = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)
    for colour in ((31, 119, 180), (255, 127, 14)):  # a line for each plant
        assert (colours == colour).all(axis=1).any()
