"""The picture that an annotation tool means by a name, and the size it says."""

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from datasets.errors import DataError
from datasets.survey import IMAGE_SUFFIXES

__all__ = ["PictureFinder", "check_size", "stated_size"]

# Label Studio writes such a prefix before the name of a picture that was uploaded.
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")


class PictureFinder:
    """Finds pictures below a folder by the names that annotation tools write.

    Tools write a name, a path (of theirs, or of Windows), or an address:
    "a.jpg", "images/a.jpg", "..\\pictures\\a.jpg", "/data/upload/3/0f3a9c1b-a.jpg",
    "/data/local-files/?d=plants/a.jpg", "http://host/images/a%20b.jpg". The longest
    end of the path that is a file is taken, else the only file of that name anywhere
    below the folder.

    Args:
        folder: where the pictures are.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._anywhere = defaultdict(list)
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                self._anywhere[path.name].append(path)

    def find(self, name: str) -> Path:
        """Return the picture. Raises DataError if there is none, or several."""
        parts = _parts(name)
        for i in range(len(parts)):
            path = self.folder.joinpath(*parts[i:])
            if path.is_file():
                return path
        last = parts[-1] if parts else ""
        found = self._anywhere.get(last) or self._anywhere.get(_UPLOADED.sub("", last))
        if not found:
            raise DataError(
                f"the picture {name!r} is not in {self.folder}. Give the folder that "
                "has it with --images DIR."
            )
        if len(found) > 1:
            raise DataError(
                f"the picture {name!r} may be {found[0]} or {found[1]}. Give the "
                "folder above the one that is meant, or rename one."
            )
        return found[0]


def stated_size(entry: dict, height: str, width: str) -> list[int] | None:
    """Return [height, width] of a picture, None where the tool does not say it.

    Args:
        entry: what a file has. height, width: the names of both in it.
    """
    size = [entry.get(height), entry.get(width)]
    return size if all(isinstance(value, int) and value for value in size) else None


def check_size(
    picture: str | Path, size: tuple[int, int], stated: list | None, file: str | Path
) -> None:
    """Raise DataError unless a picture has the (height, width) that its file states."""
    if stated and tuple(stated) != size:
        raise DataError(
            f"{picture} has (height, width) = {size}, but {file} says {tuple(stated)}. "
            "They do not belong together, or the image was resized or turned."
        )


def _parts(name):
    """The path inside a name or an address, without what leads out of a folder."""
    if "://" in name or "?" in name:
        address = urlsplit(name)
        inner = parse_qs(address.query).get("d")
        name = inner[0] if inner else unquote(address.path)
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return [part for part in parts if part not in ("/", ".", "..")]
