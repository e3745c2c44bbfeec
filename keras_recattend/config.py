"""Everything that defines a model and its training, as frozen dataclasses.

A preset is a named `Config` (see `presets.py`); a run writes its config as
`config.json`, and `Config.from_dict` reads it back. Unknown names are errors that
name their near neighbours; so are settings that cannot work (see `config_checks.py`).
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field

from keras_recattend.config_checks import check_config
from keras_recattend.config_reading import check_name, read

__all__ = [
    "STAGES",
    "Augmentation",
    "BoxNetwork",
    "Config",
    "Inference",
    "Preprocessor",
    "Segmentation",
    "Stage",
]

# The stages of training, in order.
STAGES = ("preprocess", "box", "segmentation", "own_canvases", "joint")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training image and, jointly, of its label map.

    Geometry is drawn once an image and applied in one affine warp (bilinear for the
    image, nearest for the labels). Places outside the source take the image's median
    colour and no label.

    Attributes:
        pad_crop: zero-pad by this many pixels on every side, then crop at random
            (the paper's own; exclusive with the affine warp).
        flip_vertical, flip_horizontal, transpose: each with probability 1/2.
        rotation: degrees, uniform in +-rotation.
        scale: (low, high) zoom, log-uniform; above 1 shows objects larger.
        aspect: log-uniform change of the height/width ratio, +-aspect.
        shift: uniform, +-shift as a fraction of the image's sides.
        gain: brightness factor, uniform in 1 +- gain.
        channel_gain: a factor per colour channel, uniform in 1 +- channel_gain.
        offset: added to all channels, uniform in +-offset (image in [0, 1]).
        hue, brightness: shifts, uniform in +-hue (1 = once round the circle of
            colours) and +-brightness (image in [0, 1]).
        saturation, contrast: factors, uniform in 1 +- saturation, 1 +- contrast.
        min_visible: an object keeps its label only while this share of its pixels
            (corrected for the zoom) is still inside the image.
        paste: up to so many objects of another training image are pasted in, in front
            of or behind what is there (0 = none; see `datasets.collage`).
        rendered: this share of the training samples are rendered rosettes
            (`datasets.leaves`) in place of images of the data set.
    """

    pad_crop: int = 0
    flip_vertical: bool = False
    flip_horizontal: bool = False
    transpose: bool = False
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    aspect: float = 0.0
    shift: float = 0.0
    gain: float = 0.0
    channel_gain: float = 0.0
    offset: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    min_visible: float = 0.1
    paste: int = 0
    rendered: float = 0.0

    @property
    def leaves_the_image(self) -> bool:
        """Whether a sample's pixels may be others than those of its own image."""
        return self.paste > 0 or self.rendered > 0


@dataclass(frozen=True)
class Preprocessor:
    """The pre-processing network: an FCN for the foreground and the angles.

    It sees the image alone, once. Its maps are further input channels of controller
    and segmentation network: `angle_classes` angles, then the foreground.

    Attributes:
        depths, pools: channels and max-pooling factor of each 3 x 3 convolution.
        transposed_depths, transposed_factors: of the transposed CNN, back to the
            image's size; the last depth is foreground_classes + angle_classes.
        skips: pairs (k, j), counted from 1: the map that convolution k reads (1 = the
            image) joins the map that transposed layer j gives. Their sizes must fit.
        foreground_classes: 1 (foreground or not, a sigmoid), or background and
            classes together (a softmax; Cityscapes 9).
        angle_classes: 8, or 0 for the foreground alone.
    """

    depths: tuple[int, ...] = (16, 32, 64, 64, 96, 128, 128, 128)
    pools: tuple[int, ...] = (2, 2, 1, 2, 1, 2, 1, 1)
    transposed_depths: tuple[int, ...] = (96, 64, 32, 24, 9)
    transposed_factors: tuple[int, ...] = (2, 2, 2, 2, 1)
    skips: tuple[tuple[int, int], ...] = ((5, 1), (4, 2), (2, 3), (1, 4))
    foreground_classes: int = 1
    angle_classes: int = 8

    @property
    def channels(self):
        """Input channels that it adds: the angles, then the foreground."""
        return self.angle_classes + 1

    @property
    def stride(self):
        """Pixels of the image to one cell of its smallest map."""
        return math.prod(self.pools)


