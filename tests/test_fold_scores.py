"""The scores of a cross-validation, from hand-made folds, against numpy."""

import json

import hand_made_fold
import numpy as np
import pytest

from keras_recattend.fold_scores import combine, markdown, read_fold, write_scores
from keras_recattend.metrics.report import METRICS, read_csv
from keras_recattend.run_folder import RunError

SBD = {1: [90.0, 80.0, 70.0], 2: [60.0, 50.5], 3: [20.0, 85.0]}


@pytest.fixture
def folds(tmp_path):
    """Three of four folds: seven images, three of them in the first."""
    for number, values in SBD.items():
        hand_made_fold.leave(tmp_path / str(number), number, values)
    return [read_fold(number, tmp_path / str(number)) for number in SBD]


def everything():
    return np.concatenate(list(SBD.values()))


def test_all_images_weigh_the_same(folds):
    combined = combine(folds, 4)
    assert combined["n_images"] == 7
    assert combined["sbd"] == {
        "mean": pytest.approx(everything().mean()),
        "std": pytest.approx(
            np.sqrt(((everything() - everything().mean()) ** 2).sum() / 7)
        ),
    }
    assert combined["preset"] == "tiny"
    assert combined["n_folds"] == 4
    assert combined["missing_folds"] == [4]


def test_the_folds_weigh_the_same(folds):
    combined = combine(folds, 4)
    means = [np.mean(values) for values in SBD.values()]
    assert np.mean(means) != pytest.approx(everything().mean())
    assert combined["mean_of_folds"]["sbd"] == {
        "mean": pytest.approx(np.mean(means)),
        "std": pytest.approx(np.std(means)),
    }
    assert set(combined["mean_of_folds"]) == set(METRICS)
    for summary, (number, values) in zip(combined["folds"], SBD.items(), strict=True):
        assert summary["fold"] == number
        assert summary["n_images"] == len(values)
        assert summary["sbd"]["mean"] == pytest.approx(np.mean(values))
        assert summary["sbd"]["std"] == pytest.approx(np.std(values))
        assert summary["steps"] == [200, 10]
        assert summary["minutes"] == 4.5


def test_a_fold_without_objects_has_no_coverage(tmp_path):
    """Its mean coverage is not 0: there is none."""
    hand_made_fold.leave(tmp_path / "1", 1, [80.0], mucov=60.0)
    hand_made_fold.leave(tmp_path / "2", 2, [100.0], mucov=0.0, true_count=0.0)
    combined = combine([read_fold(k, tmp_path / str(k)) for k in (1, 2)], 2)
    assert combined["mean_of_folds"]["mucov"] == {"mean": 60.0, "std": 0.0}
    assert combined["mean_of_folds"]["sbd"] == {"mean": 90.0, "std": 10.0}


def test_every_image_once_with_its_fold(folds):
    images = combine(folds, 4)["images"]
    expected = {
        f"f{number}-{i}": (number, value)
        for number, values in SBD.items()
        for i, value in enumerate(values)
    }
    assert {row["name"]: (row["fold"], row["sbd"]) for row in images} == expected
    assert [row["name"] for row in images] == sorted(expected)
    assert all(set(row) == {"name", "fold", *METRICS} for row in images)


def test_the_last_epochs_by_the_size_of_their_folds(tmp_path):
    hand_made_fold.leave(tmp_path / "1", 1, [90.0, 80.0, 70.0], last=(74.0, 2.0))
    hand_made_fold.leave(tmp_path / "2", 2, [60.0], last=(50.0, 1.0))
    folds = [read_fold(k, tmp_path / str(k)) for k in (1, 2)]
    combined = combine(folds, 2)
    assert combined["last_epoch"] == {"sbd": 68.0, "abs_dic": 1.75}
    assert combined["folds"][1]["last_epoch"] == {"sbd": 50.0, "abs_dic": 1.0}
    # Where one training ended unscored, there is no mean over all images.
    hand_made_fold.leave(tmp_path / "3", 3, [60.0], last=None)
    combined = combine([*folds, read_fold(3, tmp_path / "3")], 3)
    assert "last_epoch" not in combined
    assert "last_epoch" not in combined["folds"][2]


def test_the_files(folds, tmp_path):
    combined = combine(folds, 4)
    table, metrics, images = write_scores(combined, ["About."], tmp_path / "out")
    assert json.loads(metrics.read_text()) == combined
    rows = read_csv(images)
    assert list(rows[0])[:2] == ["name", "fold"]
    assert rows == combined["images"]
    assert table.read_text() == markdown(combined, ["About."])


def test_the_table(tmp_path):
    hand_made_fold.leave(tmp_path / "1", 1, [90.0, 80.0], last=(74.0, 2.0))
    hand_made_fold.leave(tmp_path / "3", 3, [60.0, 70.0], last=(50.0, 1.0))
    folds = [read_fold(k, tmp_path / str(k)) for k in (1, 3)]
    assert markdown(combine(folds, 3), ["About."]).splitlines() == [
        "About.",
        "",
        "| Fold | Images | SBD | \\|DiC\\| | DiC | FBD | MUCov | SBD, last epoch | "
        "\\|DiC\\|, last epoch | Steps | Minutes |",
        "| --- |" + " ---: |" * 10,
        "| 1 | 2 | 85.0 (5.0) | 1.00 (0.00) | -1.00 (0.00) | 90.0 (0.0) | 70.0 (0.0) "
        "| 74.0 | 2.00 | 200 + 10 | 4.5 |",
        "| 2 | missing |  |  |  |  |  |  |  |  |  |",
        "| 3 | 2 | 65.0 (5.0) | 1.00 (0.00) | -1.00 (0.00) | 90.0 (0.0) | 70.0 (0.0) "
        "| 50.0 | 1.00 | 200 + 10 | 4.5 |",
        "| **all images** | 4 | 75.0 (11.2) | 1.00 (0.00) | -1.00 (0.00) | 90.0 (0.0) "
        "| 70.0 (0.0) | 62.0 | 1.50 |  | 9.0 |",
        "| mean of folds |  | 75.0 (10.0) | 1.00 (0.00) | -1.00 (0.00) | 90.0 (0.0) "
        "| 70.0 (0.0) |  |  |  |  |",
    ]


def test_an_image_in_two_folds(tmp_path):
    for name in ("1", "2"):
        hand_made_fold.leave(tmp_path / name, 1, [90.0])
    folds = [read_fold(k, tmp_path / str(k)) for k in (1, 2)]
    with pytest.raises(RunError, match="f1-0 is in the folds 1 and 2"):
        combine(folds, 2)


def test_folds_of_two_presets(tmp_path):
    hand_made_fold.leave(tmp_path / "1", 1, [90.0])
    hand_made_fold.leave(tmp_path / "2", 2, [90.0], preset="other")
    folds = [read_fold(k, tmp_path / str(k)) for k in (1, 2)]
    with pytest.raises(RunError, match="fold 1: tiny, fold 2: other"):
        combine(folds, 2)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.json", "no JSON"),
        ("metrics.json", "{}"),
        ("images.csv", ""),
        ("images.csv", "name,sbd\na,1\n"),
        ("images.csv", None),
    ],
)
def test_a_damaged_fold_is_named(tmp_path, file, text):
    hand_made_fold.leave(tmp_path / "2", 2, [90.0])
    if text is None:
        (tmp_path / "2" / file).unlink()
    else:
        (tmp_path / "2" / file).write_text(text)
    with pytest.raises(RunError, match=r"2.metrics\.json .*Move"):
        read_fold(2, tmp_path / "2")
