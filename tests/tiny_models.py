"""Two tiny configs: the paper's form of everything, and ours."""

import keras
import numpy as np
import tensorflow as tf

from keras_recattend.config import BoxNetwork, Config, Inference, Segmentation
from keras_recattend.model import RecurrentAttention


def paper_config(**changes):
    """Density filters, linear head, early canvas, normalisation of each step."""
    config = Config(
        name="tiny_paper",
        dataset="none",
        image_size=(32, 40),
        max_instances=3,
        normalization="batch_per_step",
        initializer="small",
        first_outputs_only=True,
        box_network=BoxNetwork(
            depths=(4, 6), pools=(2, 4), glimpses=2, lstm_units=8, mlp_units=6
        ),
        segmentation=Segmentation(
            patch_size=(8, 12),
            depths=(4, 6),
            pools=(2, 2),
            transposed_depths=(4, 4, 1),
            transposed_factors=(2, 2, 1),
            skips=True,
        ),
    )
    return config.replace(**changes)


def heat_config(**changes):
    """Normalised filters, heat map head, late canvas, shared normalisation."""
    config = Config(
        name="tiny_heat",
        dataset="none",
        image_size=(32, 48),
        max_instances=4,
        box_network=BoxNetwork(
            depths=(6, 8),
            pools=(2, 2),
            late_canvas=True,
            space_to_depth=2,
            context_depths=((8,),),
            feature_depth=8,
            canvas_depth=6,
            joint_layers=2,
            glimpses=2,
            lstm_units=8,
            mlp_units=6,
            heat_map=True,
            sharpness=4.0,
        ),
        segmentation=Segmentation(
            patch_size=(12, 8),
            depths=(4, 6),
            pools=(2, 2),
            transposed_depths=(4, 4, 1),
            transposed_factors=(2, 2, 1),
            skips=True,
            filters="normalized",
            output="logits",
        ),
        inference=Inference(refinements=1, inhibition=True),
    )
    return config.replace(**changes)


def centers_config(**changes):
    """`heat_config` with a map of the centres found so far."""
    return heat_config(**changes).replace(box_network={"center_map": True})


CONFIGS = {"paper": paper_config, "heat": heat_config, "centers": centers_config}


def build(config, seed=0, spread=True):
    """Return the model; `spread` draws wide weights: images and steps differ."""
    keras.utils.set_random_seed(seed)
    model = RecurrentAttention(config)
    if spread:
        random = np.random.default_rng(seed)
        for variable in model.weights:
            name = variable.path.rsplit("/", 1)[-1]
            if "kernel" in name:
                fans = max(1, int(np.prod(variable.shape[:-1])))
                scale = 1.5 / np.sqrt(fans)
                variable.assign(random.normal(0.0, scale, variable.shape))
            elif name in ("gamma", "moving_variance"):
                variable.assign(random.uniform(0.5, 1.5, variable.shape))
            elif name in ("beta", "moving_mean", "bias"):
                variable.assign(random.normal(0.0, 0.3, variable.shape))
    return model


def images(config, batch, seed=0):
    """Return images of very different content, float32 [B, H, W, 3]."""
    random = np.random.default_rng(seed)
    shape = (batch, *config.image_size, 3)
    level = np.linspace(0.2, 1.0, batch)[:, None, None, None]
    return (level * random.uniform(0.0, 1.0, shape)).astype(np.float32)


def build_with_images(name, with_extra):
    """Return (model, images, extra channels or None) of a tiny config."""
    if not with_extra:
        model = build(CONFIGS[name]())
        return model, tf.constant(images(model.config, 3)), None
    model = build(CONFIGS[name](extra_channels=9))
    size = (3, *model.config.image_size, 9)
    extra = np.random.default_rng(5).uniform(size=size).astype(np.float32)
    return model, tf.constant(images(model.config, 3)), tf.constant(extra)
