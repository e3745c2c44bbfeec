"""Pictures as people have them, to RGB arrays; errors that name the file."""

import contextlib
import io
import os
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_recattend.errors import UserError
from keras_recattend.planar_tiff import is_misread, planes_of

__all__ = [
    "MOST_PIXELS",
    "MOST_PIXELS_A_BATCH",
    "SUFFIXES",
    "UNREAD_SUFFIXES",
    "ImageError",
    "as_rgb",
    "as_shown",
    "is_grey",
    "opened",
    "read_image",
    "read_picture",
    "white_is_zero",
]

# What a folder is searched for.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp"),
    *(".gif", ".ppm", ".pgm"),
)
# Pictures that are not read, of phones and cameras: nobody is to miss them unawares.
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".nef", ".nrw", ".cr2"),
    *(".cr3", ".arw", ".raf", ".orf", ".rw2", ".pef"),
)
# No others are tried: some of Pillow's readers start other programs (EPS).
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
EXPECTED = "PNG, JPEG, TIFF, BMP, WebP, GIF or PPM"
# Pillow's own limit. Above it, a file of a few kB may be made to fill the memory.
MOST_PIXELS = 178_956_970
# Large pictures come in smaller batches: about 200 MB of RGB.
MOST_PIXELS_A_BATCH = 64_000_000
# Tags of TIFF 6.0 and DNG 1.4: bit 0 of the first says that it is a reduced picture.
NEW_SUBFILE_TYPE, DNG_VERSION = 254, 50706
# And what says that 0 is white.
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
ORIENTATION = 0x0112
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# What the greatest number of 12 bits becomes where 16 become 8.
TWELVE_BITS = 16


class ImageError(UserError):
    """A picture cannot be read, or an array is no picture."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as RGB, as it would be shown.

    The orientation that cameras note in EXIF is applied. Grey, palette and CMYK
    pictures are converted (without colour profiles); 16 bits become 8 (65535 becomes
    255); an alpha channel is left out; of an animation, the first frame is taken.

    Args:
        path: a PNG, JPEG, TIFF, BMP, WebP, GIF or PPM of any size up to 179 million
            pixels.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageError: the file is missing, empty, damaged, too large or of another kind.
    """
    return read_picture(path)[0]


def read_picture(path: str | os.PathLike) -> tuple[np.ndarray, bool]:
    """Read a picture as `read_image` does, and tell whether it comes out dark.

    Returns:
        uint8 [H, W, 3]; and whether it has 16 bits of which it uses 12 at most, as many
        cameras write it.
    """
    with opened(path) as file:
        # Before it is read: afterwards colours have 8 bits.
        deep = _has_sixteen_bits(file)
        image = as_shown(file, path)
        return image, deep and int(image.max(initial=0)) <= TWELVE_BITS


