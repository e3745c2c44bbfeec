import shutil
from pathlib import Path

import pytest
from tiny_plants import blocks, save_palette

from datasets import catalog
from datasets.catalog import DATASETS, prepare
from datasets.errors import DataError
from datasets.records import examples
from keras_recattend import __version__


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Default folders lie under the current one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_conversion(monkeypatch):
    """Makes any conversion an error, from the time it is called."""

    def refuse(*_):
        raise AssertionError("converted again")

    return lambda: monkeypatch.setattr(catalog, "write_records", refuse)


LEAVES = {"train": 2, "val": 1, "test": 1, "size": (64, 64), "workers": 1}


def test_cvppp_to_records(plant_folder):
    manifest = prepare("cvppp", plant_folder)
    assert manifest.ids == ["plant001", "plant002", "plant005"]
    assert manifest.source["options"] == {"subset": "A1"}
    assert manifest.source["location"] == str(plant_folder)
    assert len(manifest.source["files"]) == 6
    assert manifest.created_by == f"keras-recattend {__version__}"
    # Areas are 16, 20 and 24 pixels: the usual least area of 25 makes them all small.
    assert len(manifest.small) == 9
    assert manifest.max_objects == 0


def test_a_second_time_nothing_is_converted(plant_folder, no_conversion):
    first = prepare("cvppp", plant_folder, min_area=20)
    no_conversion()
    assert prepare("cvppp", str(plant_folder), min_area=20) == first


def test_different_sources_and_areas_get_different_folders(plant_folder, tmp_path):
    other = shutil.copytree(plant_folder, tmp_path / "other")
    folders = {
        prepare("cvppp", plant_folder).directory,
        prepare("cvppp", other).directory,
        prepare("cvppp", plant_folder, min_area=1).directory,
    }
    assert len(folders) == 3
    assert all(folder.startswith("records/cvppp-") for folder in folders)


def test_changed_raw_files_are_explained(plant_folder):
    folder = prepare("cvppp", plant_folder).directory
    save_palette(blocks(count=1), plant_folder / "plant002_label.png")
    shutil.copy(plant_folder / "plant001_rgb.png", plant_folder / "plant007_rgb.png")
    save_palette(blocks(), plant_folder / "plant007_label.png")
    with pytest.raises(
        DataError, match=rf"{folder} .* 2 new \(plant007_label.png\), 1 changed"
    ):
        prepare("cvppp", plant_folder)


def test_other_options_for_a_named_folder_are_explained(plant_folder, tmp_path):
    prepare("cvppp", plant_folder, "mine", min_area=5)
    with pytest.raises(DataError, match=r"least area 5, not 6.*--records-dir"):
        prepare("cvppp", plant_folder, "mine", min_area=6)
    other = shutil.copytree(plant_folder, tmp_path / "other")
    save_palette(blocks(count=1), other / "plant002_label.png")
    with pytest.raises(DataError, match=f"from {plant_folder}, not {other}"):
        prepare("cvppp", other, "mine", min_area=5)
    with pytest.raises(DataError, match="data set cvppp, not leaves"):
        prepare("leaves", None, "mine", min_area=5, **LEAVES)


def test_raw_files_may_be_moved(plant_folder, tmp_path, no_conversion):
    first = prepare("cvppp", plant_folder, "mine")
    no_conversion()
    moved = Path(shutil.move(plant_folder, tmp_path / "moved"))
    second = prepare("cvppp", moved, "mine")
    assert second.images == first.images
    assert first.source["location"] == str(plant_folder)
    assert second.source["location"] == str(moved)


def test_records_need_no_raw_files_any_more(plant_folder):
    first = prepare("cvppp", plant_folder, "mine")
    shutil.rmtree(plant_folder)
    assert prepare("cvppp", None, "mine") == first
    assert prepare("cvppp", None, "mine", subset="A1") == first
    with pytest.raises(DataError, match="subset A1, not A4"):
        prepare("cvppp", None, "mine", subset="A4")
    with pytest.raises(DataError, match="There is no folder"):
        prepare("cvppp", plant_folder, "mine")


def test_damaged_records_are_not_used(plant_folder):
    manifest = prepare("cvppp", plant_folder)
    shard = Path(manifest.directory) / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"cvppp-00000-of-00001.tfrecord .* Delete"):
        prepare("cvppp", plant_folder)


def test_missing_raw_files(tmp_path):
    with pytest.raises(DataError, match=r"plant-phenotyping.org"):
        prepare("cvppp")
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        prepare("cvppp", tmp_path / "nowhere")
    assert not (tmp_path / "records").exists()


def test_unknown_names():
    with pytest.raises(DataError, match=r"no data set 'cvpp'.*'cvppp'"):
        prepare("cvpp")
    with pytest.raises(DataError, match=r"no option 'sized'.*'size'"):
        prepare("leaves", sized=3)


def test_leaves(no_conversion):
    manifest = prepare("leaves", min_area=1, **LEAVES)
    assert [i.split for i in manifest.images] == ["train", "train", "val", "test"]
    assert manifest.directory.startswith("records/leaves-")
    found = list(examples(manifest))
    assert all(example.image.shape == (64, 64, 3) for example in found)
    assert all(example.count > 0 for example in found)
    no_conversion()
    # How many processes render makes no difference to what is rendered.
    assert prepare("leaves", min_area=1, **LEAVES | {"workers": 3}) == manifest


def test_the_usual_leaves_have_the_short_name(monkeypatch):
    made = []
    monkeypatch.setattr(
        catalog, "write_records", lambda source, folder, *_: made.append(str(folder))
    )
    prepare("leaves")
    assert made == ["records/leaves"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_a_title(name):
    assert DATASETS[name].title
