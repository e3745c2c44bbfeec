"""Own images and label maps in folders; good and bad files made by hand."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_plants import blocks, picture

from datasets import contents
from datasets.catalog import prepare
from datasets.errors import DataError
from datasets.folder import find_folder
from datasets.images import read_image
from datasets.inspection import inspect_item
from datasets.records import examples

LABELS = blocks(20, 16)


def add(folder, name, label=".png", labels=LABELS, image=None):
    """An image and, unless `label` is None, its label map of that kind."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    if image is None:
        image = Image.fromarray(picture(LABELS, len(name)))
    image.save(folder / "images" / name)
    if label:
        stem = name.rpartition(".")[0]
        Image.fromarray(labels).save(folder / "labels" / (stem + label))


def error_of(folder, name="a"):
    """What is told of the one item of that name."""
    (item,) = [i for i in find_folder(folder).items if i.name == name]
    return inspect_item(find_folder(folder).read, 1, item).error


def test_labels_that_were_corrected_are_noticed_though_their_size_stays(tmp_path):
    """As of ImageJ's TIFF, which is not compressed. Time stamps may be old ones."""
    for name in ("a.png", "b.png"):
        add(tmp_path / "own", name, ".tif")
    path = tmp_path / "own" / "labels" / "a.tif"
    about, before = path.stat(), path.read_bytes()
    records = tmp_path / "records"
    manifest = prepare("folder", tmp_path / "own", records)
    # Written anew, but the same: nothing to tell.
    path.write_bytes(before)
    assert prepare("folder", tmp_path / "own", records).images == manifest.images
    Image.fromarray(np.where(LABELS == 1, 2, LABELS)).save(path)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    with pytest.raises(DataError, match=r"differ since: 1 changed \(labels.a\.tif\)"):
        prepare("folder", tmp_path / "own", records)
    # At another place, too, where every file is new.
    shutil.copytree(tmp_path / "own", tmp_path / "moved")
    with pytest.raises(DataError, match=r"1 changed \(labels.a\.tif\)"):
        prepare("folder", tmp_path / "moved", records)
    (tmp_path / "moved" / "labels" / "a.tif").write_bytes(before)
    assert prepare("folder", tmp_path / "moved", records).images == manifest.images


@pytest.fixture
def two_annotators(tmp_path):
    """Folders that differ in one object, and in no file's size; records of the first.

    Everything is older than the records.
    """
    for folder, labels in (("a", LABELS), ("b", np.where(LABELS == 1, 2, LABELS))):
        add(tmp_path / folder, "a.png", ".tif", labels=labels)
    prepare("folder", tmp_path / "a", tmp_path / "records")
    path = tmp_path / "records" / "manifest.json"
    values = json.loads(path.read_text())
    # Time stamps are those of the system's clock, which ticks every few milliseconds.
    time.sleep(0.1)
    values["source"]["checked_ns"] = time.time_ns() + contents.TOLERANCE_NS
    time.sleep(0.1)
    path.write_text(json.dumps(values))
    return tmp_path


def test_files_of_a_folder_that_was_touched_are_compared_once(
    two_annotators, monkeypatch
):
    """A sheet that was drawn into the folder, say, or the folder was moved."""
    records, compared = two_annotators / "records", []
    checksum = contents.checksum
    monkeypatch.setattr(
        contents, "checksum", lambda path: compared.append(path) or checksum(path)
    )

    def count(folder):
        compared.clear()
        prepare("folder", folder, records)
        return len(compared)

    assert count(two_annotators / "a") == 0
    moved = shutil.move(two_annotators / "a", two_annotators / "moved")
    assert count(moved) == 2
    path = records / "manifest.json"
    values = json.loads(path.read_text())
    assert values["source"]["location"] == str(moved)
    # As if some seconds had passed.
    values["source"]["checked_ns"] += contents.TOLERANCE_NS
    path.write_text(json.dumps(values))
    assert count(moved) == 0
    (moved / "sheet.png").touch()
    values["source"]["checked_ns"] -= 2 * contents.TOLERANCE_NS
    path.write_text(json.dumps(values))
    assert count(moved) == 2


def test_labels_of_somebody_else_who_drew_them_before(two_annotators):
    records = two_annotators / "records"
    assert prepare("folder", two_annotators / "a", records)
    with pytest.raises(DataError, match=r"1 changed \(labels.a\.tif\)"):
        prepare("folder", two_annotators / "b", records)


