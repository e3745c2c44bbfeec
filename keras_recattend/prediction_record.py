"""What is known about one picture that was predicted, and its file."""

import dataclasses
import json

from keras_recattend.regions import Region

__all__ = ["Record"]


@dataclasses.dataclass
class Record:
    """What is known about one picture that is done: `records/NAME.json`.

    Attributes:
        file: the picture, as it was given. source: its whole path.
        bytes, modified: its size and time stamp (ns), which tell a changed picture.
        name: of its results, `labels/NAME.png` and `overlays/NAME.png`.
        settings: digest of the settings that it was predicted with.
        height, width: in pixels, upright.
        labels_sha256: digest of the label map's file as it was written.
        regions: the objects.
        thumbnail: a JPEG of the overlay, base64.
        grey, dark: whether it has no colours, and 16 bits of which it uses 12 at most.
            Records of before that was noted lack them.
        drawn: digest of the label map's file that the overlay shows; "" = as it was
            written.
    """

    file: str
    source: str
    bytes: int
    modified: int
    name: str
    settings: str
    height: int
    width: int
    labels_sha256: str
    regions: list[Region]
    thumbnail: str
    grey: bool = False
    dark: bool = False
    drawn: str = ""

    @property
    def count(self):
        """The number of objects."""
        return len(self.regions)

    @property
    def mean_score(self):
        """Mean over the objects that have one, None where there are none."""
        scores = [r.score for r in self.regions if r.score is not None]
        return sum(scores) / len(scores) if scores else None

    def is_of(self, about):
        """Whether a file is the picture: its `os.stat_result` says the same."""
        return (self.bytes, self.modified) == (about.st_size, about.st_mtime_ns)

    def to_json(self):
        """Return the bytes of the file."""
        values = dataclasses.asdict(self)
        values["regions"] = [tuple(region) for region in self.regions]
        return json.dumps(values).encode()

    @classmethod
    def from_json(cls, data):
        """Raises ValueError, TypeError, KeyError where it is none."""
        values = json.loads(data)
        values["regions"] = [Region(*region) for region in values["regions"]]
        return cls(**values)
