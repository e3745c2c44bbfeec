"""The stages of training: what each one optimises."""

from keras_recattend.config import STAGES
from keras_recattend.stages.box import BoxStage, UnrolledBoxStage
from keras_recattend.stages.joint import JointStage
from keras_recattend.stages.objective import Objective
from keras_recattend.stages.own_canvases import OwnCanvasesStage
from keras_recattend.stages.segmenting import SegmentationStage

__all__ = ["STAGES", "Objective", "objective"]


def objective(name, config, seed=0):
    """Return the `Objective` of the config's stage `name`."""
    if name == "box" and config.stages["box"].canvases == 0:
        return UnrolledBoxStage(config, seed=seed)
    kinds = (BoxStage, SegmentationStage, OwnCanvasesStage, JointStage)
    return {kind.name: kind for kind in kinds}[name](config, seed=seed)
