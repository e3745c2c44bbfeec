"""Files that are there whole or not at all."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing", "write_atomically"]

# Seconds to wait, on Windows, for a program that has the old file open.
PATIENCE = 5.0
_WINDOWS = os.name == "nt"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name to write under what shall be at `path`; it is renamed in the end.

    The old file stays whole until then, and for good where the `with` block fails.
    The name ends as the path does, and is the same for every process: what a process
    that was killed left is written over by the next.
    """
    temporary = path.with_name("writing." + path.name)
    try:
        yield temporary
        _replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old file or the new, never half.

    Two processes may write at once: each has a temporary name of its own.

    Args:
        path: the file; missing folders are made.
        data: the whole content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: os.replace is atomic within one file system only.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _replace(temporary, path):
    """Rename; where Windows refuses it, because the old file is being read, again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            if not _WINDOWS or time.monotonic() > until:
                raise
            time.sleep(0.1)
