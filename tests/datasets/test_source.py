from datasets.source import Source, file_sizes


def test_file_sizes_are_relative_and_sorted(tmp_path):
    (tmp_path / "A1").mkdir()
    (tmp_path / "b.png").write_bytes(b"12345")
    (tmp_path / "A1" / "c.png").write_bytes(b"12")
    found = file_sizes([tmp_path / "b.png", tmp_path / "A1" / "c.png"], tmp_path)
    assert found == (("A1/c.png", 2), ("b.png", 5))


def test_description_is_what_json_gives_back():
    import json

    source = Source("x", "/raw", {"subset": "A1"}, (("a", 1),), 0, lambda: iter(()))
    description = source.description()
    assert json.loads(json.dumps(description)) == description
    assert set(description) == {"location", "options", "files"}
