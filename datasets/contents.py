"""Whether files hold what they held when records were made of them.

Sizes tell most changes, but an uncompressed TIFF keeps its size whatever is painted in
it, and so does a JSON in which one label took another's place. So the checksums of all
files of one's own are stored with the records. They are compared only for files that
were touched since, or whose folder was: that costs nothing on other days.
"""

import os
import time
from collections.abc import Iterable

from datasets.manifest import checksum
from datasets.readable import readable
from datasets.source import Source

__all__ = [
    "changed_contents",
    "may_be_others",
    "recorded_contents",
    "renewed",
    "touched_since",
]

# Clocks of file systems are coarse, and those of other computers differ a little.
TOLERANCE_NS = 2_000_000_000


@readable()
def recorded_contents(source: Source) -> dict:
    """Return what to store with the records; call it before anything is read."""
    now = time.time_ns()
    sums = [checksum(os.path.join(source.location, name)) for name, _ in source.files]
    return {"checked_ns": now, "checksums": sums}


@readable()
def changed_contents(stored: dict, location: str) -> list[str]:
    """Return the names of files that hold something else than they did.

    Args:
        stored: what a manifest has of its source. Without checksums, as those of
            benchmarks and of earlier versions are, nothing is compared.
        location: where the files, which have the same names and sizes, lie now.
    """
    if "checksums" not in stored:
        return []
    others = may_be_others(stored, location)
    return [
        name
        for (name, _), old in zip(stored["files"], stored["checksums"], strict=True)
        if (others or touched_since(_since(stored), location, [name]))
        and checksum(os.path.join(location, name)) != old
    ]


def may_be_others(stored: dict, location: str) -> bool:
    """Tell whether files that nobody touched may be others all the same.

    Those that another folder had all along are not touched, nor are those of a folder
    that took the other's name. Then all are compared, once: `renewed` notes it.

    Args:
        stored, location: as for `changed_contents`.
    """
    if "checksums" not in stored:
        return False
    # Windows keeps the time stamp of an entry when the file is replaced.
    if stored["location"] != location or os.name == "nt":
        return True
    folders = {os.path.dirname(name) for name, _ in stored["files"]}
    return touched_since(_since(stored), location, {"", *folders})


def renewed(stored: dict, location: str, now: int) -> dict:
    """Return what to store of files that were compared at the time `now` (ns)."""
    return stored | {"location": location, "checked_ns": now}


def _since(stored):
    return stored["checked_ns"] - TOLERANCE_NS


@readable()
def touched_since(time_ns: int, location: str, names: Iterable[str]) -> bool:
    """Tell whether one of some files was written, replaced or put there since a time.

    The time stamp of a file that is copied may be an old one; that of its entry on the
    disk is not. What is not there is for others to tell.
    """
    for name in names:
        try:
            about = os.stat(os.path.join(location, name))
        except FileNotFoundError:
            continue
        if max(about.st_mtime_ns, about.st_ctime_ns) > time_ns:
            return True
    return False
