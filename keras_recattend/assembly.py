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
    common = _common(config, dtype) | {
        "depths": network.depths,
        "pools": network.pools,
        "name": "controller",
    }
    if network.late_canvas:
        return LateCanvasController(
            space_to_depth=network.space_to_depth,
            context_depths=network.context_depths,
            feature_depth=network.feature_depth,
            canvas_depth=network.canvas_depth,
            joint_layers=network.joint_layers,
            joint_context_depths=network.joint_context_depths,
            center_map=network.center_map,
            **common,
        )
    return Controller(recompute=network.recompute, **common)


def segmentation(config, dtype):
    """Return the `SegmentationNetwork`; arguments as for `controller`."""
    network = config.segmentation
    return SegmentationNetwork(
        depths=network.depths,
        pools=network.pools,
        transposed_depths=network.transposed_depths,
        transposed_factors=network.transposed_factors,
        skips=network.skips,
        output=network.output,
        name="segmentation",
        **_common(config, dtype),
    )


def box_head(config, grid):
    """Return what turns the feature map into a `Box`.

    Args:
        config: a `Config`. grid: (H', W'), the feature map's cells.
    """
    network = config.box_network
    common = {
        "image_size": config.image_size,
        "grid": grid,
        "glimpses": network.glimpses,
        "lstm_units": network.lstm_units,
        "mlp_units": network.mlp_units,
        "initializer": config.initializer,
        "name": "box_head",
    }
    if network.heat_map:
        return HeatMapHead(attention_block=network.attention_block, **common)
    common |= {
        "patch_size": config.segmentation.patch_size,
        "patch_gamma": network.patch_gamma,
        "mask_gamma": network.mask_gamma,
    }
    if network.whole_image:
        return WholeImage(filters=config.segmentation.filters, **common)
    return LinearHead(variance=network.variance, **common)


def _common(config, dtype):
    return {
        "normalization": config.normalization,
        "steps": config.timespan,
        "initializer": config.initializer,
        "dtype": dtype,
    }
