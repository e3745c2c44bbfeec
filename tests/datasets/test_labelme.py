"""LabelMe's own files, written by hand."""

import base64
import io
import json
import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from datasets.errors import DataError
from datasets.labelme import find_labelme

SIZE = (30, 40)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def shape(points, kind="polygon", label="Leaf", group=None, **more):
    return {
        "label": label,
        "points": points,
        "shape_type": kind,
        "group_id": group,
        "flags": {},
    } | more


def save(folder, *shapes, name="a", picture=True, **values):
    folder.mkdir(exist_ok=True)
    if picture:
        Image.new("RGB", SIZE[::-1], (5, 6, 7)).save(folder / f"{name}.jpg")
    values = {"imagePath": f"{name}.jpg", "imageData": None} | values
    values["shapes"] = list(shapes)
    (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


def labels_of(folder, **options):
    ((example, _),) = find_labelme(folder, **options).examples()
    return example.labels


def box(y0, x0, y1, x1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


SQUARE = shape([[3, 2], [9, 2], [9, 6], [3, 6]])


def test_polygons_and_rectangles(tmp_path):
    corners = shape([[30, 20], [20, 10]], "rectangle")
    labels = labels_of(save(tmp_path / "d", SQUARE, corners))
    np.testing.assert_array_equal(labels == 1, box(2, 3, 6, 9))
    np.testing.assert_array_equal(labels == 2, box(10, 20, 20, 30))


def test_circle(tmp_path):
    """Centre (x, y) = (20, 15), radius 8: pixels whose centre is inside."""
    labels = labels_of(save(tmp_path / "d", shape([[20, 15], [20, 23]], "circle")))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.hypot(x - 20, y - 15)
    assert labels[distance < 7.2].all()
    assert not labels[distance > 8.8].any()
    assert abs((labels > 0).sum() - np.pi * 64) < 12


def test_painted_mask_and_groups(tmp_path):
    """A mask of 2 x 3 at row 4, column 5, and a square of the same object."""
    painted = np.array([[255, 0, 255], [255, 255, 255]], np.uint8)
    mask = shape([[5, 4], [7, 5]], "mask", group=1, mask=png(painted))
    square = SQUARE | {"points": [[20, 20], [24, 20], [24, 22], [20, 22]]}
    labels = labels_of(save(tmp_path / "d", mask, square | {"group_id": 1}))
    expected = box(20, 20, 22, 24)
    expected[4:6, 5:8] = painted > 0
    np.testing.assert_array_equal(labels == 1, expected)
    assert labels.max() == 1


def test_a_mask_is_a_png(tmp_path, monkeypatch):
    """Pillow would start Ghostscript for PostScript."""
    data = io.BytesIO()
    Image.new("L", (3, 2)).save(data, "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it was"))
    text = base64.b64encode(data.getvalue()).decode()
    mask = shape([[5, 4], [7, 5]], "mask", mask=text)
    with pytest.raises(DataError, match="shape 1: the mask of a shape cannot be read"):
        labels_of(save(tmp_path / "d", mask))


def test_a_mask_of_more_pixels_than_are_read(tmp_path, monkeypatch):
    mask = shape([[5, 4], [7, 5]], "mask", mask=png(np.ones((40, 60), np.uint8)))
    folder = save(tmp_path / "d", mask)
    # Above twice that many; the picture has 1200.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with pytest.raises(DataError, match="shape 1: the mask of a shape cannot be read"):
        labels_of(folder)


def test_oriented_rectangle(tmp_path):
    """A square on its corner: pixels whose centre is within 6 of (20, 15) in |x| + |y|.

    The pixels at exactly that distance are either way.
    """
    corners = [[20, 9], [26, 15], [20, 21], [14, 15]]
    labels = labels_of(save(tmp_path / "d", shape(corners, "oriented_rectangle")))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.abs(x - 20) + np.abs(y - 15)
    assert labels[distance < 6].all()
    assert not labels[distance > 6].any()


def test_a_mask_dragged_to_the_far_corner(tmp_path):
    """Its points name pixels, so that LabelMe lets the last ones be outside."""
    painted = np.ones((3, 4), np.uint8)
    mask = shape([[37.0, 28.0], [40.0, 30.0]], "mask", mask=png(painted))
    labels = labels_of(save(tmp_path / "d", mask))
    np.testing.assert_array_equal(labels == 1, box(28, 37, 30, 40))


def test_points_and_other_labels_are_no_objects(tmp_path):
    pot = SQUARE | {"label": "pot"}
    folder = save(tmp_path / "d", SQUARE, pot, shape([[1, 1]], "point"))
    source = find_labelme(folder, category="leaf")
    ((example, notes),) = [source.read(item) for item in source.items]
    assert example.count == 1
    assert source.class_names == ("leaf",)
    assert notes == {
        "shapes of other labels, left out": 1,
        "points and lines, not objects": 1,
    }
    with pytest.raises(DataError, match=r"'laef'.*'leaf'"):
        find_labelme(folder, category="laef")


def test_the_picture_may_be_elsewhere_or_inside(tmp_path):
    save(tmp_path / "d", SQUARE, name="a", imagePath="..\\else\\a.jpg")
    save(tmp_path / "d", SQUARE, name="b", imagePath="C:\\x\\b.jpg")
    inside = np.full((*SIZE, 3), 200, np.uint8)
    save(tmp_path / "d", SQUARE, name="c", picture=False, imageData=png(inside))
    read = {e.name: e for e, _ in find_labelme(tmp_path / "d").examples()}
    assert sorted(read) == ["a", "b", "c"]
    assert (read["c"].image == 200).all()
    assert read["a"].count == 1


def test_no_shapes_is_an_image_without_objects(tmp_path):
    assert not labels_of(save(tmp_path / "d")).any()


def test_splits(tmp_path):
    for split in ("train", "val"):
        save(tmp_path / split, SQUARE, name="a")
    items = find_labelme(tmp_path).items
    assert [(i.name, i.split) for i in items] == [
        ("train_a", "train"),
        ("val_a", "val"),
    ]


def test_folders_that_are_not_read(tmp_path):
    for folder in ("train", "valid"):
        save(tmp_path / folder, SQUARE, name="a")
    with pytest.raises(DataError, match=r"valid has images.* rename it val"):
        find_labelme(tmp_path)
    save(tmp_path / "valid", SQUARE, name="b")
    source = find_labelme(tmp_path / "valid")
    assert source.left_out == {}
    save(tmp_path / "valid" / "more", SQUARE, name="c")
    source = find_labelme(tmp_path / "valid")
    assert len(source.items) == 2
    assert source.left_out == {"folders with images besides, left out": 1}


def test_pictures_without_json(tmp_path):
    save(tmp_path / "d", SQUARE)
    Image.new("RGB", (4, 4)).save(tmp_path / "d" / "b.png")
    with pytest.raises(DataError, match=r"b\.png has no JSON"):
        find_labelme(tmp_path / "d")
    source = find_labelme(tmp_path / "d", skip_unlabelled=True)
    assert source.left_out == {"images without labels, left out": 1}


def picture(path):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", SIZE[::-1]).save(path)


def test_pictures_of_a_split_that_lack_their_json(tmp_path):
    """Forgotten in val; none in test are needed, but either all or none."""
    save(tmp_path / "train", SQUARE, name="a")
    picture(tmp_path / "val" / "b.png")
    with pytest.raises(DataError, match=r"b\.png has no JSON"):
        find_labelme(tmp_path)
    save(tmp_path / "val", SQUARE, name="b", picture=False, imagePath="b.png")
    picture(tmp_path / "test" / "c.png")
    source = find_labelme(tmp_path)
    read = {e.name: (e.labels is None, split) for e, split in source.examples()}
    assert read == {"a": (False, "train"), "b": (False, "val"), "c": (True, "test")}
    save(tmp_path / "test", SQUARE, name="d")
    with pytest.raises(DataError, match=r"c\.png has no JSON"):
        find_labelme(tmp_path)


def test_splits_and_labelled_pictures_beside_them(tmp_path):
    save(tmp_path, SQUARE, name="a")
    save(tmp_path / "val", SQUARE, name="b")
    with pytest.raises(DataError, match=r"well as val: it is not clear"):
        find_labelme(tmp_path)
    # A JSON that belongs to no picture is nobody's.
    (tmp_path / "a.jpg").unlink()
    assert [item.name for item in find_labelme(tmp_path).items] == ["b"]


def test_a_picture_of_another_size(tmp_path):
    """Resized or turned after it was labelled."""
    good = save(tmp_path / "d", SQUARE, imageHeight=SIZE[0], imageWidth=SIZE[1])
    assert labels_of(good).any()
    save(good, SQUARE, imageHeight=None, imageWidth=None)
    assert labels_of(good).any()
    save(good, SQUARE, imageHeight=SIZE[1], imageWidth=SIZE[0])
    with pytest.raises(DataError, match=r"a\.jpg has .*30, 40.*a\.json says .*40, 30"):
        labels_of(good)
    inside = png(np.zeros((*SIZE, 3), np.uint8))
    (good / "a.jpg").unlink()
    values = {"imageData": inside, "imageHeight": 7, "imageWidth": 8}
    save(good, SQUARE, picture=False, **values)
    with pytest.raises(DataError, match=r"imageData has .*a\.json says"):
        labels_of(good)


def test_hidden_files_are_the_systems_own(tmp_path):
    """A Mac leaves ._NAME beside every file on other disks."""
    save(tmp_path / "d", SQUARE)
    for name in ("._a.json", "._a.jpg", ".b.jpg"):
        (tmp_path / "d" / name).write_bytes(b"\0\5")
    assert [item.name for item in find_labelme(tmp_path / "d").items] == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_pictures_may_be_links(tmp_path):
    folder = save(tmp_path / "d", SQUARE)
    save(folder, SQUARE, name="b", imagePath="elsewhere.jpg")
    (tmp_path / "store").mkdir()
    for name in "ab":
        (folder / f"{name}.jpg").rename(tmp_path / "store" / f"{name}.jpg")
        (folder / f"{name}.jpg").symlink_to(tmp_path / "store" / f"{name}.jpg")
    source = find_labelme(folder)
    assert [e.labels.max() for e, _ in source.examples()] == [1, 1]
    (tmp_path / "store" / "b.jpg").unlink()
    with pytest.raises(DataError, match=r"b\.json names .* not beside it"):
        find_labelme(folder)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (shape([[1, 1], [2, 2]], "star"), "'star' is not known"),
        (shape([[1, 1]], "circle"), "2 points, got 1"),
        (shape([[1, 1], [9, 9]], "oriented_rectangle"), "4 points, got 2"),
        (shape("x"), "needs points"),
        (shape([[0, 0], [1, 1]], "mask", mask="AAAA"), "mask of a shape"),
        (shape([[0, 0], [1, 1]], "mask"), "mask of a shape"),
        (
            shape([[39, 0], [41, 1]], "mask", mask=png(np.ones((2, 3), np.uint8))),
            "does not fit",
        ),
    ],
)
def test_bad_shapes(tmp_path, bad, words):
    folder = save(tmp_path / "d", SQUARE, bad)
    with pytest.raises(DataError, match=words) as error:
        labels_of(folder)
    assert "a.json, shape 2" in str(error.value)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match="no JSON of LabelMe"):
        find_labelme(tmp_path)
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="no list of shapes"):
        find_labelme(tmp_path)
    save(tmp_path, SQUARE, picture=False)
    with pytest.raises(DataError, match="has no imageData"):
        find_labelme(tmp_path)
    save(tmp_path, SQUARE, picture=False, imageData="%%%")
    with pytest.raises(DataError, match="imageData cannot be read"):
        labels_of(tmp_path)
