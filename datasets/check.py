"""Check own data before it is trained on; nothing is converted.

    python -m datasets.check DIR
    python -m datasets.check DIR --out sheet
    python -m datasets.check DIR --dataset labelme
    python -m datasets.check --annotations FILE.json --images DIR

DIR holds images/ and labels/, or LabelMe's files, or a benchmark; which of them is
found out. Told are sizes, objects an image, what the preset keeps of them, and all
problems: files that cannot be read or have no partner, labels of another size, images
that are there twice on two sides of a split, objects too small to be kept. --out DIR
writes overlays.png, a sheet of images with their objects drawn over them.

Exit status: 0 = fine, 1 = problems were found, 2 = it could not be checked.
"""

import logging
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets import coco_masks, processes
from datasets.description import advice, describe, histogram, room_for
from datasets.inspection import inspect_item
from datasets.readable import readable
from datasets.survey import SPLITS
from keras_recattend.command_line import Parser, run_command
from keras_recattend.data_options import add_data_options, options_of
from keras_recattend.errors import UserError

_LOG = logging.getLogger("check")
SHEET = "overlays.png"
# Images of the sheet, and lines told of one kind of problem.
SHEET_IMAGES = 12
# Larger images are drawn smaller on the sheet, in pixels.
LARGEST = 800
# An image with a shorter side has nothing to see.
SMALLEST = 16
# Pixels of the network's input under which most objects are missed (leaves under 150
# of 530 x 500 pixels, at 224 x 224).
SEEN = 30
# What of the notes means that an object was lost.
LOST = (coco_masks.EMPTY, coco_masks.HIDDEN, coco_masks.MISSING, coco_masks.OUT)


def parse(arguments=None):
    from datasets.catalog import DATASETS

    raw = ", ".join(name for name, entry in DATASETS.items() if entry.raw)
    parser = Parser(__doc__)
    parser.prog = "python -m datasets.check"
    parser.add_argument("data_dir", nargs="?", metavar="DIR", help="the data")
    parser.add_argument("--dataset", help=f"{raw}; default: what DIR looks like")
    add_data_options(parser)
    parser.add_argument("--preset", help="to compare with; default: the data set's own")
    parser.add_argument("--min-area", type=int, metavar="N", help="least pixels")
    parser.add_argument("--workers", type=int, metavar="N", help="default: all cores")
    parser.add_argument(
        "--out", metavar="SHEET_DIR", help=f"folder in which to write {SHEET}"
    )
    options = parser.parse_args(arguments)
    if options.data_dir is None and options.annotations is None:
        parser.error("give DIR, or --annotations FILE.json --images DIR")
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers must be 1 or more, got {options.workers}")
    return options


def main():
    options = parse()
    from keras_recattend import presets
    from keras_recattend.asked_config import asked_preset

    options.dataset = options.dataset or _looks_like(options)
    preset = presets.get(asked_preset(options))
    least = preset.min_object_area if options.min_area is None else options.min_area
    survey = _survey(options)
    out = _writable(options.out) if options.out else None
    findings = _findings(survey.source, least, options.workers)
    good = [finding for finding in findings if not finding.error]
    _tell(survey.source, good, preset)
    problems = [
        *survey.problems,
        *(finding.error for finding in findings if finding.error),
        *_problems(good, least),
    ]
    if out and good:
        _write_sheet(survey.source, good, out / SHEET)
    for problem in problems:
        _LOG.warning("problem: %s", problem)
    if problems:
        _LOG.warning("%d problems.", len(problems))
        sys.exit(1)
    _LOG.info("No problems.")


@readable()
def _looks_like(options):
    """Name of the data set that a folder holds."""
    if options.annotations:
        return "coco"
    root = Path(options.data_dir).expanduser()
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    folders = [root, *(root / split for split in SPLITS)]
    if any((folder / "images").is_dir() for folder in folders) and any(
        (folder / "labels").is_dir() for folder in folders
    ):
        return "folder"
    if any((root / "annotations").glob("instances_*.json")):
        return "coco"
    if any(path for folder in folders for path in folder.glob("*.json")):
        return "labelme"
    seen = sorted(path.name for path in root.iterdir())[:5]
    raise UserError(
        f"{root} is no data set that is known by its looks (it has: "
        f"{', '.join(seen) or 'nothing'}). Expected the folders images and labels, or "
        "pictures with LabelMe's JSON files; a COCO file is given with --annotations "
        "FILE.json --images DIR, a benchmark with --dataset NAME."
    )


def _survey(options):
    from datasets import catalog

    given = options_of(vars(options))
    return catalog.survey(options.dataset, options.data_dir, **given)


