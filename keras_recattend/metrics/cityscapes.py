"""Cityscapes' average precision of instances, by the benchmark's own evaluator.

`cityscapesscripts` keeps its settings in a global object, writes into the current
folder, ends the program on a mistake and prints on the way. So it runs in a process and
a folder of its own (`cityscapes_process.py`), on the files that the server would get.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from keras_recattend.errors import UserError

__all__ = ["evaluate", "find_truth"]

# Ours: theirs.
AVERAGES = {
    "ap": "allAp",
    "ap50": "allAp50%",
    "ap50m": "allAp50m",
    "ap100m": "allAp100m",
}
_TRUTHS = ("_gtFine_polygons.json", "_gtFine_instanceIds.png")
_PROCESS = Path(__file__).with_name("cityscapes_process.py")


def evaluate(
    results: Mapping[str, str | os.PathLike],
    truth: Mapping[str, str | os.PathLike],
    folder: str | os.PathLike,
    distances: Mapping[str, Mapping[int, tuple[float, float]]] | None = None,
) -> dict[str, float | None]:
    """Score results in the benchmark's format.

    Args:
        results: {CITY_SEQ_FRAME: text file}; see `submissions.cityscapes`.
        truth: {CITY_SEQ_FRAME: its `_gtFine_instanceIds.png`, or the
            `_gtFine_polygons.json` to draw it from}, the same names.
        folder: the one that all results lie in.
        distances: of the objects of every image, as `cityscapes_distance.distances`
            returns them. Without them "ap50m" and "ap100m" are None.

    Returns:
        In percent, means over the classes that are there: "ap" (over IoU 0.50 to 0.95),
        "ap50", "ap50m" and "ap100m" (objects within 50 and 100 metres), and "ap_CLASS"
        for each of the eight classes. None where there is no object to find.

    Raises:
        UserError: the evaluator refuses the files, or is not installed.
    """
    names = sorted(truth)
    # The evaluator compares paths as text, those of the masks without "..".
    request = {
        "results": [os.path.abspath(results[name]) for name in names],
        "truth": [os.path.abspath(truth[name]) for name in names],
        "folder": os.path.abspath(folder),
        "distances": distances and [distances[name] for name in names],
    }
    averages = _in_its_own_process(request)
    values = {ours: averages.get(theirs) for ours, theirs in AVERAGES.items()}
    for name, of_class in averages["classes"].items():
        values[f"ap_{name}"] = of_class["ap"]
    return {name: _percent(value) for name, value in values.items()}


def find_truth(folder: str | os.PathLike, names) -> dict[str, Path]:
    """Find the files of the benchmark's labels.

    Args:
        folder: the one that holds `gtFine/` (or `gtFine_trainvaltest/gtFine/`).
        names: of the images, CITY_SEQ_FRAME.

    Returns:
        {name: `_gtFine_instanceIds.png`, or `_gtFine_polygons.json` without it}.

    Raises:
        UserError: an image without either.
    """
    found = {}
    for suffix in _TRUTHS:
        for path in Path(folder).glob(f"gtFine*/**/*{suffix}"):
            found[path.name.removesuffix(suffix)] = path
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(
            "Cityscapes' average precision needs the benchmark's own labels: "
            f"{missing[0]}{_TRUTHS[1]} is not in {folder}/gtFine "
            f"({len(missing)} such images). Give the benchmark's folder with "
            "--data-dir."
        )
    return {name: found[name] for name in names}


def _in_its_own_process(request):
    with tempfile.TemporaryDirectory(prefix="cityscapes-evaluation-") as folder:
        Path(folder, "request.json").write_text(json.dumps(request))
        done = subprocess.run(
            [sys.executable, "-W", "ignore", _PROCESS],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()
            raise UserError(
                "Cityscapes' own evaluator failed: "
                f"{said[-1] if said else f'exit code {done.returncode}'}"
            )
        return json.loads(Path(folder, "answer.json").read_text())


def _percent(value):
    return None if value is None or math.isnan(value) else 100.0 * value
