"""Files, folders and globs; a name of its own for every result."""

import os
import sys
from pathlib import Path

import pytest

from keras_recattend.input_files import find_images, readable, result_names, source_of


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in [
        *("b.png", "a.JPG", "c.tiff", "notes.txt", ".hidden.png", "._a.png"),
        *("deep/d.webp", "deep/er/e.gif", ".git/f.png", "empty/readme.md"),
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(found):
    return [path.as_posix() for path in found[0]]


def test_a_folder(tree):
    assert names(find_images(["."])) == ["a.JPG", "b.png", "c.tiff"]
    assert find_images([str(tree)])[0] == [
        tree / n for n in ("a.JPG", "b.png", "c.tiff")
    ]


@pytest.mark.parametrize("given", [["kinds"], ["kinds/*"]])
def test_kinds_that_cannot_be_read_are_not_left_out_unawares(tree, given):
    """But a camera's raw file beside its JPEG is."""
    (tree / "kinds").mkdir()
    for name in ("a.HEIC", "b.nef", "b.JPG", "c.jfif", "d.CR2", "e.xmp", ".f.heic"):
        (tree / "kinds" / name).touch()
    found = names(find_images(given))
    assert found == [f"kinds/{n}" for n in ("a.HEIC", "b.JPG", "c.jfif", "d.CR2")]


def test_folders_of_folders(tree):
    found = find_images(["."], recursive=True)
    assert names(found) == ["a.JPG", "b.png", "c.tiff", "deep/d.webp", "deep/er/e.gif"]


def test_files_whatever_their_suffix_in_the_order_given(tree):
    assert names(find_images(["notes.txt", "b.png"])) == ["notes.txt", "b.png"]


def test_globs(tree):
    assert names(find_images(["*.p*g"])) == ["b.png"]
    # Folders and texts match, too, but are no pictures.
    assert names(find_images(["*"])) == ["a.JPG", "b.png", "c.tiff"]
    assert names(find_images(["d*/*"])) == ["deep/d.webp"]
    assert names(find_images(["deep/**"])) == ["deep/d.webp", "deep/er/e.gif"]


def test_a_name_with_brackets_is_a_file_first(tree):
    (tree / "x[1].png").touch()
    assert names(find_images(["x[1].png"])) == ["x[1].png"]


def test_every_file_once(tree):
    found = find_images(["b.png", ".", str(tree / "b.png"), "*.png"])
    assert names(found) == ["b.png", "a.JPG", "c.tiff"]


def test_results_are_no_inputs(tree):
    for folder in ("labels", "overlays"):
        (tree / "out" / folder).mkdir(parents=True)
        (tree / "out" / folder / "b.png").touch()
    without = [tree / "out" / "labels", Path("out/overlays")]
    found = names(find_images([".", "out/*/*.png"], recursive=True, without=without))
    assert not [name for name in found if name.startswith("out")]
    assert len(found) == 5


def test_results_of_other_calls_are_no_inputs(tree):
    """A folder of predictions is known by its settings and records."""
    for name in ("labels/a.png", "overlays/a.png", "explain/a.gif", "records/a.json"):
        (tree / "deep" / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "deep" / "out" / name).touch()
    (tree / "deep" / "out" / "mine.png").touch()

    def found(*paths):
        return [n for n in names(find_images(paths, recursive=True)) if "out" in n]

    mine = ["deep/out/mine.png"]
    ways = {".": mine, "**": mine, "deep/out/*": mine, "deep/out/*/*": []}
    for way in ways:
        assert "deep/out/labels/a.png" in found(way)  # still a folder as any other
    (tree / "deep" / "out" / "settings.json").touch()
    for way, expected in ways.items():
        assert found(way) == expected
    # Named by itself it is meant.
    assert found("deep/out/labels") == ["deep/out/labels/a.png"]


def test_what_leads_to_nothing(tree):
    files, problems = find_images(["b.png", "no.png", "empty", "*.bmp"])
    assert names((files, None)) == ["b.png"]
    assert [path for path, _ in problems] == ["no.png", "empty", "*.bmp"]
    for (_, message), word in zip(
        problems,
        ["does not exist", "without pictures", "No picture matches"],
        strict=True,
    ):
        assert word in message
    assert "--recursive" in problems[1][1]
    assert "--recursive" not in find_images(["empty"], recursive=True)[1][0][1]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links(tree):
    os.symlink("b.png", tree / "link.png")
    os.symlink("gone.png", tree / "broken.png")
    os.symlink("round.png", tree / "round.png")
    found = names(find_images(["b.png", "link.png", "broken.png", "round.png"]))
    # The last two cannot be read; that is told where they are.
    assert found == ["b.png", "broken.png", "round.png"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_folders_that_are_links(tree, tmp_path_factory):
    """Each folder once, even where a link leads back."""
    other = tmp_path_factory.mktemp("disk")
    (other / "far.png").touch()
    (tree / "start").mkdir()
    os.symlink(other, tree / "start" / "disk")
    os.symlink(tree / "start", other / "back")
    assert names(find_images(["start"], recursive=True)) == ["start/disk/far.png"]
    assert find_images(["start"])[0] == []


def test_a_folder_that_cannot_be_looked_into_is_told(tree, monkeypatch):
    """Its pictures are not left out in silence."""
    scan = os.scandir

    def forbidden(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    (tree / "some" / "locked").mkdir(parents=True)
    (tree / "some" / "x.png").touch()
    monkeypatch.setattr(os, "scandir", forbidden)
    found, problems = find_images(["some"], recursive=True)
    assert names((found, [])) == ["some/x.png"]
    ((folder, message),) = problems
    assert folder == os.path.join("some", "locked")
    assert "Permission denied" in message
    # Of a folder that cannot be read nobody can say that it has no pictures.
    _, problems = find_images([os.path.join("some", "locked")])
    assert [message for _, message in problems] == [
        "some/locked cannot be looked into (Permission denied)."
    ]


# -- names -------------------------------------------------------------------------


def named(tmp_path, *files, taken=None):
    taken = {source_of(tmp_path / k): v for k, v in (taken or {}).items()}
    return result_names([tmp_path / file for file in files], taken)


def test_the_stem(tmp_path):
    assert named(tmp_path, "a/plant.png", "b/plant.v2.jpg") == ["plant", "plant.v2"]


def test_equal_stems(tmp_path):
    files = ["a/x.png", "b/x.png", "b/x.jpg", "c/b/x.jpg", "d/b/x.jpg", "d/X.png"]
    found = named(tmp_path, *files)
    assert found == ["x", "b_x", "b_x_jpg", "x_2", "x_3", "d_X"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_a_link_has_its_own_name(tmp_path):
    """As in git-annex, where pictures are links to files named by a checksum."""
    (tmp_path / "SHA256E-s123--ab12.png").touch()
    os.symlink("SHA256E-s123--ab12.png", tmp_path / "plant_day03.png")
    assert named(tmp_path, "plant_day03.png") == ["plant_day03"]


def test_one_name_in_two_spellings_is_taken(tmp_path):
    """Some file systems take them for one: an o with dots, and an o and its dots."""
    whole, parts = "L\u00f6we", "Lo\u0308we"
    found = named(tmp_path, f"a/{whole}.png", f"b/{parts}.png", "c/Stra\u00dfe.png")
    assert found == [whole, f"b_{parts}", "Stra\u00dfe"]
    assert named(tmp_path, "d/STRASSE.png", taken={"c/x.png": "Stra\u00dfe"}) == [
        "d_STRASSE"
    ]


def test_names_stay_from_call_to_call(tmp_path):
    taken = {"b/x.png": "x"}
    assert named(tmp_path, "a/x.png", "b/x.png", taken=taken) == ["a_x", "x"]
    assert named(tmp_path, "b/x.png", "a/x.png", taken=taken) == ["x", "a_x"]


def test_long_names(tmp_path):
    found = named(tmp_path, "ä" * 120 + ".png", "ä" * 120 + ".jpg")
    assert len(set(found)) == 2
    assert all(len(os.fsencode(name)) <= 200 for name in found)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    assert readable(tmp_path / name).endswith("caf\N{REPLACEMENT CHARACTER}.png")
    assert named(tmp_path, name)[0].startswith("caf")
