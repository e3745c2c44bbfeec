"""The page: whole, self-contained, escaped, bounded."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from keras_recattend import html_report as module
from keras_recattend.html_report import html_report
from keras_recattend.prediction_record import Record
from keras_recattend.prediction_tables import Row
from keras_recattend.regions import Region
from keras_recattend.result_pictures import thumbnail_of

VOID = {"meta", "img", "br", "link", "input"}
THUMBNAIL = base64.b64encode(thumbnail_of(np.zeros((90, 120, 3), np.uint8))).decode()


class Page(html.parser.HTMLParser):
    """Tags with attributes, text of table cells; fails where tags do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.cells, self.text = [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def row(file="a.png", count=2, area=10):
    regions = [Region(i + 1, area, 0, 0, 1, 1, 0.5, 0.5, 0.5) for i in range(count)]
    record = Record(file, file, 1, 2, "name", "s", 10, 10, "d", regions, THUMBNAIL)
    return Row(record, "ok", "")


def test_the_table():
    failures = [("bad.png", "bad.png is empty.")]
    page = Page(html_report([row(), row("b.png", 0)], failures, "leaves"))
    assert page.cells == [
        ["Overlay", "File", "Objects", "Mean score", "Mean area (pixels)", "Status"],
        ["", "a.png", "2", "0.500", "10.0", "ok"],
        ["", "b.png", "0", "", "", "ok"],
        ["", "bad.png", "", "", "", "failed: bad.png is empty."],
    ]
    assert page.text["dd"] == ["2", "2", "1.00", "1", "0 to 2", "1"]
    assert "Weights: leaves" in page.text["p"]


def test_it_needs_nothing_else():
    text = html_report([row()], [], "w")
    page = Page(text)
    assert not page.all("link")
    assert all("src" not in script for script in page.all("script"))
    assert all(i["src"].startswith("data:image/jpeg;base64,") for i in page.all("img"))
    assert not re.search(r"https?:|@import|url\(|fetch|XMLHttp", text)
    # And the browser sees to it.
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in policy
    assert [a["href"] for a in page.all("a")] == ["overlays/name.png"]


def test_thumbnails_are_pictures():
    (image,) = Page(html_report([row()], [], "w")).all("img")
    data = base64.b64decode(image["src"].split(",")[1])
    assert max(Image.open(io.BytesIO(data)).size) <= 160
    assert image["alt"] == "a.png: 2 objects outlined"


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.png",
        '"><img src=x onerror=alert(1)>.png',
        "a&amp;b'c.png",
        "$title ${rows} $$.png",
        "\udce9.png",
    ],
)
def test_names_are_escaped(name):
    evil = row(name)
    evil.record.name = name
    text = html_report([evil], [(name, name)], name)
    page = Page(text.encode("utf-8").decode())
    shown = name.replace("\udce9", "?")
    assert page.cells[1][1] == page.cells[2][1] == shown
    assert page.cells[2][5] == f"failed: {shown}"
    assert len(page.all("script")) == 1
    assert len(page.all("img")) == 1
    assert "onerror" not in page.all("img")[0]
    assert ":" not in page.all("a")[0]["href"].replace("%3A", "")


def test_accessible():
    text = html_report([row()], [], "w")
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html")[0]["lang"] == "en"
    assert page.text["title"][0] == page.text["h1"][0] == "Predicted objects"
    assert all(heading["scope"] == "col" for heading in page.all("th"))
    # A keyboard reaches what sorts.
    assert [button["type"] for button in page.all("button")] == ["button"] * 5
    (drawing,) = page.all("svg")
    assert drawing["role"] == "img"
    named = [t for t in page.all("title") if t.get("id") == drawing["aria-labelledby"]]
    assert len(named) == 1


def test_histogram():
    rows = [row(count=n) for n in (1, 1, 1, 3)]
    page = Page(html_report(rows, [], "w"))
    heights = [float(bar["height"]) for bar in page.all("rect")]
    assert heights == [120.0, 0.0, 40.0]
    assert "objects. 1: 3; 2: 0; 3: 1." in page.text["title"][1]


def test_histogram_of_a_wide_range():
    counts = np.r_[np.arange(0, 1000), 7]
    bins = module._bins(counts)
    assert len(bins) <= module.MOST_BARS
    assert sum(pictures for *_, pictures in bins) == len(counts)
    assert bins[0][0] == 0
    assert bins[-1][1] >= 999
    for least, most, pictures in bins:
        assert pictures == sum(least <= n <= most for n in counts)


def test_no_picture_at_all():
    page = Page(html_report([], [("a", "gone")], "w"))
    assert not page.all("svg")
    assert len(page.cells) == 2


def test_thousands_of_pictures_stay_bounded(monkeypatch):
    big = row()
    big.record.thumbnail = "A" * 16_000  # 12 kB, the most that a thumbnail has
    text = html_report([big] * 5000, [], "w")
    assert text.count("<img") == module.MOST_THUMBNAILS
    assert "The first 2000 pictures" in text
    assert len(text) < 36_000_000
    assert text.count("<tr>") == 5001
