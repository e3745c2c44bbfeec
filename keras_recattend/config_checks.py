"""What a config may not be: settings that cannot work, refused before any graph.

Every message says which setting, what it is, and what it should be.
"""

import math

from keras_recattend.errors import ConfigError

__all__ = ["VIEW_COUNTS", "check_config"]

# Objects of a label map of 16 bits: 0 is the background, and the loop has one step
# more than there are objects.
MOST_INSTANCES = 65_534
# How many of `views.VIEWS` may be asked for, from the first on.
VIEW_COUNTS = (1, 2, 4, 8)
# The least and the most that a stage's numbers may be.
_STAGE_BOUNDS = {
    "steps": (1, math.inf),
    "batch_size": (1, math.inf),
    "canvases": (0, math.inf),
    "true_canvases": (0, 1),
    "learning_rate": (0, math.inf),
    "weight_decay": (0, math.inf),
    "decay": (0, 1),
    "period": (1, math.inf),
    "warmup": (0, 1),
    "clip_norm": (0, math.inf),
    "clip_value": (0, math.inf),
    "steps_per_epoch": (1, math.inf),
    "validate_every": (1, math.inf),
    "sampling_period": (1, math.inf),
    "canvas_distortion": (0, math.inf),
    "blank_canvases": (0, 1),
    "spill": (0, 1),
    "revisions": (0, math.inf),
    "neighbours": (0, math.inf),
}
# And those of the steps between the network and the result.
_INFERENCE_BOUNDS = {
    "score_threshold": (0, 1),
    "refinements": (0, math.inf),
    "growth": (0, math.inf),
    "revisions": (0, math.inf),
    "zoom": (1, math.inf),
    "mask_threshold": (0, 1),
    "min_area": (0, math.inf),
    "least_kept": (0, 1),
    "foreground_threshold": (0, 1),
    "foreground_dilation": (0, math.inf),
}


def check_config(config, stages):
    """Raise a ConfigError if a `Config` cannot work.

    Args:
        stages: names of the stages that there are.
    """
    network, segmentation = config.box_network, config.segmentation
    _one_of("normalization", config.normalization, ["batch", "batch_per_step", "group"])
    _one_of("initializer", config.initializer, ["he", "small"])
    _one_of("variance", network.variance, ["size", "predicted"])
    if network.joint_layers < 1:
        raise ConfigError(
            "box_network.joint_layers counts the first joint convolution, so it must "
            f"be 1 or more, got {network.joint_layers}."
        )
    _one_of("filters", segmentation.filters, ["density", "normalized"])
    _one_of("output", segmentation.output, ["relu", "logits"])
    _check_recompute(config)
    _check_center_map(config)
    for name, stage in config.stages.items():
        _one_of("stage", name, list(stages))
        _check_stage(config, name, stage)
    _check_maps(config)
    _one_factor_a_layer("box_network", network.depths, network.pools)
    _one_factor_a_layer("segmentation", segmentation.depths, segmentation.pools)
    _one_factor_a_layer(
        "segmentation.transposed",
        segmentation.transposed_depths,
        segmentation.transposed_factors,
    )
    _check_box_stage_pools(network)
    if network.whole_image:
        _check_whole_image(config)
    _check_inference(config)
    _check_inputs(config)
    _check_max_instances(config.max_instances)
    _check_sizes(config)
    _check_output(segmentation)


def _check_output(segmentation):
    """What is above 0 is never background; and maps meet those of their size."""
    if segmentation.filters == "normalized" and segmentation.output == "relu":
        raise ConfigError(
            "segmentation.filters='normalized' takes a patch's outputs as logits: with "
            "output='relu' no cell could be background. Set output to 'logits'."
        )
    pools, factors = segmentation.pools, segmentation.transposed_factors
    joined = min(len(pools), len(factors) - 1) if segmentation.skips else 0
    for i in range(1, joined + 1):
        read = math.prod(pools[: len(pools) - i])
        given = math.prod(pools) // math.prod(factors[:i])
        if read != given:
            raise ConfigError(
                "segmentation.skips=True joins what the convolutions give, last one "
                f"first, to the transposed layers: layer {i + 1} reads a map of "
                f"1/{given} of the patch's size and would be joined to one of "
                f"1/{read}. Mirror pools={pools} in transposed_factors={factors}."
            )


