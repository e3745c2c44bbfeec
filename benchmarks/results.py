"""From measurements to JSON: rows, ratios, and on what machine."""

import importlib.metadata
import json
import os
import platform
import statistics
from pathlib import Path

__all__ = ["TARGETS", "ratios", "rows", "save", "summary"]

# What `ratios` should be: at least, or for the memory at most.
TARGETS = {"training_step": 2.5, "inference_10_objects": 3.0, "training_memory": 0.6}
PACKAGES = ("tensorflow", "keras", "numpy", "opencv-python-headless")


def rows(results):
    """Return a dict for each `Result`: times an image, memory."""
    return [_row(result) for result in results]


def _row(result):
    case = result.case
    seconds = statistics.median(result.seconds)
    work = statistics.median(result.processor_seconds)
    row = {
        "name": case.name,
        "kind": case.kind,
        "preset": case.preset,
        "stage": case.stage if case.kind == "train" else "",
        "batch": case.batch,
        "objects": case.objects,
        "size": case.size,
        "timespan": case.timespan,
        "repetitions": len(result.seconds),
        "seconds": seconds,
        "seconds_per_image": seconds / result.images,
        "processor_seconds_per_image": work / result.images,
        "images_per_second": result.images / seconds,
        "peak_megabytes": result.peak_bytes / 1e6,
        "build_seconds": result.build_seconds,
        "all_seconds": list(result.seconds),
    }
    if case.kind in ("infer", "predict") and case.variant == "ours" and case.objects:
        row["seconds_per_object"] = seconds / result.images / case.objects
    return row


def ratios(groups):
    """Return the three ratios of the targets, plain against ours.

    `training_step` and `inference_10_objects` say how many times faster ours is, for
    an image; `training_memory` is ours as a share of plain's.

    Args:
        groups: {title: rows}, with "plain" and "ours" in "training" and "inference".
    """
    training, inference = (
        {row["name"]: row for row in groups[title]}
        for title in ("training", "inference")
    )

    def faster(of):
        name = "seconds_per_image"
        return of["plain"][name] / of["ours"][name]

    memory = training["ours"]["peak_megabytes"] / training["plain"]["peak_megabytes"]
    return {
        "training_step": faster(training),
        "inference_10_objects": faster(inference),
        "training_memory": memory,
    }


def summary(groups, quick):
    """Return all that is saved as JSON."""
    return {
        "quick": quick,
        "ratios": ratios(groups),
        "targets": TARGETS,
        "machine": _machine(),
        "versions": {n: importlib.metadata.version(n) for n in PACKAGES},
        "groups": groups,
    }


def save(values, path):
    Path(path).write_text(json.dumps(values, indent=2) + "\n")


def _machine():
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.split(":")[1].strip() for line in lines if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