@dataclass(frozen=True)
class BoxNetwork:
    """Part B: controller CNN, glimpse LSTM, box head (eq. 3-10).

    Attributes:
        depths, pools: channels and max-pooling factor of each 3 x 3 convolution of
            the controller CNN. With `late_canvas` these are the image trunk's.
        box_stage_pools: pooling factors while the box stage trains, where it pools in
            another order (the authors' KITTI); () = `pools`.
        sees_image: whether it sees the image beside canvas and maps (the authors';
            the paper's text counts 10 channels, without the image).
        late_canvas: compute the image's features once (the trunk) and add the canvas
            at the trunk's resolution, instead of feeding it with the image.
        space_to_depth: fold blocks of this size into channels before the trunk.
        context_depths: further convolutions at 1/2, 1/4, ... of the trunk's
            resolution, depths for each of these levels, whose result is brought back
            up and joined (late canvas only; () = none).
        feature_depth: channels of the trunk's output and of the joint layers.
        canvas_depth: channels of the canvas' encoding.
        joint_layers: 3 x 3 convolutions on trunk and canvas together.
        joint_context_depths: as `context_depths`, for trunk and canvas together,
            added after the first joint convolution.
        glimpses, lstm_units, mlp_units: the glimpse LSTM and its attention MLP.
        heat_map: predict per cell "center of an object that is not on the canvas"
            and that object's box; guides the attention and carries the box.
        center_map: with a heat map and `late_canvas`, the controller also sees where
            the centres of the objects found so far are. The canvas alone cannot tell a
            small object under a neighbour's mask from one that was found.
        attention_block: with a heat map, the MLP says where to look in blocks of this
            many cells each way; within a block the heat alone decides.
        sharpness: with a heat map the place of the greatest logit is chosen; the
            choice has the gradient of soft attention with this factor on the logits.
        whole_image: no boxes: every patch is the whole image, and controller and
            glimpses remain for the score's state (the ablation `no_box_net`).
        recompute: the controller's first so many convolutions run again in the backward
            pass, instead of keeping what they gave at every step: less memory, more
            time. The first ones keep most: of the paper's eight, 2 keep half. Not with
            `late_canvas`, whose steps keep little.
        variance: "size" (variance from the box size, CVPPP) or "predicted".
        patch_gamma, mask_gamma: log gamma as fixed number, or None = predicted.
    """

    depths: tuple[int, ...] = (8, 8, 16, 16, 32, 32, 64, 64)
    pools: tuple[int, ...] = (1, 2, 1, 2, 1, 2, 2, 2)
    box_stage_pools: tuple[int, ...] = ()
    sees_image: bool = True
    late_canvas: bool = False
    space_to_depth: int = 1
    context_depths: tuple[tuple[int, ...], ...] = ()
    feature_depth: int = 64
    canvas_depth: int = 48
    joint_layers: int = 3
    joint_context_depths: tuple[tuple[int, ...], ...] = ()
    glimpses: int = 5
    lstm_units: int = 256
    mlp_units: int = 256
    heat_map: bool = False
    center_map: bool = False
    attention_block: int = 1
    sharpness: float = 1.0
    whole_image: bool = False
    recompute: int = 0
    variance: str = "size"
    patch_gamma: float | None = 0.0
    mask_gamma: float | None = 2.0

    @property
    def stride(self):
        """Pixels of the image to one cell of the controller's feature map."""
        return self.space_to_depth * math.prod(self.pools)


@dataclass(frozen=True)
class Segmentation:
    """Part C: segmentation CNN and transposed CNN on the patch (eq. 16-19).

    Attributes:
        patch_size: height and width of the patch.
        depths, pools: of the CNN.
        transposed_depths, transposed_factors: of the transposed CNN; the last depth
            is 1, the patch heat map.
        skips: concatenate each CNN map to the transposed layer's input of its size.
        filters: "density" (eq. 13-14 as written) or "normalized" (every read is a
            mean of pixels, every written pixel a mean of patch cells, and nothing
            is written outside the box).
        output: "relu" (normalisation and ReLU on the last layer as well, the
            authors' way) or "logits" (a linear last layer and a sigmoid).
        padding: the patch shows a box larger than the object's by this factor
            ("normalized" only; the paper's head learns the padded box itself).
    """

    patch_size: tuple[int, int] = (48, 48)
    depths: tuple[int, ...] = (8, 8, 16, 16, 32, 32)
    pools: tuple[int, ...] = (1, 2, 1, 2, 1, 2)
    transposed_depths: tuple[int, ...] = (32, 32, 16, 16, 8, 8, 1)
    transposed_factors: tuple[int, ...] = (2, 1, 2, 1, 2, 1, 1)
    skips: bool = False
    filters: str = "density"
    output: str = "relu"
    padding: float = 1.3

    @property
    def features_size(self):
        """Numbers in the CNN's last map, which the score reads (eq. 20)."""
        cells = math.prod(self.patch_size) // math.prod(self.pools) ** 2
        return cells * self.depths[-1]


