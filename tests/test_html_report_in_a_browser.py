"""The page in a real browser, where one is installed: it draws, sorts, asks nothing."""

import json
import os
import re
import shutil
import subprocess

import pytest
from test_html_report import row

from keras_recattend.html_report import html_report

BROWSER = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)
pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium or Chrome here")

# Runs in the page: clicks each heading twice and notes the order of the files.
CLICKS = """<script>
const order = () => [...body.rows].map((row) => row.cells[1].textContent);
const seen = { errors: [], order: {}, sorted: {} };
window.addEventListener("error", (event) => seen.errors.push(event.message));
for (const heading of headings) {
  const name = heading.textContent;
  for (const time of ["up", "down"]) {
    heading.querySelector("button").click();
    seen.order[`${name} ${time}`] = order();
    seen.sorted[`${name} ${time}`] = headings.map((h) => h.getAttribute("aria-sort"));
  }
}
const image = document.querySelector("img");
const drawing = document.querySelector("svg").getBoundingClientRect();
seen.image = [image.naturalWidth, image.naturalHeight];
seen.drawing = drawing.width > 50 && drawing.height > 50;
seen.requests = performance.getEntriesByType("resource")
  .map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
const result = document.createElement("pre");
result.id = "seen";
result.textContent = JSON.stringify(seen);
document.body.append(result);
</script>
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rows = [
        row("b10.png", 2, area=9),
        row("B2.png", 10, area=500),
        row("a<b>.png", 0),
        row("c.png", 9, area=80),
    ]
    text = html_report(rows, [("bad.png", "bad.png is empty.")], "leaves")
    (folder / "page.html").write_text(
        text.replace("</body>", CLICKS + "</body>"), encoding="utf-8"
    )
    root = hasattr(os, "getuid") and os.getuid() == 0
    done = subprocess.run(
        [BROWSER, "--headless", "--disable-gpu", "--dump-dom"]
        + (["--no-sandbox"] if root else [])
        + [f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert found, done.stderr
    text = found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text)


def test_it_draws_without_errors_and_asks_nothing(seen):
    assert seen["errors"] == []
    assert seen["requests"] == []
    assert seen["image"] == [120, 90]
    assert seen["drawing"]


def test_files_sort_as_people_count(seen):
    expected = ["a<b>.png", "B2.png", "b10.png", "bad.png", "c.png"]
    assert seen["order"]["File up"] == expected
    assert seen["order"]["File down"] == expected[::-1]


def test_numbers_sort_as_numbers_and_empty_cells_are_last(seen):
    up = ["a<b>.png", "b10.png", "c.png", "B2.png", "bad.png"]
    assert seen["order"]["Objects up"] == up
    assert seen["order"]["Objects down"] == up[3::-1] + ["bad.png"]
    down = seen["order"]["Mean area (pixels) down"]
    assert down[:3] == ["B2.png", "c.png", "b10.png"]
    assert set(down[3:]) == {"a<b>.png", "bad.png"}


def test_screen_readers_are_told(seen):
    assert seen["sorted"]["File up"] == ["ascending", None, None, None, None]
    assert seen["sorted"]["Objects down"] == [None, "descending", None, None, None]
