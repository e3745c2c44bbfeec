"""Draw photographs of plants that grow, to try docs/growth.md without any.

    PYTHONPATH=. python docs/examples/growing_plants.py photos

Writes photos/plantA_day03.png and so on, and photos/truth.csv: how many leaves each
shows, and how many pixels they have. A plant keeps its pot; the light and how its
leaves lie change from day to day.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.camera import photograph
from datasets.leaf_shading import draw_palette, paint_leaf
from datasets.phyllotaxis import paint_labels, plant_rosette
from datasets.soil import draw_compost, draw_tray, place_pot, smooth_noise

SIZE = (256, 256)
DAYS = (3, 6, 9, 12, 15, 18)
# Of each plant: seed, leaves on the first day, more of them a day, growth by the end.
PLANTS = {"A": (11, 4, 0.6, 1.1), "B": (12, 4, 0.8, 1.3), "C": (13, 3, 0.45, 0.9)}


def photograph_of(plant: str, day: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 RGB [H, W, 3] and uint8 labels [H, W] of a plant on a day."""
    seed, first, more, growth = PLANTS[plant]
    leaves = first + round(more * (day - DAYS[0]))
    share = np.sqrt(day / DAYS[-1])
    plan, masks, centre = plant_rosette(
        np.random.default_rng(seed), SIZE, leaves, growth * share
    )
    # The pot is the same every day; so it has a generator of its own.
    scenery = np.random.default_rng([seed, 1])
    palette = draw_palette(scenery, min(SIZE))
    compost, image = draw_compost(scenery, SIZE), draw_tray(scenery, SIZE)
    place_pot(scenery, image, compost, centre, 0.4 * min(SIZE))
    texture = smooth_noise(scenery, SIZE, 0.02 * min(SIZE))
    for number, (leaf, mask) in enumerate(zip(plan, masks, strict=True)):
        rng = np.random.default_rng([seed, 2, number])
        paint_leaf(rng, image, leaf, mask, palette, texture)
    light = np.random.default_rng([seed, 3, day])
    return photograph(light, image), paint_labels(masks, SIZE)


def draw(folder: Path) -> int:
    """Write all photographs and the truth; return their number."""
    folder.mkdir(parents=True)
    rows = []
    for plant in PLANTS:
        for day in DAYS:
            image, labels = photograph_of(plant, day)
            name = f"plant{plant}_day{day:02d}.png"
            Image.fromarray(image).save(folder / name)
            rows.append((name, int(labels.max()), int((labels > 0).sum())))
    with open(folder / "truth.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "leaves", "area"), *rows])
    return len(rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        number = draw(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(f"error: {error}")
    print(f"{number} photographs in {sys.argv[1]}")
