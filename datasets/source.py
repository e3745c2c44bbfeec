"""What a converter hands over: where the data is from and how to read it."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path

from datasets.example import Example

__all__ = ["Source", "file_sizes"]


@dataclass(frozen=True)
class Source:
    """A data set that was found, before it is converted.

    Attributes:
        dataset: name in the catalog.
        location: absolute path of the raw files; "" for rendered data.
        options: everything, as JSON values, that changes what is read.
        files: (path relative to the location, bytes) of every raw file, to notice
            that the source has changed.
        total: number of examples.
        examples: gives (example, native split) one after another; the split is
            "train", "val", "test", or "" where the data set leaves it to us.
    """

    dataset: str
    location: str
    options: dict
    files: tuple[tuple[str, int], ...]
    total: int
    examples: Callable[[], Generator[tuple[Example, str], None, None]] = field(
        repr=False
    )

    def description(self) -> dict:
        """What is stored beside the records, and compared on the next run."""
        return {
            "location": self.location,
            "options": self.options,
            "files": [list(entry) for entry in self.files],
        }


def file_sizes(paths: list[Path], root: Path) -> tuple[tuple[str, int], ...]:
    """Return (path relative to `root`, bytes), sorted, for `Source.files`."""
    return tuple(
        sorted((str(path.relative_to(root)), path.stat().st_size) for path in paths)
    )
