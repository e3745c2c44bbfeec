"""Tables for the terminal and for Markdown."""

__all__ = ["ratio_lines", "table"]

COLUMNS = (
    ("name", "{}"),
    ("seconds_per_image", "{:.3f}"),
    ("images_per_second", "{:.1f}"),
    ("seconds_per_object", "{:.4f}"),
    ("processor_seconds_per_image", "{:.3f}"),
    ("peak_megabytes", "{:.0f}"),
    ("build_seconds", "{:.0f}"),
)
HEADINGS = {
    "name": "",
    "seconds_per_image": "s / image",
    "images_per_second": "images / s",
    "seconds_per_object": "s / object",
    "processor_seconds_per_image": "processor s / image",
    "peak_megabytes": "peak MB",
    "build_seconds": "build s",
}
WORDS = {
    "training_step": "training step, times faster than plain",
    "inference_10_objects": "inference of 10 objects, times faster than plain",
    "training_memory": "peak memory of training, as a share of plain's",
}


def table(rows):
    """Return rows as a Markdown table; columns that no row has are left out."""
    columns = [c for c in COLUMNS if any(row.get(c[0]) is not None for row in rows)]
    lines = [[HEADINGS[name] for name, _ in columns]]
    for row in rows:
        values = (row.get(name) for name, _ in columns)
        lines.append(
            [
                "" if value is None else form.format(value)
                for value, (_, form) in zip(values, columns, strict=True)
            ]
        )
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def ratio_lines(values):
    """Return the ratios beside their targets, a Markdown table."""
    lines = ["| ratio | measured | target |", "| --- | --- | --- |"]
    for name, target in values["targets"].items():
        sign = "at most" if name == "training_memory" else "at least"
        measured = values["ratios"][name]
        lines.append(f"| {WORDS[name]} | {measured:.2f} | {sign} {target:.1f} |")
    return "\n".join(lines)