def as_shown(picture: Image.Image, name: str | os.PathLike = "The picture"):
    """Return a Pillow image as `read_image` does that of a file.

    Args:
        name: for the message.

    Raises:
        ImageError: it is of another kind.
    """
    turned = white_is_zero(picture)
    image = ImageOps.exif_transpose(_of_planes(picture, name))
    image.load()
    if image.mode in SIXTEEN_BITS:
        grey = _eight_bits(name, np.asarray(image))
        # Pillow turns those of 8 bits round itself.
        image = Image.fromarray(255 - grey if turned else grey)
    elif image.mode == "F":
        raise ImageError(
            f"{name} holds floating-point values; expected an 8- or 16-bit "
            "picture. Save it as 8-bit PNG."
        )
    elif image.mode in ("P", "PA"):
        # By way of RGBA: Pillow warns about transparent palettes otherwise.
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Return an array as RGB.

    Args:
        image: uint8 [H, W, 3] RGB, [H, W] or [H, W, 1] grey.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageError: another shape or type.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise ImageError(
            f"A picture is uint8 from 0 to 255, this one is {array.dtype}. For values "
            "from 0 to 1: (255 * image).astype('uint8'); for 16 bits: "
            "(image // 257).astype('uint8')."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.repeat(array[..., np.newaxis], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise ImageError(
            "A picture has the shape [H, W, 3] (RGB) or [H, W] (grey), this one has "
            f"{list(np.shape(image))}. Drop an alpha channel with image[..., :3]; pass "
            "several pictures as a list."
        )
    return array


def is_grey(image: np.ndarray) -> bool:
    """Whether an RGB picture, uint8 [H, W, 3], has no colour anywhere."""
    red, green, blue = np.moveaxis(image, -1, 0)
    return np.array_equal(red, green) and np.array_equal(green, blue)


@contextlib.contextmanager
def opened(source, name=None, formats=FORMATS, of_one_frame=("TIFF",)):
    """Open with Pillow; whatever goes wrong inside becomes an ImageError.

    Args:
        source: a path, or a file's bytes.
        name: what messages call it; None = the path.
        formats: that are tried, by Pillow's names.
        of_one_frame: of them, those that are refused with several pages or frames. Of
            the others the first frame counts.
    """
    name = name or source
    try:
        with warnings.catch_warnings(), contextlib.ExitStack() as held:
            # They are about metadata and size; what matters becomes an error.
            warnings.simplefilter("ignore")
            if not isinstance(source, io.BytesIO):
                _check_file(source)
                # By their names Pillow maps TIFFs, and mixes up those that are turned.
                source = held.enter_context(open(source, "rb"))
            file = held.enter_context(Image.open(source, formats=formats))
            _check_content(name, file, of_one_frame)
            yield file
    except UserError:
        raise
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture that can be read; expected {EXPECTED}. Is it "
            "damaged, or of another kind (HEIC, raw)? Save it as PNG or JPEG."
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(name)) from None
    except PermissionError as error:
        raise ImageError(f"{name} may not be read ({error.strerror}).") from error
    except MemoryError as error:
        raise ImageError(
            f"{name} does not fit into memory. Reduce it or cut it into parts."
        ) from error
    except Exception as error:
        # Decoders of damaged files raise nearly every kind of exception.
        raise ImageError(_damaged(name, error)) from error


def _check_file(path):
    if not os.path.exists(path):
        raise ImageError(f"{path} does not exist.")
    if os.path.isdir(path):
        raise ImageError(f"{path} is a folder; expected a picture.")
    if not os.path.isfile(path):
        raise ImageError(f"{path} is no ordinary file; expected a picture.")
    if os.path.getsize(path) == 0:
        raise ImageError(f"{path} is empty (0 bytes). Copy or download it again.")


def _check_content(name, file, of_one_frame):
    width, height = file.size
    if file.format == "TIFF" and _is_preview(file):
        raise ImageError(
            f"{name} is a camera's raw file, of which only a small preview can be "
            "read. Save it as PNG or JPEG."
        )
    if width * height > MOST_PIXELS:
        raise ImageError(_too_large(name, f" ({width} x {height})"))
    if file.format in of_one_frame and getattr(file, "n_frames", 1) > 1:
        raise ImageError(
            f"{name} holds {file.n_frames} pages or frames; expected one. Save each "
            "as a file of its own."
        )


def _of_planes(picture, name):
    """The picture, read otherwise where Pillow would read noise."""
    if not is_misread(picture):
        return picture
    if picture.fp is None:
        raise ImageError(
            f"{name} has 16 bits in one plane a channel, and Pillow has loaded it "
            "already, which reads it as noise. Give the path of its file."
        )
    try:
        planes = planes_of(picture)
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError(_damaged(name, error)) from error
    bands = [Image.fromarray(_eight_bits(name, plane)) for plane in planes]
    image = Image.merge(picture.mode, bands)
    image.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    return image


def _has_sixteen_bits(picture):
    if picture.mode in SIXTEEN_BITS or is_misread(picture):
        return True
    # Of colours Pillow has 8 bits alone; how it will read the file tells.
    return ";16" in str(picture.tile)


def white_is_zero(picture: Image.Image) -> bool:
    """Whether a picture, as `Image.open` gives it, is a TIFF in which 0 is white."""
    tags = getattr(picture, "tag_v2", {})
    return tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _is_preview(file):
    """Whether what Pillow sees of a TIFF is a thumbnail: NEF and DNG look so."""
    return bool(file.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1 or DNG_VERSION in file.tag_v2)


def _damaged(path, error):
    return (
        f"{path} cannot be read, it is damaged or cut short ({error}). Copy or "
        "download it again."
    )


def _too_large(path, size=""):
    return (
        f"{path} has too many pixels{size}: at most {MOST_PIXELS // 10**6} million are "
        "read. Reduce it or cut it into parts."
    )


def _eight_bits(path, grey):
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65_535:
        raise ImageError(
            f"{path} holds values from {low} to {high}; expected an 8- or 16-bit "
            "picture (0 to 65535)."
        )
    return ((grey.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
