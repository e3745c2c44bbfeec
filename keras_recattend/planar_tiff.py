"""TIFFs with one plane a channel and 16 bits, which Pillow reads as noise.

Microscopes and scanners write colours so. Pillow takes the planes for 8 bits where they
are not compressed; compressed ones it hands to libtiff, which reads them well.
"""

import tifffile
from PIL import Image

__all__ = ["is_misread", "planes_of"]

# Tags of TIFF 6.0 and their values.
BITS, COMPRESSION, PLANAR_CONFIGURATION = 258, 259, 284
UNCOMPRESSED, ONE_PLANE_A_CHANNEL = 1, 2


def is_misread(picture: Image.Image) -> bool:
    """Whether a picture, as `Image.open` gives it, is one of these."""
    if getattr(picture, "format", None) != "TIFF" or len(picture.getbands()) == 1:
        return False
    tags = picture.tag_v2
    return (
        max(tags.get(BITS, (1,))) > 8
        and tags.get(COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
        and tags.get(PLANAR_CONFIGURATION) == ONE_PLANE_A_CHANNEL
    )


def planes_of(picture: Image.Image):
    """Return the values of such a picture, [channels, H, W], as they are in the file.

    Channels that Pillow does not have (near infrared, say) are left out, and its
    orientation is not applied. Damaged files raise whatever tifffile raises.
    """
    # It takes the place where the file stands for its beginning.
    picture.fp.seek(0)
    with tifffile.TiffFile(picture.fp) as file:
        return file.pages.first.asarray()[: len(picture.getbands())]
