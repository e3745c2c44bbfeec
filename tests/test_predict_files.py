"""The folder of predictions: what is written, what stays, what is refused."""

import csv
import errno
import hashlib
import io
import json
import os
import pathlib
import sys

import cv2
import numpy as np
import pytest
import tifffile
import tiny
from PIL import Image
from stub_predictor import Stub, found, picture

from keras_recattend import (
    file_lock,
    prediction_folder,
    prediction_settings,
    prediction_summaries,
)
from keras_recattend import predict_files as module
from keras_recattend.input_files import find_images, source_of
from keras_recattend.png import png_of_labels
from keras_recattend.predict_files import predict_files
from keras_recattend.prediction_folder import OutputError, PredictionFolder
from keras_recattend.prediction_settings import settings_of
from keras_recattend.result_pictures import picture_of, thumbnail_of
from keras_recattend.whole_files import write_atomically

SETTINGS = {"weights": "w", "weights_sha256": "1", "inference": {"min_area": 5}}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(picture()).save(folder / "both.png")
    Image.fromarray(picture(green=None)).save(folder / "red.png")
    Image.fromarray(picture(20, 40, None, None)).save(folder / "none.png")
    return folder


def predict(paths, out, stub=None, settings=SETTINGS, **options):
    """What predict.py does, without a network."""
    paths = [str(p) for p in (paths if isinstance(paths, list) else [paths])]
    files, problems = find_images(paths)
    folder = PredictionFolder(out)
    overwrite = options.get("overwrite", False)
    with folder.locked():
        folder.prepare(settings, map(source_of, files), overwrite)
        return predict_files(
            stub or Stub(), folder, files, problems=problems, weights="w", **options
        )


