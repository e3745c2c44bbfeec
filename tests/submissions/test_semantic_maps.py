"""Semantic maps from files."""

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from keras_recattend.errors import UserError
from keras_recattend.submissions.semantic_maps import SemanticMaps

NAME = "aachen_000000_000019"
# Road, sky, person, rider, car, truck, bus, train, motorcycle, bicycle, void.
LABEL_IDS = np.array([[7, 23, 24, 25, 26], [27, 28, 31, 32, 33], [0, 1, 29, 30, 255]])
TRAIN_IDS = np.array([[0, 10, 11, 12, 13], [14, 15, 16, 17, 18], [255] * 5])
CLASSES = np.array([[0, 0, 1, 2, 3], [4, 5, 6, 7, 8], [0, 0, 0, 0, 0]])


def save(folder, name, ids, dtype=np.uint8):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(dtype)).save(folder / name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", [f"{NAME}.png", f"{NAME}_gtFine_labelIds.png"])
def test_label_ids(tmp_path, name, dtype):
    save(tmp_path / "val" / "aachen", name, LABEL_IDS, dtype)
    np.testing.assert_array_equal(SemanticMaps(tmp_path)(NAME), CLASSES)


def test_train_ids(tmp_path):
    save(tmp_path, f"{NAME}_gtFine_labelTrainIds.png", TRAIN_IDS)
    np.testing.assert_array_equal(SemanticMaps(tmp_path)(NAME), CLASSES)


def test_palette_images_hold_indices(tmp_path):
    image = Image.fromarray(LABEL_IDS.astype(np.uint8))
    image.putpalette([v for k in range(256) for v in (k, 255 - k, k * 7 % 256)])
    image.save(tmp_path / f"{NAME}_pred.png")
    np.testing.assert_array_equal(SemanticMaps(tmp_path)(NAME), CLASSES)


def test_a_folder_of_the_benchmarks_own_labels(tmp_path):
    save(tmp_path, f"{NAME}_gtFine_labelIds.png", LABEL_IDS)
    save(tmp_path, f"{NAME}_gtFine_instanceIds.png", LABEL_IDS * 0)
    save(tmp_path, f"{NAME}_gtFine_color.png", np.zeros((3, 5, 4)))
    (tmp_path / f"{NAME}_gtFine_polygons.json").write_text("{}")
    np.testing.assert_array_equal(SemanticMaps(tmp_path)(NAME), CLASSES)


def test_probabilities(tmp_path, random):
    values = random.uniform(0, 1, (3, 5, 19))
    values /= values.sum(axis=2, keepdims=True)
    np.savez(tmp_path / f"{NAME}.npz", probabilities=values)
    got = SemanticMaps(tmp_path)(NAME)
    assert got.shape == (3, 5, 9)
    np.testing.assert_allclose(got[..., 1:], values[..., 11:])
    np.testing.assert_allclose(got[..., 0], values[..., :11].sum(axis=2))
    np.savez(tmp_path / f"{NAME}.npz", got)
    np.testing.assert_array_equal(SemanticMaps(tmp_path)(NAME), got)


def test_refuses(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        SemanticMaps(tmp_path / "nothing")
    with pytest.raises(UserError, match="holds no semantic map"):
        SemanticMaps(tmp_path)
    save(tmp_path, f"{NAME}_a.png", LABEL_IDS)
    with pytest.raises(UserError, match=r"bochum_000000_000001 needs one .*: none"):
        SemanticMaps(tmp_path)("bochum_000000_000001")
    save(tmp_path, f"{NAME}_b.png", LABEL_IDS)
    with pytest.raises(UserError, match=rf"found: {NAME}_a\.png, {NAME}_b\.png"):
        SemanticMaps(tmp_path)(NAME)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 5, 8), 1 / 8), r"\[H, W, 9\] or .*received float64 \[3, 5, 8\]"),
        (np.full((3, 5), 1.0), r"received float64 \[3, 5\]"),
        (np.full((0, 5, 9), 1.0), r"received float64 \[0, 5, 9\]"),
        (np.full((3, 5, 9), "1"), r"received <U1 \[3, 5, 9\]"),
        (np.full((3, 5, 9), 1.0), "softmax"),
        (np.full((3, 5, 9), -1.0), "softmax"),
        (np.where(np.arange(9) == 3, np.nan, np.full((3, 5, 9), 1 / 9)), "softmax"),
        (np.full((3, 5, 9), np.nan), "softmax"),
    ],
)
def test_refuses_arrays(tmp_path, array, message):
    np.savez(tmp_path / f"{NAME}.npz", array)
    with pytest.raises(UserError, match=message):
        SemanticMaps(tmp_path)(NAME)


def test_refuses_files(tmp_path):
    save(tmp_path, f"{NAME}.png", np.zeros((3, 5, 3)))
    with pytest.raises(UserError, match="one id a pixel, received uint8"):
        SemanticMaps(tmp_path)(NAME)
    (tmp_path / f"{NAME}.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read as an image"):
        SemanticMaps(tmp_path)(NAME)
    (tmp_path / f"{NAME}.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="must hold one array"):
        SemanticMaps(tmp_path)(NAME)
    np.savez(tmp_path / f"{NAME}.npz", a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(UserError, match="must hold one array"):
        SemanticMaps(tmp_path)(NAME)


def test_refuses_damaged_archives(tmp_path):
    """Wherever the damage is: numpy and zlib raise many kinds of exceptions."""
    path = tmp_path / f"{NAME}.npz"
    np.savez_compressed(path, np.full((30, 50, 9), 1 / 9))
    whole = path.read_bytes()
    for place in range(60, len(whole) - 200, 7):
        data = bytearray(whole)
        data[place] ^= 255
        path.write_bytes(data)
        with pytest.raises(UserError, match="must hold one array"):
            SemanticMaps(tmp_path)(NAME)


def test_no_other_program_is_started(tmp_path, monkeypatch):
    """As Pillow does for PostScript, whatever the file is called."""
    Image.new("L", (5, 3)).save(tmp_path / f"{NAME}.png", "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it was"))
    with pytest.raises(UserError, match="cannot be read as an image"):
        SemanticMaps(tmp_path)(NAME)
