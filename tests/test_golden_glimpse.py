"""Controller, glimpses and box head against the authors' code (glimpse.npz)."""

import itertools
import re

import golden_weights
import numpy as np
import pytest
import tensorflow as tf
from golden_weights import arrays_of, assert_close

from keras_recattend import boxes
from keras_recattend.layers.gaussian import box_mask


def steps_of(case):
    """Return the time steps that a case has."""
    found = {m.group(1) for m in (re.match(r"step(\d+)/", k) for k in case) if m}
    return sorted(int(t) for t in found)


def pools_of(sizes):
    """Return the pooling factors between the heights of successive maps."""
    return tuple(a // b for a, b in itertools.pairwise(sizes))


def activations(arrays, network):
    """Return the network's maps, first layer first."""
    found = [k for k in arrays if re.match(rf"{network}_activation_layer\d+$", k)]
    return [arrays[f"{network}_activation_layer{i}"] for i in range(len(found))]


@pytest.mark.golden("glimpse")
def test_glimpses(case):
    first = arrays_of(case, f"step{steps_of(case)[0]}")
    maps = activations(first, "cnn")
    heights = [len(first["cnn_input"][0]), *(m.shape[1] for m in maps)]
    model = golden_weights.model(
        case,
        pools=pools_of(heights),
        glimpses=first["glimpse_attention"].shape[1],
        patch_size=(first["filter_y"].shape[-1], first["filter_x"].shape[-1]),
    )
    image = tf.constant(case["image"])
    extra = golden_weights.extra_channels(case)
    extra = () if extra is None else (tf.constant(extra),)
    for t in steps_of(case):
        step = arrays_of(case, f"step{t}")
        canvas = step.pop("canvas", np.zeros((*image.shape[:3], 1), np.float32))
        check_step(model, image, extra, tf.constant(canvas[..., 0]), t, step)


def check_step(model, image, extra, canvas, t, expected):
    controller, head = model.controller, model.box_head
    stacked = tf.concat([image, canvas[..., tf.newaxis], *extra], axis=-1)
    maps = controller.stack(stacked, step=t)
    u = controller(controller.prepare(image, *extra), canvas, step=t)
    flat = tf.reshape(u, [u.shape[0], -1, u.shape[-1]])
    glimpses = head.glimpse_network(flat)
    box = head(u)
    filters, _ = model.filters(box.center, box.size, box.log_variance)
    low, high = boxes.corners(box.center, box.size)
    got = {f"cnn_activation_layer{i}": x for i, x in enumerate(maps)}
    got |= {
        "cnn_input": stacked,
        "feature_map": u,
        "glimpse_attention": box.attention,
        "lstm_cell_state": tf.stack(glimpses.cell, axis=1),
        "lstm_hidden_state": tf.stack(glimpses.hidden, axis=1),
        "head_output": box.raw,
        "box_center": box.center,
        "box_size": box.size,
        "log_variance": box.log_variance,
        "log_gamma_patch": box.log_gamma_patch,
        "log_gamma_box": box.log_gamma_box,
        "log_gamma_mask": box.log_gamma_mask,
        "box_top_left": low,
        "box_bottom_right": high,
        "filter_y": filters[0],
        "filter_x": filters[1],
        "box_mask": box_mask(*filters, box.log_gamma_box),
    }
    assert set(got) == set(expected)
    for name, value in got.items():
        assert_close(value, expected[name], f"step{t}/{name}")
