"""Configs out of dictionaries: names that there are not."""

import pytest
from tiny_models import paper_config

from keras_recattend.config import Config, Stage


@pytest.mark.parametrize(
    ("path", "near"),
    [
        (("max_instance",), "max_instances"),
        (("box_network", "glimpse"), "glimpses"),
        (("segmentation", "patchsize"), "patch_size"),
        (("inference", "refinement"), "refinements"),
    ],
)
def test_unknown_names_are_refused_with_near_ones(path, near):
    values = paper_config().to_dict()
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = 1
    with pytest.raises(ValueError, match=f"{path[-1]!r}.*Did you mean '{near}'"):
        Config.from_dict(values)


def test_unknown_names_of_a_stage_are_refused():
    values = paper_config(stages={"box": Stage(steps=1, canvases=0)}).to_dict()
    values["stages"]["box"]["learnig_rate"] = 1.0
    with pytest.raises(ValueError, match=r"Stage has no option .*'learning_rate'"):
        Config.from_dict(values)