def _check_recompute(config):
    network = config.box_network
    count = len(network.depths)
    # True would be the first alone.
    if network.recompute is True or not 0 <= network.recompute <= count:
        raise ConfigError(
            "box_network.recompute is how many of the controller's convolutions run "
            f"again, from 0 to all {count}, got {network.recompute}."
        )
    if network.recompute and (network.late_canvas or config.normalization == "group"):
        raise ConfigError(
            "box_network.recompute needs late_canvas=False and no group normalisation, "
            f"got late_canvas={network.late_canvas} and normalization="
            f"{config.normalization!r}. Set recompute to 0."
        )


def _check_center_map(config):
    network = config.box_network
    if network.center_map and not (network.heat_map and network.late_canvas):
        raise ConfigError(
            "box_network.center_map needs heat_map=True and late_canvas=True, got "
            f"heat_map={network.heat_map} and late_canvas={network.late_canvas}. Set "
            "center_map to False."
        )


def _check_bounds(part, settings, bounds):
    """Raise ConfigError where a number of `settings` is not within its bounds."""
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if not least <= value <= most:
            wanted = (
                f"from {least} to {most}" if most < math.inf else f"{least} or more"
            )
            raise ConfigError(f"{part}.{name} must be {wanted}, got {value}.")


def _check_stage(config, name, stage):
    _one_of(f"stages.{name}.optimizer", stage.optimizer, ["adam", "adamw", "momentum"])
    _one_of(f"stages.{name}.schedule", stage.schedule, ["cosine", "staircase"])
    if name == "preprocess" and config.preprocessor is None:
        raise ConfigError(
            "stages.preprocess trains the pre-processing network, but preprocessor is "
            "None. Give one, or leave the stage out."
        )
    _check_bounds(f"stages.{name}", stage, _STAGE_BOUNDS)
    for field_name in ("neighbours", "revisions"):
        _check_needs_patches(config, f"stages.{name}.{field_name}", stage, field_name)
    if stage.share <= 0:
        raise ConfigError(
            f"stages.{name}.share must be above 0, got {stage.share}. Leave a stage "
            "out that is to take no time."
        )
    if stage.clip_norm and stage.clip_value:
        raise ConfigError(
            f"stages.{name} clips gradients by clip_norm={stage.clip_norm} or by "
            f"clip_value={stage.clip_value}, not by both. Set one of them to 0."
        )
    unrolled = config.unrolls(name)
    if name == "box" and unrolled and config.box_network.heat_map:
        raise ConfigError(
            "stages.box.canvases=0 unrolls the steps, and nothing there trains the "
            "heat map and its cells' boxes (box_network.heat_map=True). Set canvases "
            "to 1 or more, or heat_map to False."
        )
    single = not unrolled and name != "preprocess"
    if single and config.normalization == "batch_per_step":
        raise ConfigError(
            f"stages.{name} trains steps by themselves, and so the first step's "
            "normalisation alone: normalization='batch_per_step' needs the stages "
            "joint and box with canvases=0 alone."
        )
    of_patches = name in ("segmentation", "own_canvases")
    if of_patches and config.segmentation.output == "relu":
        raise ConfigError(
            f"stages.{name} trains what a patch's cells are by their logits, which "
            "segmentation.output='relu' never lets fall below 0. Set it to 'logits'."
        )
    if unrolled and config.normalization == "batch" and not stage.freeze_normalization:
        raise ConfigError(
            f"stages.{name} unrolls the steps with batch normalisation shared over "
            "them: their statistics differ, and what scores well in training collapses "
            "in inference. Set freeze_normalization=True, or normalization to "
            "'batch_per_step' or 'group'."
        )
    if stage.spill and not config.box_network.center_map:
        raise ConfigError(
            f"stages.{name}.spill={stage.spill} paints objects that are not marked, "
            "which box_network.center_map alone can tell from found ones. Set spill to "
            "0, or center_map to True."
        )
    if of_patches and not stage.canvases:
        raise ConfigError(f"stages.{name} needs canvases of 1 or more an image, got 0.")


