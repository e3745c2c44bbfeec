"""One `history.csv` has what any of the stages reports."""

import tiny

from keras_recattend import stages
from keras_recattend.history_columns import history_columns


def test_columns_cover_all_stages():
    columns = history_columns(tiny.config())
    assert len(columns) == len(set(columns))
    for name in ("loss", "heat", "patch", "segmentation", "theta_mask", "sbd"):
        assert name in columns
    assert {"val_loss", "val_patch_iou", "abs_dic", "fbd"} <= set(columns)


def test_a_preprocessing_network_adds_its_own():
    added = set(history_columns(tiny.preprocessed())) - set(
        history_columns(tiny.config())
    )
    objective = stages.objective("preprocess", tiny.preprocessed())
    assert {*objective.terms, *objective.measures} <= added | {"decay"}
    assert "foreground_iou" in added


def test_the_loss_scale_is_told_where_there_is_one():
    plain, scaled = (history_columns(tiny.config(), scales) for scales in (False, True))
    assert set(scaled) - set(plain) == {"loss_scale", "skipped_steps"}
    assert [name for name in scaled if name in plain] == plain
