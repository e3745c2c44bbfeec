"""The stages of training: what each one optimises."""

from keras_recattend.config import STAGES
from keras_recattend.stages.box import BoxStage, UnrolledBoxStage
from keras_recattend.stages.joint import JointStage
from keras_recattend.stages.objective import Objective
from keras_recattend.stages.own_canvases import OwnCanvasesStage
from keras_recattend.stages.preprocess import PreprocessStage
from keras_recattend.stages.segmentation import SegmentationStage
from keras_recattend.stages.whole_image import (
    WholeOwnCanvasesStage,
    WholeSegmentationStage,
)

__all__ = ["SEED_NUMBERS", "STAGES", "Objective", "objective"]

# What a stage adds to the run's seed. Append only: a new stage must not change the
# order of the images in the others.
SEED_NUMBERS = {
    "box": 0,
    "segmentation": 1,
    "own_canvases": 2,
    "joint": 3,
    "preprocess": 4,
}


def objective(name, config, seed=0):
    """Return the `Objective` of the config's stage `name`."""
    if name == "box" and config.unrolls(name):
        return UnrolledBoxStage(config, seed=seed)
    kinds = (
        PreprocessStage,
        BoxStage,
        SegmentationStage,
        OwnCanvasesStage,
        JointStage,
    )
    if config.box_network.whole_image:
        kinds = (*kinds, WholeSegmentationStage, WholeOwnCanvasesStage)
    return {kind.name: kind for kind in kinds}[name](config, seed=seed)