def _check_maps(config):
    """The maps beside image and canvas, and the network that gives them."""
    if config.preprocessor is not None:
        _check_preprocessor(config, config.preprocessor)
    elif config.inference.foreground_threshold:
        raise ConfigError(
            "inference.foreground_threshold="
            f"{config.inference.foreground_threshold} needs a preprocessor. Set it "
            "to 0."
        )
    _one_of("extra_channels", config.extra_channels, [0, 1, 9])


def _check_needs_patches(config, full_name, stage, field_name):
    value = getattr(stage, field_name)
    if value and config.box_network.whole_image:
        raise ConfigError(
            f"{full_name}={value} needs patches of boxes, and box_network.whole_image "
            f"has none. Set {field_name} to 0."
        )
    if value and config.segmentation.filters != "normalized":
        raise ConfigError(
            f"{full_name}={value} needs segmentation.filters 'normalized', whose cells "
            f"are means of pixels; got {config.segmentation.filters!r}. Set "
            f"{field_name} to 0."
        )


def _check_preprocessor(config, network):
    """The FCN must come back to the image's size, and its skips must meet."""
    _one_of("preprocessor.angle_classes", network.angle_classes, [0, 8])
    if config.extra_channels != network.channels:
        raise ConfigError(
            f"extra_channels={config.extra_channels} does not fit the preprocessor: "
            f"its maps are {network.channels} channels ({network.angle_classes} "
            "angles and the foreground). Leave extra_channels out."
        )
    if network.foreground_classes < 1:
        raise ConfigError(
            "preprocessor.foreground_classes must be 1, or background and classes "
            f"together, got {network.foreground_classes}."
        )
    outputs = network.foreground_classes + network.angle_classes
    if not network.transposed_depths or network.transposed_depths[-1] != outputs:
        raise ConfigError(
            f"preprocessor.transposed_depths must end with {outputs} "
            "(foreground_classes + angle_classes), got "
            f"{network.transposed_depths}."
        )
    _one_factor_a_layer("preprocessor", network.depths, network.pools)
    _one_factor_a_layer(
        "preprocessor.transposed",
        network.transposed_depths,
        network.transposed_factors,
    )
    if network.stride != math.prod(network.transposed_factors):
        raise ConfigError(
            "The preprocessor's transposed CNN must undo its pooling: "
            f"pools={network.pools}, factors={network.transposed_factors}"
        )
    _divides(
        "image_size", config.image_size, network.stride, "the preprocessor's pooling"
    )
    _check_skips(network)


def _check_skips(network):
    joined = [layer for _, layer in network.skips]
    if len(set(joined)) < len(joined):
        raise ConfigError(
            "preprocessor.skips may join one map to a transposed layer, got "
            f"{network.skips}."
        )
    for convolution, layer in network.skips:
        if not (
            1 <= convolution <= len(network.pools)
            and 1 <= layer < len(network.transposed_factors)
        ):
            raise ConfigError(
                f"preprocessor.skips has {(convolution, layer)}: convolutions are "
                f"1 to {len(network.pools)}, transposed layers 1 to "
                f"{len(network.transposed_factors) - 1} (nothing joins the last one's "
                "map)."
            )
        read = math.prod(network.pools[: convolution - 1])
        given = network.stride // math.prod(network.transposed_factors[:layer])
        if read != given:
            raise ConfigError(
                f"preprocessor.skips has {(convolution, layer)}: convolution "
                f"{convolution} reads a map of 1/{read} of the image's size, "
                f"transposed layer {layer} gives one of 1/{given}."
            )


def _check_box_stage_pools(network):
    pools = network.box_stage_pools
    if pools and (
        network.late_canvas
        or len(pools) != len(network.pools)
        or math.prod(pools) != math.prod(network.pools)
    ):
        raise ConfigError(
            f"box_network.box_stage_pools={pools} must be as many factors as "
            f"pools={network.pools}, of the same product, and needs late_canvas=False."
        )