def _writable(out):
    """The folder for the sheet, made; told before the work is done."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / f".{SHEET}.trial"
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {out} ({error.strerror}). Choose another "
            "folder with --out."
        ) from error
    if (out / SHEET).exists():
        raise UserError(
            f"{out / SHEET} exists already. Choose another folder with --out, or "
            "delete it."
        )
    return out


def _findings(source, min_area, workers):
    jobs = processes.in_order(
        partial(inspect_item, source.read, min_area), source.items, workers
    )
    bar = tqdm(jobs, total=source.total, unit="image", disable=not sys.stderr.isatty())
    return list(bar)


def _tell(source, good, preset):
    """What there is."""
    _LOG.info("%s: %s", source.dataset, source.location)
    if not good:
        return
    counts = [finding.objects for finding in good if finding.objects is not None]
    _LOG.info("%s.", describe([finding.size for finding in good], counts))
    for line in histogram(counts):
        _LOG.info(line)
    areas = [area for finding in good for area in finding.areas]
    if areas:
        _LOG.info("Objects have %d to %d pixels.", min(areas), max(areas))
        _tell_input(good, preset)
    splits = [finding.split for finding in good]
    given = [f"{splits.count(s)} {s}" for s in SPLITS if s in splits]
    _LOG.info("Splits: %s.", ", ".join(given) or "none; train.py makes them by seed")
    most = max(counts, default=0)
    room = room_for(source.dataset, most, preset.max_instances)
    crowded = sum(count > room for count in counts)
    if counts:
        _LOG.info(advice(crowded, len(good), most, preset.name, room))
    info = defaultdict(int, source.left_out)
    for finding in good:
        info["images without objects"] += finding.objects == 0
        info["unlabelled images"] += finding.objects is None
        info["objects in several unconnected pieces"] += finding.pieces
        for what, count in finding.notes.items():
            if what not in LOST:
                info[what] += count
    for what, count in info.items():
        if count:
            _LOG.info("info: %s: %d", what, count)


def _tell_input(good, preset):
    """How large the objects are that the network sees."""
    height, width = preset.image_size
    smallest = [
        min(finding.areas) * height * width / (finding.size[0] * finding.size[1])
        for finding in good
        if finding.areas
    ]
    _LOG.info(
        "In the input of the preset %s, %d x %d, an image's smallest object has %.0f "
        "pixels or more, in half of the images %.0f or more.",
        preset.name,
        height,
        width,
        min(smallest),
        np.median(smallest),
    )
    if np.median(smallest) < SEEN:
        _LOG.info(
            "Under some %d pixels most are missed. Crop the pictures, or give train.py "
            "a larger --image-size.",
            SEEN,
        )


def _problems(good, min_area):
    """What is wrong with images that can be read."""
    for finding in good:
        if min(finding.size) < SMALLEST:
            height, width = finding.size
            yield (
                f"{finding.name} has {height} x {width} pixels; expected {SMALLEST} "
                "or more on each side."
            )
        if finding.tiny:
            shown = ", ".join(f"{i} ({area} pixels)" for i, area in finding.tiny[:3])
            more = ", ..." if len(finding.tiny) > 3 else ""
            yield (
                f"{finding.name} has {len(finding.tiny)} objects under {min_area} "
                f"pixels, which will not train: {shown}{more}. Mend the labels, or "
                "give a lower --min-area here and to train.py."
            )
        for what in LOST:
            if finding.notes.get(what):
                yield f"{finding.name}: {what}: {finding.notes[what]}."
    yield from _twice(good)
    labelled = [f for f in good if f.objects is not None and f.split != "test"]
    if len(labelled) < 2:
        yield (
            f"{len(labelled)} labelled images can be used; at least 2 are needed, one "
            "to train and one to validate."
        )


def _twice(good):
    """Equal images that are, or may come to be, on both sides of a split."""
    same = defaultdict(list)
    for finding in good:
        same[finding.content].append(finding)
    # Without "val", it is taken from "train".
    divided = {"", "train"} if all(f.split != "val" for f in good) else {""}
    for group in same.values():
        splits = {finding.split for finding in group}
        # Images that have a split of their own and share it stay together.
        if len(group) == 1 or (len(splits) == 1 and not splits & divided):
            continue
        names = ", ".join(
            f"{f.split}/{f.name}" if f.split else f.name for f in group[:4]
        )
        yield (
            f"{names} are the same image, which may be on both sides of a split: the "
            "score would be too good. Keep one."
        )


def _write_sheet(source, good, path):
    from keras_recattend.visualize import comparison, sheet

    labelled = [finding for finding in good if finding.objects is not None]
    # From the emptiest image to the fullest.
    ordered = sorted(labelled, key=lambda finding: (finding.objects, finding.name))
    places = np.linspace(0, len(ordered) - 1, min(SHEET_IMAGES, len(ordered)))
    chosen = {ordered[round(place)].name for place in places}
    rows = []
    for item in source.items:
        if item.name in chosen:
            example, _ = source.read(item)
            rows.append(
                comparison(
                    example.image, None, example.labels, item.name, longest=LARGEST
                )
            )
    if rows:
        sheet(rows, path)
        _LOG.info("%d images are drawn in %s.", len(rows), path)


if __name__ == "__main__":
    run_command(main)
