"""Paths as a user gives them."""

import os
from pathlib import Path

__all__ = ["PATHS", "from_the_root"]

# Options of the command lines that say where data is.
PATHS = ("data_dir", "records_dir", "annotations", "images")


def from_the_root(path: str | os.PathLike) -> str:
    """Return one form of a path as text, whatever the current folder.

    `~` is written out: a shell leaves that to others in `--data-dir=~/own`.
    """
    return str(Path(path).expanduser().resolve())
