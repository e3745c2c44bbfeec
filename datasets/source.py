"""What a converter hands over: where the data is from and how to read it."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets.example import Example

__all__ = ["Item", "Reading", "Source", "file_sizes", "visible"]

# An example and what was not taken over of it: {what: how many}.
Reading = tuple[Example, dict[str, int]]


@dataclass(frozen=True)
class Item:
    """One image before it is read.

    Attributes:
        name: of the image in its data set; no two items share one.
        split: "train", "val", "test", or "" where the data set leaves it to us.
        files: (path relative to the source's location, bytes) of its own files.
        data: whatever reading it needs besides, as JSON values.
    """

    name: str
    split: str = ""
    files: tuple[tuple[str, int], ...] = ()
    data: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Source:
    """A data set that was found, before it is converted.

    Attributes:
        dataset: name in the catalog.
        location: absolute path of the raw files; "" for rendered data.
        options: everything, as JSON values, that changes what is read.
        items: one for each image, in the order of the records.
        read: turns an item into an example and a count of what was not taken over;
            can be pickled, since it is called in several processes.
        shared_files: (path relative to the location, bytes) of files that belong to
            no single image.
        class_names: name of class 1, 2, ... of the examples; () = one, unnamed.
        left_out: {what: how many} that never became an item, and why.
        own: of somebody's own files, which may be corrected at any time.
    """

    dataset: str
    location: str
    options: dict
    items: tuple[Item, ...] = field(repr=False)
    read: Callable[[Item], Reading] = field(repr=False)
    shared_files: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    class_names: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    own: bool = False

    @property
    def total(self) -> int:
        """Number of images."""
        return len(self.items)

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """Every raw file, sorted, to notice that the source has changed."""
        own = {entry for item in self.items for entry in item.files}
        return tuple(sorted(own.union(self.shared_files)))

    def examples(self) -> Generator[tuple[Example, str], None, None]:
        """Read one after another, in this process: (example, native split)."""
        for item in self.items:
            yield self.read(item)[0], item.split

    def description(self) -> dict:
        """What is stored beside the records, and compared on the next run."""
        return {
            "location": self.location,
            "options": self.options,
            "files": [list(entry) for entry in self.files],
        }


def file_sizes(paths: list[Path], root: Path) -> tuple[tuple[str, int], ...]:
    """Return (path relative to `root`, bytes) of each file, in the given order.

    With "/" everywhere: records move between systems.
    """
    return tuple(
        (path.relative_to(root).as_posix(), path.stat().st_size) for path in paths
    )


def visible(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that are not hidden, sorted: a Mac's `._NAME` is no picture."""
    return sorted(path for path in paths if not path.name.startswith("."))
