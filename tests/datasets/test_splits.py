import pytest

from datasets.errors import DataError
from datasets.manifest import Entry, Manifest
from datasets.splits import (
    evenly_chosen,
    load_split,
    made_by,
    make_split,
    parse_fold,
    save_split,
)


def manifest_of(splits, unlabelled=()):
    """A manifest of images p00, p01, ... with the given native splits."""
    images = tuple(
        Entry(f"p{i:02d}", split, 4, 4, None if i in unlabelled else 2, "s", 0, 1, 0)
        for i, split in enumerate(splits)
    )
    return Manifest("records/x", "x", "test", {}, 0, (), images, ())


PLAIN = manifest_of([""] * 25)
GOLDEN = ["p04", "p10", "p11", "p19", "p24"]


def test_every_image_is_somewhere_once():
    split = make_split(PLAIN)
    assert sorted(split["train"] + split["val"]) == PLAIN.ids == split["all"]
    assert (len(split["train"]), len(split["val"]), split["test"]) == (20, 5, [])


def test_the_seed_decides():
    assert make_split(PLAIN, seed=3) == make_split(PLAIN, seed=3)
    assert make_split(PLAIN, seed=3) != make_split(PLAIN, seed=4)


def test_the_split_does_not_depend_on_the_order_of_records():
    reverse = Manifest("r", "x", "t", {}, 0, (), PLAIN.images[::-1], ())
    assert make_split(reverse, seed=1) == make_split(PLAIN, seed=1)


def test_a_split_is_the_same_in_years_to_come():
    # Written down on the day it was made: runs refer to splits by their seed.
    assert make_split(PLAIN, seed=0)["val"] == GOLDEN


@pytest.mark.parametrize(("fraction", "count"), [(0.01, 1), (0.5, 12), (0.99, 24)])
def test_neither_side_is_ever_empty(fraction, count):
    assert len(make_split(PLAIN, val_fraction=fraction)["val"]) == count


@pytest.mark.parametrize("n", [2, 5, 25])
def test_folds_cover_everything_once(n):
    folds = [make_split(PLAIN, seed=1, fold=f"{k}/{n}") for k in range(1, n + 1)]
    assert sorted(name for fold in folds for name in fold["val"]) == PLAIN.ids
    for fold in folds:
        assert not set(fold["train"]) & set(fold["val"])
        assert len(fold["train"]) + len(fold["val"]) == 25


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "1", "a/b", "1/2/3", "1/26"])
def test_bad_folds(fold):
    with pytest.raises(DataError, match=r"[Ff]old"):
        make_split(PLAIN, fold=fold)


def test_parse_fold():
    assert parse_fold("2/5", total=10) == (2, 5)


@pytest.mark.parametrize("fraction", [1, -0.1, 1.5])
def test_bad_fractions(fraction):
    with pytest.raises(DataError, match="between 0 and 1"):
        make_split(PLAIN, val_fraction=fraction)


@pytest.mark.parametrize("count", [1, 25])
def test_every_labelled_image_trains(count):
    manifest = manifest_of([""] * count + ["", "test"], unlabelled=[count, count + 1])
    split = make_split(manifest, val_fraction=0)
    everything = [f"p{i:02d}" for i in range(count)]
    assert split["train"] == split["all"] == everything
    assert split["val"] == []
    assert split["test"] == [f"p{count + 1:02d}"]


def test_a_fold_validates_whatever_the_fraction():
    assert make_split(PLAIN, 0, fold="2/5") == make_split(PLAIN, 0.5, fold="2/5")
    assert len(make_split(PLAIN, 0, fold="2/5")["val"]) == 5


DAYS = [f"plant{p}_day{d}" for p in range(1, 8) for d in range(1, p + 1)]


def series():
    """Plants 1 to 7, of as many days each."""
    images = tuple(
        Entry(name, "", 4, 4, 2, "s", 0, 1, 0) for name in sorted(DAYS, reverse=True)
    )
    return Manifest("records/x", "x", "test", {}, 0, (), images, ())


def plants(names):
    return {name.split("_")[0] for name in names}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("group", ["(.+)_day", "plant[0-9]+"])
