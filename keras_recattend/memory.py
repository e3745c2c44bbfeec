"""A guess at what a stage needs in memory, before it is started."""

import os

from keras_recattend.errors import UserError
from keras_recattend.layers.fused_normalization import has_gpu

__all__ = ["check_memory", "estimate", "out_of_memory", "stage_bytes"]

# Floats kept for the backward pass per pixel, image and step beside the controller's:
# mask, canvas, filters' products, the truth. Measured on `cvppp` and `cvppp_paper`.
OTHER_FLOATS = 45
# A layer's activations as convolution, normalisation and ReLU gave them. All are there
# while a layer's gradient is computed; a step of the loop keeps the first alone.
KEPT_PER_LAYER = 3
# Without a loop: canvases, their noise, masks under the patches.
CANVAS_FLOATS = 8
FLOAT_BYTES = 4


def stage_bytes(config, name):
    """Return about how many bytes the stage's activations take in training."""
    stage, network = config.stages[name], config.box_network
    height, width = config.image_size
    pixels = stage.batch_size * height * width * FLOAT_BYTES
    if name == "preprocess":
        return int(pixels * _preprocessor_floats(config.preprocessor))
    layers, kept, shrink = 0.0, 0.0, network.space_to_depth**2
    pools = (name == "box" and network.box_stage_pools) or network.pools
    for i, (depth, pool) in enumerate(zip(network.depths, pools, strict=True)):
        layers += KEPT_PER_LAYER * depth / shrink
        if i >= network.recompute:
            kept += depth / shrink
        shrink *= pool**2
    steps = kept + OTHER_FLOATS
    if network.late_canvas:
        # The trunk is kept once an image, not once a step.
        joint = KEPT_PER_LAYER * network.joint_layers * network.feature_depth / shrink
        steps = joint + OTHER_FLOATS
    if network.whole_image:
        steps += _segmentation_floats(config) / (height * width)
    if config.unrolls(name):
        floats = config.timespan * steps + layers
    else:
        canvas = CANVAS_FLOATS + steps - OTHER_FLOATS
        floats = stage.canvases * canvas + layers
        if name == "own_canvases":
            floats += (config.timespan + stage.revisions) * CANVAS_FLOATS
    return int(pixels * floats)


def _preprocessor_floats(network):
    """Floats that the pre-processing network keeps per pixel and image."""
    floats, shrink = 0.0, 1.0
    for depth, pool in zip(network.depths, network.pools, strict=True):
        floats += KEPT_PER_LAYER * depth / shrink
        shrink *= pool**2
    reads = {layer: (3, *network.depths)[k - 1] for k, layer in network.skips}
    for i, depth in enumerate(network.transposed_depths):
        if i in reads:
            # A skip is copied beside the map that it joins.
            floats += (reads[i] + network.transposed_depths[i - 1]) / shrink
        shrink /= network.transposed_factors[i] ** 2
        floats += KEPT_PER_LAYER * depth / shrink
    return floats


def _segmentation_floats(config):
    """Floats that the segmentation network keeps per patch: much where it is large."""
    network, floats = config.segmentation, 0.0
    cells = network.patch_size[0] * network.patch_size[1]
    for depth, pool in zip(network.depths, network.pools, strict=True):
        floats += KEPT_PER_LAYER * depth * cells
        cells /= pool**2
    layers = zip(network.transposed_depths, network.transposed_factors, strict=True)
    for depth, factor in layers:
        cells *= factor**2
        floats += KEPT_PER_LAYER * depth * cells
    return floats


def check_memory(config, names, machines=1):
    """Raise UserError when a stage cannot fit into this machine's memory.

    Not where there is a GPU: what counts is its own memory, which TensorFlow does not
    tell. See `estimate` and `out_of_memory`.

    Args:
        names: of the stages. machines: that share every batch.
    """
    if has_gpu():
        return
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return
    for name in names:
        needed = stage_bytes(config, name) / machines
        if needed > memory:
            raise UserError(
                f"Stage {name} with {_batches(config, name)} needs about "
                f"{needed / 1e9:.0f} GB, this machine has {memory / 1e9:.0f} GB. Use a "
                "smaller batch_size, image_size or number of canvases."
            )


def estimate(config, name, replicas):
    """Return what a stage may need of each device's memory, as words for the log.

    Args:
        replicas: devices that share every batch.
    """
    needed = stage_bytes(config, name) / replicas
    return f"about {needed / 1e9:.1f} GB on each device" if has_gpu() else ""


def out_of_memory(config, name, replicas):
    """Return the UserError of a stage that has run out of memory.

    Args:
        replicas: devices that share every batch.
    """
    needed = stage_bytes(config, name) / replicas
    smaller = config.stages[name].batch_size // 2 // replicas * replicas
    size = f"--batch-size {smaller}" if smaller else "a smaller image_size"
    return UserError(
        f"Stage {name} with {_batches(config, name)} has run out of memory; it should "
        f"have needed about {needed / 1e9:.1f} GB on each device. Start a new run with "
        f"{size} or --precision mixed_bfloat16, or go on with --resume --strategy "
        "mirrored on more GPUs."
    )


def _batches(config, name):
    height, width = config.image_size
    size = config.stages[name].batch_size
    return f"batches of {size} images of {height} x {width}"
