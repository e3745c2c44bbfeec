"""Every kind of picture that people have, made here with Pillow, and what is none."""

import io
import os
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from keras_recattend.image_files import (
    ImageError,
    as_rgb,
    as_shown,
    read_image,
    read_picture,
)

# Four colours that palettes, JPEG blocks and colour spaces keep apart.
COLOURS = np.array([[250, 10, 10], [10, 240, 20], [20, 10, 230], [240, 230, 20]])


def quarters(height=32, width=48):
    """One colour in each quarter, uint8 [H, W, 3]."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    image[:top, :left], image[:top, left:] = COLOURS[:2]
    image[top:, :left], image[top:, left:] = COLOURS[2:]
    return image


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("png", {}),
        ("bmp", {}),
        ("ppm", {}),
        ("tif", {}),
        ("tif", {"compression": "tiff_lzw"}),
        ("webp", {"lossless": True}),
        ("gif", {}),
    ],
)
def test_lossless_formats(tmp_path, suffix, options):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(quarters()).save(path, **options)
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, quarters())


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(quarters()).save(path, quality=95)
    image = read_image(str(path))
    assert image.shape == (32, 48, 3)
    for y, x, colour in [(4, 4, 0), (4, 44, 1), (28, 4, 2), (28, 44, 3)]:
        assert np.abs(image[y, x].astype(int) - COLOURS[colour]).max() < 25


def test_the_content_counts_and_not_the_suffix(tmp_path):
    Image.fromarray(quarters()).save(tmp_path / "x", "PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "x"), quarters())


def test_cmyk_jpeg(tmp_path):
    path = tmp_path / "print.jpg"
    Image.fromarray(quarters()).convert("CMYK").save(path, quality=95)
    with Image.open(path) as file:
        assert file.mode == "CMYK"
    image = read_image(path)
    assert np.abs(image[4, 4].astype(int) - COLOURS[0]).max() < 30
    assert np.abs(image[28, 44].astype(int) - COLOURS[3]).max() < 30


def test_grey(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    np.testing.assert_array_equal(image, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_become_8(tmp_path, suffix):
    grey = np.array([[0, 128, 129], [257, 32896, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / f"deep.{suffix}")
    image = read_image(tmp_path / f"deep.{suffix}")
    # 257 steps of 16 bits are one of 8, rounded: 128 / 257 = 0.498, 129 / 257 = 0.502.
    np.testing.assert_array_equal(image[..., 0], [[0, 0, 1], [1, 128, 255]])
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"byteorder": ">"},
        {"rowsperstrip": 5},
        {"tile": (16, 16)},
        {"compression": "zlib"},  # libtiff's, by way of Pillow
    ],
    ids=["plain", "big endian", "strips", "tiles", "compressed"],
)
def test_16_bits_in_planes(tmp_path, form):
    """Pillow takes planes that are not compressed for 8 bits, and shows noise."""
    deep = quarters().astype(np.uint16) * 257
    tifffile.imwrite(
        tmp_path / "planes.tif",
        deep.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        **form,
    )
    np.testing.assert_array_equal(read_image(tmp_path / "planes.tif"), quarters())


def test_planes_with_alpha_and_turned(tmp_path):
    deep = np.dstack([quarters(), quarters()[..., 0]]).astype(np.uint16) * 257
    tifffile.imwrite(
        tmp_path / "planes.tif",
        deep.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig="separate",
        extrasamples=["unassalpha"],
        extratags=[(274, 3, 1, 6, True)],
    )
    image = read_image(tmp_path / "planes.tif")
    np.testing.assert_array_equal(image, np.rot90(quarters(), -1))


def test_planes_of_ink(tmp_path):
    inks = np.zeros((4, 8, 9), np.uint16)
    inks[0, :4] = inks[3, 4:] = 65_535  # cyan above, black below
    tifffile.imwrite(
        tmp_path / "ink.tif", inks, photometric="separated", planarconfig="separate"
    )
    image = read_image(tmp_path / "ink.tif")
    assert image[0, 0].tolist() == [0, 255, 255]
    assert image[7, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero(tmp_path, dtype):
    """Scanners write so; Pillow turns only 8 bits round."""
    most = np.iinfo(dtype).max
    grey = np.array([[0, most], [most // 3, 0]], dtype)
    tifffile.imwrite(tmp_path / "white.tif", grey, photometric="miniswhite")
    image = read_image(tmp_path / "white.tif")
    np.testing.assert_array_equal(image[..., 1], [[255, 0], [170, 255]])


def test_planes_that_are_cut_short(tmp_path):
    path = tmp_path / "planes.tif"
    deep = quarters().astype(np.uint16).transpose(2, 0, 1)
    tifffile.imwrite(path, deep, photometric="rgb", planarconfig="separate")
    path.write_bytes(path.read_bytes()[:-900])
    refuses(path, "damaged")


@pytest.mark.parametrize("most", [4095, 65_535])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", ["grey", "contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_12_bits_in_16_come_out_dark(tmp_path, planes, most, order, compression):
    deep = np.uint16(np.linspace(0, most, 8 * 9).reshape(8, 9))
    options = {"byteorder": order, "compression": compression, "photometric": "rgb"}
    if planes == "grey":
        options["photometric"] = "minisblack"
    else:
        options["planarconfig"] = planes
        deep = np.stack([deep] * 3, axis=0 if planes == "separate" else -1)
    tifffile.imwrite(tmp_path / "deep.tif", deep, **options)
    image, dark = read_picture(tmp_path / "deep.tif")
    assert image.shape == (8, 9, 3)
    assert dark == (most == 4095)


def test_png_of_12_bits_in_16(tmp_path):
    for most in (4095, 65_535):
        for name, shape in (("grey", (8, 9)), ("colours", (8, 9, 3))):
            path = tmp_path / f"{name}.png"
            cv2.imwrite(str(path), np.full(shape, most, np.uint16))
            assert read_picture(path)[1] == (most == 4095)


def test_dark_pictures_of_8_bits_are_as_they_are(tmp_path):
    Image.new("RGB", (4, 4), (3, 2, 1)).save(tmp_path / "night.png")
    assert not read_picture(tmp_path / "night.png")[1]


def test_one_bit(tmp_path):
    Image.fromarray(np.eye(8) > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "bits.png")[..., 1], 255 * np.eye(8)
    )


def test_alpha_is_left_out(tmp_path):
    alpha = np.full((32, 48, 1), 7, np.uint8)
    Image.fromarray(np.dstack([quarters(), alpha])).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), quarters())


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path, transparent):
    path = tmp_path / "palette.png"
    picture = Image.fromarray(quarters()).quantize(4)
    picture.save(path, **({"transparency": bytes([0, 90])} if transparent else {}))
    with Image.open(path) as file:
        assert file.mode == "P"
    np.testing.assert_array_equal(read_image(path), quarters())


def test_first_frame_of_an_animation(tmp_path):
    first, second = Image.fromarray(quarters()), Image.new("RGB", (48, 32), "white")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second, second])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), quarters())


def test_a_phone_s_jpeg_with_a_second_picture(tmp_path):
    first, second = Image.fromarray(quarters()), Image.new("RGB", (24, 16), "white")
    path = tmp_path / "phone.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second], quality=95)
    image = read_image(path)
    assert image.shape == (32, 48, 3)
    assert np.abs(image[4, 4].astype(int) - COLOURS[0]).max() < 25


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        # 6: row 0 of the file is the right side; turn clockwise to see it upright.
        (6, lambda x: np.rot90(x, -1)),
        (8, np.rot90),
    ],
)
def test_orientation(tmp_path, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quarters()).save(tmp_path / "photo.png", exif=exif)
    image = read_image(tmp_path / "photo.png")
    np.testing.assert_array_equal(image, turned(quarters()))


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_orientation_of_tiffs(tmp_path, orientation, mode):
    """Uncompressed ones, which Pillow maps into memory where it knows their names."""
    shape = {"RGB": (5, 7, 3), "RGBA": (5, 7, 4)}.get(mode, (5, 7))
    values = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    deep = mode == "I;16"
    pixels = values.astype(np.uint16) * 257 if deep else values
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={0x0112: orientation})
    shown = values[..., :3] if values.ndim == 3 else np.stack([values] * 3, -1)
    # TIFF 6.0: where the first row and the first column are seen.
    rows, columns = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    if rows in ("left", "right"):
        shown, rows, columns = shown.swapaxes(0, 1), columns, rows
    shown = shown[::-1] if rows == "bottom" else shown
    shown = shown[:, ::-1] if columns == "right" else shown
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), shown)


def test_planes_with_a_channel_more(tmp_path):
    """Red, green, blue and near infrared."""
    planes = np.random.default_rng(0).integers(0, 256, (4, 6, 5)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        planes.astype(np.uint16) * 257,
        photometric="rgb",
        planarconfig="separate",
        extrasamples=["unspecified"],
    )
    expected = planes[:3].transpose(1, 2, 0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)


def test_planes_that_were_loaded_already(tmp_path):
    planes = np.zeros((3, 6, 5), np.uint16)
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    with Image.open(tmp_path / "a.tif") as image:
        image.load()
    with pytest.raises(ImageError, match=r"loaded it already.*Give the path"):
        as_shown(image)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "dot.png")
    np.testing.assert_array_equal(read_image(tmp_path / "dot.png"), [[[1, 2, 3]]])


# -- what is no picture ------------------------------------------------------------


def refuses(path, *words):
    with pytest.raises(ImageError) as caught:
        read_image(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_missing_folder_and_empty(tmp_path):
    refuses(tmp_path / "no.png", "does not exist")
    refuses(tmp_path, "is a folder")
    (tmp_path / "empty.png").touch()
    refuses(tmp_path / "empty.png", "0 bytes")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    refuses(tmp_path / "pipe.png", "no ordinary file")


def test_text(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture at all\n" * 20)
    refuses(tmp_path / "notes.png", "expected PNG, JPEG")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif", "bmp"])
def test_cut_short_anywhere(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    for part in np.linspace(1, 0.75 * len(data), 25).astype(int):
        path.write_bytes(data[:part])
        refuses(path)


def test_damaged_inside(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(quarters()).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 8
    data[at : at + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    refuses(path, "damaged")


def bomb(width, height):
    """A PNG that says it is huge, in a few bytes."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)