@pytest.mark.skipif(os.name != "posix", reason="renaming leaves no trace")
@pytest.mark.parametrize("part", ["", "labels"])
def test_labels_of_somebody_else_under_the_same_name(two_annotators, part):
    """Renaming a folder touches none of its files."""
    first, second = two_annotators / "a" / part, two_annotators / "b" / part
    first.rename(two_annotators / "first")
    second.rename(first)
    with pytest.raises(DataError, match=r"1 changed \(labels.a\.tif\)"):
        prepare("folder", two_annotators / "a", two_annotators / "records")


def test_folders_that_are_not_read(tmp_path):
    add(tmp_path / "own", "a.png")
    for part in ("images", "labels"):
        shutil.copytree(tmp_path / "own" / part, tmp_path / "own" / part / "more")
    source = find_folder(tmp_path / "own")
    assert [item.name for item in source.items] == ["a"]
    assert source.left_out == {
        "folders inside images, left out": 1,
        "folders inside labels, left out": 1,
    }


def test_names_that_differ_in_case_alone(tmp_path):
    """Label maps of both may have to lie on a disk that does not tell them apart."""
    for split, name in (("train", "A.png"), ("val", "a.png"), ("val", "b.png")):
        add(tmp_path / split, name)
    names = [item.name for item in find_folder(tmp_path).items]
    assert names == ["train_A", "val_a", "b"]


def test_a_folder_beside_that_may_not_be_looked_into(tmp_path, monkeypatch):
    """The system's own, at the root of a disk."""
    for split in ("train", "val"):
        add(tmp_path / split, "a.png")
    (tmp_path / "lost+found").mkdir()
    is_dir = Path.is_dir

    def refused(self, *rest):
        if self.parent.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(self))
        return is_dir(self, *rest)

    monkeypatch.setattr(Path, "is_dir", refused)
    assert len(find_folder(tmp_path).items) == 2


@pytest.mark.parametrize("name", ["valid", "Validation"])
def test_splits_by_other_names(tmp_path, name):
    """As exports of other programs have them."""
    for split in ("train", name, "backup"):
        add(tmp_path / split, "a.png")
    with pytest.raises(DataError, match=rf"{name} has images.* rename it val"):
        find_folder(tmp_path)
    shutil.rmtree(tmp_path / name)
    source = find_folder(tmp_path)
    assert source.left_out == {"folders with images besides, left out": 1}


@pytest.mark.skipif(os.name != "posix", reason="links and names of other systems")
def test_links_to_nothing_and_names_that_no_record_can_hold(tmp_path):
    for name in ("a.png", "b.png"):
        add(tmp_path, name)
    (tmp_path / "images" / "c.png").symlink_to("gone.png")
    with pytest.raises(DataError, match=r"c\.png is a link to a file that is not"):
        find_folder(tmp_path)
    (tmp_path / "images" / "c.png").unlink()
    for part in ("images", "labels"):
        path = os.fsencode(tmp_path / part / "a.png")
        os.rename(path, path.replace(b"a.png", b"Bl\xe4tter.png"))
    with pytest.raises(DataError, match=r"Bl\?tter\.png is no UTF-8.*Rename"):
        find_folder(tmp_path)


def test_kinds_of_pictures_and_labels(tmp_path):
    rgb = Image.fromarray(picture(LABELS))
    add(tmp_path, "a.png", image=rgb.convert("RGBA"))
    add(tmp_path, "b.jpg", ".tif", image=rgb.convert("CMYK"))
    add(tmp_path, "c.TIFF", image=rgb.convert("L"))
    deep = Image.fromarray(LABELS * np.uint16(20_000))
    add(tmp_path, "d.png", labels=LABELS.astype(np.uint8), image=deep)
    add(tmp_path, "e.gif", labels=LABELS.astype(np.int32) * 70_000, label=".tif")
    (tmp_path / "images" / "notes.txt").write_text("mine")
    source = find_folder(tmp_path)
    read = {example.name: example for example, _ in source.examples()}
    assert sorted(read) == ["a", "b", "c", "d", "e"]
    for name in "abcd":
        np.testing.assert_array_equal(read[name].labels, LABELS)
        assert read[name].image.shape == (20, 16, 3)
    np.testing.assert_array_equal(read["e"].labels, LABELS.astype(int) * 70_000)
    np.testing.assert_array_equal(read["a"].image, np.asarray(rgb))
    assert read["d"].image.max() == round(60_000 / 257)
    assert source.left_out == {"files that are no pictures, left out": 1}


