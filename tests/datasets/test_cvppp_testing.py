import h5py
import numpy as np
import pytest

from datasets.catalog import prepare
from datasets.cvppp import find_cvppp
from datasets.errors import DataError
from datasets.records import examples
from datasets.splits import make_split, undivided
from keras_recattend.submissions.cvppp import group_of


def picture(number, channels=3):
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (20, 16, channels)).astype(np.uint8)


@pytest.fixture
def file(plant_folder):
    """Two test images of A1, one called as a training image is; one of A2."""
    path = plant_folder.parents[2] / "CVPPP2017_testing_images.h5"
    with h5py.File(path, "w") as file:
        file["A1/plant003/rgb"] = picture(3)
        file["A1/plant001/rgb"] = picture(1, channels=4)
        file["A1/plant004/other"] = 1
        file["A2/plant007/rgb"] = picture(7)
    return path


def test_the_images_are_the_test_split(file, tmp_path):
    manifest = prepare("cvppp", file.parent, tmp_path / "r", min_area=1)
    assert make_split(manifest)["test"] == ["plant003", "test_plant001"]
    assert manifest.summary["unlabelled images"] == 2
    found = {example.name: example for example in examples(manifest)}
    assert found["plant003"].labels is None
    np.testing.assert_array_equal(found["plant003"].image, picture(3))
    np.testing.assert_array_equal(
        found["test_plant001"].image, picture(1, channels=4)[..., :3]
    )
    # The submission has them under the names of the file.
    assert group_of("test_plant001") == "A1/plant001"


def test_the_group_that_is_tested_only(file, tmp_path):
    """It has no training images, and a submission needs it all the same."""
    with pytest.raises(DataError, match=r"no test images of A5\..*testing_images\.h5"):
        find_cvppp(file.parent, subset="A5")
    with h5py.File(file, "a") as opened:
        opened["A5/plant001/rgb"] = picture(5)
    manifest = prepare("cvppp", file.parent, tmp_path / "r", min_area=1, subset="A5")
    assert undivided(manifest) == {"test": ["plant001"], "all": []}
    (found,) = examples(manifest)
    np.testing.assert_array_equal(found.image, picture(5))
    with pytest.raises(DataError, match="0 labelled images"):
        make_split(manifest)


@pytest.mark.parametrize("place", ["CVPPP2017_LSC_testing", "testing"])
def test_where_the_testing_folder_would_be(file, place):
    (file.parent / place).mkdir()
    file.rename(file.parent / place / "TEST.hdf5")
    assert find_cvppp(file.parent).total == 5


def test_pictures_of_a_testing_folder_come_first(file, plant_folder):
    folder = file.parent / "testing" / "A1"
    folder.mkdir(parents=True)
    (folder / "plant009_rgb.png").write_bytes(
        (plant_folder / "plant001_rgb.png").read_bytes()
    )
    assert [i.name for i in find_cvppp(file.parent).items][3:] == ["plant009"]


def test_other_files_are_passed_over(file):
    file.rename(file.with_name("training.h5"))
    assert find_cvppp(file.parent).total == 3


def test_two_files(file):
    file.with_name("test.h5").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="both have test images of A1"):
        find_cvppp(file.parent)


def test_a_damaged_file(file):
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"testing_images.h5 .*Download it again"):
        find_cvppp(file.parent)


def test_something_else_than_pictures(file):
    with h5py.File(file, "a") as content:
        del content["A1/plant003/rgb"]
        content["A1/plant003/rgb"] = np.zeros((20, 16))
    items = find_cvppp(file.parent).items
    (item,) = [item for item in items if item.name == "plant003"]
    with pytest.raises(DataError, match=r"plant003/rgb is float64 \[20, 16\]"):
        find_cvppp(file.parent).read(item)
