"""The leaf challenge's HDF5 file."""

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