def table(out, name):
    with open(out / name, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def labels_of(out, name):
    with Image.open(out / "labels" / f"{name}.png") as file:
        return np.array(file)


def content(folder):
    """Digest of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def no_partial_files(out):
    return not [p for p in out.rglob("*") if p.name.startswith(".")]


# -- what is written ---------------------------------------------------------------


def test_all_files(photos, tmp_path):
    out = tmp_path / "new" / "out"
    outcome = predict(photos, out)
    assert (outcome.predicted, outcome.skipped, outcome.failures) == (3, 0, [])
    names = {"both", "none", "red"}
    assert set(content(out)) == {
        *(f"labels/{n}.png" for n in names),
        *(f"overlays/{n}.png" for n in names),
        *(f"records/{n}.json" for n in names),
        *("settings.json", "counts.csv", "objects.csv", "report.html", "lock"),
    }


def test_label_maps(photos, tmp_path):
    predict(photos, tmp_path / "out")
    labels = labels_of(tmp_path / "out", "both")
    expected = np.zeros((24, 32), int)
    expected[2:9, 3:10] = 1
    expected[12:22, 20:30] = 2
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, expected)
    assert labels_of(tmp_path / "out", "none").shape == (20, 40)


@pytest.mark.parametrize(("most", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_label_maps_of_many_objects(most, dtype):
    labels = np.arange(most + 1, dtype=np.uint16).reshape(1, -1)
    again = np.asarray(Image.open(io.BytesIO(png_of_labels(labels))))
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, labels)


def test_tables(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    assert table(out, "counts.csv") == [
        {
            "file": str(photos / f"{name}.png"),
            "name": name,
            "count": count,
            "mean_score": score,
            "status": "ok",
            "message": "",
            "height": height,
            "width": width,
        }
        for name, count, score, height, width in [
            ("both", "2", "0.7500", "24", "32"),
            ("none", "0", "", "20", "40"),
            ("red", "1", "0.9000", "24", "32"),
        ]
    ]
    rows = table(out, "objects.csv")
    assert [(r["name"], r["id"]) for r in rows] == [
        ("both", "1"),
        ("both", "2"),
        ("red", "1"),
    ]
    # A red rectangle in rows 2 to 8 and columns 3 to 9, a green one in 12 to 21 and 20
    # to 29: centroids are the middles.
    assert {k: rows[1][k] for k in list(rows[1])[3:]} == {
        "area": "100",
        "top": "12",
        "left": "20",
        "bottom": "21",
        "right": "29",
        "centroid_y": "16.50",
        "centroid_x": "24.50",
        "score": "0.6000",
    }
    assert (rows[0]["area"], rows[0]["centroid_y"]) == ("49", "5.00")


def test_tables_without_objects_have_their_heading(tmp_path):
    Image.fromarray(picture(9, 9, None, None)).save(tmp_path / "x.png")
    predict(tmp_path / "x.png", tmp_path / "out")
    text = (tmp_path / "out" / "objects.csv").read_text(encoding="utf-8-sig")
    assert text.startswith("file,name,id,area,top,left,bottom,right,centroid_y,")
    assert len(text.splitlines()) == 1


def test_equal_stems_in_different_folders(tmp_path):
    for name, image in [("a", picture()), ("b", picture(green=None))]:
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "x.png")
    out = tmp_path / "out"
    predict([tmp_path / "a", tmp_path / "b"], out)
    assert labels_of(out, "x").max() == 2
    assert labels_of(out, "b_x").max() == 1
    assert [r["name"] for r in table(out, "counts.csv")] == ["x", "b_x"]


def test_equal_stems_in_two_calls(tmp_path):
    for name, image in [("a", picture()), ("b", picture(green=None))]:
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "x.png")
    out = tmp_path / "out"
    predict(tmp_path / "b", out)
    predict(tmp_path / "a", out)
    assert labels_of(out, "x").max() == 1
    assert labels_of(out, "a_x").max() == 2
    assert len(table(out, "counts.csv")) == 2


def test_a_large_picture(tmp_path):
    """Labels at full size, the overlay reduced."""
    image = picture(2000, 3000, (100, 200, 299, 499), (1500, 2500, 1899, 2999))
    Image.fromarray(image).save(tmp_path / "large.png", compress_level=1)
    out = tmp_path / "out"
    predict(tmp_path / "large.png", out, overlay_size=600)
    assert labels_of(out, "large").shape == (2000, 3000)
    assert [r["area"] for r in table(out, "objects.csv")] == ["60000", "200000"]
    with Image.open(out / "overlays" / "large.png") as overlay:
        assert overlay.size == (600, 400)


def test_large_pictures_come_in_smaller_batches(photos, tmp_path, monkeypatch):
    stub = Stub(batch_size=2)
    predict(photos, tmp_path / "a", stub)
    assert stub.batches == [2, 1]
    monkeypatch.setattr(module, "MOST_PIXELS_A_BATCH", 24 * 32 + 1)
    stub = Stub(batch_size=2)
    predict(photos, tmp_path / "b", stub)
    assert stub.batches == [1, 1, 1]


@pytest.mark.parametrize(
    ("shape", "longest", "expected"),
    [
        ((24, 32), 1600, (336, 448)),  # 14 times: at least 320 rows
        ((24, 32), 100, (72, 96)),
        ((1, 1), 1600, (320, 320)),
        ((400, 500), 1600, (400, 500)),
        ((2000, 1000), 500, (500, 250)),
        ((1, 30_000), 1600, (1, 1600)),
        ((30_000, 1), 1600, (1600, 1)),
        ((10, 900), 1600, (10, 900)),
    ],
)
def test_size_of_an_overlay(shape, longest, expected):
    labels = np.ones(shape, np.uint16)
    overlay = picture_of(np.zeros((*shape, 3), np.uint8), labels, longest)
    assert overlay.shape == (*expected, 3)


def test_thumbnails_are_bounded():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    for image in (noise, np.zeros((3, 2000, 3), np.uint8)):
        data = thumbnail_of(image)
        assert len(data) <= 12_000
        assert max(Image.open(io.BytesIO(data)).size) <= 160


# -- what cannot be read -----------------------------------------------------------


def test_the_others_are_predicted(photos, tmp_path):
    (photos / "empty.png").touch()
    (photos / "text.png").write_text("no picture" * 10)
    data = (photos / "both.png").read_bytes()
    (photos / "cut.png").write_bytes(data[: len(data) // 2])
    out = tmp_path / "out"
    outcome = predict([photos, tmp_path / "gone.jpg"], out)
    assert outcome.predicted == 3
    rows = {pathlib.Path(r["file"]).stem: r for r in table(out, "counts.csv")}
    failed = {name: r["message"] for name, r in rows.items() if r["status"] == "failed"}
    assert set(failed) == {"empty", "text", "cut", "gone"}
    assert "0 bytes" in failed["empty"]
    assert "not a picture" in failed["text"]
    assert "cut short" in failed["cut"]
    assert "does not exist" in failed["gone"]
    assert rows["cut"]["count"] == ""
    assert not (out / "labels" / "cut.png").exists()
    assert no_partial_files(out)
    # Mended, and again: it alone is left to do.
    (photos / "cut.png").write_bytes(data)
    outcome = predict(photos, out)
    assert (outcome.predicted, outcome.skipped, len(outcome.failures)) == (1, 3, 2)


def test_a_picture_that_became_unreadable_has_no_results_in_the_tables(
    photos, tmp_path
):
    out = tmp_path / "out"
    predict(photos, out)
    (photos / "red.png").write_bytes(b"damaged now")
    predict(photos, out)
    (row,) = (r for r in table(out, "counts.csv") if r["file"].endswith("red.png"))
    assert row["status"] == "failed"
    assert {r["name"] for r in table(out, "objects.csv")} == {"both"}


def statuses(out):
    return {pathlib.Path(r["file"]).name: r["status"] for r in table(out, "counts.csv")}


def test_failures_stay_in_the_tables(photos, tmp_path, caplog):
    """Until the pictures have results, or are deleted."""
    out = tmp_path / "out"
    data = (photos / "red.png").read_bytes()
    for name in ("red.png", "deleted.png", "bad.png"):
        (photos / name).write_bytes(b"damaged")
    predict([photos, tmp_path / "gone.jpg", tmp_path / "*.tif"], out)
    failed = {"red.png", "deleted.png", "bad.png", "gone.jpg", "*.tif"}
    assert {n for n, status in statuses(out).items() if status == "failed"} == failed
    # A call of another picture: what was named and is not there was its own call's.
    (photos / "deleted.png").unlink()
    caplog.clear()
    outcome = predict(photos / "both.png", out)
    assert not outcome.failures
    expected = {"both.png": "ok", "none.png": "ok"}
    assert statuses(out) == {**expected, "red.png": "failed", "bad.png": "failed"}
    rows = {pathlib.Path(r["file"]).name: r for r in table(out, "counts.csv")}
    assert "not a picture" in rows["red.png"]["message"]
    assert "2 pictures that failed in earlier calls" in caplog.text
    assert (out / "report.html").read_text().count('class="failed"') == 2
    (photos / "red.png").write_bytes(data)
    predict(photos / "red.png", out)
    assert statuses(out) == {**expected, "red.png": "ok", "bad.png": "failed"}
    (photos / "bad.png").unlink()
    predict(photos, out)
    assert statuses(out) == {**expected, "red.png": "ok"}
    assert not (out / "failures.json").exists()


def test_an_interrupted_call_keeps_the_failures_of_others(photos, tmp_path):
    class Interrupted(Stub):
        def __call__(self, images):
            raise KeyboardInterrupt

    out = tmp_path / "out"
    data = (photos / "red.png").read_bytes()
    (photos / "red.png").write_bytes(b"damaged")
    predict(photos / "red.png", out)
    (photos / "red.png").write_bytes(data)
    with pytest.raises(KeyboardInterrupt):
        predict(photos, out, Interrupted())
    assert statuses(out) == {"red.png": "failed"}
    predict(photos, out)
    assert set(statuses(out).values()) == {"ok"}


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {}}'])
def test_damaged_failures_are_none(photos, tmp_path, text):
    out = tmp_path / "out"
    predict(photos / "both.png", out)
    (out / "failures.json").write_text(text)
    predict(photos / "both.png", out)
    assert statuses(out) == {"both.png": "ok"}


def test_a_picture_that_became_unreadable_stays_so_in_later_calls(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    (photos / "red.png").write_bytes(b"damaged now")
    predict(photos, out)
    predict(photos / "both.png", out)
    assert statuses(out)["red.png"] == "failed"
    assert {r["name"] for r in table(out, "objects.csv")} == {"both"}


def test_a_picture_that_was_converted_has_failed_no_more(photos, tmp_path, caplog):
    """As the message says: save it as JPEG. The folder's HEIC is then passed over."""
    out = tmp_path / "out"
    (photos / "phone.heic").write_bytes(b"of a phone")
    predict(photos, out)
    assert statuses(out)["phone.heic"] == "failed"
    Image.fromarray(picture()).save(photos / "phone.jpg")
    caplog.clear()
    assert not predict(photos, out).failures
    assert statuses(out)["phone.jpg"] == "ok"
    assert "phone.heic" not in statuses(out)
    assert "failed in earlier calls" not in caplog.text
    assert not (out / "failures.json").exists()


# -- again -------------------------------------------------------------------------


def test_what_is_done_is_skipped(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    before = content(out)
    stub = Stub()
    outcome = predict(photos, out, stub)
    assert (outcome.predicted, outcome.skipped, stub.batches) == (0, 3, [])
    assert content(out) == before


@pytest.mark.parametrize("folder", ["labels", "overlays", "records"])
def test_what_is_incomplete_is_done_again(photos, tmp_path, folder):
    out = tmp_path / "out"
    predict(photos, out)
    before = content(out)
    for path in (out / folder).glob("red.*"):
        path.unlink()
    if folder == "records":
        (out / "labels" / "red.png").unlink()
    assert predict(photos, out).predicted == 1
    assert content(out) == before


def test_a_changed_picture_is_done_again(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    Image.fromarray(picture()).save(photos / "none.png")
    outcome = predict(photos, out)
    assert (outcome.predicted, outcome.skipped) == (1, 2)
    assert labels_of(out, "none").max() == 2


def test_a_damaged_record_is_no_record(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    (out / "records" / "red.json").write_text('{"file": "x"}')
    (out / "labels" / "red.png").unlink()
    assert predict(photos, out).predicted == 1
    assert len(table(out, "counts.csv")) == 3


def test_tables_show_all_pictures_of_the_folder(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos / "both.png", out)
    predict(photos / "red.png", out)
    assert [r["name"] for r in table(out, "counts.csv")] == ["both", "red"]


def test_an_interrupted_call_leaves_tables_and_goes_on(photos, tmp_path):
    class Interrupted(Stub):
        def __call__(self, images):
            if self.batches:
                raise KeyboardInterrupt
            return super().__call__(images)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(photos, out, Interrupted(batch_size=2))
    assert len(table(out, "counts.csv")) == 2
    assert no_partial_files(out)
    outcome = predict(photos, out)
    assert (outcome.predicted, outcome.skipped) == (1, 2)
    predict(photos, tmp_path / "whole")
    for name in ("counts.csv", "objects.csv", "report.html"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# -- other settings, and work by hand ----------------------------------------------

OTHER = {**SETTINGS, "weights_sha256": "2", "inference": {"min_area": 9}}


def test_other_settings_are_refused(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    before = content(out)
    with pytest.raises(OutputError) as caught:
        predict(photos, out, settings=OTHER)
    for word in ("--overwrite", "--out", "min_area was 5, now 9", "another weights"):
        assert word in str(caught.value)
    assert content(out) == before


def test_results_of_another_version_are_refused(photos, tmp_path, monkeypatch):
    """The same weights and options, and other results."""
    (tmp_path / "w").touch()

    def settings():
        return settings_of(tiny.config(), tmp_path / "w", "w", 1600)

    out = tmp_path / "out"
    predict(photos, out, settings=settings())
    assert predict(photos, out, settings=settings()).skipped == 3
    monkeypatch.setattr(prediction_settings, "RESULTS_VERSION", 99)
    with pytest.raises(OutputError, match="another version of this program"):
        predict(photos, out, settings=settings())


def test_the_same_weights_by_another_name(photos, tmp_path):
    predict(photos, tmp_path / "out")
    moved = {**SETTINGS, "weights": "moved"}
    assert predict(photos, tmp_path / "out", settings=moved).skipped == 3


def test_other_versions_are_told_and_refused_by_nobody(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out, settings={**SETTINGS, "versions": {"numpy": "2.0"}})
    for numbers in ({"numpy": "2.1"}, {}):
        settings = {**SETTINGS, "versions": numbers}
        assert predict(photos, out, settings=settings).skipped == 3
        written = json.loads((out / "settings.json").read_text())
        assert written["versions"] == numbers
    # Folders of before they were kept.
    assert predict(photos, out).skipped == 3


def test_overwrite(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    assert predict(photos, out, settings=OTHER, overwrite=True).predicted == 3
    assert predict(photos, out, settings=OTHER).skipped == 3
    # And with the same settings: everything anew.
    assert predict(photos, out, settings=OTHER, overwrite=True).predicted == 3


def test_overwrite_never_mixes_settings(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    with pytest.raises(OutputError, match="2 of them"):
        predict(photos / "red.png", out, settings=OTHER, overwrite=True)


def test_an_interrupted_overwrite_goes_on(photos, tmp_path, caplog):
    class Interrupted(Stub):
        def __call__(self, images):
            if self.batches:
                raise KeyboardInterrupt
            return super().__call__(images)

    out = tmp_path / "out"
    predict(photos, out)
    with pytest.raises(KeyboardInterrupt):
        predict(photos, out, Interrupted(1), settings=OTHER, overwrite=True)
    assert len(table(out, "counts.csv")) == 1
    assert "2 pictures have results of earlier settings alone" in caplog.text
    # The others stay out of the tables, and that is told.
    Image.fromarray(picture()).save(photos / "new.png")
    caplog.clear()
    predict(photos / "new.png", out, settings=OTHER)
    assert [r["name"] for r in table(out, "counts.csv")] == ["both", "new"]
    assert "2 pictures have results of earlier settings alone" in caplog.text
    caplog.clear()
    outcome = predict(photos, out, settings=OTHER)
    assert (outcome.predicted, outcome.skipped) == (2, 2)
    assert "earlier settings" not in caplog.text


def correct(out, name):
    labels = labels_of(out, name).copy()
    labels[0, 0] = 7
    Image.fromarray(labels).save(out / "labels" / f"{name}.png")
    return (out / "labels" / f"{name}.png").read_bytes()


def test_a_corrected_label_map_is_kept(photos, tmp_path, caplog):
    out = tmp_path / "out"
    predict(photos, out)
    corrected = correct(out, "red")
    assert predict(photos, out).skipped == 3
    outcome = predict(photos, out, overwrite=True)
    assert (outcome.predicted, len(outcome.kept), outcome.failures) == (2, 1, [])
    assert "red.png" in outcome.kept[0][1]
    assert "is kept" in caplog.text
    assert (out / "labels" / "red.png").read_bytes() == corrected
    # Even where the picture is another one now.
    assert [r["status"] for r in table(out, "counts.csv")] == ["ok", "ok", "corrected"]
    Image.fromarray(picture()).save(photos / "red.png")
    assert len(predict(photos, out).kept) == 1
    assert (out / "labels" / "red.png").read_bytes() == corrected
    rows = table(out, "counts.csv")
    assert [(r["name"], r["status"]) for r in rows] == [
        ("both", "ok"),
        ("none", "ok"),
        ("red", "kept"),
    ]
    assert "before it was changed" in rows[2]["message"]
    assert (out / "report.html").read_text().count("<td>kept</td>") == 1


@pytest.mark.parametrize(("suffix", "bits"), [(".tif", np.int32), (".tiff", np.int64)])
@pytest.mark.parametrize("beside", [True, False])
def test_a_label_map_corrected_as_tiff_is_kept(photos, tmp_path, suffix, bits, beside):
    """As napari saves it, beside the PNG or in place of it."""
    out, coco = tmp_path / "out", tmp_path / "all.json"
    predict(photos, out)
    png, tiff = (out / "labels" / f"red{s}" for s in (".png", suffix))
    labels = labels_of(out, "red").astype(bits)
    labels[0, 0] = 7
    tifffile.imwrite(tiff, labels)
    if not beside:
        png.unlink()
    before = content(out / "labels")
    outcome = predict(photos, out, coco=coco)
    assert (outcome.predicted, outcome.skipped) == (0, 3)
    outcome = predict(photos, out, overwrite=True, coco=coco)
    assert (outcome.predicted, len(outcome.kept)) == (2, 1)
    assert tiff.name in outcome.kept[0][1]
    assert content(out / "labels") == before
    written = json.loads(coco.read_text())
    (image,) = (i for i in written["images"] if i["file_name"].endswith("red.png"))
    own = [a for a in written["annotations"] if a["image_id"] == image["id"]]
    assert len(own) == 2
    assert not any("score" in a for a in own)
    # Without a record it may be anybody's.
    (out / "records" / "red.json").unlink()
    outcome = predict(photos, out)
    assert tiff.name in outcome.failures[0][1]
    assert content(out / "labels") == before


def test_pictures_that_may_have_more_objects_than_can_be_found(
    photos, tmp_path, caplog
):
    out = tmp_path / "out"
    predict(photos, out, most=2)
    rows = {r["name"]: (r["status"], r["message"]) for r in table(out, "counts.csv")}
    assert rows["red"] == rows["none"] == ("ok", "")
    assert rows["both"] == ("ok", prediction_summaries.FULL)
    assert "1 pictures have 2 objects" in caplog.text
    assert "both.png" in caplog.text


def test_grey_pictures_are_told(photos, tmp_path, caplog):
    """Weights for plants find nothing in them, and nothing else would say why."""
    out = tmp_path / "out"
    grey = picture(red=None, green=None)[..., 2]
    Image.fromarray(grey).save(photos / "grey.tif")
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(photos / "equal.png")
    predict(photos, out, most=0)
    rows = {r["name"]: (r["status"], r["message"]) for r in table(out, "counts.csv")}
    full, note = prediction_summaries.FULL, prediction_summaries.GREY
    assert rows["red"] == ("ok", full)
    assert rows["grey"] == rows["equal"] == ("ok", f"{full}; {note}")
    assert "2 pictures are grey" in caplog.text
    caplog.clear()
    # On record: pictures that are done are not read again.
    predict(photos / "red.png", out)
    assert "2 pictures are grey" in caplog.text


def test_pictures_that_come_out_dark_are_told(photos, tmp_path, caplog):
    out = tmp_path / "out"
    deep = np.full((8, 9, 3), 4095, np.uint16)
    deep[..., 0] = 0
    cv2.imwrite(str(photos / "deep.png"), deep)
    predict(photos, out)
    rows = {r["name"]: r["message"] for r in table(out, "counts.csv")}
    assert rows["deep"] == prediction_summaries.DARK
    assert rows["both"] == rows["red"] == rows["none"] == ""
    assert "1 pictures have 16 bits and use 12" in caplog.text


def test_records_of_before_grey_was_noted(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    for path in (out / "records").glob("*.json"):
        record = json.loads(path.read_text())
        del record["grey"], record["dark"]
        path.write_text(json.dumps(record))
    assert predict(photos, out).skipped == 3


def test_coco_has_slashes_everywhere(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sep", "-")
    monkeypatch.setattr(prediction_folder, "readable", lambda path: "photos-red.png")
    predict(photos / "red.png", tmp_path / "out", coco=tmp_path / "all.json")
    (image,) = json.loads((tmp_path / "all.json").read_text())["images"]
    assert image["file_name"] == "photos/red.png"


def test_a_corrected_label_map_stays_in_the_tables_of_other_settings(photos, tmp_path):
    """And in a later call that does not name its picture, and in COCO as corrected."""
    out = tmp_path / "out"
    predict(photos, out)
    correct(out, "red")
    predict(photos, out, settings=OTHER, overwrite=True)
    for paths in (photos, photos / "both.png"):
        outcome = predict(paths, out, settings=OTHER, coco=tmp_path / "all.json")
        assert outcome.predicted == 0
        rows = {r["name"]: r for r in table(out, "counts.csv")}
        assert {name: r["status"] for name, r in rows.items()} == {
            "both": "ok",
            "none": "ok",
            "red": "corrected",
        }
        assert rows["red"]["count"] == "2"
        assert rows["red"]["message"] == ""
        assert "red" in {r["name"] for r in table(out, "objects.csv")}
        page = (out / "report.html").read_text()
        assert page.count("<td>corrected</td>") == 1
        assert page.count("<td>ok</td>") == 2
        written = json.loads((tmp_path / "all.json").read_text())
        (image,) = (i for i in written["images"] if i["file_name"].endswith("red.png"))
        own = [a for a in written["annotations"] if a["image_id"] == image["id"]]
        assert len(own) == 2  # what was predicted, and the pixel painted since
        assert not any("score" in a for a in own)


def test_a_label_map_that_is_corrected_meanwhile_is_kept(photos, tmp_path):
    """A call may take hours, and the results of the last one lie there."""
    out = tmp_path / "out"
    predict(photos, out)
    written = []

    class Slow(Stub):
        def __call__(self, images):
            if not written:
                written.append(correct(out, "red"))
            return super().__call__(images)

    outcome = predict(photos, out, Slow(batch_size=1), overwrite=True)
    assert (outcome.predicted, len(outcome.kept)) == (2, 1)
    assert (out / "labels" / "red.png").read_bytes() == written[0]


def test_pictures_that_were_moved_are_told(photos, tmp_path, caplog):
    out = tmp_path / "out"
    predict(photos, out)
    assert "no longer" not in caplog.text
    moved = tmp_path / "moved"
    photos.rename(moved)
    predict(moved, out)
    assert "3 pictures in the tables are no longer where they were" in caplog.text
    assert str(photos / "both.png") in caplog.text
    # As it says: without their records they are gone.
    for name in ("both", "none", "red"):
        (out / "records" / f"{name}.json").unlink()
    caplog.clear()
    predict(moved, out)
    assert "no longer" not in caplog.text
    assert len(table(out, "counts.csv")) == 3


def test_overwrite_tells_of_pictures_that_are_gone(photos, tmp_path):
    """They cannot be given, so that it says what helps."""
    out = tmp_path / "out"
    predict(photos, out)
    (photos / "none.png").unlink()
    with pytest.raises(OutputError, match="not there any more") as error:
        predict(photos, out, settings=OTHER, overwrite=True)
    (record,) = (out / "records").glob("none.json")
    assert str(record) in str(error.value)
    record.unlink()
    assert predict(photos, out, settings=OTHER, overwrite=True).predicted == 2


def test_a_label_map_that_is_not_on_record_is_kept(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos / "both.png", out)
    (out / "labels" / "red.png").write_bytes(b"drawn by hand")
    outcome = predict(photos, out)
    assert "not on record" in outcome.failures[0][1]
    assert (out / "labels" / "red.png").read_bytes() == b"drawn by hand"


@pytest.mark.parametrize("name", ["labels", "counts.csv", "failures.json"])
def test_a_folder_with_somebodys_files_is_refused(photos, tmp_path, name):
    """Such as a data set's own labels/."""
    out = tmp_path / "out"
    out.mkdir()
    (out / name).mkdir() if name == "labels" else (out / name).touch()
    before = sorted(out.rglob("*"))
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=name):
            predict(photos, out, overwrite=overwrite)
    assert sorted(out.rglob("*")) == before


def test_results_beside_the_pictures(photos):
    """Their folder is free of results: allowed, and they are no inputs."""
    pictures = content(photos)
    predict(photos, photos)
    assert predict(photos, photos).skipped == 3
    assert pictures.items() <= content(photos).items()


# -- writing that fails ------------------------------------------------------------


def fill_the_disk(monkeypatch, full):
    """`full(path)` says where the disk is full: half is written, then it fails."""
    write = pathlib.Path.write_bytes

    def write_bytes(self, data):
        if full(self):
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    monkeypatch.setattr(pathlib.Path, "write_bytes", write_bytes)


@pytest.mark.parametrize(
    "where", ["labels/.red", "overlays/.red", "records/.red", ".counts", ".report"]
)
def test_a_full_disk(photos, tmp_path, monkeypatch, where):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        fill_the_disk(patch, lambda path: where in path.as_posix())
        with pytest.raises(OutputError, match=r"No space left.*same command"):
            predict(photos, out, Stub(batch_size=1))
    assert no_partial_files(out)
    for folder in ("labels", "overlays"):
        for path in (out / folder).iterdir():
            with Image.open(path) as file:
                file.load()
    outcome = predict(photos, out)
    assert not outcome.failures
    predict(photos, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.parametrize("first", [True, False], ids=["new", "replaced"])
@pytest.mark.parametrize("where", ["labels/red", "overlays/red", "records/red"])
def test_killed_while_results_are_written(photos, tmp_path, monkeypatch, where, first):
    """What it left is ours: the same command goes on."""
    out = tmp_path / "out"
    if not first:
        predict(photos, out, Stub(), settings=OTHER)

    def killed(path, data):
        if where in path.as_posix():
            raise SystemExit
        write_atomically(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(prediction_folder, "write_atomically", killed)
        with pytest.raises(SystemExit):
            predict(photos, out, overwrite=True)
    outcome = predict(photos, out, overwrite=not first)
    assert (outcome.kept, outcome.failures) == ([], [])
    predict(photos, tmp_path / "whole")
    assert content(out) == content(tmp_path / "whole")


def test_a_table_that_is_open_elsewhere_is_named(photos, tmp_path, monkeypatch):
    """A spreadsheet does not let it be replaced, on Windows."""
    out = tmp_path / "out"
    replace = os.replace

    def closed(old, new):
        if str(new).endswith("counts.csv"):
            raise PermissionError(errno.EACCES, "Access is denied", old, None, new)
        replace(old, new)

    monkeypatch.setattr(os, "replace", closed)
    with pytest.raises(OutputError, match=r"counts\.csv cannot be written.*Close it"):
        predict(photos, out)


def test_a_full_disk_at_the_start(photos, tmp_path, monkeypatch):
    stub = Stub()
    with monkeypatch.context() as patch:
        fill_the_disk(patch, lambda path: True)
        with pytest.raises(OutputError, match="No space left"):
            predict(photos, tmp_path / "out", stub)
    assert not stub.batches
    # As it says: the same command goes on.
    assert predict(photos, tmp_path / "out", stub).predicted == 3


def test_a_file_in_place_of_the_folder(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="name a folder"):
        predict(photos, tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written to"):
        predict(photos, tmp_path / "file" / "out")


@pytest.mark.skipif(file_lock.fcntl is None, reason="no locks here")
def test_one_process_at_a_time(photos, tmp_path):
    """Names are given once: two of them would take the same."""
    out = tmp_path / "out"

    class Second(Stub):
        def __call__(self, images):
            before = content(out)
            with pytest.raises(OutputError, match=r"Another predict\.py.*--out"):
                predict(photos, out, settings=OTHER, overwrite=True)
            assert content(out) == before
            return super().__call__(images)

    assert predict(photos, out, Second()).predicted == 3
    assert predict(photos, out).skipped == 3


def test_somebodys_file_called_lock_stays(photos):
    (photos / "lock").write_text("mine")
    predict(photos, photos)
    assert (photos / "lock").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="may write anywhere")
def test_a_folder_without_permission(photos, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        predict(photos, tmp_path / "closed" / "out")


def test_what_a_killed_process_left_is_removed(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    (out / "labels" / ".red.png.123.tmp").write_bytes(b"half")
    predict(photos, out)
    assert no_partial_files(out)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}', "\0"])
def test_damaged_settings(photos, tmp_path, text):
    out = tmp_path / "out"
    predict(photos, out)
    (out / "settings.json").write_text(text)
    with pytest.raises(OutputError, match=r"settings\.json"):
        predict(photos, out)


def test_no_memory_for_a_batch(photos, tmp_path):
    """One by one then; a picture that is too large alone fails, the others do not."""

    class ResourceExhaustedError(Exception):
        """TensorFlow's has this name."""

    class Full(Stub):
        def __call__(self, images):
            if len(images) > 1:
                raise MemoryError
            if images[0].shape == (20, 40, 3):
                raise ResourceExhaustedError
            return super().__call__(images)

    outcome = predict(photos, tmp_path / "out", Full())
    assert outcome.predicted == 2
    ((file, message),) = outcome.failures
    assert file.endswith("none.png")
    assert "(40 x 20) does not fit into memory" in message


def test_a_mistake_in_the_network_is_not_hidden(photos, tmp_path):
    class Wrong(Stub):
        def __call__(self, images):
            raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        predict(photos, tmp_path / "out", Wrong())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_odd_names(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in [
        b"caf\xe9.png",
        b"a,b\"'.png",
        b"x\ny.png",
        "\u00e4\u6728.png".encode(),
    ]:
        Image.fromarray(picture()).save(folder / os.fsdecode(name), "PNG")
    out = tmp_path / "out"
    assert predict(folder, out, coco=tmp_path / "c.json").predicted == 4
    rows = table(out, "counts.csv")
    assert {r["status"] for r in rows} == {"ok"}
    assert str(folder / "a,b\"'.png") in [r["file"] for r in rows]
    assert len(json.loads((tmp_path / "c.json").read_bytes())["images"]) == 4
    assert predict(folder, out).skipped == 4


def test_scores_belong_to_their_objects(tmp_path):
    class Two(Stub):
        def __call__(self, images):
            return [found([[1, 0, 2], [1, 0, 2]], [0.25, 1.0]) for _ in images]

    Image.new("RGB", (3, 2)).save(tmp_path / "x.png")
    predict(tmp_path / "x.png", tmp_path / "out", Two())
    rows = table(tmp_path / "out", "objects.csv")
    assert [(r["id"], r["left"], r["score"]) for r in rows] == [
        ("1", "0", "0.2500"),
        ("2", "2", "1.0000"),
    ]


# -- explanations --------------------------------------------------------------------


class Explained:
    """As much of an `Explanation` as is written."""

    def __init__(self, found):
        self.found = found

    def plot(self, path):
        write_atomically(path, b"steps %d" % self.found.count)

    def animate(self, path):
        write_atomically(path, b"frames %d" % self.found.count)


def explainer(stub):
    return lambda images: [Explained(one) for one in stub(images)]


def test_explanations(photos, tmp_path):
    """The results are those of the explained pass; nothing is run twice."""
    out, stub = tmp_path / "out", Stub()
    outcome = predict(photos, out, Never(), explain=explainer(stub))
    assert (outcome.predicted, outcome.explained) == (3, 0)
    assert stub.batches == [3]
    names = ["both", "none", "red"]
    for suffix, text in ((".png", b"steps 2"), (".gif", b"frames 2")):
        files = sorted((out / "explain").glob(f"*{suffix}"))
        assert [path.stem for path in files] == names
        assert files[0].read_bytes() == text
    predict(photos, tmp_path / "plain")
    results = content(tmp_path / "plain")
    assert not [name for name in results if name.startswith("explain")]
    assert results.items() <= content(out).items()
    assert no_partial_files(out)


class Never(Stub):
    """A predictor that is not to be asked."""

    def __call__(self, images):
        raise AssertionError("asked")


@pytest.mark.parametrize("missing", ["both.png", "both.gif"])
def test_explanations_that_are_missing_are_made(photos, tmp_path, missing):
    out, stub = tmp_path / "out", Stub()
    predict(photos, out)
    outcome = predict(photos, out, Never(), explain=explainer(stub))
    assert (outcome.predicted, outcome.skipped, outcome.explained) == (0, 3, 3)
    assert "3 done before (3 explained now)" in str(outcome)
    before = content(out)
    (out / "explain" / missing).unlink()
    assert predict(photos, out, Never(), explain=explainer(stub)).explained == 1
    assert content(out) == before
    assert predict(photos, out, Never(), explain=explainer(Never())).explained == 0


def test_an_explanation_leaves_a_corrected_label_map(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    corrected = correct(out, "red")
    outcome = predict(photos, out, Never(), explain=explainer(Stub()))
    assert (outcome.explained, outcome.kept) == (3, [])
    assert (out / "labels" / "red.png").read_bytes() == corrected


def test_new_results_take_old_explanations_away(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out, explain=explainer(Stub()))
    predict(photos, out, settings=OTHER, overwrite=True)
    assert list((out / "explain").iterdir()) == []


def test_explanations_are_no_inputs(photos):
    predict(photos, photos, explain=explainer(Stub()))
    files, _ = find_images(
        [str(photos)], recursive=True, without=PredictionFolder(photos).folders
    )
    assert [file.stem for file in files] == ["both", "none", "red"]


def test_somebodys_explanations_are_kept(photos, tmp_path):
    (tmp_path / "out" / "explain").mkdir(parents=True)
    with pytest.raises(OutputError, match="explain"):
        predict(photos, tmp_path / "out")


def test_a_full_disk_while_explaining(photos, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        fill_the_disk(patch, lambda path: "explain/.red" in path.as_posix())
        with pytest.raises(OutputError, match="No space left"):
            predict(photos, out, explain=explainer(Stub()))
    assert no_partial_files(out)
    assert not (out / "explain" / "red.png").exists()
    assert (out / "explain" / "both.png").exists()
    predict(photos, out, explain=explainer(Stub()))
    predict(photos, tmp_path / "whole", explain=explainer(Stub()))
    assert content(out) == content(tmp_path / "whole")


def test_no_memory_for_an_explanation(photos, tmp_path):
    def explain(images):
        raise MemoryError

    out = tmp_path / "out"
    predict(photos / "red.png", out)
    outcome = predict(photos / "red.png", out, Never(), explain=explain)
    assert "does not fit into memory" in outcome.failures[0][1]
    # What was found is no worse for it.
    assert statuses(out) == {"red.png": "ok"}
    assert not (out / "failures.json").exists()
    outcome = predict(photos, tmp_path / "new", Never(), explain=explain)
    assert len(outcome.failures) == 3


def test_a_picture_that_changes_while_it_is_predicted_is_done_again(photos, tmp_path):
    class Slow(Stub):
        def __call__(self, images):
            Image.fromarray(picture()).save(photos / "none.png")
            return super().__call__(images)

    predict(photos, tmp_path / "out", Slow())
    assert predict(photos, tmp_path / "out").predicted == 1
    assert labels_of(tmp_path / "out", "none").max() == 2
