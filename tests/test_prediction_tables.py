"""The tables as spreadsheets and programs read them."""

import codecs
import csv

import pytest

from keras_recattend.prediction_record import Record
from keras_recattend.prediction_tables import Row, write_tables
from keras_recattend.regions import Region


def row(name, message=""):
    regions = [Region(1, 4, 0, 0, 1, 1, 0.5, 0.5, 0.875)]
    record = Record(f"{name}.png", "/", 1, 2, name, "s", 7, 9, "d", regions, "")
    return Row(record, "ok", message)


def written(folder, name):
    with open(folder / name, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@a", "'@a"),
        ("a=1", "a=1"),
        ("'a'", "'a'"),
        ("'=a", "''=a"),  # so that one apostrophe less is the name in any case
    ],
)
def test_no_name_is_a_formula(tmp_path, name, cell):
    write_tables(tmp_path, [row(name, name)], [(name, name)])
    counts = written(tmp_path, "counts.csv")
    assert [r["file"] for r in counts] == [f"{cell}.png", cell]
    assert (counts[0]["name"], counts[1]["name"]) == (cell, "")
    assert [r["message"] for r in counts] == [cell, cell]
    (leaf,) = written(tmp_path, "objects.csv")
    assert (leaf["file"], leaf["name"]) == (f"{cell}.png", cell)
    assert (leaf["area"], leaf["score"]) == ("4", "0.8750")


def test_excel_knows_the_encoding(tmp_path):
    write_tables(tmp_path, [row("\u00e4\u6728")], [])
    for name in ("counts.csv", "objects.csv"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(codecs.BOM_UTF8 + b"file,name,")
        assert data.count(codecs.BOM_UTF8) == 1
        assert written(tmp_path, name)[0]["name"] == "\u00e4\u6728"


def test_sizes_of_pictures(tmp_path):
    write_tables(tmp_path, [row("a")], [("b.png", "gone")])
    rows = written(tmp_path, "counts.csv")
    assert list(rows[0])[-2:] == ["height", "width"]
    assert [(r["height"], r["width"]) for r in rows] == [("7", "9"), ("", "")]
