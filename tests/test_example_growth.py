"""docs/growth.md: from photographs by plant and day to a table and a plot."""

import csv
import datetime
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import predict

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


sys.path.insert(0, str(EXAMPLES))  # as Python does for a script there


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


growth, growing_plants = load("growth"), load("growing_plants")
growth_plot = sys.modules["growth_plot"]


def table(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def results(folder, photos, messages=(), sizes=(), named=()):
    """What predict.py writes, as far as it is read: leaf i has 10 i pixels.

    Args:
        photos: {path without suffix: leaves, None = failed}.
        messages, sizes, named: {path: ...} where they differ; the name of results is
            the stem.
    """
    folder.mkdir()
    counts = ["file,name,count,mean_score,status,message,height,width"]
    objects = ["name,area"]
    for path, leaves in photos.items():
        name = dict(named).get(path, path.rpartition("/")[2])
        message, (height, width) = "", dict(sizes).get(path, (48, 64))
        status = "failed" if leaves is None else "ok"
        if path in messages:
            status, message = messages[path]
        count = "" if leaves is None else leaves
        counts.append(
            f"{path}.png,{name},{count},0.9,{status},{message},{height},{width}"
        )
        objects += [f"{name},{10 * i}" for i in range(1, (leaves or 0) + 1)]
    for file, lines in (("counts.csv", counts), ("objects.csv", objects)):
        (folder / file).write_text("\n".join(lines), encoding="utf-8-sig")
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


FOLDERS = r".*/(?P<day>[^/]+)/(?P<plant>[^/]+)"


def test_plants_and_days_are_of_the_file_and_not_of_its_results(tmp_path):
    """Names of results have a folder before them where two files have the same."""
    photos = {"a/x_day1": 1, "b/x_day2": 2}
    folder = results(tmp_path / "one", photos, named={"b/x_day2": "b_x_day2"})
    rows = growth.rows_of(folder, growth.PATTERN, None)
    assert [(r["plant"], r["day"], r["area"]) for r in rows] == [
        ("x", 1, 10),
        ("x", 2, 30),
    ]
    assert [r["name"] for r in rows] == ["x_day1", "b_x_day2"]
    # Two plants under one name are a mistake and no plant called b_x.
    photos = {"a/x_day1": 1, "b/x_day1": 2}
    folder = results(tmp_path / "two", photos, named={"b/x_day1": "b_x_day1"})
    with pytest.raises(ValueError, match=r"a/x_day1\.png and b/x_day1\.png.*'/'"):
        growth.rows_of(folder, growth.PATTERN, None)


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_a_folder_a_day(tmp_path, slash):
    photos = {"p/2024-05-03/A": 1, "p/2024-05-04/A": 2, "p/2024-05-04/B.1": 3}
    named = {"p/2024-05-04/A": "2024-05-04_A", "p/2024-05-04/B.1": "B.1"}
    folder = results(tmp_path / "results", photos, named=named)
    counts = folder / "counts.csv"
    text = counts.read_text(encoding="utf-8-sig").replace("/", slash)
    counts.write_text(text, encoding="utf-8-sig")
    rows = growth.rows_of(folder, FOLDERS, None)
    assert [(r["plant"], str(r["day"]), r["leaves"]) for r in rows] == [
        ("A", "2024-05-03", 1),
        ("A", "2024-05-04", 2),
        ("B.1", "2024-05-04", 3),
    ]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20240503", "2024-05-03"),
        ("2024-05-03", "2024-05-03"),
        ("202405031405", "2024-05-03 14:05:00"),
        ("20240503140507", "2024-05-03 14:05:07"),
        ("20240503T1405", "2024-05-03 14:05:00"),
        ("20240503_140507", "2024-05-03 14:05:07"),
        ("2024-05-03T14:05", "2024-05-03 14:05:00"),
        ("2024-05-03_14-05-07", "2024-05-03 14:05:07"),
        ("3", "3"),
        ("007", "7"),
        ("99999", "99999"),
        ("1000001", "1000001"),
        ("1000002.5", "1000002.5"),
        ("-2", "-2"),
    ],
)
def test_days(text, day):
    assert str(growth.day_of(text)) == day