def test_what_belongs_together_stays_on_one_side(seed, group):
    split = make_split(series(), 0.25, seed=seed, group=group)
    assert sorted(split["train"] + split["val"]) == sorted(DAYS)
    assert not plants(split["train"]) & plants(split["val"])
    # A quarter of 28 images, and at most the rest of the plant that reaches it.
    assert 7 <= len(split["val"]) <= 13


def test_folds_of_groups():
    folds = [make_split(series(), fold=f"{k}/3", group="(.+)_")["val"] for k in "123"]
    assert sorted(name for fold in folds for name in fold) == sorted(DAYS)
    assert sorted(len(plants(fold)) for fold in folds) == [2, 2, 3]
    assert sum(len(plants(fold)) for fold in folds) == 7


def test_a_split_is_made_again_by_the_options_that_made_it():
    options = {"seed": 3, "fold": None, "group": "(.+)_day", "minutes": 5.0}
    assert made_by(options) == {"seed": 3, "group": "(.+)_day"}


def test_bad_groups():
    with pytest.raises(DataError, match=r"--group \( is no regular expression"):
        make_split(series(), group="(")
    with pytest.raises(DataError, match="not found in the name 'plant1_day1'"):
        make_split(series(), group="(.+)_week")
    with pytest.raises(DataError, match=r"28 labelled images .* in 1 groups"):
        make_split(series(), group="plant")
    with pytest.raises(DataError, match=r"groups of them. cannot make 8 folds"):
        make_split(series(), fold="1/8", group="(.+)_")
    with pytest.raises(DataError, match=r"Leave out --group \(.+\)_"):
        make_split(manifest_of(["train", "val"]), group="(.+)_")


def test_native_splits_are_kept():
    manifest = manifest_of(["train", "train", "val", "test", "test"], unlabelled=[4])
    split = make_split(manifest)
    assert split == {
        "train": ["p00", "p01"],
        "val": ["p02"],
        "test": ["p03", "p04"],
        "all": ["p00", "p01", "p02", "p03"],
    }
    assert make_split(manifest, val_fraction=0) == split
    with pytest.raises(DataError, match="its own validation split"):
        make_split(manifest, fold="1/2")


def test_native_test_with_a_seeded_validation_split():
    split = make_split(manifest_of([""] * 10 + ["test"] * 3, unlabelled=[10, 11, 12]))
    assert split["test"] == ["p10", "p11", "p12"]
    assert (len(split["train"]), len(split["val"]), len(split["all"])) == (8, 2, 10)


def test_unlabelled_images_never_train():
    split = make_split(manifest_of([""] * 6, unlabelled=[1, 2]))
    assert sorted(split["train"] + split["val"]) == ["p00", "p03", "p04", "p05"]


@pytest.mark.parametrize(
    "splits", [[], [""], ["test", "test"], ["val", "val"]], ids=len
)
def test_too_few_images(splits):
    with pytest.raises(DataError, match=r"labelled image"):
        make_split(manifest_of(splits))


def test_stored_splits(tmp_path):
    split = make_split(PLAIN, seed=7)
    save_split(split, tmp_path / "split.json", seed=7)
    assert load_split(tmp_path / "split.json", PLAIN) == split
    with pytest.raises(DataError, match=r"names 20 images that .* \(p05, p06, p07\)"):
        load_split(tmp_path / "split.json", manifest_of([""] * 5))


@pytest.mark.parametrize("text", ["", "[]", '{"train": []}', '{"train": 3}'])
def test_no_split_file(tmp_path, text):
    with pytest.raises(DataError, match="There is no split file"):
        load_split(tmp_path / "split.json")
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match="is no split file"):
        load_split(tmp_path / "split.json")


@pytest.mark.parametrize(
    ("most", "chosen"),
    [(0, "abcdefg"), (1, "a"), (2, "ad"), (3, "ace"), (7, "abcdefg"), (9, "abcdefg")],
)
def test_some_of_many_are_spread_over_all(most, chosen):
    assert "".join(evenly_chosen("abcdefg", most)) == chosen
