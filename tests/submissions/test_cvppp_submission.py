"""The leaf challenge's HDF5 file."""

import errno
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_recattend.errors import UserError
from keras_recattend.submissions.cvppp import CvpppSubmission, group_of

LABELS = np.array([[0, 1, 1], [2, 2, 0]], np.uint16)


def test_groups():
    assert group_of("plant003") == "A1/plant003"
    assert group_of("plant003", "A4") == "A4/plant003"
    assert group_of("A2/plant003", "A4") == "A2/plant003"
    assert group_of("testing/A3/plant003") == "A3/plant003"
    # A test image that shares its name with a training image.
    assert group_of("test_plant003") == "A1/plant003"


def test_file(tmp_path):
    path = tmp_path / "new" / "leaves.h5"
    submission = CvpppSubmission(path, "A2")
    many = np.arange(300, dtype=np.uint16).reshape(20, 15)
    submission.add("plant001", LABELS)
    submission.add("plant002", np.zeros((4, 5), np.uint16))
    submission.add("A5/plant003", many)
    assert not path.exists()
    submission.finish()
    submission.discard()
    assert [p.name for p in path.parent.iterdir()] == ["leaves.h5"]
    with h5py.File(path) as file:
        assert sorted(file) == ["A2", "A5"]
        assert sorted(file["A2"]) == ["plant001", "plant002"]
        assert list(file["A2/plant001"]) == ["label"]
        np.testing.assert_array_equal(file["A2/plant001/label"], LABELS)
        assert file["A2/plant001/label"].dtype == np.uint8
        assert not file["A2/plant002/label"][()].any()
        # More than 255 leaves do not fit into 8 bits.
        np.testing.assert_array_equal(file["A5/plant003/label"], many)


def test_nothing_is_left_of_an_interrupted_one(tmp_path):
    submission = CvpppSubmission(tmp_path / "leaves.h5")
    submission.discard()
    submission.add("plant001", LABELS)
    submission.discard()
    assert not list(tmp_path.iterdir())


def write(path, subset, *plants):
    submission = CvpppSubmission(path, subset)
    for plant in plants:
        submission.add(plant, LABELS)
    submission.finish()
    submission.discard()


def plants_of(path):
    with h5py.File(path) as file:
        return {subset: sorted(file[subset]) for subset in file}


def test_subsets_are_added_to_one_file(tmp_path):
    """As the challenge's server takes them."""
    path = tmp_path / "answer.h5"
    write(path, "A4", "plant001", "plant002")
    write(path, "A1", "plant001")
    # Two at once: the one that ends first is not lost.
    late = CvpppSubmission(path, "A2")
    late.add("plant007", LABELS)
    write(path, "A3", "plant003")
    late.finish()
    assert plants_of(path) == {
        "A1": ["plant001"],
        "A2": ["plant007"],
        "A3": ["plant003"],
        "A4": ["plant001", "plant002"],
    }
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["A4/plant002/label"], LABELS)
    assert [p.name for p in tmp_path.iterdir()] == ["answer.h5"]


def test_a_subset_that_is_there_is_not_overwritten(tmp_path):
    path = tmp_path / "answer.h5"
    write(path, "A1", "plant001")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"answer\.h5 has the group A1 already.*--subm"):
        CvpppSubmission(path, "A1")
    late = CvpppSubmission(path, "A2")
    late.add("plant001", LABELS)
    late.add("A1/plant001", LABELS)
    with pytest.raises(UserError, match="the group A1 already"):
        late.finish()
    late.discard()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("A1/plant001/rgb", "it has A1/plant001/rgb"),
        ("A1/label", "it has A1/label"),
        ("A1/plant001/label/more", "it has A1/plant001/label"),
        (None, "it is empty"),
    ],
)
def test_files_of_somebody_else_are_not_added_to(tmp_path, entry, told):
    with h5py.File(tmp_path / "test.h5", "w") as file:
        if entry:
            file[entry] = LABELS
    before = (tmp_path / "test.h5").read_bytes()
    with pytest.raises(UserError, match=rf"test\.h5 exists already .*\({told}\)"):
        CvpppSubmission(tmp_path / "test.h5", "A2")
    assert (tmp_path / "test.h5").read_bytes() == before


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "answer.h5"
    write(path, "A1", "plant001")
    before = path.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"answer\.h5 .*No space left.*Make room"):
        write(path, "A2", "plant001")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["answer.h5"]


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is a file.*--submission"):
        CvpppSubmission(tmp_path / "file" / "answer.h5")


def test_refuses(tmp_path):
    (tmp_path / "old.h5").write_bytes(b"kept")
    with pytest.raises(UserError, match="exists already"):
        CvpppSubmission(tmp_path / "old.h5")
    assert (tmp_path / "old.h5").read_bytes() == b"kept"
    with pytest.raises(UserError, match=r"NAME\.h5 or .*received .*leaves\.zip"):
        CvpppSubmission(tmp_path / "leaves.zip")
    submission = CvpppSubmission(tmp_path / "leaves.h5")
    submission.add("plant001", LABELS)
    with pytest.raises(UserError, match="Two images are A1/plant001"):
        submission.add("test_plant001", LABELS)
    submission.discard()
