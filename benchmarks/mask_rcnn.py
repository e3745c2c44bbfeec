"""torchvision's Mask R-CNN beside our presets: seconds an image, and memory.

It needs an environment of its own:

    python -m venv maskrcnn-venv
    maskrcnn-venv/bin/pip install torch==2.14.1 torchvision==0.29.1
    python -m benchmarks.mask_rcnn maskrcnn-venv/bin/python

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

IMAGES, SIDE, OBJECTS = 8, 448, 10
SIZES = {"Mask R-CNN R50-FPN, 800": 800, f"Mask R-CNN R50-FPN, {SIDE}": SIDE}


def theirs():
    """Measure Mask R-CNN; runs in torch's environment and prints JSON."""
    import torch
    import torchvision

    rows = []
    for name, side in SIZES.items():
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
        rows.append(
            {
                "name": name,
                "seconds_per_image": statistics.median(seconds),
                "peak_megabytes": (_memory("VmHWM") - before) / 1e6,
                "found": len(found["scores"]),
            }
        )
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps({"rows": rows, "versions": versions}))


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
    from keras_recattend.errors import Parser

    parser = Parser(__doc__)
    parser.add_argument("python", help="of the environment with torch")
    options = parser.parse_args()
    output = subprocess.run(
        [options.python, __file__, "--theirs"], check=True, capture_output=True
    ).stdout
    found = json.loads(output.splitlines()[-1])
    print(", ".join(f"{name} {v}" for name, v in found["versions"].items()))
    print(table([*ours(), *found["rows"]]))


def _memory(name):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name + ":"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    theirs() if "--theirs" in sys.argv else main()
