"""Cityscapes' result files."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from keras_recattend.errors import UserError
from keras_recattend.submissions.cityscapes import CityscapesSubmission

NAME = "aachen_000000_000019"
LABELS = np.array([[0, 1, 1], [2, 2, 3]], np.uint16)


def write(path):
    """One object of three has no class; the other image has no object."""
    submission = CityscapesSubmission(path)
    submission.add(
        NAME, LABELS, np.array([26, 0, 24]), np.array([0.9, 0.8, 1 / 3], np.float32)
    )
    submission.add("bochum_000000_000001", 0 * LABELS, np.array([], int), np.array([]))
    submission.finish()
    return submission


def check(folder):
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert files == {
        f"{NAME}_pred.txt",
        f"masks/{NAME}_1.png",
        f"masks/{NAME}_3.png",
        "bochum_000000_000001_pred.txt",
    }
    assert (folder / f"{NAME}_pred.txt").read_text().splitlines() == [
        f"masks/{NAME}_1.png 26 0.899999976",
        f"masks/{NAME}_3.png 24 0.333333343",
    ]
    assert (folder / "bochum_000000_000001_pred.txt").read_text() == ""
    for i in (1, 3):
        with Image.open(folder / "masks" / f"{NAME}_{i}.png") as mask:
            assert mask.mode == "L"
            np.testing.assert_array_equal(np.array(mask) != 0, i == LABELS)


def test_scores_that_differ_are_written_so(tmp_path):
    """The evaluator ranks by them; the surest ones lie close to 1."""
    scores = np.float32(1) - np.arange(3, dtype=np.float32) * np.float32(2**-24)
    submission = CityscapesSubmission(tmp_path / "results")
    submission.add(NAME, LABELS, np.array([26, 26, 26]), scores)
    lines = submission.text_file(NAME).read_text().splitlines()
    np.testing.assert_array_equal(np.float32([x.split()[2] for x in lines]), scores)


def test_folder(tmp_path):
    submission = write(tmp_path / "new" / "results")
    submission.discard()
    assert submission.folder == tmp_path / "new" / "results"
    check(submission.folder)
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_zip(tmp_path):
    submission = write(tmp_path / "results.zip")
    check(submission.folder)  # still there to be scored
    submission.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["results.zip"]
    with zipfile.ZipFile(tmp_path / "results.zip") as file:
        assert file.testzip() is None
        file.extractall(tmp_path / "unpacked")
    check(tmp_path / "unpacked")


def test_only_to_be_scored():
    submission = write(None)
    check(submission.folder)
    submission.discard()
    assert not submission.folder.exists()


def test_nothing_is_left_of_an_interrupted_one(tmp_path):
    for name in ("results", "results.zip"):
        submission = CityscapesSubmission(tmp_path / name)
        submission.discard()
        submission.add(NAME, LABELS, np.array([26, 26, 24]), np.ones(3))
        submission.discard()
    assert not list(tmp_path.iterdir())


def test_refuses(tmp_path):
    with pytest.raises(UserError, match=r"a folder or a file NAME\.zip; received"):
        CityscapesSubmission(tmp_path / "results.json")
    with pytest.raises(UserError, match="exists already"):
        CityscapesSubmission(tmp_path)
