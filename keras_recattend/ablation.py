"""The paper's ablations (section 4.2, Table 4) as named variations of a config."""

import dataclasses

from keras_recattend.errors import ConfigError
from keras_recattend.near_names import near_names

__all__ = ["NAMES", "applicable", "apply"]

# Scheduled sampling shows the truth up to its offset: later than any training ends.
ALWAYS = 1_000_000_000
# Most cells of a whole-image patch, where the preset is made for a CPU.
MOST_CELLS = 128 * 128


def no_preprocessing(config):
    """The raw image alone: no foreground, no angles, no stage that learns them."""
    if config.preprocessor is None:
        raise ConfigError("it has no pre-processing network.")
    return config.without_preprocessor()


def no_angles(config):
    """The pre-processing network gives the foreground alone."""
    if config.preprocessor is None:
        raise ConfigError("it has no pre-processing network, so no angles.")
    if not config.preprocessor.angle_classes:
        raise ConfigError("its pre-processing network has no angles.")
    return config.without_angles()


def no_box_net(config):
    """Segmentation of the whole image at every step, without boxes and their losses."""
    network = config.box_network
    if network.whole_image:
        raise ConfigError("it has no boxes.")
    gammas = {
        name: default if getattr(network, name) is None else getattr(network, name)
        for name, default in (("patch_gamma", 0.0), ("mask_gamma", 2.0))
    }
    return config.replace(
        box_network={
            "whole_image": True,
            "heat_map": False,
            "center_map": False,
            "box_stage_pools": (),
            "variance": "size",
            **gammas,
        },
        segmentation={"patch_size": _whole_patch(config), "padding": 1.0},
        inference={
            "refinements": 0,
            "growth": 0.0,
            "inhibition": False,
            "revisions": 0,
            "zoom": 1.0,
        },
        stages={
            name: dataclasses.replace(stage, neighbours=0.0, revisions=0)
            for name, stage in config.stages.items()
            if name != "box"
        },
    )


def _whole_patch(config):
    """The image's size; where the preset is ours, halved until a CPU can train it."""
    size = config.image_size
    if config.segmentation.filters == "density":
        return size
    while size[0] * size[1] > MOST_CELLS and not any(n % 2 for n in size):
        size = tuple(n // 2 for n in size)
    return size


def no_scheduled_sampling(config):
    """The canvas of training has the best overlapping true segments, to the end."""
    stages = dict(config.stages)
    if "joint" in stages:
        stages["joint"] = dataclasses.replace(stages["joint"], mask_offset=ALWAYS)
    if "own_canvases" in stages:
        own = stages["own_canvases"]
        stages["own_canvases"] = dataclasses.replace(
            own, true_canvases=1.0, revisions=0
        )
    if stages == config.stages:
        raise ConfigError("no stage of it shows the model its own output.")
    return config.replace(stages=stages)


def glimpses_1(config):
    """One glimpse of the feature map an object."""
    return _with_glimpses(config, 1)


def glimpses_3(config):
    """Three glimpses of the feature map an object."""
    return _with_glimpses(config, 3)


def _with_glimpses(config, count):
    if config.box_network.glimpses <= count:
        raise ConfigError(f"it has {config.box_network.glimpses} as it is.")
    return config.replace(box_network={"glimpses": count})


# In the order of the paper's table.
_CHANGES = {
    change.__name__: change
    for change in (
        no_preprocessing,
        no_box_net,
        no_angles,
        no_scheduled_sampling,
        glimpses_1,
        glimpses_3,
    )
}
NAMES = tuple(_CHANGES)


def apply(config, name):
    """Return the config with one part taken away, called "PRESET-NAME".

    Args:
        config: a preset's `Config`. name: out of `NAMES`.

    Raises:
        ConfigError: there is no such ablation, or this config cannot have it.
    """
    if name not in _CHANGES:
        raise ConfigError(
            f"There is no ablation {name!r}." + near_names(name, _CHANGES)
        )
    try:
        changed = _CHANGES[name](config)
    except ConfigError as error:
        raise ConfigError(
            f"The ablation {name} does not apply to the preset {config.name}: {error}"
        ) from error
    return changed.replace(name=f"{config.name}-{name}")


def applicable(config):
    """Return (names, reasons): the ablations it can have, and why not the others.

    Args:
        config: a preset's `Config`.

    Returns:
        names: a list. reasons: a dict of the other names and the errors' messages.
    """
    names, reasons = [], {}
    for name in NAMES:
        try:
            apply(config, name)
            names.append(name)
        except ConfigError as error:
            reasons[name] = str(error)
    return names, reasons
