"""Write the numbers of a JSON file into README.md, and draw how cost grows.

    python -m benchmarks --json benchmarks/results.json
    python -m benchmarks.report benchmarks/results.json

If mask_rcnn.json lies beside this file (`benchmarks.mask_rcnn`), its table is there,
too. README.md's part between the two markers is replaced; cost.png is drawn anew.
"""

import json
from pathlib import Path

from benchmarks.table import ratio_lines, table
from keras_recattend.command_line import Parser, run_command
from keras_recattend.errors import UserError

__all__ = ["plot", "with_tables"]

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
# Each panel: what it shows, the groups in it, the number on the x axis.
PANELS = (
    (
        "training step, T = 11, seconds an image",
        ("training against resolution, T = 11",),
        "size",
    ),
    ("training step, seconds an image", ("training against T",), "timespan"),
    (
        "training step, T = 11, peak MB",
        ("training against batch, T = 11",),
        "batch",
    ),
    (
        "inference, seconds an image",
        ("inference against objects", "cvppp inference against objects"),
        "objects",
    ),
)
AXES = {
    "size": "side of the image, pixels",
    "timespan": "T",
    "batch": "batch",
    "objects": "objects",
}


def with_tables(text, values):
    """Return README's text with the tables of `values` between its markers.

    Raises:
        UserError: the markers are not there.
    """
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise UserError(
            f"README.md should hold {BEGIN!r} and then {END!r}; put them where the "
            "tables belong."
        )
    return f"{before}{BEGIN}\n\n{_tables(values)}\n{END}{after}"


def _tables(values):
    machine, versions = values["machine"], values["versions"]
    parts = [
        f"{machine['cores']} cores of {machine['processor']}, {machine['system']}, "
        f"Python {machine['python']}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ". Medians"
        + (", `--quick`." if values["quick"] else "."),
        ratio_lines(values),
    ]
    for title, rows in values["groups"].items():
        parts += [f"### {title[0].upper()}{title[1:]}", table(rows)]
    for variant, text in values.get("profiles", {}).items():
        parts += [f"### Top ten operations of a training step, {variant}", text.strip()]
    if "mask_rcnn" in values:
        found = values["mask_rcnn"]
        versions = ", ".join(f"{n} {v}" for n, v in found["versions"].items())
        parts += ["### Beside Mask R-CNN", f"{versions}.", table(found["rows"])]
    return "\n\n".join(parts) + "\n"


def plot(values, path):
    """Draw cost against resolution, T, batch and objects, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 6.5), constrained_layout=True)
    for panel, (title, groups, number) in zip(axes.flat, PANELS, strict=True):
        what = "peak_megabytes" if "MB" in title else "seconds_per_image"
        for group in groups:
            rows = values["groups"].get(group, [])
            panel.plot(
                [row[number] for row in rows],
                [row[what] for row in rows],
                marker="o",
                label=rows[0]["preset"] if rows else group,
            )
        panel.set(title=title, xlabel=AXES[number], ylim=(0, None))
        if len(groups) > 1:
            panel.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main():
    parser = Parser(__doc__)
    parser.add_argument("json", help="what `python -m benchmarks --json` saved")
    options = parser.parse_args()
    values = json.loads(Path(options.json).read_text())
    mask_rcnn = FOLDER / "mask_rcnn.json"
    if mask_rcnn.exists():
        values["mask_rcnn"] = json.loads(mask_rcnn.read_text())
    readme = FOLDER / "README.md"
    readme.write_text(with_tables(readme.read_text(), values))
    plot(values, FOLDER / "cost.png")


if __name__ == "__main__":
    run_command(main)
