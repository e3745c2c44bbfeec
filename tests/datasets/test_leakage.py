"""Who must not score: images that trained the weights that a training starts from."""

import dataclasses
import logging

import pytest
import tiny

from datasets.errors import DataError
from datasets.leakage import check_start, trained_names
from datasets.manifest import Entry, Manifest
from datasets.splits import make_split, save_split
from keras_recattend import shipped_weights
from keras_recattend.run_folder import RunError, RunFolder


def manifest_of(dataset, **options):
    """A manifest of 20 images p00, p01, ..., made with options of the data set."""
    images = tuple(Entry(f"p{i:02d}", "", 4, 4, 2, "s", 0, 1, 0) for i in range(20))
    return Manifest(
        "records/x", dataset, "test", {"options": options}, 0, (), images, ()
    )


PLANTS = manifest_of("cvppp")


def leave_run(path, manifest=PLANTS, stored=True, **options):
    """What a training leaves, without `stored` as a shipped one; return its path."""
    made_by = {"val_fraction": 0.2, "seed": 0, "fold": None} | options
    split = make_split(manifest, **{n: made_by[n] for n in list(made_by)[:3]})
    folder = RunFolder(path)
    folder.create(tiny.config(), options={"dataset": manifest.dataset} | made_by)
    if stored:
        save_split(split, path / "split.json")
    return str(path)


def test_a_start_with_the_same_split_has_seen_nothing(tmp_path, caplog):
    start = leave_run(tmp_path / "run", fold="2/5")
    check_start(start, PLANTS, make_split(PLANTS, fold="2/5"), "2/5")
    assert not caplog.records


def test_another_seed_lets_images_be_seen(tmp_path, caplog):
    start = leave_run(tmp_path / "run", val_fraction=0.5, seed=1)
    split = make_split(PLANTS, 0.5, seed=0)
    both = set(make_split(PLANTS, 0.5, seed=1)["train"]) & set(split["val"])
    assert 0 < len(both) < len(split["val"])
    with caplog.at_level(logging.WARNING):
        check_start(start, PLANTS, split)
    message = caplog.text
    assert f"{len(both)} of the 10 images that validate have trained {start}" in message
    assert min(both) in message
    assert "too good" in message


def test_a_fold_is_refused(tmp_path):
    start = leave_run(tmp_path / "run", fold="1/5")
    split = make_split(PLANTS, fold="2/5")
    with pytest.raises(DataError, match=r"4 of the 4 images .* score the fold 2/5"):
        check_start(start, PLANTS, split, "2/5")


def test_what_the_start_started_from_counts_too(tmp_path):
    first = leave_run(tmp_path / "first", fold="1/5")
    second = leave_run(tmp_path / "second", fold="2/5", init=first)
    assert trained_names(second, PLANTS) == set(PLANTS.ids)
    # And what is gone does not.
    third = leave_run(tmp_path / "third", fold="2/5", init=str(tmp_path / "gone"))
    left = make_split(PLANTS, fold="2/5")["train"]
    assert trained_names(third, PLANTS) == set(left)


def test_runs_that_name_each_other_come_to_an_end(tmp_path):
    first = leave_run(tmp_path / "first", fold="1/5", init=str(tmp_path / "second"))
    leave_run(tmp_path / "second", fold="1/5", init=first)
    assert trained_names(first, PLANTS) == set(make_split(PLANTS, fold="1/5")["train"])


def test_the_same_names_in_another_data_set_are_others(tmp_path):
    start = leave_run(tmp_path / "run", manifest_of("leaves"), val_fraction=0)
    assert trained_names(start, PLANTS) == set()


def test_another_subset_has_other_plants_of_the_same_names(tmp_path):
    first, fourth = (manifest_of("cvppp", subset=name) for name in ("A1", "A4"))
    usual = leave_run(tmp_path / "usual", first, val_fraction=0)
    asked = leave_run(tmp_path / "asked", fourth, val_fraction=0, subset="A4")
    assert trained_names(usual, first) == trained_names(asked, fourth) == set(first.ids)
    assert trained_names(usual, fourth) == trained_names(asked, first) == set()


def test_a_coco_file_of_ones_own_is_another_data_set_than_coco(tmp_path):
    start = leave_run(
        tmp_path / "run", manifest_of("coco"), annotations="own.json", val_fraction=0
    )
    assert trained_names(start, manifest_of("coco")) == set()
    assert trained_names(start, manifest_of("own_coco")) == set(PLANTS.ids)


def test_shipped_weights_say_by_their_options_who_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped_weights, "PRETRAINED", tmp_path)
    leave_run(tmp_path / "all", stored=False, val_fraction=0)
    leave_run(tmp_path / "some", stored=False, val_fraction=0.2, seed=3)
    assert trained_names("all", PLANTS) == set(PLANTS.ids)
    train = make_split(PLANTS, seed=3)["train"]
    assert trained_names("some", PLANTS) == set(train)


def test_shipped_weights_of_somebodys_own_pictures_tell_nothing(tmp_path):
    own = manifest_of("folder")
    start = leave_run(tmp_path / "run", own, stored=False, val_fraction=0)
    assert trained_names(start, own) == set()


def test_own_pictures_of_the_same_names_may_be_others(tmp_path, caplog):
    """001.png is in many folders: that is told, and no fold is refused for it."""
    own = manifest_of("folder")
    here = dataclasses.replace(own, source=own.source | {"location": "/data/cells"})
    split = make_split(here, fold="2/5")
    with caplog.at_level(logging.WARNING):
        other = leave_run(tmp_path / "other", own, fold="1/5", data_dir="/data/nuclei")
        check_start(other, here, split, "2/5")
    assert "They lay in another folder then" in caplog.text
    same = leave_run(tmp_path / "same", own, fold="1/5", data_dir="/data/cells")
    with pytest.raises(DataError, match="cannot score the fold 2/5"):
        check_start(same, here, split, "2/5")


def test_a_start_whose_own_start_is_gone_is_told(tmp_path, caplog):
    start = leave_run(tmp_path / "run", fold="2/5", init=str(tmp_path / "gone"))
    check_start(start, PLANTS, make_split(PLANTS, fold="2/5"), "2/5")
    assert "gone, which is not there any more" in caplog.text


def test_a_start_that_is_not_there(tmp_path):
    with pytest.raises(RunError, match="neither a folder nor the name"):
        trained_names("nothing", PLANTS)
