"""Cityscapes' results for instances: a text file an image, a mask a line.

```
frankfurt_000000_000294_pred.txt             masks/NAME_1.png 26 0.987654
masks/frankfurt_000000_000294_1.png          8 bits, 255 = the object
```
The number is the benchmark's label id (26 = car), the last column the confidence.
"""

import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from keras_recattend.png import encoded_png
from keras_recattend.submissions.target import check_target, temporary_beside

__all__ = ["CityscapesSubmission"]

ENDINGS = ("", ".zip")
# Binary masks shrink to almost nothing at the lowest level, and much sooner.
_COMPRESSION = 1


class CityscapesSubmission:
    """Writes images one by one into a hidden folder, which gets its name when finished.

    Call `discard` in the end in any case.

    Args:
        path: a folder, or NAME.zip as the server takes it, not there yet; None = only
            to be scored.

    Attributes:
        folder: where the results lie at present; None before the first image.

    Raises:
        UserError: another ending, or something is there already.
    """

    def __init__(self, path: str | os.PathLike | None = None):
        self.path = None if path is None else check_target(path, ENDINGS, "Cityscapes")
        self.folder = None

    def text_file(self, name: str) -> Path:
        """The file of an image. name: CITY_SEQ_FRAME."""
        return self.folder / f"{name}_pred.txt"

    def add(
        self, name: str, labels: np.ndarray, label_ids: np.ndarray, scores: np.ndarray
    ) -> None:
        """Write one image.

        Args:
            name: CITY_SEQ_FRAME.
            labels: `[H, W]` label map at the image's size, ids 1..n.
            label_ids: `[n]` the benchmark's label of each object; 0 = left out.
            scores: `[n]` confidences.
        """
        self._start()
        lines = []
        for i, (label_id, score) in enumerate(
            zip(label_ids, scores, strict=True), start=1
        ):
            if label_id:
                file = f"masks/{name}_{i}.png"
                mask = np.uint8(255) * (labels == i)
                (self.folder / file).write_bytes(encoded_png(mask, _COMPRESSION))
                # Nine digits tell all float32 apart: the evaluator ranks by them.
                lines.append(f"{file} {label_id} {score:.9g}\n")
        self.text_file(name).write_text("".join(lines))

    def finish(self) -> None:
        """Give the results their name, packed if it is a zip file."""
        self._start()
        if self.path is None:
            return
        if self.path.suffix:
            packed = self.folder.with_suffix(".packed")
            _pack(self.folder, packed)
            os.replace(packed, self.path)
        else:
            os.replace(self.folder, self.path)
            self.folder = self.path

    def discard(self) -> None:
        """Remove what has no name."""
        if self.folder not in (None, self.path):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self):
        # Only now: a mistake that is told before the first image leaves nothing behind.
        if self.folder is not None:
            return
        if self.path is None:
            self.folder = Path(tempfile.mkdtemp(prefix="cityscapes-"))
        else:
            self.folder = temporary_beside(self.path)
        (self.folder / "masks").mkdir(parents=True)


def _pack(folder, path):
    try:
        with zipfile.ZipFile(path, "w") as file:  # PNGs are compressed already
            for entry in sorted(folder.rglob("*")):
                file.write(entry, entry.relative_to(folder))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
