import contextlib
import io
import itertools

import numpy as np
import pytest
import tifffile
from PIL import EpsImagePlugin, Image, features

from datasets.errors import DataError
from datasets.images import read_image, read_labels

RGB = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (100, 100)).astype(np.uint8)
IDS = np.arange(20, dtype=np.uint8).reshape(5, 4)


def saved(path, array=RGB, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_rgb(tmp_path):
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png")), RGB)


def test_alpha_is_left_out(tmp_path):
    rgba = np.concatenate([RGB, np.full((5, 4, 1), 7, np.uint8)], -1)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", rgba)), RGB)


def test_grey_becomes_three_equal_channels(tmp_path):
    image = read_image(saved(tmp_path / "a.png", IDS))
    np.testing.assert_array_equal(image, np.stack([IDS] * 3, -1))


def test_palette_picture_with_transparency(tmp_path):
    image = Image.frombytes("P", (4, 5), (IDS % 3).tobytes())
    image.putpalette([1, 2, 3, 40, 50, 60, 7, 8, 9])
    image.save(tmp_path / "a.png", transparency=bytes([0, 255, 128]))
    colours = np.array([[1, 2, 3], [40, 50, 60], [7, 8, 9]], np.uint8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), colours[IDS % 3])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    values = np.array([[0, 257, 128 * 257], [65_535, 300, 65_300]], np.uint16)
    image = read_image(saved(tmp_path / f"a.{suffix}", values))
    assert image[..., 0].tolist() == [[0, 1, 128], [255, 1, 254]]
    assert image.dtype == np.uint8


def test_16_bits_in_planes(tmp_path):
    """From bytes, too, as LabelMe has them."""
    deep = (RGB.astype(np.uint16) * 257).transpose(2, 0, 1)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, deep, photometric="rgb", planarconfig="separate")
    for source in (path, io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read_image(source), RGB)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a\.tif cannot be read, it is damaged"):
        read_image(path)


def test_black_and_white(tmp_path):
    assert read_image(saved(tmp_path / "a.png", IDS > 9)).max() == 255


def test_orientation_of_cameras_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn clockwise by 90 degrees to view"
    path = saved(tmp_path / "a.png", RGB, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, -1))


def test_floats_are_refused(tmp_path):
    path = saved(tmp_path / "a.tif", RGB[..., 0].astype(np.float32))
    with pytest.raises(DataError, match=r"a.tif holds floating-point"):
        read_image(path)


def test_palette_labels_are_indices_not_colours(tmp_path):
    image = Image.frombytes("P", (4, 5), IDS.tobytes())
    image.putpalette([9, 9, 9] * 256)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), IDS)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_depths(tmp_path, suffix, dtype):
    ids = IDS.astype(dtype) * (1 if dtype == np.uint8 else 3000)
    labels = read_labels(saved(tmp_path / f"a.{suffix}", ids))
    np.testing.assert_array_equal(labels, ids)
    assert labels.dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_labels_in_which_0_is_white(tmp_path, dtype):
    """ImageJ writes them so where its colours are turned round; ids stay ids."""
    ids = IDS.astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", ids, photometric="miniswhite")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), ids)


def test_32_bit_labels(tmp_path):
    ids = IDS.astype(np.int32) * 100_000
    labels = read_labels(saved(tmp_path / "a.tif", ids))
    np.testing.assert_array_equal(labels, ids)


def test_whole_numbers_as_floats_are_labels(tmp_path):
    """ImageJ has no other images of 32 bits."""
    ids = IDS.astype(np.float32) * 7000
    labels = read_labels(saved(tmp_path / "a.tif", ids))
    np.testing.assert_array_equal(labels, ids)
    assert labels.dtype == np.int32


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_fractions_are_no_labels(tmp_path, value):
    ids = IDS.astype(np.float32)
    ids[2, 1] = value
    with pytest.raises(DataError, match=r"a.tif holds fractions"):
        read_labels(saved(tmp_path / "a.tif", ids))


@pytest.mark.parametrize("value", [2.0**31, np.inf])
def test_ids_beyond_32_bits_are_refused(tmp_path, value):
    ids = np.where(IDS == 7, np.float32(value), IDS.astype(np.float32))
    with pytest.raises(DataError, match=r"expected at most 2147483647"):
        read_labels(saved(tmp_path / "a.tif", ids))


def test_negative_labels_are_refused(tmp_path):
    with pytest.raises(DataError, match="negative"):
        read_labels(saved(tmp_path / "a.tif", IDS.astype(np.int32) - 1))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_labels_are_refused(tmp_path, channels):
    path = saved(tmp_path / "a.png", np.zeros((5, 4, channels), np.uint8))
    with pytest.raises(DataError, match=r"a.png is no index image: .* object's number"):
        read_labels(path)


def test_stacks_are_refused(tmp_path):
    pages = [Image.fromarray(IDS)] * 3
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"a.tif holds 3 pages"):
        read_labels(tmp_path / "a.tif")


def _truncated():
    data = io.BytesIO()
    Image.fromarray(NOISE).save(data, "PNG")
    return data.getvalue()[:2000]


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.png is empty"),
        (b"not an image", "a.png is not a"),
        (_truncated(), "a.png cannot be read, it is damaged or cut short"),
        (_truncated()[:20], "a.png"),
        (None, "a.png does not exist"),
    ],
    ids=["empty", "text", "truncated", "header", "missing"],
)
def test_bad_files_are_named(tmp_path, read, content, message):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.png")


def test_a_picture_beyond_what_is_read(tmp_path, monkeypatch):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.raises(DataError, match=r"a\.png has too many pixels"):
        read_image(tmp_path / "a.png")


def test_no_other_program_is_started(tmp_path, monkeypatch):
    """As Pillow does for PostScript, whatever the file is called."""
    Image.fromarray(RGB).save(tmp_path / "a.png", "EPS")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_: pytest.fail("it was"))
    with pytest.raises(DataError, match=r"a\.png is not a picture"):
        read_image(tmp_path / "a.png")


def test_a_preview_of_a_raw_file_is_no_picture(tmp_path):
    """What Pillow sees of a NEF or DNG is its thumbnail: nobody is to train on it."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", subfiletype=1)
    with pytest.raises(DataError, match=r"a\.tif is a camera's raw file"):
        read_image(path)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(DataError, match="is a folder; expected a picture"):
        read_image(tmp_path)


@pytest.mark.skipif(not features.check("jpg_2000"), reason="Pillow without JPEG 2000")
def test_jpeg_2000(tmp_path):
    path = saved(tmp_path / "a.jp2", RGB, irreversible=False)
    np.testing.assert_array_equal(read_image(path), RGB)


def test_too_little_memory(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(DataError, match=r"a\.png does not fit into memory"):
        read_image(saved(tmp_path / "a.png"))


def test_damage_anywhere_in_a_tiff(tmp_path):
    """Pillow raises TypeError for some of its tags."""
    Image.fromarray(RGB).save(tmp_path / "whole.tif")
    whole = (tmp_path / "whole.tif").read_bytes()
    for place, bits in itertools.product(range(4, len(whole)), (1, 16, 128)):
        data = bytearray(whole)
        data[place] ^= bits
        (tmp_path / "a.tif").write_bytes(data)
        with contextlib.suppress(DataError):
            read_image(tmp_path / "a.tif")


def test_a_flipped_byte_in_the_data(tmp_path):
    path = saved(tmp_path / "a.png", NOISE)
    data = bytearray(path.read_bytes())
    data[3000] ^= 255
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a.png"):
        read_image(path)