def test_records_have_the_objects(tmp_path):
    add(tmp_path / "own", "a.png")
    add(tmp_path / "own", "b.png", labels=np.zeros_like(LABELS))
    manifest = prepare(
        "folder", tmp_path / "own", tmp_path / "r", min_area=20, workers=1
    )
    # 16, 20 and 24 pixels: the first is too small, and comes last.
    assert [image.objects for image in manifest.images] == [2, 0]
    first, second = examples(manifest)
    np.testing.assert_array_equal(first.labels, np.array([0, 3, 1, 2])[LABELS])
    assert not second.labels.any()


def test_folders_of_splits(tmp_path):
    for split in ("train", "val"):
        add(tmp_path / split, "a.png")
    add(tmp_path / "train", "b.png")
    add(tmp_path / "test", "c.png", label=None)
    (tmp_path / "test" / "labels").rmdir()
    source = find_folder(tmp_path)
    assert [(item.name, item.split) for item in source.items] == [
        ("train_a", "train"),
        ("b", "train"),
        ("val_a", "val"),
        ("c", "test"),
    ]
    (unlabelled,) = [e for e, split in source.examples() if split == "test"]
    assert unlabelled.labels is None


def test_val_alone_is_divided_by_us(tmp_path):
    add(tmp_path / "val", "a.png")
    assert [item.split for item in find_folder(tmp_path).items] == [""]


def test_images_without_labels_are_refused_or_left_out(tmp_path):
    add(tmp_path, "a.png")
    add(tmp_path, "b.png", label=None)
    with pytest.raises(DataError, match=r"b\.png has no label.*--skip-unlabelled"):
        find_folder(tmp_path)
    source = find_folder(tmp_path, skip_unlabelled=True)
    assert [item.name for item in source.items] == ["a"]
    assert source.left_out["images without labels, left out"] == 1


def test_labels_without_image(tmp_path):
    add(tmp_path, "a.png")
    Image.fromarray(LABELS).save(tmp_path / "labels" / "b.png")
    with pytest.raises(DataError, match=r"labels/b\.png has no image"):
        find_folder(tmp_path, skip_unlabelled=True)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_two_files_of_one_name(tmp_path, part):
    add(tmp_path, "a.png")
    other = "a.jpg" if part == "images" else "a.tif"
    Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / part / other)
    with pytest.raises(DataError, match=r"same name"):
        find_folder(tmp_path)


def test_jpeg_labels(tmp_path):
    add(tmp_path, "a.png", ".jpg", LABELS.astype(np.uint8))
    with pytest.raises(DataError, match=r"labels/a\.jpg cannot be a label map"):
        find_folder(tmp_path)


def test_no_folder_and_no_pictures(tmp_path):
    with pytest.raises(DataError, match=r"no folder images \(it has: nothing\)"):
        find_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"no folder .*labels"):
        find_folder(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="no picture in"):
        find_folder(tmp_path)


def test_labels_in_colour(tmp_path):
    add(tmp_path, "a.png", labels=picture(LABELS))
    assert "labels/a.png is no index image" in error_of(tmp_path)


def test_labels_of_another_size(tmp_path):
    add(tmp_path, "a.png", labels=LABELS[:-1])
    assert "(19, 16), the image (20, 16)" in error_of(tmp_path)


@pytest.mark.parametrize("part", ["images", "labels"])
@pytest.mark.parametrize(("kept", "words"), [(0, "0 bytes"), (60, "cut short")])
def test_empty_and_truncated_files(tmp_path, part, kept, words):
    add(tmp_path, "a.png")
    path = tmp_path / part / "a.png"
    path.write_bytes(path.read_bytes()[:kept])
    assert words in error_of(tmp_path)
    assert str(path) in error_of(tmp_path)


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_films_are_refused(tmp_path, kind):
    frames = [Image.fromarray(picture(LABELS, i)) for i in range(3)]
    path = tmp_path / f"a.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 3 pages or frames"):
        read_image(path)


def test_more_ids_than_16_bits_number(tmp_path):
    labels = np.arange(300 * 300, dtype=np.int32).reshape(300, 300)
    image = Image.new("RGB", (300, 300))
    add(tmp_path, "a.png", ".tif", labels, image)
    assert "89999 objects, at most 65535" in error_of(tmp_path)
