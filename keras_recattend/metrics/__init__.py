"""Metrics of instance segmentation and counting; needs numpy only.

The adapters to the official evaluators are imported by themselves, because they need
more: `keras_recattend.metrics.coco` and `keras_recattend.metrics.cityscapes`.
"""

from keras_recattend.metrics.label_maps import (
    OverlapTable,
    best_dice,
    difference_in_count,
    false_negatives,
    false_positives,
    foreground_dice,
    foreground_iou,
    legacy_sbd,
    mean_unweighted_coverage,
    mean_weighted_coverage,
    overlap_table,
    symmetric_best_dice,
)
from keras_recattend.metrics.report import (
    format_precisions,
    format_summary,
    read_csv,
    score_image,
    summarise,
    write_csv,
    write_json,
)

__all__ = [
    "OverlapTable",
    "best_dice",
    "difference_in_count",
    "false_negatives",
    "false_positives",
    "foreground_dice",
    "foreground_iou",
    "format_precisions",
    "format_summary",
    "legacy_sbd",
    "mean_unweighted_coverage",
    "mean_weighted_coverage",
    "overlap_table",
    "read_csv",
    "score_image",
    "summarise",
    "symmetric_best_dice",
    "write_csv",
    "write_json",
]