@pytest.mark.parametrize(
    "text",
    [
        *("240503", "20240545", "2024-13-01", "10000101", "2024-05", "00000003"),
        *("20240503T2560", "20240503 1405", "1714723200", "20240503.5", "nan", "1e3"),
        *("", "three", "\N{ARABIC-INDIC DIGIT TWO}"),
    ],
)
def test_what_is_no_day(tmp_path, text):
    """A number of six or eight digits would be a day far off all others."""
    with pytest.raises(ValueError, match=r"no day; expected a date .*--pattern"):
        growth.day_of(text)
    folder = results(tmp_path / "results", {f"a_{text}": 1})
    pattern = "(?P<plant>a)_(?P<day>.*)"
    with pytest.raises(ValueError, match=rf"a_{text}\.png: .*expected a date"):
        growth.rows_of(folder, pattern, None)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("20240430", "3", r"are dates \(20240430-x.png\), others numbers \(3-y.png\)"),
        ("2024-04-30", "2024-04-30T1200", "are dates .*, others dates with a time"),
    ],
)
def test_days_of_several_kinds(tmp_path, one, other, message):
    folder = results(tmp_path / "both", {f"{one}-x": 1, f"{other}-y": 2})
    with pytest.raises(ValueError, match=rf"some days {message}.*expected one kind"):
        growth.rows_of(folder, "(?P<day>.+)-(?P<plant>.)", None)


def test_messages_are_carried_told_and_drawn_hollow(tmp_path, capsys):
    messages = {
        "a_day1": ("ok", "as many as can be found"),
        "a_day3": ("kept", "of before"),
        "a_day2": ("corrected", ""),
    }
    photos = {"a_day1": 3, "a_day2": 4, "a_day3": 5}
    folder = results(tmp_path / "results", photos, messages)
    out = tmp_path / "out"
    growth.main([str(folder), str(out)])
    told = capsys.readouterr().out
    assert "3 photographs of 1 plants" in told
    assert "2 of them have a message" in told
    rows = table(out / "growth.csv")
    assert [(r["status"], r["message"]) for r in rows] == [
        ("ok", "as many as can be found"),
        ("corrected", ""),
        ("kept", "of before"),
    ]
    growth.main([str(results(tmp_path / "plain", photos)), str(tmp_path / "all")])
    assert "have a message" not in capsys.readouterr().out
    # Their insides are white: less of the line's colour.
    assert 0 < coloured(out) < coloured(tmp_path / "all") - 50


