"""Label maps that somebody corrected: what tables, report and overlays make of them."""

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image
from stub_predictor import Stub, picture

from keras_recattend.input_files import source_of
from keras_recattend.predict_files import predict_files
from keras_recattend.prediction_folder import PredictionFolder
from keras_recattend.result_pictures import picture_of


@pytest.fixture
def out(tmp_path):
    """Results of two pictures, each with an object in rows 2 to 8, columns 3 to 9."""
    for name in ("a", "b"):
        Image.fromarray(picture(green=None)).save(tmp_path / f"{name}.png")
    again(tmp_path / "out")
    return tmp_path / "out"


def again(out, settings=(), **options):
    """The same command, or one with other settings."""
    files = [out.parent / "a.png", out.parent / "b.png"]
    folder = PredictionFolder(out)
    sources = [source_of(file) for file in files]
    folder.prepare(dict(settings), sources, options.get("overwrite", False))
    return predict_files(Stub(), folder, files, **options)


def rows(out, name="counts.csv"):
    with open(out / name, newline="", encoding="utf-8-sig") as file:
        return {(r["name"], r.get("id", "")): r for r in csv.DictReader(file)}


def corrected_map():
    """The object is another, and there is a second one with a number far away."""
    labels = np.zeros((24, 32), np.uint8)
    labels[2:9, 3:8] = 1
    labels[20:22, 4:9] = 200
    return labels


def correct(out, labels=None, name="b.png"):
    labels = corrected_map() if labels is None else labels
    Image.fromarray(labels).save(out / "labels" / name)
    return (out / "labels" / name).read_bytes()


def test_counts_and_objects_are_those_of_the_corrected_map(out):
    ours = correct(out)
    again(out)
    counts = rows(out)
    assert counts["a", ""]["status"] == "ok"
    about = {k: counts["b", ""][k] for k in ("count", "mean_score", "status")}
    assert about == {"count": "2", "mean_score": "", "status": "corrected"}
    assert counts["b", ""]["message"] == ""
    objects = rows(out, "objects.csv")
    assert {k: objects["b", "200"][k] for k in ("area", "top", "right", "score")} == {
        "area": "10",
        "top": "20",
        "right": "8",
        "score": "",
    }
    assert objects["b", "1"]["area"] == "35"
    assert objects["a", "1"]["area"] == "49"
    assert "<td>corrected</td>" in (out / "report.html").read_text()
    assert (out / "labels" / "b.png").read_bytes() == ours


def test_overlay_and_thumbnail_are_drawn_anew_once(out, monkeypatch, caplog):
    caplog.set_level("INFO")
    record = PredictionFolder(out).records()[source_of(out.parent / "b.png")]
    ours = correct(out)
    again(out)
    assert "1 overlays were drawn anew" in caplog.text
    with Image.open(out / "overlays" / "b.png") as overlay:
        drawn = np.asarray(overlay)
    expected = picture_of(picture(green=None), corrected_map(), 1600)
    np.testing.assert_array_equal(drawn, expected)
    again_record = PredictionFolder(out).records()[source_of(out.parent / "b.png")]
    assert again_record.thumbnail != record.thumbnail
    assert again_record.thumbnail in (out / "report.html").read_text()
    caplog.clear()
    again(out)
    assert "drawn anew" not in caplog.text
    assert (out / "labels" / "b.png").read_bytes() == ours
    # What was predicted, put back: it counts again, with its scores.
    (out / "labels" / "b.png").write_bytes((out / "labels" / "a.png").read_bytes())
    again(out)
    assert rows(out)["b", ""]["status"] == "ok"
    same = (out / "overlays" / "a.png").read_bytes()
    assert (out / "overlays" / "b.png").read_bytes() == same


def test_an_overlay_that_is_drawn_anew_is_as_large_as_the_others(out):
    correct(out)
    again(out, overlay_size=16)
    with Image.open(out / "overlays" / "b.png") as overlay:
        drawn = np.asarray(overlay)
    assert drawn.shape == (12, 16, 3)
    expected = picture_of(picture(green=None), corrected_map(), 16)
    np.testing.assert_array_equal(drawn, expected)


def test_a_tiff_beside_the_png(out):
    tifffile.imwrite(out / "labels" / "b.tif", corrected_map().astype(np.int64) * 10**7)
    again(out)
    assert rows(out)["b", ""]["status"] == "corrected"
    assert ("b", "2000000000") in rows(out, "objects.csv")


def test_without_its_picture_the_overlay_stays(out):
    """The counts are those of the label map all the same."""
    before = (out / "overlays" / "b.png").read_bytes()
    correct(out)
    (out.parent / "b.png").rename(out.parent / "c.png")
    folder = PredictionFolder(out)
    folder.prepare({}, [])
    predict_files(Stub(), folder, [out.parent / "a.png"])
    assert rows(out)["b", ""]["status"] == "corrected"
    assert rows(out)["b", ""]["count"] == "2"
    assert (out / "overlays" / "b.png").read_bytes() == before


def test_a_picture_that_was_changed_after_the_correction(out):
    before = (out / "overlays" / "b.png").read_bytes()
    correct(out)
    Image.fromarray(picture()).save(out.parent / "b.png")
    assert len(again(out).kept) == 1
    row = rows(out)["b", ""]
    assert (row["status"], row["count"]) == ("kept", "2")
    assert "before it was changed" in row["message"]
    assert (out / "overlays" / "b.png").read_bytes() == before


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((24, 32, 3), np.uint8), "no index image"),
        (np.zeros((9, 9), np.uint8), "9 x 9 pixels"),
    ],
)
def test_what_is_no_label_map_any_more(out, caplog, labels, words):
    """What was predicted stays in the tables, and that is told."""
    theirs = correct(out, labels)
    again(out)
    row = rows(out)["b", ""]
    assert (row["status"], row["count"], row["mean_score"]) == ("kept", "1", "0.9000")
    assert words in row["message"]
    assert "1 label maps were changed and cannot be read" in caplog.text
    assert words in caplog.text
    assert (out / "labels" / "b.png").read_bytes() == theirs


def test_other_settings_do_not_touch_it(out):
    ours = correct(out)
    outcome = again(out, {"min_area": 3}, overwrite=True)
    assert (outcome.predicted, len(outcome.kept)) == (1, 1)
    assert rows(out)["b", ""]["count"] == "2"
    assert rows(out)["b", ""]["status"] == "corrected"
    assert (out / "labels" / "b.png").read_bytes() == ours
    # Without --overwrite nothing stands in the way of anything.
    outcome = again(out, {"min_area": 3})
    assert (outcome.skipped, outcome.kept) == (2, [])


def test_an_overlay_that_is_missing_is_drawn_anew(out):
    correct(out)
    again(out)
    overlay = out / "overlays" / "b.png"
    before = overlay.read_bytes()
    overlay.unlink()
    outcome = again(out)
    assert (outcome.skipped, outcome.kept) == (2, [])
    assert overlay.read_bytes() == before


def test_a_picture_that_is_gone_and_named_keeps_its_row(out):
    """As in a command from the shell's history."""
    correct(out)
    (out.parent / "b.png").unlink()
    folder = PredictionFolder(out)
    folder.prepare({}, [])
    missing = (out.parent / "b.png", "b.png does not exist.")
    outcome = predict_files(Stub(), folder, [out.parent / "a.png"], problems=[missing])
    assert len(outcome.failures) == 1
    row = rows(out)["b", ""]
    assert (row["status"], row["count"]) == ("corrected", "2")
    assert len((out / "counts.csv").read_text().splitlines()) == 3
