import numpy as np
import pytest
from PIL import Image
from tiny_plants import save_palette

from datasets.catalog import prepare
from datasets.errors import DataError
from datasets.kitti import find_kitti, read_cars
from datasets.records import examples

# Two cars in 4 x 6 pixels: by hand.
CARS = np.array([[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 2, 2]] + [[0] * 6] * 2)
COLOURS = np.array([[0, 0, 0], [0, 200, 7], [0, 0, 255]], np.uint8)


def street(seed):
    return np.random.default_rng(seed).integers(0, 256, (4, 6, 3)).astype(np.uint8)


@pytest.fixture
def kitti(tmp_path):
    """Four images: two to train, one to validate, one to test without a mask."""
    root = tmp_path / "kitti"
    for name in ("images", "gt"):
        (root / name).mkdir(parents=True)
    for number in (0, 3, 10, 12):
        image = Image.fromarray(street(number))
        image.save(root / "images" / f"{number:06d}.png")
    Image.fromarray(COLOURS[CARS]).save(root / "gt" / "000000.png")
    Image.fromarray((CARS * 90).astype(np.uint8)).save(root / "gt" / "000003.png")
    Image.fromarray((CARS * 900).astype(np.uint16)).save(root / "gt" / "000010.png")
    (root / "train.txt").write_text("000000\n000003\n")
    (root / "valid.txt").write_text("000010.png\n\n")
    (root / "test.txt").write_text("000012")
    return root


def test_splits_names_and_cars(kitti, tmp_path):
    manifest = prepare("kitti", kitti, tmp_path / "r", min_area=1)
    assert manifest.ids == ["000000", "000003", "000010", "000012"]
    assert [i.split for i in manifest.images] == ["train", "train", "val", "test"]
    assert [i.objects for i in manifest.images] == [2, 2, 2, None]
    assert manifest.class_names == ("car",)
    first, grey, wide, test = examples(manifest)
    # The blue car comes before the green one: 0x0000ff < 0x00c807.
    np.testing.assert_array_equal(first.labels, np.array([0, 2, 1])[CARS])
    np.testing.assert_array_equal(grey.labels, CARS)
    np.testing.assert_array_equal(wide.labels, CARS)
    assert test.labels is None
    np.testing.assert_array_equal(test.image, street(12))


def test_colours_that_differ_in_one_channel_only(tmp_path):
    colours = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]])
    Image.fromarray(colours.astype(np.uint8)).save(tmp_path / "a.png")
    assert read_cars(tmp_path / "a.png").tolist() == [[0, 3, 2, 1, 4]]


def test_a_mask_without_background(tmp_path):
    Image.fromarray(COLOURS[[[1, 2]]]).save(tmp_path / "a.png")
    assert read_cars(tmp_path / "a.png").tolist() == [[2, 1]]


def test_transparency_is_left_out(tmp_path):
    image = Image.fromarray(COLOURS[CARS]).convert("RGBA")
    image.putalpha(128)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_cars(tmp_path / "a.png") > 0, CARS > 0)


def test_a_palette_s_indices_count_and_black_is_background(tmp_path):
    # Indices 1 and 3 have the same colour, and 4 is black as 0 is.
    labels = np.array([[0, 1, 3, 2, 4]])
    save_palette(labels, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        palette = image.getpalette()
        palette[12:15] = [0, 0, 0]
        image.putpalette(palette)
        image.save(tmp_path / "b.png")
    found = read_cars(tmp_path / "b.png")[0]
    assert (found[0], found[4]) == (0, 0)
    assert len({int(value) for value in found[1:4]} - {0}) == 3


@pytest.mark.parametrize("level", [".", "..", "gt", "images"])
def test_levels_of_the_folder(kitti, level):
    source = find_kitti(kitti / level)
    assert source.total == 4
    assert source.location == str(kitti)


@pytest.mark.parametrize(
    "place", ["training/image_2", "data_object_image_2/training/image_2"]
)
def test_images_in_the_object_benchmark_s_place(kitti, place):
    (kitti / place).parent.mkdir(parents=True)
    (kitti / "images").rename(kitti / place)
    examples = [example for example, _ in find_kitti(kitti).examples()]
    np.testing.assert_array_equal(examples[0].image, street(0))
    assert find_kitti(kitti / place).location == str(kitti)


def test_files_in_no_list_are_counted(kitti):
    Image.fromarray(street(1)).save(kitti / "images" / "000099.png")
    for name in ("000098", "000099"):
        Image.fromarray(CARS.astype(np.uint8)).save(kitti / "gt" / f"{name}.png")
    source = find_kitti(kitti)
    assert source.total == 4
    assert source.left_out == {
        "images in no list, left out": 1,
        "masks in no list, left out": 2,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda k: (k / "gt/000003.png").unlink(), r"train.txt .* 000003, .*no mask"),
        (lambda k: (k / "images/000010.png").unlink(), r"valid.txt .*no image"),
        (lambda k: (k / "valid.txt").unlink(), r"valid.txt is missing.*cvlibs"),
        (
            lambda k: (k / "test.txt").write_text("000003"),
            r"000003 stands in train",
        ),
        (lambda k: (k / "gt").rename(k / "masks"), r"no folder gt.*cvlibs"),
        (lambda k: (k / "images").rename(k / "pictures"), r"no folder of images"),
    ],
    ids=["mask", "image", "list", "twice", "gt", "images"],
)
def test_what_is_missing_is_named(kitti, change, message):
    change(kitti)
    with pytest.raises(DataError, match=message):
        find_kitti(kitti)


def test_a_mask_of_another_size(kitti):
    Image.fromarray(CARS.astype(np.uint8)[:, :5]).save(kitti / "gt" / "000003.png")
    with pytest.raises(DataError, match=r"000003.png, 000003.png: 000003: .*\(4, 5\)"):
        list(find_kitti(kitti).examples())


@pytest.mark.parametrize("folder", [None, "nowhere", "."])
def test_where_it_is_obtained(tmp_path, folder):
    with pytest.raises(DataError, match=r"gt/NNNNNN.png .*cvlibs.net/datasets/kitti"):
        find_kitti(folder and tmp_path / folder)
