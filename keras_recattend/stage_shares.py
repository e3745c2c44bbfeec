"""`train.py --shares`: which stages a training has, and their parts of its minutes."""

import dataclasses
import math

from keras_recattend.config import Stage
from keras_recattend.errors import UserError
from keras_recattend.near_names import near_names

__all__ = ["divided"]


def divided(stages: dict[str, Stage], text: str) -> dict[str, Stage]:
    """Return the stages that a text names, with its shares of the minutes.

    Args:
        stages: of the preset, by name.
        text: as "box=45,own_canvases=55"; their ratio counts. What is not named is
            left out.

    Raises:
        UserError: no such stage, one twice, or a share that is no number above 0.
    """
    shares = {}
    for part in text.split(","):
        name, _, share = (word.strip() for word in part.partition("="))
        if name not in stages:
            raise UserError(
                f"--shares: there is no stage {name!r} in this preset, which has "
                f"{', '.join(stages)}.{near_names(name, stages)}"
            )
        if name in shares:
            raise UserError(f"--shares names the stage {name} twice.")
        shares[name] = _number(name, share)
    return {
        name: dataclasses.replace(stage, share=shares[name])
        for name, stage in stages.items()
        if name in shares
    }


def _number(name, text):
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < math.inf:
        raise UserError(
            f"--shares takes STAGE=NUMBER with numbers above 0, as {name}=45; got "
            f"{text!r} for {name}."
        )
    return share