@dataclass(frozen=True)
class Inference:
    """What happens after, and around, the network's steps.

    Attributes:
        score_threshold: a step below it ends the image's sequence.
        refinements: times the box is drawn anew round the found mask, cut and
            segmented again.
        growth: a side of the patch that the mask touches moves out by this share of
            the patch when it is drawn anew: the object may go on behind it.
        inhibition: never attend twice to a cell whose step added nothing.
        revisions: times that, after the last step, all objects are segmented anew with
            all others' masks on the canvas, where the steps had only those before.
        zoom: run a second pass on the crop round everything found in the first,
            enlarged at most this much (1 = no second pass).
        views: in how many of the eight flipped and turned views the last pass sees the
            image; objects that most of them have are kept. 1 = as it is, 2 = and its
            mirror image, 4 = both upside down, too, 8 = and on their sides.
        mask_threshold: a pixel belongs to an object above it.
        min_area: objects smaller than this are dropped (pixels of the original).
        least_kept: an object that keeps a smaller share of its own mask, because
            others have the rest, was found twice and is dropped (0 = none is).
        stop: end at the first score below the threshold (the paper's text); False
            weighs every step's mask by its score instead (the authors' scorer).
        bilateral: smooth upsampled masks with the authors' bilateral filter.
        foreground_threshold: objects keep only pixels whose foreground probability,
            by the pre-processing network, is above it (0 = off).
        foreground_dilation: side of the square by which that foreground grows first,
            in pixels of the original (0 = not).
    """

    score_threshold: float = 0.5
    refinements: int = 0
    growth: float = 0.0
    inhibition: bool = False
    revisions: int = 0
    zoom: float = 1.0
    views: int = 1
    mask_threshold: float = 0.5
    min_area: int = 0
    least_kept: float = 0.3
    stop: bool = True
    bilateral: bool = False
    foreground_threshold: float = 0.0
    foreground_dilation: int = 0


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        steps: optimiser steps. A budget, of minutes or of fewer steps, replaces them;
            `period`, the offsets and `sampling_period` stay parts of this number.
        share: the stage's share of a budget in minutes.
        batch_size: images a step.
        canvases: random canvases an image and step; in the stage box 0 = the full
            unroll of T steps, as the joint stage always does.
        true_canvases: share of true canvases among the model's own (own canvases).
        optimizer: "adam" (the paper's), "adamw" or "momentum" (gradient descent with
            momentum 0.9, the paper's for the pre-processing network).
        learning_rate, weight_decay: peak values. For "adam" and "momentum", the decay
            is the L2 loss on kernels; for "adamw" it is decoupled.
        schedule: "cosine" (warm-up, then a cosine to `decay`) or "staircase"
            (times `decay` every `period` steps).
        decay, period, warmup: of the schedule (warmup as share of the stage).
        clip_norm, clip_value: gradient clipping (0 = none).
        steps_per_epoch: progress, history and checkpoints come once an epoch.
        validate_every: epochs between scores on the validation split.
        box_offset, mask_offset, sampling_period: scheduled sampling.
        box_padding: (ratio, least pixels) by which true boxes grow on every side
            (eq. 26). (0, 0.5) is the tight box: pixels reach half a pixel around.
        box_noise: noise on the true boxes that the joint stage cuts, drawn for each
            object: the most by which their center moves (as share of the size), and
            their padding ratio changes.
        jitter: (center, log size) noise on true boxes, as share of the size.
        canvas_distortion: deviation of smooth shifts of the outlines on true canvases,
            as share of the image's sides (segmentation stage; 0 = none).
        blank_canvases: share of the patches that, in training, show a canvas with
            nothing on it: the image alone must then tell where an object ends, which
            true canvases give away and the model's own do not (stages segmentation and
            own canvases).
        spill: share of the objects left to find that are painted onto true canvases all
            the same, unmarked, as if a neighbour's mask had spilled over them; only
            where a centre map can tell (stages box, segmentation and own canvases).
        revisions: patches an image of masks drawn anew at the end of the model's own
            sequence, with all others on the canvas: what `inference.revisions` does
            (own canvases; 0 = none).
        neighbours: weight of the shares of other objects that a patch's mask takes, a
            small one as much as a large one ("normalized" filters only; stages
            segmentation and own canvases).
        freeze_normalization: use the moving statistics in training, too.
    """

    steps: int
    share: float = 1.0
    batch_size: int = 8
    canvases: int = 6
    true_canvases: float = 0.4
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    decay: float = 0.03
    period: int = 5000
    warmup: float = 0.05
    clip_norm: float = 2.0
    clip_value: float = 0.0
    steps_per_epoch: int = 50
    validate_every: int = 5
    box_offset: int = 0
    mask_offset: int = 0
    sampling_period: int = 700
    box_padding: tuple[float, float] = (0.0, 0.5)
    box_noise: tuple[float, float] = (0.0, 0.0)
    jitter: tuple[float, float] = (0.1, 0.2)
    canvas_distortion: float = 0.0
    blank_canvases: float = 0.0
    spill: float = 0.0
    revisions: int = 0
    neighbours: float = 0.0
    freeze_normalization: bool = False


@dataclass(frozen=True)
class Config:
    """One model, its data and its training.

    Attributes:
        name: the preset it came from.
        dataset: the data set it was made for.
        image_size: (height, width) that images are resized to.
        max_instances: most objects an image may have; the loop has one step more.
        preprocessor: the pre-processing network, or None.
        extra_channels: input channels beside image and canvas: 8 angles and the
            foreground (9), the foreground alone (1), or 0. Follows from the
            preprocessor; without one, the caller gives them as "extra".
        normalization: "batch" (shared over steps), "batch_per_step" (the authors')
            or "group".
        initializer: "he", or "small" (truncated normal 0.01, the authors').
        first_outputs_only: only the first n outputs may be matched to n objects (the
            authors' code) instead of any.
        corner_matching: scheduled sampling takes the true object whose box overlaps
            the predicted one most by their corners (the authors' Cityscapes) instead
            of by their soft masks.
        min_object_area: objects with fewer pixels do not train.
    """

    name: str
    dataset: str
    image_size: tuple[int, int] = (224, 224)
    max_instances: int = 20
    extra_channels: int = 0
    normalization: str = "batch"
    initializer: str = "he"
    first_outputs_only: bool = False
    corner_matching: bool = False
    min_object_area: int = 25
    preprocessor: Preprocessor | None = None
    box_network: BoxNetwork = field(default_factory=BoxNetwork)
    segmentation: Segmentation = field(default_factory=Segmentation)
    inference: Inference = field(default_factory=Inference)
    augmentation: Augmentation = field(default_factory=Augmentation)
    stages: dict[str, Stage] = field(default_factory=dict)

    def __post_init__(self):
        if self.preprocessor is not None and not self.extra_channels:
            object.__setattr__(self, "extra_channels", self.preprocessor.channels)
        check_config(self, STAGES)

    @property
    def timespan(self):
        """T: the number of instance steps, one more than the most objects."""
        return self.max_instances + 1

    def unrolls(self, name):
        """Whether a stage runs all T steps; others see one step's canvas at a time."""
        return name == "joint" or (name == "box" and not self.stages[name].canvases)

    def replace(self, **changes):
        """Return a copy; nested fields as `inference={"zoom": 1.7}`.

        With another preprocessor, `extra_channels` follows anew unless it is given.
        """
        for name, value in changes.items():
            check_name(type(self), name)
            old = getattr(self, name)
            if old is None and isinstance(value, dict):
                old = Preprocessor()
            if dataclasses.is_dataclass(old) and isinstance(value, dict):
                for key in value:
                    check_name(type(old), key)
                changes[name] = dataclasses.replace(old, **value)
        if "preprocessor" in changes:
            changes.setdefault("extra_channels", 0)
        return dataclasses.replace(self, **changes)

    def without_preprocessor(self):
        """Return a copy without pre-processing network, its stage and its maps."""
        return self.replace(
            preprocessor=None,
            inference={"foreground_threshold": 0.0, "foreground_dilation": 0},
            stages={k: v for k, v in self.stages.items() if k != "preprocess"},
        )

    def without_angles(self):
        """Return a copy whose pre-processing network gives the foreground alone."""
        network = self.preprocessor
        depths = (*network.transposed_depths[:-1], network.foreground_classes)
        return self.replace(
            preprocessor={"angle_classes": 0, "transposed_depths": depths}
        )

    def to_dict(self):
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values):
        """Read what `to_dict` wrote; a name that there is not is a ConfigError."""
        return read(cls, values)
