"""TIFFs of 64 bits, put together by hand after the TIFF 6 specification."""

import struct
import zlib

import numpy as np
import pytest
import tifffile

from keras_recattend.image_files import ImageError
from keras_recattend.label_files import read_labels
from keras_recattend.wide_tiff import read_wide_tiff

IDS = np.arange(30, dtype=np.int64).reshape(5, 6) * 3
LONG, LONG8 = 4, 16


def wide(path, array=IDS, order="<", big=False, deflate=True, **changed):
    """Write an array as strips of two rows; `changed` replaces tags by their names."""
    numbers = {
        "width": 256,
        "height": 257,
        "bits": 258,
        "compression": 259,
        "offsets": 273,
        "channels": 277,
        "rows": 278,
        "counts": 279,
        "predictor": 317,
        "kind": 339,
    }
    body = b"\0" * (16 if big else 8)
    offsets, counts = [], []
    for row in range(0, len(array), 2):
        strip = array[row : row + 2].astype(array.dtype.newbyteorder(order)).tobytes()
        strip = zlib.compress(strip) if deflate else strip
        offsets.append(len(body))
        counts.append(len(strip))
        body += strip
    tags = {
        "width": [array.shape[1]],
        "height": [array.shape[0]],
        "bits": [64],
        "compression": [8 if deflate else 1],
        "offsets": offsets,
        "channels": [1],
        "rows": [2],
        "counts": counts,
        "predictor": [1],
        "kind": [{"u": 1, "i": 2, "f": 3}[array.dtype.kind]],
    } | changed
    one = LONG8 if big else LONG
    form, field, room = ("Q", "HHQ", 8) if big else ("L", "HHL", 4)
    entries = b""
    for name in sorted(tags, key=numbers.get):
        values = tags[name]
        packed = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(packed) > room:
            packed, body = struct.pack(order + form, len(body)), body + packed
        entries += struct.pack(order + field, numbers[name], one, len(values))
        entries += packed
    start = struct.pack(order + ("Q" if big else "H"), len(tags))
    header = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, len(body))
        if big
        else struct.pack(order + "HL", 42, len(body))
    )
    data = header + body[len(header) :] + start + entries
    path.write_bytes(data + struct.pack(order + form, 0))
    return path


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
@pytest.mark.parametrize(
    "form",
    [{}, {"order": ">"}, {"deflate": False}, {"big": True}],
    ids=["napari", "big endian", "uncompressed", "over 4 GB"],
)
def test_wide_labels(tmp_path, form, dtype):
    path = wide(tmp_path / "a.tif", IDS.astype(dtype), **form)
    values = read_wide_tiff(path)
    np.testing.assert_array_equal(values, IDS)
    assert values.dtype == dtype
    labels = read_labels(path)
    np.testing.assert_array_equal(labels, IDS)
    assert labels.dtype == np.uint16


def test_other_files_are_left_to_others(tmp_path):
    assert read_wide_tiff(tmp_path / "missing.tif") is None
    for name, content in (("a.tif", b""), ("b.png", b"no"), ("c.tif", b"II*\0")):
        (tmp_path / name).write_bytes(content)
        assert read_wide_tiff(tmp_path / name) is None
    assert read_wide_tiff(wide(tmp_path / "d.tif", bits=[32])) is None


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"compression": [7]}, "cannot be read: .* save it again"),
        ({"counts": [1, 1, 1]}, "cannot be read: .* save it again"),
        ({"kind": [6]}, "can be read"),
        ({"array": IDS - 1}, "negative"),
        ({"array": IDS + 2**31}, "at most 2147483647"),
        ({"array": IDS / 2}, "fractions"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, form, message):
    with pytest.raises(ImageError, match=rf"a.tif .*{message}"):
        read_labels(wide(tmp_path / "a.tif", **form))


def test_damaged_strips(tmp_path):
    path = wide(tmp_path / "a.tif")
    data = bytearray(path.read_bytes())
    data[8] ^= 255
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a.tif cannot be read: .* save it again"):
        read_labels(path)


def test_more_pixels_than_are_read(tmp_path, monkeypatch):
    """As the header says: nothing is made of that size."""
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_: pytest.fail("it was"))
    path = wide(tmp_path / "a.tif", width=[60_000], height=[50_000], rows=[50_000])
    with pytest.raises(ImageError, match=r"a.tif has too many .*\(60000 x 50000\)"):
        read_labels(path)


def test_several_pages(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IDS, IDS]), photometric="minisblack")
    with pytest.raises(ImageError, match=r"a.tif holds 2 pages; expected one"):
        read_labels(tmp_path / "a.tif")