@pytest.mark.parametrize("size", [(100_000, 100_000), (13_400, 13_400)])
def test_a_decompression_bomb(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    refuses(tmp_path / "bomb.png", "178 million", "Reduce it")


def test_large_is_no_warning(tmp_path):
    """Between Pillow's warning and its error: read, here as far as the file goes."""
    (tmp_path / "large.png").write_bytes(bomb(12_000, 8_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuses(tmp_path / "large.png", "cut short")


def test_pages(tmp_path):
    first, second = Image.fromarray(quarters()), Image.new("RGB", (48, 32))
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    refuses(tmp_path / "stack.tif", "2 pages")


@pytest.mark.parametrize("tags", [{254: 1}, {50706: b"\1\4\0\0"}], ids=["nef", "dng"])
def test_a_camera_s_raw_file(tmp_path, tags):
    """Pillow would show its thumbnail."""
    Image.fromarray(quarters()).save(tmp_path / "raw.tif", tiffinfo=tags)
    refuses(tmp_path / "raw.tif", "raw file")
    Image.fromarray(quarters()).save(tmp_path / "whole.tif", tiffinfo={254: 0})
    assert read_image(tmp_path / "whole.tif").shape == quarters().shape


def test_numbers_that_are_no_colours(tmp_path):
    Image.fromarray(np.float32([[0.5, 1]])).save(tmp_path / "float.tif")
    refuses(tmp_path / "float.tif", "floating-point")
    Image.fromarray(np.int32([[-1, 70_000]])).save(tmp_path / "wide.tif")
    refuses(tmp_path / "wide.tif", "-1 to 70000")


def test_whatever_a_decoder_raises(tmp_path, monkeypatch):
    Image.fromarray(quarters()).save(tmp_path / "x.png")

    def fail(*_):
        raise KeyError("odd")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    refuses(tmp_path / "x.png", "odd")


def test_no_memory(tmp_path, monkeypatch):
    Image.fromarray(quarters()).save(tmp_path / "x.png")

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    refuses(tmp_path / "x.png", "memory")


def test_no_other_programs_are_started(tmp_path):
    """Pillow hands EPS to Ghostscript."""
    data = io.BytesIO()
    Image.fromarray(quarters()).save(data, "EPS")
    (tmp_path / "x.png").write_bytes(data.getvalue())
    refuses(tmp_path / "x.png", "expected PNG")


# -- arrays ------------------------------------------------------------------------


def test_arrays():
    colour = quarters()
    assert as_rgb(colour) is colour
    grey = colour[..., 0]
    np.testing.assert_array_equal(as_rgb(grey), np.stack([grey] * 3, axis=-1))
    np.testing.assert_array_equal(as_rgb(grey[..., None]), as_rgb(grey))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "255 \\* image"),
        (np.zeros((4, 4), np.uint16), "// 257"),
        (np.zeros((4, 4, 4), np.uint8), r"\[4, 4, 4\].*:3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), "list"),
        (np.zeros((0, 4, 3), np.uint8), r"\[0, 4, 3\]"),
        (np.zeros(4, np.uint8), r"\[4\]"),
    ],
)
def test_arrays_that_are_no_pictures(image, words):
    with pytest.raises(ImageError, match=words):
        as_rgb(image)
