"""Which pictures a command line means, and a name of its own for each result."""

import glob
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_recattend.image_files import SUFFIXES, UNREAD_SUFFIXES

__all__ = [
    "RESULTS",
    "find_images",
    "is_unread",
    "readable",
    "result_names",
    "source_of",
]

# What a folder of predictions has; the last only where explanations were asked for.
RESULTS = ("labels", "overlays", "records", "explain")
# File systems allow 255 bytes; room for a suffix and a temporary name.
LONGEST_NAME = 180


def find_images(
    paths: Sequence[str], recursive: bool = False, without: Iterable[Path] = ()
) -> tuple[list[Path], list[tuple[str, str]]]:
    """Expand files, folders and globs.

    Files are taken whatever their suffix. Of folders and globs, the files with a
    picture's suffix are, hidden ones excepted, in alphabetical order: those of kinds
    that cannot be read, too, so that they fail by name, but where a picture of the same
    name lies beside them (a camera's raw file and its JPEG). Results that predict.py
    wrote into a folder among them are none.

    Args:
        paths: as given on a command line.
        recursive: also look into the folders of folders.
        without: folders that hold no inputs (the results).

    Returns:
        The files, each once, in the order given; and (path, message) for every path
        that led to none.
    """
    without = {source_of(folder) for folder in without}
    files, problems = {}, []
    for path in paths:
        unread = []
        found, problem = _expand(path, recursive, without, unread)
        # The same file by two ways is one picture.
        for file in found:
            files.setdefault(source_of(file), file)
        problems += unread
        if problem and not unread:
            problems.append((readable(path), problem))
    return list(files.values()), problems


def result_names(files: Sequence[Path], taken: dict[Path, str]) -> list[str]:
    """Give every file a name for its results that no other file has.

    It is the stem; where that is taken, with the folder's name before it, then with
    the suffix behind it, then with a number. Upper and lower case count as the same,
    and so do an accented letter and its two parts: on some file systems they are. A
    link has its own name, not that of the file that it leads to.

    Args:
        files: the pictures.
        taken: names of earlier results by the `source_of` their picture.
    """
    used = {_folded(name) for name in taken.values()}
    names = []
    for file in files:
        source = source_of(file)
        name = taken.get(source)
        if name is None:
            here = Path(os.path.abspath(file))
            name = next(n for n in _candidates(here) if _folded(n) not in used)
        used.add(_folded(name))
        names.append(name)
    return names


def source_of(path) -> Path:
    """Return the whole path without links: one for each file on the disk."""
    # Path.resolve raises where links go round in a circle.
    return Path(os.path.realpath(path))


def readable(path) -> str:
    """Return a path as text that any file can hold: bytes that are no UTF-8 as ?."""
    return os.fsencode(path).decode("utf-8", "replace")


def _expand(path, recursive, without, unread):
    """Return (files, what is wrong or None) of one argument.

    Args:
        unread: is given (folder, message) of those that cannot be read.
    """
    if os.path.isdir(path):
        found = _in_folder(Path(path), recursive, without, unread)
        if found:
            return found, None
        deeper = "" if recursive else " itself; --recursive looks into its folders"
        return [], (
            f"{readable(path)} is a folder without pictures ({', '.join(SUFFIXES)})"
            f"{deeper}."
        )
    if os.path.lexists(path):
        return [Path(path)], None
    if not glob.has_magic(path):
        return [], f"{readable(path)} does not exist."
    found, files = [], []
    for match in map(Path, sorted(glob.glob(path, recursive=True))):
        is_folder = os.path.isdir(match)
        if _is_result(match if is_folder else match.parent, without):
            continue
        if is_folder and recursive:
            found += _in_folder(match, recursive, without, unread)
        elif not is_folder:
            files.append(match)
    found += _pictures(files)
    return found, None if found else f"No picture matches {readable(path)}."


def _in_folder(folder, recursive, without, unread):
    def note(error):
        name = readable(error.filename)
        unread.append((name, f"{name} cannot be looked into ({error.strerror})."))

    found, seen = [], set()
    # Links are followed, each folder once: they may go round in a circle.
    for parent, folders, files in os.walk(folder, onerror=note, followlinks=True):
        here = Path(parent)
        source = source_of(here)
        if source in seen:
            folders.clear()
            continue
        seen.add(source)
        found += _pictures([here / f for f in sorted(files)])
        folders[:] = sorted(
            f
            for f in folders
            if recursive and not f.startswith(".") and not _is_result(here / f, without)
        )
    return found


def _is_result(folder, without):
    """Whether a folder holds results: this call's, or any that predict.py wrote."""
    if source_of(folder) in without:
        return True
    out = folder.parent
    return (
        folder.name in RESULTS
        and (out / "settings.json").is_file()
        and (out / "records").is_dir()
    )


def _pictures(files):
    """Those of some files that are pictures, or would be if they could be read."""
    files = [file for file in files if not file.name.startswith(".")]
    read = {file.with_suffix("") for file in files if _has(file, SUFFIXES)}
    return [
        file
        for file in files
        if _has(file, SUFFIXES)
        or (is_unread(file) and file.with_suffix("") not in read)
    ]


def is_unread(file):
    """Whether a file's name is that of a picture that cannot be read (HEIC, raw)."""
    return _has(file, UNREAD_SUFFIXES)


def _has(file, suffixes):
    return file.suffix.lower() in suffixes


def _candidates(file):
    stem, parent, suffix = file.stem, file.parent.name, file.suffix[1:]
    yield _short(stem)
    yield _short(f"{parent}_{stem}")
    yield _short(f"{parent}_{stem}_{suffix}")
    number = 1
    while True:
        number += 1
        yield f"{_short(stem)}_{number}"


def _folded(name):
    return unicodedata.normalize("NFC", name).casefold()


def _short(name):
    return os.fsencode(name)[:LONGEST_NAME].decode("utf-8", "ignore") or "picture"
