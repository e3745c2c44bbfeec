"""Predictions as one HTML page that needs nothing else: no network, no files."""

import html
import string
import urllib.parse

import numpy as np

__all__ = ["MOST_THUMBNAILS", "html_report"]

# With at most 12 kB each (16 kB as text) the page stays below about 35 MB.
MOST_THUMBNAILS = 2000
MOST_BARS = 24
BAR_HEIGHT, BAR_WIDTH = 120, 26

PAGE = string.Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem;
  padding: 0 1rem; }
dl { display: flex; flex-wrap: wrap; gap: 0.5rem 2.5rem; }
dt { font-size: 0.85rem; } dd { margin: 0; font-size: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding: 0.5rem 0; }
th, td { border-bottom: 1px solid #8886; padding: 0.4rem 0.6rem; text-align: left;
  overflow-wrap: anywhere; }
.number { text-align: right !important; font-variant-numeric: tabular-nums; }
th button { all: unset; cursor: pointer; font-weight: bold; }
th button:focus-visible { outline: 2px solid; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; }
th[aria-sort="descending"] button::after { content: " \\25BC"; }
td img { display: block; }
svg rect { fill: #2f7d4f; } svg text { fill: currentColor; font-size: 11px; }
.failed td { background: #c0392b22; }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<dl>$facts</dl>
<p>$weights</p>
$histogram
<h2>Pictures</h2>
$note
<table id="pictures">
<caption>A column's heading sorts by it; a second time turns the order round.</caption>
<thead><tr>$headings</tr></thead>
<tbody>
$rows
</tbody>
</table>
</main>
<script>
"use strict";
const body = document.querySelector("#pictures tbody");
const headings = [...document.querySelectorAll("#pictures th[data-column]")];
for (const heading of headings) {
  heading.querySelector("button").addEventListener("click", () => {
    const column = Number(heading.dataset.column);
    const numeric = heading.dataset.kind === "number";
    const up = heading.getAttribute("aria-sort") !== "ascending";
    const key = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      // Empty cells come last in either order.
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? Number(x) - Number(y)
        : x.localeCompare(y, undefined, { numeric: true });
      return up ? order : -order;
    });
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  });
}
</script>
</body>
</html>
""")

# Heading, kind of its values or None where nothing is to be sorted.
COLUMNS = (
    ("Overlay", None),
    ("File", "text"),
    ("Objects", "number"),
    ("Mean score", "number"),
    ("Mean area (pixels)", "number"),
    ("Status", "text"),
)


def html_report(rows, failures, weights):
    """Return the page as text.

    It has thumbnails as data URIs (of the first `MOST_THUMBNAILS` pictures), a table
    that sorts, and a histogram of the counts. Overlays are linked beside it.

    Args:
        rows: `Row`s of the pictures that have results.
        failures: (file, message) of those that could not be read.
        weights: how the weights are called.
    """
    records = [row.record for row in rows]
    counts = np.array([record.count for record in records], np.int64)
    facts = [("Pictures", len(records)), ("Objects", int(counts.sum()))]
    if len(counts):
        facts += [
            ("Mean count", f"{counts.mean():.2f}"),
            ("Median count", f"{np.median(counts):g}"),
            ("Least and most", f"{counts.min()} to {counts.max()}"),
        ]
    facts.append(("Failed", len(failures)))
    lines = [_row(row, i < MOST_THUMBNAILS) for i, row in enumerate(rows)]
    lines += [_failed_row(file, message) for file, message in failures]
    note = ""
    if len(records) > MOST_THUMBNAILS:
        note = (
            f"<p>The first {MOST_THUMBNAILS} pictures have a thumbnail, the others a "
            "link to their overlay.</p>"
        )
    return PAGE.substitute(
        title="Predicted objects",
        facts="".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts),
        weights=f"Weights: {_text(weights)}",
        histogram=_histogram(counts) if len(counts) else "",
        note=note,
        headings="".join(_heading(i, *column) for i, column in enumerate(COLUMNS)),
        rows="\n".join(lines),
    )


def _text(value):
    """Escaped, and as UTF-8 can hold it."""
    text = str(value).encode("utf-8", "replace").decode()
    return html.escape(text)


def _heading(column, name, kind):
    if kind is None:
        return f'<th scope="col">{name}</th>'
    return (
        f'<th scope="col" class="{kind}" data-column="{column}" data-kind="{kind}">'
        f'<button type="button">{name}</button></th>'
    )


def _row(row, with_thumbnail):
    record = row.record
    link = _text("overlays/" + urllib.parse.quote(_plain(f"{record.name}.png")))
    shown = "overlay"
    if with_thumbnail:
        objects = "object" if record.count == 1 else "objects"
        what = f"{record.file}: {record.count} {objects} outlined"
        shown = (
            f'<img alt="{_text(what)}" src="data:image/jpeg;base64,{record.thumbnail}">'
        )
    areas = [region.area for region in record.regions]
    area = f"{np.mean(areas):.1f}" if areas else ""
    score = "" if record.mean_score is None else f"{record.mean_score:.3f}"
    return (
        f'<tr><td><a href="{link}">{shown}</a></td><td>{_text(record.file)}</td>'
        f'<td class="number">{record.count}</td><td class="number">{score}</td>'
        f'<td class="number">{area}</td><td>{row.status}</td></tr>'
    )


def _failed_row(file, message):
    number = '<td class="number"></td>'
    return (
        f'<tr class="failed"><td></td><td>{_text(file)}</td>{number * 3}'
        f"<td>failed: {_text(message)}</td></tr>"
    )


def _plain(text):
    return text.encode("utf-8", "replace").decode()


def _bins(counts):
    """Return (least, most, pictures) of each bar: whole numbers, equally wide."""
    low, high = int(counts.min()), int(counts.max())
    width = -(-(high - low + 1) // MOST_BARS)
    starts = range(low, high + 1, width)
    return [
        (s, s + width - 1, int(((counts >= s) & (counts < s + width)).sum()))
        for s in starts
    ]


def _histogram(counts):
    bins = _bins(counts)
    most = max(pictures for *_, pictures in bins)
    bars, words = [], []
    for i, (least, greatest, pictures) in enumerate(bins):
        name = str(least) if least == greatest else f"{least}-{greatest}"
        words.append(f"{name}: {pictures}")
        tall = BAR_HEIGHT * pictures / most
        x, middle = i * (BAR_WIDTH + 14) + 7, i * (BAR_WIDTH + 14) + 20
        y = 16 + BAR_HEIGHT - tall
        bars.append(
            f'<rect x="{x}" y="{y:.1f}" width="{BAR_WIDTH}" height="{tall:.1f}"/>'
        )
        if pictures:
            bars.append(
                f'<text x="{middle}" y="{y - 4:.1f}" text-anchor="middle">'
                f"{pictures}</text>"
            )
        bars.append(
            f'<text x="{middle}" y="{BAR_HEIGHT + 30}" text-anchor="middle">'
            f"{name}</text>"
        )
    width, height = len(bins) * (BAR_WIDTH + 14), BAR_HEIGHT + 36
    return (
        "<h2>Objects a picture</h2>\n"
        f'<svg role="img" aria-labelledby="histogram-text" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" style="max-width: 100%">'
        '<title id="histogram-text">Pictures by number of objects. '
        f"{'; '.join(words)}.</title>"
        f"{''.join(bars)}</svg>"
    )
