"""The guess at memory: its order of magnitude, and the refusal of what cannot fit."""

import dataclasses

import pytest

from keras_recattend import memory, presets
from keras_recattend.errors import UserError
from keras_recattend.memory import check_memory, estimate, out_of_memory, stage_bytes


@pytest.mark.parametrize(
    ("recompute", "measured"), [(0, 1.33e9), (2, 0.93e9), (8, 0.71e9)]
)
def test_the_papers_joint_stage_is_near_the_measured_memory(recompute, measured):
    # Peak of steps with batches of 4, as `python -m benchmarks` measures it.
    config = presets.get("cvppp_paper")
    joint = dataclasses.replace(config.stages["joint"], batch_size=4)
    config = config.replace(
        stages=config.stages | {"joint": joint}, box_network={"recompute": recompute}
    )
    assert 0.6 * measured < stage_bytes(config, "joint") < 1.6 * measured


def test_memory_grows_with_the_batch():
    config = presets.get("cvppp")
    for name, stage in config.stages.items():
        doubled = dataclasses.replace(stage, batch_size=2 * stage.batch_size)
        larger = config.replace(stages=config.stages | {name: doubled})
        assert stage_bytes(larger, name) == 2 * stage_bytes(config, name)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_the_presets_fit_into_sixteen_gigabytes(name):
    config = presets.get(name)
    assert all(stage_bytes(config, stage) < 16e9 for stage in config.stages)


def with_batches(size):
    config = presets.get("cvppp")
    box = dataclasses.replace(config.stages["box"], batch_size=size)
    return config.replace(stages=config.stages | {"box": box})


def test_oversized_settings_are_refused_with_the_numbers():
    config = with_batches(10**6)
    with pytest.raises(UserError, match=r"Stage box with batches of 1000000 images"):
        check_memory(config, ["segmentation", "box"])
    check_memory(config, ["segmentation"])
    # Of several machines each has its part of every batch.
    check_memory(config, ["box"], machines=10**5)


def test_where_there_is_a_gpu_the_hosts_memory_says_nothing(monkeypatch):
    """A device's share of the batch is told, and nothing refused."""
    config = with_batches(10**6)
    assert estimate(config, "box", 1) == ""
    monkeypatch.setattr(memory, "has_gpu", lambda: True)
    check_memory(config, ["box"])
    monkeypatch.setattr(memory, "stage_bytes", lambda config, name: 6.0e9)
    assert estimate(config, "box", 1) == "about 6.0 GB on each device"
    assert estimate(config, "box", 4) == "about 1.5 GB on each device"


@pytest.mark.parametrize(
    ("batch", "replicas", "remedy"),
    [
        (8, 1, "--batch-size 4 "),
        (12, 4, "--batch-size 4 "),  # 6 would not be divisible
        (4, 4, "smaller image_size"),  # one image a device
    ],
)
def test_out_of_memory_names_the_next_smaller_batch(batch, replicas, remedy):
    message = str(out_of_memory(with_batches(batch), "box", replicas))
    assert f"Stage box with batches of {batch} images of 448 x 448" in message
    assert remedy in message
