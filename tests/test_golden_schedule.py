"""Scheduled sampling and learning rates against the authors' code (schedule.npz)."""

import numpy as np
import pytest
from golden_weights import assert_close

from keras_recattend.config import Stage
from keras_recattend.sampling import probability
from keras_recattend.schedules import learning_rate


@pytest.mark.golden("schedule")
def test_schedule(case):
    def theta(kind):
        return np.stack(
            [
                probability(
                    step,
                    int(case["time_steps"]),
                    int(case[f"{kind}_offset_steps"]),
                    int(case["decay_steps"]),
                    decay=float(case["decay_rate"]),
                    base=float(case["base_probability"]),
                    scaled=bool(case["scaled_by_time_index"]),
                )
                for step in case["steps"]
            ]
        )

    stage = Stage(
        steps=1,
        schedule="staircase",
        learning_rate=float(case["base_learning_rate"]),
        decay=float(case["learning_rate_decay"]),
        period=int(case["learning_rate_decay_steps"]),
    )
    assert_close(theta("box"), case["probability_box"], "probability_box")
    assert_close(theta("mask"), case["probability_mask"], "probability_mask")
    rates = [learning_rate(stage, int(step), 0.0) for step in case["steps"]]
    assert_close(rates, case["learning_rate"], "learning_rate")
