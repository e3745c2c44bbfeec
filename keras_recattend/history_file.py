"""`history.csv` of a run: written row by row, and kept in step with the run's state."""

import csv
import logging
from pathlib import Path

from keras_recattend.run_errors import reading, writing
from keras_recattend.whole_files import replacing

__all__ = ["HistoryFile"]

_LOG = logging.getLogger(__name__)


class HistoryFile:
    """The rows of a run, one an epoch.

    Args:
        path: of the file, which need not be there yet.
        resume: how the run goes on, for messages.
    """

    def __init__(self, path, resume):
        self.path = Path(path)
        self._resume = resume
        self._held_back = []

    def count(self):
        """Return the number of rows."""
        if not self.path.is_file():
            return 0
        with open(self.path, newline="") as file:
            return max(len(list(csv.reader(file))) - 1, 0)

    def append(self, row, columns):
        """Add an epoch; columns that the file does not know stay empty.

        A file that is there keeps its columns: an older version may have begun it.
        While a spreadsheet has it open, on Windows, rows are held back.

        Args:
            row: {column: value}. columns: all of them, in order.

        Raises:
            RunError: it cannot be written for another reason, as on a full disk.
        """
        self._held_back.append(row)
        with self._writing():
            try:
                self._write(self._held_back, columns)
            except PermissionError as error:
                _LOG.warning(
                    "%s cannot be written to (%s); its row is written with the next. "
                    "Is it open in another program?",
                    self.path,
                    error.strerror,
                )
                return
        self._held_back = []

    def keep(self, about):
        """Drop the rows that no state followed: their epochs come again.

        So does that of a last row that was cut short.

        Args:
            about: of the state, as from `RunFolder.load_about`.
        """
        if not self.path.exists():
            return
        with reading(self.path, f"Take it away, and {self._resume}"):
            with open(self.path, newline="") as file:
                heading, *rows = [*csv.reader(file)] or [[]]
            kept = _followed(heading, rows, about) if rows else []
        if not rows:
            # A full disk cuts the heading short, or leaves an empty file.
            with self._writing():
                self.path.unlink()
            return
        if len(kept) == len(rows):
            return
        with (
            self._writing(),
            replacing(self.path) as temporary,
            open(temporary, "w", newline="") as file,
        ):
            csv.writer(file).writerows([heading, *kept])

    def _writing(self):
        return writing(self.path, f"Make room; {self._resume}")

    def _write(self, rows, columns):
        heading = None
        if self.path.exists():
            with open(self.path, newline="") as file:
                # None: empty, as a full disk left it.
                heading = next(csv.reader(file), None)
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(
                file, heading or columns, restval="", extrasaction="ignore"
            )
            if heading is None:
                writer.writeheader()
            writer.writerows(rows)


def _followed(heading, rows, about):
    """Those rows of a history that a state followed."""
    stage, epoch = heading.index("stage"), heading.index("epoch")
    return [
        row
        for row in rows
        if len(row) == len(heading)
        and (
            row[stage] in about["done"]
            or (row[stage] == about["stage"] and int(row[epoch]) <= about["epoch"])
        )
    ]
