"""The file or folder that a submission is written to."""

import contextlib
import os
from pathlib import Path

from keras_recattend import places
from keras_recattend.errors import UserError
from keras_recattend.places import check_place

__all__ = ["check_target", "temporary_beside", "writing"]


def check_target(
    path: str | os.PathLike,
    endings: tuple[str, ...],
    what: str,
    may_exist: bool = False,
) -> Path:
    """Refuse a path that a submission cannot be written to, before work is done.

    Args:
        path: what was asked for.
        endings: allowed suffixes, with their dot; "" = a folder.
        what: the benchmark, for the message.
        may_exist: whether the caller sees to what is there.

    Returns:
        The path.

    Raises:
        UserError: another ending, something is there already, or it is a place where
            nothing can be written.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        allowed = " or ".join(f"a file NAME{e}" if e else "a folder" for e in endings)
        raise UserError(
            f"The submission of {what} is {allowed}; received {path}. Give another "
            "name with --submission."
        )
    if os.path.exists(path) and not may_exist:
        raise UserError(
            f"{path} exists already and is not overwritten. Delete it, or give another "
            "name with --submission."
        )
    check_place(path.parent, "--submission")
    return path


def writing(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turn a full disk, and what else writing meets, into a `UserError`."""
    remedy = "Make room and start again, or give another name with --submission."
    return places.writing(f"The submission {path}", remedy)


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, which is made: renaming stays one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
