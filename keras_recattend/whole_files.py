"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing"]


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
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
