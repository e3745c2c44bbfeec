"""Own data as it was found: what can be read, and all that is wrong with it."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DataError
from datasets.source import Source

__all__ = [
    "IMAGE_SUFFIXES",
    "SPLITS",
    "Survey",
    "existing_folder",
    "tell_unread",
    "unique_names",
]

SPLITS = ("train", "val", "test")
# Other programs' names of folders of validation images.
_VALIDATION = ("valid", "validation", "dev")
IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff")
    + (".bmp", ".gif", ".webp", ".jp2", ".pgm", ".ppm")
)


@dataclass(frozen=True)
class Survey:
    """A data set of one's own, before anything is read.

    Attributes:
        source: the images that have what they need.
        problems: one sentence for each thing that is wrong, with the file's name.
    """

    source: Source
    problems: tuple[str, ...] = ()

    def complete(self) -> Source:
        """Return the source. Raises DataError where there is any problem."""
        if self.problems:
            more = len(self.problems) - 1
            raise DataError(
                self.problems[0]
                + (f" There are {more} more problems." if more else "")
                + " python -m datasets.check lists all."
            )
        if not self.source.items:
            raise DataError(f"{self.source.location} has no image that can be used.")
        return self.source


def existing_folder(data_dir: str | Path | None, dataset: str, layout: str) -> Path:
    """Return the absolute path of a folder. Raises DataError unless it is there."""
    if data_dir is None:
        raise DataError(f"The data set {dataset} needs --data-dir DIR. {layout}")
    root = Path(data_dir).expanduser().resolve()
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. {layout}")
    return root


def tell_unread(
    root: Path,
    read: dict[str, Path],
    holds_images: Callable[[Path], bool],
    problems: list[str],
    left_out: Counter,
) -> None:
    """Add the folders in `root` that hold images and are not read.

    Args:
        read: {split: folder}, "" = `root` itself.
        problems: gets those that are meant for a split, by their names.
        left_out: counts the others.
    """
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            if not holds_images(path):
                continue
        except PermissionError:
            continue  # the system's own, as lost+found
        # Where case does not matter, Val is val.
        if any(path.samefile(folder) for folder in read.values()):
            continue
        name = "val" if path.name.lower() in _VALIDATION else path.name.lower()
        if name in SPLITS and "" not in read:
            problems.append(
                f"{path} has images and is not read: rename it {name}, or take it away."
            )
        else:
            left_out["folders with images besides, left out"] += 1


def unique_names(paths: Iterable[Path]) -> list[str]:
    """Name files given relative to one folder: by stem, or by the whole path.

    "train/a.png" is "a" unless another file has that stem, in whatever case of letters
    (some disks do not tell them apart); then "train_a".

    Raises:
        DataError: a name is no UTF-8, so that no record could hold it.
    """
    paths = list(paths)
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The name of {str(path).encode(errors='replace').decode()} is no "
                "UTF-8 (it may come from an old archive). Rename that file."
            ) from None
    alike = Counter(path.stem.casefold() for path in paths)

    def name(path):
        if alike[path.stem.casefold()] == 1:
            return path.stem
        return "_".join(path.with_suffix("").parts)

    return [name(path) for path in paths]
