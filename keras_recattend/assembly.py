"""Which layers a config asks for: the forms that a part of the model comes in."""

from keras_recattend.layers import (
    Controller,
    HeatMapHead,
    LateCanvasController,
    LinearHead,
    SegmentationNetwork,
    WholeImage,
)

__all__ = ["box_head", "controller", "segmentation"]


def controller(config, dtype):
    """Return the controller, canvas early or late.

    Args:
        config: a `Config`. dtype: the model's precision policy.
    """
    network = config.box_network
    common = _common(config, dtype) | {"name": "controller"}
    if network.late_canvas:
        return LateCanvasController(
            network.depths,
            network.pools,
            network.space_to_depth,
            network.context_depths,
            network.feature_depth,
            network.canvas_depth,
            network.joint_layers,
            network.joint_context_depths,
            center_map=network.center_map,
            **common,
        )
    return Controller(
        network.depths, network.pools, recompute=network.recompute, **common
    )


def segmentation(config, dtype):
    """Return the `SegmentationNetwork`; arguments as for `controller`."""
    network = config.segmentation
    return SegmentationNetwork(
        network.depths,
        network.pools,
        network.transposed_depths,
        network.transposed_factors,
        network.skips,
        network.output,
        name="segmentation",
        **_common(config, dtype),
    )


def box_head(config, grid):
    """Return what turns the feature map into a `Box`.

    Args:
        config: a `Config`. grid: (H', W'), the feature map's cells.
    """
    network, patch_size = config.box_network, config.segmentation.patch_size
    glimpses = (network.glimpses, network.lstm_units, network.mlp_units)
    common = {"initializer": config.initializer, "name": "box_head"}
    if network.whole_image:
        return WholeImage(
            config.image_size,
            patch_size,
            grid,
            *glimpses,
            config.segmentation.filters,
            network.patch_gamma,
            network.mask_gamma,
            **common,
        )
    if network.heat_map:
        return HeatMapHead(
            config.image_size,
            grid,
            *glimpses,
            attention_block=network.attention_block,
            **common,
        )
    return LinearHead(
        config.image_size,
        patch_size,
        grid,
        *glimpses,
        network.variance,
        network.patch_gamma,
        network.mask_gamma,
        **common,
    )


def _common(config, dtype):
    return {
        "normalization": config.normalization,
        "steps": config.timespan,
        "initializer": config.initializer,
        "dtype": dtype,
    }
