"""Every file of scores that the documents quote is what its images say."""

import json
import pathlib

import numpy as np
import pytest

from keras_recattend.metrics.report import read_csv

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "results").rglob("metrics.json"))


def test_there_are_results():
    assert len(FILES) > 20


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.parent.name)
def test_scores_are_the_means_over_images(file):
    metrics = json.loads(file.read_text())
    rows = read_csv(file.with_name("images.csv"))
    assert len(rows) == metrics["n_images"]
    for score in ("sbd", "abs_dic", "dic", "fbd"):
        values = [row[score] for row in rows]
        assert metrics[score]["mean"] == pytest.approx(np.mean(values)), score
        assert metrics[score]["std"] == pytest.approx(np.std(values)), score
