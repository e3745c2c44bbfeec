"""Which stages a training has, and how they share its minutes."""

import pytest

from keras_recattend.config import Stage
from keras_recattend.errors import UserError
from keras_recattend.stage_shares import divided

STAGES = {
    "box": Stage(steps=5, share=0.6, learning_rate=0.5),
    "segmentation": Stage(steps=6, share=0.3),
    "joint": Stage(steps=7, share=0.1),
}


def test_named_stages_are_kept_in_the_preset_s_order():
    found = divided(STAGES, "joint = 10,box=30.5")
    assert list(found) == ["box", "joint"]
    assert found["box"] == Stage(steps=5, share=30.5, learning_rate=0.5)
    assert found["joint"] == Stage(steps=7, share=10.0)
    assert STAGES["box"].share == 0.6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("box=1,bix=2", "'bix'.*box, segmentation, joint.*'box'"),
        ("box=1,box=2", "box twice"),
        ("box", "STAGE=NUMBER.*'' for box"),
        ("box=much", "'much' for box"),
        ("box=0", "above 0.*'0' for box"),
        ("box=-3", "'-3' for box"),
        ("box=nan", "'nan' for box"),
        ("box=inf", "'inf' for box"),
        ("", "no stage ''"),
        ("box=1,", "no stage ''"),
    ],
)
def test_what_makes_no_sense_is_refused(text, words):
    with pytest.raises(UserError, match=words):
        divided(STAGES, text)
