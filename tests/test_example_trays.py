"""docs/examples/cut_trays.py: plants out of photographs of trays."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"

sys.path.insert(0, str(EXAMPLES))  # as Python does for a script there

import cut_trays  # noqa: E402
from growth import rows_of  # noqa: E402

from keras_recattend.errors import UserError  # noqa: E402


def colour_of(row, column, shade=0):
    return (20 * row, 20 * column, shade)


def tray(rows=2, columns=3, side=70, shade=0):
    """A photograph in which every plant is a square of its own colour."""
    plants = np.zeros((rows, columns, 3), np.uint8)
    for row, column in np.ndindex(rows, columns):
        plants[row, column] = colour_of(row + 1, column + 1, shade)
    return plants.repeat(side, 0).repeat(side, 1)


@pytest.fixture
def trays(tmp_path):
    folder = tmp_path / "trays"
    folder.mkdir()
    for day in (3, 12):
        Image.fromarray(tray(shade=day)).save(folder / f"t1_day{day:02d}.png")
    return folder


def call(*arguments):
    try:
        cut_trays.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code
    return 0


def test_every_plant_has_its_own_pixels(trays, tmp_path):
    out = tmp_path / "photos"
    assert call(trays, out, "--rows", 2, "--columns", 3) == 0
    assert len(list(out.iterdir())) == 2 * 6
    for day in (3, 12):
        for row, column in np.ndindex(2, 3):
            name = f"t1-r{row + 1}c{column + 1}_day{day:02d}.png"
            with Image.open(out / name) as file:
                plant = np.array(file)
            assert plant.shape == (70, 70, 3)
            assert (plant == colour_of(row + 1, column + 1, day)).all()
    # Beside the plants, not among them.
    with Image.open(tmp_path / "photos-grid.png") as file:
        assert file.size == (210, 140)


def test_region_and_margin():
    cells = cut_trays.cells_of((300, 500), 2, 4, (50, 20, 250, 420), margin=0.1)
    # Cells of 100 x 100 from (50, 20) on, 10 more on each side.
    assert cells[1, 1] == (40, 10, 160, 130)
    assert cells[2, 4] == (140, 310, 260, 430)
    # It ends with the photograph.
    assert cut_trays.cells_of((200, 200), 2, 2, margin=0.5)[1, 1] == (0, 0, 150, 150)


def test_cells_that_do_not_divide_evenly_leave_no_gap():
    cells = cut_trays.cells_of((200, 333), 1, 4)
    edges = [cells[1, column][1::2] for column in (1, 2, 3, 4)]
    assert edges[0][0] == 0
    assert edges[-1][1] == 333
    for (_, right), (left, _) in itertools.pairwise(edges):
        assert right == left


@pytest.mark.parametrize(
    ("region", "rows", "message"),
    [
        ((0, 0, 201, 100), 1, "not inside the photograph, which has 200 rows"),
        ((50, 0, 50, 100), 1, "not inside"),
        (None, 4, "would have 50 x 100 pixels .*expected 64 or more"),
    ],
)
def test_grids_that_do_not_fit(region, rows, message):
    with pytest.raises(UserError, match=message):
        cut_trays.cells_of((200, 100), rows, 1, region)


def test_names_are_those_that_growth_knows(trays, tmp_path):
    """Its own default pattern; counts and objects as predict.py writes them."""
    out, results = tmp_path / "photos", tmp_path / "results"
    assert call(trays, out, "--rows", 2, "--columns", 3) == 0
    results.mkdir()
    names = sorted(path.stem for path in out.iterdir())
    counts = [f"{out / name}.png,{name},5,0.9,ok," for name in names]
    header = "file,name,count,mean_score,status,message"
    (results / "counts.csv").write_text("\n".join([header, *counts]))
    (results / "objects.csv").write_text("name,area")
    rows = rows_of(results, r"(?P<plant>.+)_day(?P<day>\d+)", None)
    assert {row["plant"] for row in rows} == {
        f"t1-r{row}c{column}" for row in (1, 2) for column in (1, 2, 3)
    }
    assert {row["day"] for row in rows} == {3, 12}


def test_what_cannot_be_read_is_left_out(trays, tmp_path, capsys):
    (trays / "t1_day05.png").write_bytes(b"damaged")
    (trays / "notes.txt").write_text("no photograph")
    out = tmp_path / "photos"
    assert call(trays, out, "--rows", 2, "--columns", 3) == 1
    printed = capsys.readouterr()
    assert "left out: t1_day05.png" in printed.err
    assert "12 plants" in printed.out
    assert "1 photographs left out" in printed.out


def test_nothing_is_overwritten(trays, tmp_path):
    out = tmp_path / "photos"
    assert call(trays, out, "--rows", 2, "--columns", 3) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "photos is there already" in call(trays, out, "--rows", 1, "--columns", 1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        (["a.png"], None, "a.png does not fit"),
        (["t_day1.png", "t_day1.jpg"], None, "of tray t on day 1, as another"),
        (["t_day1.png"], "(", "no regular expression"),
        (["t_day1.png"], "(?P<tray>.+)", "needs"),
        ([], None, "has no photograph"),
    ],
)
def test_names_that_do_not_fit(tmp_path, names, pattern, message):
    folder = tmp_path / "trays"
    folder.mkdir()
    for name in names:
        Image.fromarray(tray()).save(folder / name)
    pattern = [] if pattern is None else ["--pattern", pattern]
    told = call(folder, tmp_path / "out", "--rows", 1, "--columns", 1, *pattern)
    assert message in told
    assert not (tmp_path / "out").exists()


def test_other_names(tmp_path):
    folder = tmp_path / "trays"
    folder.mkdir()
    Image.fromarray(tray()).save(folder / "2024-05-03 {x} T7.png")
    pattern = r"(?P<day>\S+) .* (?P<tray>.+)"
    out = tmp_path / "out"
    options = ["--rows", 1, "--columns", 1, "--pattern", pattern]
    assert call(folder, out, *options) == 0
    assert [path.name for path in out.iterdir()] == ["T7-r1c1_day2024-05-03.png"]


@pytest.mark.parametrize(
    "option",
    [("--rows", "0"), ("--columns", "x"), ("--margin", "2"), ("--region", "1,2,3")],
    ids="=".join,
)
def test_options_that_mean_nothing(trays, tmp_path, option, capsys):
    given = {"--rows": "2", "--columns": "3"} | dict([option])
    assert call(trays, tmp_path / "out", *(a for o in given.items() for a in o)) == 2
    assert option[0] in capsys.readouterr().err
