"""Everything that defines a model and its training, as frozen dataclasses.

A preset is a named `Config` (see `presets.py`); a run writes its config as
`config.json`, and `Config.from_dict` reads it back. Unknown names are errors that
name their near neighbours.
"""

import dataclasses
import difflib
import json
import math
import typing
from dataclasses import dataclass, field

__all__ = [
    "STAGES",
    "Augmentation",
    "BoxNetwork",
    "Config",
    "ConfigError",
    "Inference",
    "Segmentation",
    "Stage",
    "near_names",
]

# The stages of training, in order.
STAGES = ("box", "segmentation", "own_canvases", "joint")


class ConfigError(ValueError):
    """A setting that does not exist or cannot work."""


def near_names(name, names):
    """Return a ' Did you mean ...?' or ' Known: ...' sentence for an unknown name."""
    near = difflib.get_close_matches(str(name), list(names), n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(repr(n) for n in near)}?"
    return f" Known: {', '.join(sorted(names))}."


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
        hue, saturation, contrast, brightness: as in spec of the paper, +- (0 = off).
        min_visible: an object keeps its label only while this share of its pixels
            (corrected for the zoom) is still inside the image.
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


@dataclass(frozen=True)
class BoxNetwork:
    """Part B: controller CNN, glimpse LSTM, box head (eq. 3-10).

    Attributes:
        depths, pools: channels and max-pooling factor of each 3 x 3 convolution of
            the controller CNN. With `late_canvas` these are the image trunk's.
        late_canvas: compute the image's features once (the trunk) and add the canvas
            at the trunk's resolution, instead of feeding it with the image.
        space_to_depth: fold blocks of this size into channels before the trunk.
        context_depths: further convolutions at half the trunk's resolution, whose
            result is brought back up and added (trunk only; () = none).
        feature_depth: channels of the trunk's output and of the joint layers.
        canvas_depth: channels of the canvas' encoding.
        joint_layers: 3 x 3 convolutions on trunk and canvas together.
        glimpses, lstm_units, mlp_units: the glimpse LSTM and its attention MLP.
        heat_map: predict per cell "center of an object that is not on the canvas"
            and that object's box; guides the attention and carries the box.
        sharpness: factor on the logits of the last read, with a heat map (1 = soft
            attention, a mean of places).
        variance: "size" (variance from the box size, CVPPP) or "predicted".
        patch_gamma, mask_gamma: log gamma as fixed number, or None = predicted.
    """

    depths: tuple[int, ...] = (8, 8, 16, 16, 32, 32, 64, 64)
    pools: tuple[int, ...] = (1, 2, 1, 2, 1, 2, 2, 2)
    late_canvas: bool = False
    space_to_depth: int = 1
    context_depths: tuple[int, ...] = ()
    feature_depth: int = 64
    canvas_depth: int = 48
    joint_layers: int = 3
    glimpses: int = 5
    lstm_units: int = 256
    mlp_units: int = 256
    heat_map: bool = False
    sharpness: float = 1.0
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
        zoom: run a second pass on the crop round everything found in the first,
            enlarged at most this much (1 = no second pass).
        mask_threshold: a pixel belongs to an object above it.
        min_area: objects smaller than this are dropped (pixels of the original).
        stop: end at the first score below the threshold (the paper's text); False
            weighs every step's mask by its score instead (the authors' scorer).
        bilateral: smooth upsampled masks with the authors' bilateral filter.
    """

    score_threshold: float = 0.5
    refinements: int = 0
    growth: float = 0.0
    inhibition: bool = False
    zoom: float = 1.0
    mask_threshold: float = 0.5
    min_area: int = 0
    stop: bool = True
    bilateral: bool = False


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        steps: optimiser steps (a budget in minutes replaces them).
        share: the stage's share of a budget in minutes.
        batch_size: images a step.
        canvases: random canvases an image and step; 0 = the full unroll of T steps.
        true_canvases: share of true canvases among the model's own (own canvases).
        optimizer: "adam" (the paper's) or "adamw".
        learning_rate, weight_decay: peak values. For "adam", the decay is the L2
            loss on kernels; for "adamw" it is decoupled.
        schedule: "cosine" (warm-up, then a cosine to `decay`) or "staircase"
            (times `decay` every `period` steps).
        decay, period, warmup: of the schedule (warmup as share of the stage).
        clip_norm, clip_value: gradient clipping (0 = none).
        steps_per_epoch: progress, history and checkpoints come once an epoch.
        validate_every: epochs between scores on the validation split.
        box_offset, mask_offset, sampling_period: scheduled sampling.
        box_padding: (ratio, least pixels) by which true boxes grow on every side
            (eq. 26). (0, 0.5) is the tight box: pixels reach half a pixel around.
        jitter: (center, log size) noise on true boxes, as share of the size.
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
    jitter: tuple[float, float] = (0.1, 0.2)
    freeze_normalization: bool = False


@dataclass(frozen=True)
class Config:
    """One model, its data and its training.

    Attributes:
        name: the preset it came from.
        dataset: the data set it was made for.
        image_size: (height, width) that images are resized to.
        max_instances: most objects an image may have; the loop has one step more.
        extra_channels: 0, or 9 = 8 angle channels and the foreground.
        normalization: "batch" (shared over steps), "batch_per_step" (the authors')
            or "group".
        initializer: "he", or "small" (truncated normal 0.01, the authors').
        first_outputs_only: only the first n outputs may be matched to n objects (the
            authors' code) instead of any.
        min_object_area: objects with fewer pixels are dropped when records are made.
    """

    name: str
    dataset: str
    image_size: tuple[int, int] = (224, 224)
    max_instances: int = 20
    extra_channels: int = 0
    normalization: str = "batch"
    initializer: str = "he"
    first_outputs_only: bool = False
    min_object_area: int = 25
    box_network: BoxNetwork = field(default_factory=BoxNetwork)
    segmentation: Segmentation = field(default_factory=Segmentation)
    inference: Inference = field(default_factory=Inference)
    augmentation: Augmentation = field(default_factory=Augmentation)
    stages: dict[str, Stage] = field(default_factory=dict)

    def __post_init__(self):
        _validate(self)

    @property
    def timespan(self):
        """T: the number of instance steps, one more than the most objects."""
        return self.max_instances + 1

    def replace(self, **changes):
        """Return a copy; nested fields as `inference={"zoom": 1.7}`."""
        for name, value in changes.items():
            self._check(type(self), name)
            old = getattr(self, name)
            if dataclasses.is_dataclass(old) and isinstance(value, dict):
                for key in value:
                    self._check(type(old), key)
                changes[name] = dataclasses.replace(old, **value)
        return dataclasses.replace(self, **changes)

    @staticmethod
    def _check(cls, name):
        names = [f.name for f in dataclasses.fields(cls)]
        if name not in names:
            raise ConfigError(
                f"{cls.__name__} has no option {name!r}." + near_names(name, names)
            )

    def to_dict(self):
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values):
        """Read what `to_dict` wrote. Raises ValueError on unknown or missing names."""
        return _from_dict(cls, values)


def _from_dict(cls, values):
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        Config._check(cls, name)
        kind = hints[name]
        if dataclasses.is_dataclass(kind):
            value = _from_dict(kind, value)
        elif name == "stages":
            value = {key: _from_dict(Stage, stage) for key, stage in value.items()}
        elif isinstance(value, list):
            value = tuple(value)
        arguments[name] = value
    return cls(**arguments)


def _validate(config):
    """Refuse settings that cannot work, before any graph is built."""
    network, segmentation = config.box_network, config.segmentation
    _one_of("normalization", config.normalization, ["batch", "batch_per_step", "group"])
    _one_of("initializer", config.initializer, ["he", "small"])
    _one_of("variance", network.variance, ["size", "predicted"])
    _one_of("filters", segmentation.filters, ["density", "normalized"])
    _one_of("output", segmentation.output, ["relu", "logits"])
    for name, stage in config.stages.items():
        _one_of("stage", name, list(STAGES))
        _validate_stage(config, name, stage)
    _one_of("extra_channels", config.extra_channels, [0, 1, 9])
    for name, depths, factors in [
        ("box_network", network.depths, network.pools),
        ("segmentation", segmentation.depths, segmentation.pools),
        (
            "segmentation.transposed",
            segmentation.transposed_depths,
            segmentation.transposed_factors,
        ),
    ]:
        if len(depths) != len(factors):
            raise ConfigError(
                f"{name} needs one factor a layer, got depths={depths} and "
                f"factors={factors}."
            )
    if config.max_instances < 1:
        raise ConfigError(
            f"max_instances must be 1 or more, got {config.max_instances}"
        )
    if config.max_instances > 65_534:
        raise ConfigError(
            f"max_instances={config.max_instances} does not fit a 16-bit label map"
        )
    stride = network.stride
    if network.late_canvas and network.context_depths:
        stride *= 2
    _divides("image_size", config.image_size, stride, "the controller's pooling")
    _divides(
        "patch_size",
        segmentation.patch_size,
        math.prod(segmentation.pools),
        "the segmentation CNN's pooling",
    )
    if math.prod(segmentation.pools) != math.prod(segmentation.transposed_factors):
        raise ConfigError(
            "The transposed CNN must undo the pooling: pools="
            f"{segmentation.pools}, factors={segmentation.transposed_factors}"
        )


def _validate_stage(config, name, stage):
    for field_name in ("steps", "batch_size", "steps_per_epoch", "validate_every"):
        if getattr(stage, field_name) < 1:
            raise ConfigError(
                f"stages.{name}.{field_name} must be 1 or more, got "
                f"{getattr(stage, field_name)}."
            )
    unrolled = name == "joint" or (name == "box" and not stage.canvases)
    if unrolled and config.normalization == "batch" and not stage.freeze_normalization:
        raise ConfigError(
            f"stages.{name} unrolls the steps with batch normalisation shared over "
            "them: their statistics differ, and what scores well in training collapses "
            "in inference. Set freeze_normalization=True, or normalization to "
            "'batch_per_step' or 'group'."
        )
    if name == "own_canvases" and not stage.canvases:
        raise ConfigError(
            "stages.own_canvases needs canvases of 1 or more an image, got 0."
        )


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {allowed}, got {value!r}.")


def _divides(name, size, stride, what):
    if any(extent < stride or extent % stride for extent in size):
        raise ConfigError(
            f"{name}={tuple(size)} must be a multiple of {stride} ({what}), both axes."
        )