def _check_whole_image(config):
    """Where no box is drawn, none can be trained, guided or drawn anew."""
    network, inference = config.box_network, config.inference
    settings = {
        "box_network.heat_map": (network.heat_map, False),
        "box_network.box_stage_pools": (network.box_stage_pools, ()),
        "box_network.variance": (network.variance, "size"),
        "segmentation.padding": (config.segmentation.padding, 1.0),
        "inference.refinements": (inference.refinements, 0),
        "inference.growth": (inference.growth, 0.0),
        "inference.inhibition": (inference.inhibition, False),
        "inference.revisions": (inference.revisions, 0),
        "inference.zoom": (inference.zoom, 1.0),
    }
    for name, (value, needed) in settings.items():
        if value != needed:
            raise ConfigError(
                f"box_network.whole_image needs {name}={needed!r}, got {value!r}: "
                "there is no box to draw."
            )
    if None in (network.patch_gamma, network.mask_gamma):
        raise ConfigError(
            "box_network.whole_image needs a number for patch_gamma and mask_gamma: "
            "there is no head that could predict them."
        )
    if "box" in config.stages:
        raise ConfigError(
            "stages.box trains boxes, but box_network.whole_image has none. Leave the "
            "stage out."
        )


def _check_inference(config):
    """Some settings read what only one kind of heads or filters gives."""
    inference, filters = config.inference, config.segmentation.filters
    _check_bounds("inference", inference, _INFERENCE_BOUNDS)
    _one_of("inference.views", inference.views, list(VIEW_COUNTS))
    if inference.views > 4 and len(set(config.image_size)) > 1:
        raise ConfigError(
            f"inference.views={inference.views} turns images on their sides: it needs "
            f"a square image_size, got {tuple(config.image_size)}. Set views to 4 or "
            "less."
        )
    if inference.inhibition and not config.box_network.heat_map:
        raise ConfigError(
            "inference.inhibition shuts a cell of the heat map: it needs "
            "box_network.heat_map=True, got False. Set inhibition to False."
        )
    if config.box_network.heat_map and filters != "normalized":
        raise ConfigError(
            "box_network.heat_map predicts no variances and gammas, which "
            f"segmentation.filters={filters!r} reads. Set filters to 'normalized', or "
            "heat_map to False."
        )
    # Density filters give masks of the whole image and no probabilities in a patch,
    # normalised ones patches that are pasted as they are.
    needed, settings = {
        "density": ("normalized", {"refinements": 0, "revisions": 0, "zoom": 1.0}),
        "normalized": ("density", {"stop": True, "bilateral": False}),
    }[filters]
    for name, usual in settings.items():
        value = getattr(inference, name)
        if value != usual:
            raise ConfigError(
                f"inference.{name}={value} needs segmentation.filters={needed!r}, got "
                f"{filters!r}. Set {name} to {usual}."
            )


def _check_inputs(config):
    if not config.box_network.sees_image and not config.extra_channels:
        raise ConfigError(
            "box_network.sees_image=False leaves the canvas alone: it needs a "
            "preprocessor, whose maps are seen instead."
        )


def _check_max_instances(count):
    if count < 1:
        raise ConfigError(f"max_instances must be 1 or more, got {count}")
    if count > MOST_INSTANCES:
        raise ConfigError(f"max_instances={count} does not fit a 16-bit label map")


def _check_sizes(config):
    """Pooling and blocks must divide image, grid and patch."""
    network, segmentation = config.box_network, config.segmentation
    stride = network.stride
    if network.late_canvas:
        levels = max(len(network.context_depths), len(network.joint_context_depths))
        stride *= 2**levels
    _divides("image_size", config.image_size, stride, "the controller's pooling")
    _divides(
        "The controller's grid",
        [extent // network.stride for extent in config.image_size],
        network.attention_block,
        "box_network.attention_block",
    )
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


def _one_factor_a_layer(name, depths, factors):
    if len(depths) != len(factors):
        raise ConfigError(
            f"{name} needs one factor a layer, got depths={depths} and "
            f"factors={factors}."
        )


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ConfigError(f"{name} must be one of {allowed}, got {value!r}.")


def _divides(name, size, stride, what):
    if any(extent < stride or extent % stride for extent in size):
        raise ConfigError(
            f"{name}={tuple(size)} must be a multiple of {stride} ({what}), both axes."
        )
