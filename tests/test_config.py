"""Configs: written, read back, changed."""

import json

import pytest
from tiny_models import CONFIGS, paper_config

from keras_recattend.config import Augmentation, Config, Inference, Stage


@pytest.mark.parametrize("name", CONFIGS)
def test_round_trip(name):
    config = CONFIGS[name](
        normalization="batch",
        augmentation=Augmentation(rotation=20.0, scale=(0.8, 1.2)),
        stages={
            "box": Stage(steps=10, jitter=(0.1, 0.3)),
            "joint": Stage(steps=5, freeze_normalization=True),
        },
    )
    written = json.loads(json.dumps(config.to_dict()))
    assert Config.from_dict(written) == config
    assert isinstance(Config.from_dict(written).stages["box"], Stage)


def test_a_config_of_an_older_version_takes_defaults():
    values = paper_config().to_dict()
    del values["inference"]["zoom"]
    assert Config.from_dict(values) == paper_config()


def test_replace():
    config = paper_config()
    changed = config.replace(max_instances=7, inference={"mask_threshold": 0.3})
    assert changed.timespan == 8
    assert changed.inference == Inference(mask_threshold=0.3)
    assert config.inference.mask_threshold == 0.5
    with pytest.raises(ValueError, match="Did you mean 'max_instances'"):
        config.replace(max_instanzes=7)
    with pytest.raises(ValueError, match="Inference has no option 'zom'"):
        config.replace(inference={"zom": 1.7})
