import json

from tiny_plants import blocks, picture, source_of

from datasets.example import Example
from datasets.source import Item, Source, file_sizes


def test_file_sizes_are_relative_and_in_order(tmp_path):
    (tmp_path / "A1").mkdir()
    (tmp_path / "b.png").write_bytes(b"12345")
    (tmp_path / "A1" / "c.png").write_bytes(b"12")
    found = file_sizes([tmp_path / "b.png", tmp_path / "A1" / "c.png"], tmp_path)
    assert found == (("b.png", 5), ("A1/c.png", 2))


def test_description_is_what_json_gives_back():
    items = (Item("1", files=(("b.png", 5), ("a.png", 1))), Item("2"))
    shared = (("list.txt", 3),)
    source = Source("x", "/raw", {"subset": "A1"}, items, None, shared)
    description = source.description()
    assert json.loads(json.dumps(description)) == description
    assert description == {
        "location": "/raw",
        "options": {"subset": "A1"},
        "files": [["a.png", 1], ["b.png", 5], ["list.txt", 3]],
    }


def test_examples_come_with_their_splits():
    given = [Example(name, picture(blocks()), blocks()) for name in "ab"]
    source = source_of(given, splits=["train", "val"])
    assert list(source.examples()) == [(given[0], "train"), (given[1], "val")]
    assert source.total == 2
