"""Patch, segmentation network, mask and score against the authors' (segnet.npz)."""

import golden_weights
import numpy as np
import pytest
import tensorflow as tf
from golden_weights import arrays_of, assert_close
from test_golden_glimpse import activations, pools_of, steps_of

from keras_recattend.layers import Scoring, SegmentationNetwork
from keras_recattend.layers.gaussian import BETA, extract, reproject


def networks(case):
    """Return (SegmentationNetwork, Scoring) with the case's weights."""
    first = arrays_of(case, f"step{steps_of(case)[0]}")
    maps, ups = activations(first, "cnn"), activations(first, "deconv")
    heights = [first["patch"].shape[1], *(m.shape[1] for m in maps)]
    up_heights = [heights[-1], *(m.shape[1] for m in ups)]
    gamma = case["weights/seg_cnn/layer0/bn_gamma"]
    segmentation = SegmentationNetwork(
        golden_weights.depths(case, "seg_cnn"),
        pools_of(heights),
        golden_weights.depths(case, "seg_deconv"),
        pools_of(up_heights[::-1])[::-1],
        skips=golden_weights.has_skips(case),
        output="relu",
        normalization="batch_per_step",
        steps=len(gamma),
        initializer="small",
    )
    segmentation.build(first["patch"].shape)
    hidden = first["lstm_hidden_state_last"].shape[-1]
    scoring = Scoring(hidden, np.prod(maps[-1].shape[1:]), "small")
    scoring.build()
    places = golden_weights.stack_places("seg_cnn", segmentation.cnn)
    places |= golden_weights.stack_places("seg_deconv", segmentation.transposed)
    places |= golden_weights.score_places(scoring)
    golden_weights.load(case, places)
    return segmentation, scoring


@pytest.mark.golden("segnet")
def test_segmentation(case):
    segmentation, scoring = networks(case)
    for t in steps_of(case):
        step = arrays_of(case, f"step{t}")
        filters = tf.constant(step["filter_y"]), tf.constant(step["filter_x"])
        gamma_patch, gamma_mask = (
            tf.exp(tf.constant(step[f"log_gamma_{name}"])) for name in ("patch", "mask")
        )
        patch = extract(tf.constant(step["image_input"]), *filters)
        patch *= gamma_patch[:, tf.newaxis, tf.newaxis]
        maps = segmentation.cnn(patch, step=t)
        ups = segmentation.transposed(maps, patch, step=t)
        result = segmentation(patch, step=t)
        pasted = reproject(result.heat, *filters)
        mask = tf.sigmoid(gamma_mask[:, tf.newaxis] * pasted - BETA)
        score = scoring(tf.constant(step["lstm_hidden_state_last"]), result.features)
        got = {f"cnn_activation_layer{i}": x for i, x in enumerate(maps)}
        got |= {f"deconv_activation_layer{i}": x for i, x in enumerate(ups)}
        got |= {
            "patch": patch,
            "patch_output": result.heat,
            "mask": mask,
            "score": tf.sigmoid(score),
        }
        inputs = {"image_input", "filter_y", "filter_x", "lstm_hidden_state_last"}
        inputs |= {"log_gamma_patch", "log_gamma_mask"}
        assert set(got) == set(step) - inputs
        for name, value in got.items():
            assert_close(value, step[name], f"step{t}/{name}")
