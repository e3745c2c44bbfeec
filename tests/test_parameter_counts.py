"""Parameter counts: the models', the documentation's and those worked out by hand."""

import pathlib
import re

import pytest
from parameter_counts import COUNTS

from keras_recattend import presets
from keras_recattend.model import RecurrentAttention

TABLE = pathlib.Path(__file__).parents[1] / "docs" / "presets.md"


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_model_has_the_parameters_worked_out_by_hand(name):
    rest, fcn = COUNTS[name]
    model = RecurrentAttention(presets.get(name))
    trained = sum(v.numpy().size for v in model.trainable_variables)
    assert model.count_params() == rest.all + fcn.all
    assert trained == rest.trained + fcn.trained
    if model.preprocessor is None:
        assert fcn.all == 0
    else:
        assert model.preprocessor.count_params() == fcn.all


def test_the_paper_presets_have_the_size_that_the_spec_tells():
    """About 0.53 M, and 0.02 M of normalisation for every step (section 5)."""
    rest, _ = COUNTS["cvppp_paper"]
    assert abs(rest.trained - 0.55e6) < 0.01e6


def test_the_documentation_has_every_presets_counts():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d ]+) \| ([\d ]+) \| ([\d ]+) \|", TABLE.read_text(), re.M
    )
    told = {
        name: tuple(int(n.replace(" ", "")) for n in numbers) for name, *numbers in rows
    }
    assert told == {
        name: (rest.all + fcn.all, rest.trained + fcn.trained, fcn.all)
        for name, (rest, fcn) in COUNTS.items()
    }
    assert set(told) == set(presets.PRESETS)
