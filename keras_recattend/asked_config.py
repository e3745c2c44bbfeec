"""The config that a command line asks for: a preset, and what is to be other in it."""

import dataclasses

from keras_recattend import ablation, presets
from keras_recattend.data_options import actual_name, options_of
from keras_recattend.errors import ConfigError
from keras_recattend.stage_shares import divided

__all__ = ["asked_config", "asked_preset"]


def asked_preset(options):
    """Return the name of the preset that is given, or else of the data set's own.

    Args:
        options: `preset`, `dataset` and those of `data_options`.
    """
    if options.preset:
        return options.preset
    given = options_of(vars(options))
    return presets.of_dataset(actual_name(options.dataset, given))


def asked_config(options):
    """Return the `Config` of parsed options of `train.py`.

    Args:
        options: those of `asked_preset`, `ablation`, and what changes the preset.

    Raises:
        ConfigError: there is no such preset, or it cannot be changed so.
    """
    config = presets.get(asked_preset(options))
    config = config.replace(**_changes(options, config))
    return ablation.apply(config, options.ablation) if options.ablation else config


def _changes(options, config):
    """What the options change, for `Config.replace`."""
    changes, stages = {}, config.stages
    if options.image_size is not None:
        changes["image_size"] = _size(options.image_size)
    if options.max_instances is not None:
        changes["max_instances"] = options.max_instances
    if options.min_area is not None:
        changes["min_object_area"] = options.min_area
        if config.inference.min_area == config.min_object_area:
            # What is trained is to be found, too.
            changes["inference"] = {"min_area": options.min_area}
    if options.shares:
        changes["stages"] = stages = divided(stages, options.shares)
    factor, batch_size = options.learning_rate_factor, options.batch_size
    if factor != 1.0 or batch_size is not None:
        changes["stages"] = {
            name: dataclasses.replace(
                stage,
                learning_rate=factor * stage.learning_rate,
                batch_size=stage.batch_size if batch_size is None else batch_size,
            )
            for name, stage in stages.items()
        }
    return changes


def _size(text):
    """(height, width) of "448" or "300x400"; ConfigError for anything else."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise ConfigError(f"--image-size is a number, or HEIGHTxWIDTH; got {text!r}.")
    return int(sides[0]), int(sides[-1])