def coloured(folder, colour=growth_plot.COLOURS[0]):
    """Pixels of a colour."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    with Image.open(folder / "growth.png") as picture:
        assert picture.size == (1200, 480)
        return int((np.asarray(picture.convert("RGB")) == rgb).all(axis=-1).sum())


def test_ten_plants_have_a_line_each(tmp_path, monkeypatch):
    plants = [f"{chr(97 + i)}$_{i}$" for i in range(growth_plot.MOST_PLANTS)]
    plants[0] = "_" + "long" * 30
    rows = [
        {"plant": p, "day": d, "leaves": i + d, "area": 5, "unit": "mm2", "message": ""}
        for i, p in enumerate(plants)
        for d in (1, 2)
    ]
    figures = drawn(monkeypatch)
    growth_plot.plot(rows, tmp_path / "growth.png")
    (legend,) = figures[0].legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0].startswith(" _long")
    assert len(texts[0]) <= growth_plot.MOST_LETTERS + 1
    assert texts[1:] == [p.replace("$", r"\$") for p in plants[1:]]
    forms = {
        (line.get_color(), line.get_marker(), line.get_linestyle())
        for line in figures[0].axes[0].lines
        if line.get_linestyle() != "None"
    }
    assert len(forms) == len(plants)
    assert len({marker for _, marker, _ in forms}) == len(plants)
    assert coloured(tmp_path) > 0
    assert (tmp_path / "growth.pdf").read_bytes().startswith(b"%PDF")
    # Beside the panels, not over their points.
    figures[0].draw_without_rendering()
    right = figures[0].axes[1].get_window_extent().x1
    assert legend.get_window_extent().x0 > right


def drawn(monkeypatch):
    """The figures that are made from now on."""
    made = []

    class Kept(growth_plot.Figure):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(growth_plot, "Figure", Kept)
    return made


def test_many_plants_are_grey_behind_their_median(tmp_path, monkeypatch):
    """Eleven plants with 1 to 11 leaves; the last one has no second day."""
    rows = [
        {
            **{"plant": f"p{i:02d}", "day": datetime.date(2024, 5, day)},
            **{"leaves": i * day, "area": 1, "unit": "pixels", "message": ""},
        }
        for i in range(1, 12)
        for day in (1, 2)
        if (i, day) != (11, 2)
    ]
    rows[4]["message"] = "grey"
    figures = drawn(monkeypatch)
    growth_plot.plot(rows, tmp_path / "growth.png")
    (legend,) = figures[0].legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["quartiles", "median of the plants\n(n = 10 to 11 a day)"]
    lines = figures[0].axes[0].lines
    assert len([line for line in lines if line.get_color() == "0.8"]) == 11
    np.testing.assert_array_equal(lines[-1].get_ydata(), [6, 11])
    assert len([line for line in lines if len(line.get_xdata()) == 1]) == 2
    hollow = [line for line in lines if line.get_markerfacecolor() == "white"]
    assert [v for line in hollow for v in line.get_ydata()] == [3]
    # As dates, not as days since 1970.
    figures[0].draw_without_rendering()
    axis = figures[0].axes[0].xaxis
    assert isinstance(axis.get_major_formatter(), growth_plot.ConciseDateFormatter)


def test_quartiles_of_plants_that_are_photographed_at_different_times():
    """One photograph an hour is still one plant a day."""
    at = datetime.datetime
    plants = {
        "a": [
            {"day": at(2024, 5, 1, 9), "leaves": 2},
            {"day": at(2024, 5, 1, 11), "leaves": 4},
        ],
        "b": [{"day": at(2024, 5, 1, 10, 30), "leaves": 7}],
    }
    days, quartiles, numbers = growth_plot.spread(plants, "leaves")
    assert days == [at(2024, 5, 1, 12)]
    assert quartiles.tolist() == [[4], [5], [6]]
    assert numbers == [2]


@pytest.mark.parametrize(
    ("scale", "area"), [("0.16", "1.536"), ("0.5", "15.0"), ("20", "24000.0")]
)
def test_areas_are_not_surer_than_a_pixel(tmp_path, scale, area):
    """60 pixels of 0.0256 mm2 are 1.536, and not 1.5360000000000003."""
    folder = results(tmp_path / "results", {"a_day1": 3})
    growth.main([str(folder), str(tmp_path / "out"), "--mm-per-pixel", scale])
    assert table(tmp_path / "out" / "growth.csv")[0]["area"] == area


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "1e400", "wide"])
def test_a_scale_that_is_none(tmp_path, capsys, scale):
    folder = results(tmp_path / "results", {"a_day1": 3})
    with pytest.raises(SystemExit) as end:
        growth.main([str(folder), str(tmp_path / "out"), f"--mm-per-pixel={scale}"])
    assert end.value.code == 2
    assert f"{scale} is no length; expected the millimetres" in capsys.readouterr().err


def test_pictures_of_different_sizes_are_told(tmp_path, capsys):
    photos = {"a_day1": 1, "a_day2": 1, "a_day3": 1}
    # Turned by 90 degrees it is the same camera.
    folder = results(tmp_path / "turned", photos, sizes={"a_day2": (64, 48)})
    growth.main([str(folder), str(tmp_path / "out"), "--mm-per-pixel", "0.5"])
    assert capsys.readouterr().err == ""
    folder = results(tmp_path / "other", photos, sizes={"a_day2": (96, 128)})
    growth.main([str(folder), str(tmp_path / "out"), "--mm-per-pixel", "0.5"])
    told = capsys.readouterr().err
    assert "2 sizes (64 x 48: a_day1.png; 128 x 96: a_day2.png)" in told
    assert "--mm-per-pixel 0.5" in told
    assert len(table(tmp_path / "out" / "growth.csv")) == 3


def test_tables_of_before_sizes_were_in_them(tmp_path):
    folder = results(tmp_path / "results", {"a_day1": 1})
    text = "file,name,count,mean_score,status,message\na_day1.png,a_day1,1,0.9,ok,\n"
    (folder / "counts.csv").write_text(text)
    assert len(growth.rows_of(folder, growth.PATTERN, None)) == 1


def test_names_that_spreadsheets_take_for_formulas(tmp_path):
    """predict.py writes an apostrophe before them; the plants are called without."""
    folder = results(
        tmp_path / "results", {"'=A_day1": 2}, named={"'=A_day1": "'=A_day1"}
    )
    (row,) = growth.rows_of(folder, growth.PATTERN, None)
    assert (row["plant"], row["name"], row["area"]) == ("=A", "=A_day1", 30)
    growth.main([str(folder), str(tmp_path / "out")])
    (row,) = table(tmp_path / "out" / "growth.csv")
    assert (row["plant"], row["name"]) == ("'=A", "'=A_day1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            ",",
            ";",
            r"counts\.csv lacks file, .*not semicolons as Excel saves them.*anew",
        ),
        ("count,", "leaves,", r"counts\.csv lacks count; expected the columns.*anew"),
        (
            ",3,",
            ",3.0,",
            r"the count of a_day1 is '3\.0'; expected a whole number.*anew",
        ),
        (",3,", ",,", r"the count of a_day1 is ''; expected a whole number"),
        ("a_day1.png", "a\0.png", "does not fit|is no table"),
    ],
)
def test_tables_that_another_program_saved(tmp_path, old, new, message):
    folder = results(tmp_path / "results", {"a_day1": 3})
    text = (folder / "counts.csv").read_text(encoding="utf-8-sig")
    (folder / "counts.csv").write_text(text.replace(old, new))
    with pytest.raises(SystemExit, match=message):
        growth.main([str(folder), str(tmp_path / "out")])


def test_tables_that_are_none(tmp_path):
    with pytest.raises(SystemExit, match=r"objects\.csv does not exist; expected the"):
        growth.main([str(tmp_path), str(tmp_path / "out")])
    folder = results(tmp_path / "results", {"a_day1": 3})
    (folder / "counts.csv").write_bytes("file;\u00e4".encode("cp1252"))
    with pytest.raises(SystemExit, match=r"counts\.csv is no table of predict\.py"):
        growth.main([str(folder), str(tmp_path / "out")])
    (folder / "counts.csv").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"counts\.csv lacks file"):
        growth.main([str(folder), str(tmp_path / "out")])


def test_a_folder_that_cannot_be_written_to(tmp_path):
    folder = results(tmp_path / "results", {"a_day1": 3})
    (tmp_path / "out").touch()
    with pytest.raises(SystemExit, match=r"error: .*out cannot be read or written: "):
        growth.main([str(folder), str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        ({"a": 1}, growth.PATTERN, "a does not fit"),
        ({"a_day1": 1, "a_day01": 1}, growth.PATTERN, "on the same day"),
        ({"a_day1": None}, growth.PATTERN, "no readable photograph"),
        ({"a_day1": 1}, r"(?P<plant>.+)", "--pattern needs"),
        ({"a_day1": 1}, r"(?P<plant>.+)(?P<day>", "is no regular expression .*such as"),
        ({"a_day1": 1}, r"(?P<plant>.+)_day1(?P<day>\d)?", "a_day1 does not fit"),
        ({"p/a": 1}, r".*/(?P<plant>.+)/(?P<day>\d)", "p/a does not fit"),
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
    for colour in growth_plot.COLOURS[:2]:  # a line for each plant
        assert coloured(Path("growth"), colour) > 0
