import os
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_plants import blocks, picture, save_palette

from datasets.catalog import prepare
from datasets.cvppp import find_cvppp
from datasets.errors import DataError

DATA = os.environ.get("RECATTEND_DATA")


@pytest.mark.parametrize("steps", range(4))
def test_any_folder_on_the_path_will_do(plant_folder, steps):
    folder = plant_folder
    for _ in range(steps):
        folder = folder.parent
    source = find_cvppp(folder)
    assert source.total == 3
    names = [(example.name, split) for example, split in source.examples()]
    assert names == [("plant001", ""), ("plant002", ""), ("plant005", "")]


def test_a_folder_of_any_other_name(plant_folder, tmp_path):
    plant_folder.rename(tmp_path / "mine")
    assert find_cvppp(tmp_path / "mine").total == 3


def test_what_a_mac_leaves_beside_files(plant_folder):
    for name in ("plant001_rgb.png", "plant001_label.png", "plant009_rgb.png"):
        (plant_folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    assert find_cvppp(plant_folder).total == 3


def test_palette_indices_not_colours(plant_folder):
    example, _ = next(find_cvppp(plant_folder).examples())
    np.testing.assert_array_equal(example.labels, blocks())
    np.testing.assert_array_equal(example.image, picture(blocks(), 1))


def test_alpha_channel_and_grey(plant_folder):
    rgb = Image.open(plant_folder / "plant001_rgb.png")
    rgb.convert("RGBA").save(plant_folder / "plant001_rgb.png")
    rgb.convert("L").save(plant_folder / "plant002_rgb.png")
    first, second, _ = [example for example, _ in find_cvppp(plant_folder).examples()]
    np.testing.assert_array_equal(first.image, np.asarray(rgb))
    assert second.image.shape == (20, 16, 3)


def test_other_files_are_ignored(plant_folder):
    for name in ("plant001_fg.png", "plant001_centers.png", "plant009_fg.png"):
        (plant_folder / name).write_bytes(b"")
    assert find_cvppp(plant_folder).total == 3


def test_subsets(plant_folder):
    shutil.copytree(plant_folder, plant_folder.parent / "A4")
    (plant_folder.parent / "A4" / "plant001_rgb.png").unlink()
    (plant_folder.parent / "A4" / "plant001_label.png").unlink()
    source = find_cvppp(plant_folder.parent, subset="A4")
    assert source.total == 2
    assert source.options == {"subset": "A4"}
    with pytest.raises(DataError, match="has the subsets A1, A4, but no images of A2"):
        find_cvppp(plant_folder.parent, subset="A2")
    with pytest.raises(DataError, match="is subset A1, but A4"):
        find_cvppp(plant_folder, subset="A4")
    with pytest.raises(DataError, match="one of A1, A2, A3, A4, A5, got 'B'"):
        find_cvppp(plant_folder, subset="B")


@pytest.mark.parametrize("labelled", [False, True])
def test_testing_folder_is_the_test_split(plant_folder, labelled):
    root = plant_folder.parents[2]
    testing = root / "CVPPP2017_LSC_testing" / "testing" / "A1"
    testing.mkdir(parents=True)
    for name in ("plant003", "plant001"):
        shutil.copy(plant_folder / "plant002_rgb.png", testing / f"{name}_rgb.png")
    if labelled:
        save_palette(blocks(), testing / "plant003_label.png")
    found = [pair for pair in find_cvppp(root).examples() if pair[1] == "test"]
    # plant001 is in both folders, and names must differ.
    assert [e.name for e, _ in found] == ["test_plant001", "plant003"]
    assert found[0][0].labels is None
    assert (found[1][0].labels is not None) == labelled


def test_image_without_label(plant_folder):
    (plant_folder / "plant002_label.png").unlink()
    with pytest.raises(
        DataError, match=r"plant002_rgb.png has no partner: expected plant002_label.png"
    ):
        find_cvppp(plant_folder)


def test_label_without_image(plant_folder):
    (plant_folder / "plant002_rgb.png").unlink()
    with pytest.raises(DataError, match=r"expected plant002_rgb.png"):
        find_cvppp(plant_folder)


def test_label_of_another_size(plant_folder):
    save_palette(blocks(20, 18), plant_folder / "plant002_label.png")
    with pytest.raises(
        DataError,
        match=r"plant002_rgb.png, plant002_label.png: plant002: .*\(20, 18\).*\(20, 16",
    ):
        list(find_cvppp(plant_folder).examples())


def test_colour_label(plant_folder):
    rgb = Image.open(plant_folder / "plant002_label.png").convert("RGB")
    rgb.save(plant_folder / "plant002_label.png")
    with pytest.raises(DataError, match=r"plant002_label.png is no index image"):
        list(find_cvppp(plant_folder).examples())


def test_truncated_image(plant_folder):
    path = plant_folder / "plant002_rgb.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"plant002_rgb.png cannot be read"):
        list(find_cvppp(plant_folder).examples())


@pytest.mark.parametrize("kind", ["none", "missing", "empty", "file"])
def test_missing_data_says_where_to_get_it(tmp_path, kind):
    folder = None if kind == "none" else tmp_path / kind
    if kind == "empty":
        folder.mkdir()
    if kind == "file":
        folder.write_text("")
    with pytest.raises(DataError) as error:
        find_cvppp(folder)
    assert "plant-phenotyping.org/datasets" in str(error.value)
    assert "training/A1/plantNNN_rgb.png" in str(error.value)


def test_files_change_the_description(plant_folder):
    before = find_cvppp(plant_folder).description()
    assert before == find_cvppp(plant_folder).description()
    assert ["plant001_label.png", 0] not in before["files"]
    save_palette(blocks(count=2), plant_folder / "plant001_label.png")
    with open(plant_folder / "plant001_label.png", "ab") as file:
        file.write(b"more")
    assert find_cvppp(plant_folder).description() != before


@pytest.mark.skipif(not DATA, reason="set RECATTEND_DATA to the folder of real data")
def test_real_leaves(tmp_path):
    manifest = prepare("cvppp", f"{DATA}/cvppp", tmp_path / "records", min_area=25)
    assert min(image.objects for image in manifest.images) == 11
    assert manifest.max_objects == 20
    assert all((i.height, i.width) == (530, 500) for i in manifest.images)
    # Specks of 1 to 20 pixels, known from looking at the files.
    specks = {("plant069", 2), ("plant110", 8), ("plant138", 7), ("plant159", 8)}
    assert specks <= {(d["source_id"], d["id"]) for d in manifest.small}
    assert max(d["area"] for d in manifest.small) <= 20
