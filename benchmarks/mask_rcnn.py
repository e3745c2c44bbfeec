"""torchvision's Mask R-CNN beside our presets: seconds an image, and memory.

It needs an environment of its own:

    python -m venv maskrcnn-venv
    maskrcnn-venv/bin/pip install torch==2.14.1 torchvision==0.29.1
    python -m benchmarks.mask_rcnn maskrcnn-venv/bin/python --json FILE

The same images go to all, one at a time: from uint8 at 448 x 448 to masks. The weights
are random, which says nothing of scores but leaves the time as it is: Mask R-CNN is
kept from dropping its boxes, and pastes 10 masks an image, as many as ours finds. Its
default resizes the shorter side to 800; it is also run at the image's own size.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

IMAGES, SIDE, OBJECTS = 8, 448, 10
# Shorter sides that Mask R-CNN resizes to: its default, and the image's own.
SIDES = (800, SIDE)


def theirs(side):
    """Measure Mask R-CNN; runs in torch's environment and prints JSON.

    Args:
        side: of the image that it resizes to.
    """
    import torch
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=2,
        min_size=side,
        box_score_thresh=0.0,
        box_detections_per_img=OBJECTS,
    ).eval()
    images = torch.rand(IMAGES, 3, SIDE, SIDE)
    before = _memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    seconds = []
    with torch.inference_mode():
        model([images[0]])
        for image in images:
            began = time.perf_counter()
            found = model([image])[0]
            (found["masks"] > 0.5).numpy()
            seconds.append(time.perf_counter() - began)
    row = {
        "name": f"Mask R-CNN R50-FPN, {side}",
        "seconds_per_image": statistics.median(seconds),
        "peak_megabytes": (_memory("VmHWM") - before) / 1e6,
        "found": len(found["scores"]),
    }
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps({"row": row, "versions": versions}))


def ours():
    """Measure our presets on the same images, one at a time."""
    from benchmarks.case import Case
    from benchmarks.interleaved import measure
    from benchmarks.results import rows

    cases = [
        Case(f"ours, {name}", "predict", preset=name, batch=1, objects=OBJECTS)
        for name in ("cvppp", "leaves", "cvppp_paper")
    ]
    return rows(measure(cases, IMAGES))


def main():
    from benchmarks.table import table
    from keras_recattend.command_line import Parser

    parser = Parser(__doc__)
    parser.add_argument("python", help="of the environment with torch")
    parser.add_argument("--json", metavar="FILE", help="where to save the numbers")
    options = parser.parse_args()
    answers = [_answer(options.python, side) for side in SIDES]
    found = {
        "rows": [*ours(), *(answer["row"] for answer in answers)],
        "versions": answers[0]["versions"],
    }
    print(", ".join(f"{name} {v}" for name, v in found["versions"].items()))
    print(table(found["rows"]))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


def _answer(python, side):
    output = subprocess.run(
        [python, __file__, "--theirs", str(side)], check=True, stdout=subprocess.PIPE
    ).stdout
    return json.loads(output.splitlines()[-1])


def _memory(name):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    theirs(int(sys.argv[2])) if sys.argv[1:2] == ["--theirs"] else main()
