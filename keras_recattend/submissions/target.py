"""The file or folder that a submission is written to."""

import os
from pathlib import Path

from keras_recattend.errors import UserError

__all__ = ["check_target", "temporary_beside"]


def check_target(path: str | os.PathLike, endings: tuple[str, ...], what: str) -> Path:
    """Refuse a path that a submission cannot be written to, before work is done.

    Args:
        path: what was asked for.
        endings: allowed suffixes, with their dot; "" = a folder.
        what: the benchmark, for the message.

    Returns:
        The path.

    Raises:
        UserError: another ending, or something is there already.
    """
    path = Path(path)
    if path.suffix.lower() not in endings:
        allowed = " or ".join(f"a file NAME{e}" if e else "a folder" for e in endings)
        raise UserError(
            f"The submission of {what} is {allowed}; received {path}. Give another "
            "name with --submission."
        )
    if path.exists():
        raise UserError(
            f"{path} exists already and is not overwritten. Delete it, or give another "
            "name with --submission."
        )
    return path


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder, which is made: renaming stays one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
