import hashlib
import json
import shutil

import pytest

from datasets.errors import DataError
from datasets.manifest import Manifest, checksum


@pytest.fixture
def folder(tiny_records, tmp_path):
    """A copy of the records that a test may damage."""
    return shutil.copytree(tiny_records.directory, tmp_path / "records")


def edit(folder, **changes):
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    for name, value in changes.items():
        if value is None:
            del values[name]
        else:
            values[name] = value
    path.write_text(json.dumps(values))


def test_contents(tiny_records):
    assert tiny_records.ids == [f"image{i}" for i in range(7)]
    assert tiny_records.max_objects == 3
    entry = tiny_records.entry("image3")
    assert (entry.height, entry.width, entry.objects, entry.split) == (20, 16, 3, "")
    (shard,) = tiny_records.shards
    assert shard.records == 7


def test_images_with_more_objects_than_asked(tiny_records):
    # Image i has i % 4 objects.
    assert tiny_records.crowded(2) == ["image3"]
    assert tiny_records.crowded(1) == ["image2", "image3", "image6"]
    assert tiny_records.crowded(3) == []


def test_load_gives_back_what_was_saved(tiny_records):
    assert Manifest.load(tiny_records.directory) == tiny_records


def test_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    expected = hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    assert checksum(tmp_path / "a") == expected


def test_records_of_format_1_are_read(tiny_records, folder):
    """They have one class, and nothing was noted."""
    edit(folder, format_version=1, class_names=None, notes=None, summary=None)
    edit(folder, small=None, dropped=[])
    manifest = Manifest.load(folder)
    assert manifest.images == tiny_records.images
    assert (manifest.class_names, manifest.notes) == ((), ())


def test_records_without_the_small_objects_are_made_anew(folder):
    """Format 2 dropped them, and benchmarks score them."""
    edit(folder, format_version=2, small=None, dropped=[])
    assert Manifest.load(folder).small == ()
    edit(folder, dropped=[{"source_id": "a", "id": 9, "area": 2}])
    with pytest.raises(DataError, match=r"lack 1 objects .* scored today. Delete .*"):
        Manifest.load(folder)


@pytest.mark.parametrize("version", [None, 0, 4])
def test_other_format_versions_are_named(folder, version):
    edit(folder, format_version=version)
    with pytest.raises(
        DataError, match=f"format {version or 0}, this code reads 3. Delete .*records"
    ):
        Manifest.load(folder)


def test_one_flipped_bit_is_found(folder):
    path = next(folder.glob("*.tfrecord"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path.name} .*checksum.*Delete {folder}"):
        Manifest.load(folder)
    Manifest.load(folder, verify=False)


def test_a_short_shard_is_found_without_checksums(folder):
    path = next(folder.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{path.name} \(\d+ bytes, expected"):
        Manifest.load(folder, verify=False)


def test_a_missing_shard(folder):
    next(folder.glob("*.tfrecord")).unlink()
    with pytest.raises(DataError, match="the file is missing"):
        Manifest.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest.json cannot be read.*Delete"):
        Manifest.load(folder)


@pytest.mark.parametrize("name", ["shards", "images", "dataset"])
def test_an_incomplete_manifest(folder, name):
    edit(folder, **{name: None})
    with pytest.raises(DataError, match=r"manifest.json is incomplete"):
        Manifest.load(folder)


def test_no_records(tmp_path):
    with pytest.raises(DataError, match="holds no records"):
        Manifest.load(tmp_path / "nowhere")


def test_select_refuses_nothing_and_unlabelled(tiny_records):
    with pytest.raises(DataError, match="No images"):
        tiny_records.select([])
    assert [e.objects for e in tiny_records.select(["image2", "image0"])] == [2, 0]
