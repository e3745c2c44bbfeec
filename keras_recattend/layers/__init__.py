"""The model's parts, each a Keras layer."""

from keras_recattend.layers.box import Box
from keras_recattend.layers.box_network import HeatMapHead, LinearHead
from keras_recattend.layers.canvas import Canvas
from keras_recattend.layers.context import Context
from keras_recattend.layers.controller import Controller, LateCanvasController
from keras_recattend.layers.convolution import ConvolutionStack, TransposedStack
from keras_recattend.layers.gaussian import GaussianFilters
from keras_recattend.layers.glimpses import GlimpseNetwork, Glimpses
from keras_recattend.layers.normalization import Normalization
from keras_recattend.layers.scoring import Scoring
from keras_recattend.layers.segmentation import PatchSegmentation, SegmentationNetwork
from keras_recattend.layers.whole_image import WholeImage

__all__ = [
    "Box",
    "Canvas",
    "Context",
    "Controller",
    "ConvolutionStack",
    "GaussianFilters",
    "GlimpseNetwork",
    "Glimpses",
    "HeatMapHead",
    "LateCanvasController",
    "LinearHead",
    "Normalization",
    "PatchSegmentation",
    "Scoring",
    "SegmentationNetwork",
    "TransposedStack",
    "WholeImage",
]
