"""The authors' small models as ours: their configs, and where their weights go."""

import dataclasses
import re

import numpy as np

from keras_recattend.config import BoxNetwork, Config, Segmentation
from keras_recattend.model import RecurrentAttention

# The golden files' README, "Settings of the two small models" and Verification.
RTOL, ATOL = 1e-4, 1e-5
PATCH = (16, 16)
GLIMPSES = 3
POOLS = (1, 2, 2, 2)
SEGMENTATION_POOLS = (1, 2, 1, 2)
TRANSPOSED_FACTORS = (2, 1, 2, 1, 1)
WEIGHT_DECAY = 5e-5
GATES = ("input", "forget", "candidate", "output")


def assert_close(actual, expected, name):
    """Compare with the tolerance that the golden files' README suggests."""
    actual = np.asarray(actual).reshape(expected.shape)
    np.testing.assert_allclose(actual, expected, RTOL, ATOL, err_msg=name)


def assert_same_match(match, expected, weights, name):
    """Compare matches; where several have the greatest total, only the totals."""
    match, weights = np.asarray(match), np.asarray(weights)
    for got, wanted, weight in zip(match, expected, weights, strict=True):
        if (got == wanted).all():
            continue
        totals = (got * weight).sum(), (wanted * weight).sum()
        np.testing.assert_allclose(*totals, RTOL, ATOL, err_msg=name)
        assert (got.sum(0) == wanted.sum(0)).all(), name
        assert (got.sum(1) == wanted.sum(1)).all(), name


def depths(case, network):
    """Return the channels of the layers of a network, from its kernels."""
    axis = 2 if network == "seg_deconv" else 3
    return tuple(
        case[name].shape[axis] for name in layer_names(case, network, "kernel")
    )


def layer_names(case, network, kind):
    pattern = re.compile(rf"weights/{network}/layer(\d+)/{kind}$")
    found = [match for match in map(pattern.match, case) if match]
    return [m.group() for m in sorted(found, key=lambda m: int(m.group(1)))]


def has_skips(case):
    """Whether the second transposed layer takes more than the first one gives."""
    first, second = layer_names(case, "seg_deconv", "kernel")[:2]
    return case[second].shape[3] > case[first].shape[2]


def is_predicted(case):
    """Whether variance and gammas come from the head: the kitti setting's 13 maps."""
    return case["weights/box_cnn/layer0/kernel"].shape[2] > 4


def config(case, max_instances=None, segmentation_case=None, **changes):
    """Return the `Config` of a case; what it does not say, the README's small model.

    Args:
        segmentation_case: the case that has the segmentation network's weights.
        changes: known pools, glimpses and patch_size.
    """
    other = case if segmentation_case is None else segmentation_case
    known = {
        "pools": POOLS,
        "glimpses": GLIMPSES,
        "patch_size": PATCH,
        "segmentation_pools": SEGMENTATION_POOLS,
        "transposed_factors": TRANSPOSED_FACTORS,
    } | changes
    predicted = is_predicted(case)
    network = BoxNetwork(
        depths=depths(case, "box_cnn"),
        pools=known["pools"],
        glimpses=known["glimpses"],
        lstm_units=case["weights/lstm/input/bias"].shape[0],
        mlp_units=case["weights/glimpse_mlp/layer0/bias"].shape[0],
        variance="predicted" if predicted else "size",
        patch_gamma=None if predicted else 0.0,
        mask_gamma=None if predicted else 2.0,
    )
    segmentation = Segmentation(patch_size=known["patch_size"], output="relu")
    changes = {
        "pools": known["segmentation_pools"],
        "transposed_factors": known["transposed_factors"],
    }
    if "weights/seg_cnn/layer0/kernel" in other:
        changes |= {
            "depths": depths(other, "seg_cnn"),
            "transposed_depths": depths(other, "seg_deconv"),
            "skips": has_skips(other),
        }
    else:
        changes |= {"depths": (4, 6, 8, 10), "transposed_depths": (8, 8, 6, 4, 1)}
    gamma = case["weights/box_cnn/layer0/bn_gamma"]
    return Config(
        name="golden",
        dataset="golden",
        image_size=case["image"].shape[1:3],
        max_instances=gamma.shape[0] - 1 if max_instances is None else max_instances,
        extra_channels=case["weights/box_cnn/layer0/kernel"].shape[2] - 4,
        normalization="batch_per_step",
        initializer="small",
        first_outputs_only=True,
        box_network=network,
        segmentation=dataclasses.replace(segmentation, **changes),
    )


def model(case, **known):
    """Return the case's `RecurrentAttention` with its weights."""
    result = RecurrentAttention(config(case, **known))
    load(case, places(result))
    return result


def extra_channels(case):
    """Return [angles, foreground], or None."""
    if "angle_map" not in case:
        return None
    return np.concatenate([case["angle_map"], case["foreground"]], axis=-1)


@dataclasses.dataclass(frozen=True)
class Place:
    """A golden array, or rows of it: `variable[index]`."""

    variable: object
    index: tuple = (...,)


def places(model):
    """Return golden name -> the places whose concatenation (axis 0) it is."""
    head = model.box_head.glimpse_network
    found = {}
    found |= stack_places("box_cnn", model.controller.stack)
    found |= stack_places("seg_cnn", model.segmentation.cnn)
    found |= stack_places("seg_deconv", model.segmentation.transposed)
    units = head.lstm_units
    for i, gate in enumerate(GATES):
        columns = (..., slice(i * units, (i + 1) * units))
        for kind in ("kernel", "recurrent_kernel", "bias"):
            place = Place(getattr(head.lstm, kind), columns)
            found[f"lstm/{gate}/{kind}"] = [place]
    for i, layer in enumerate(head.mlp):
        found |= _layer(f"glimpse_mlp/layer{i}", layer)
    found |= _layer("box_head/layer0", model.box_head.linear)
    return found | score_places(model.scoring)


def _layer(name, layer):
    return {
        f"{name}/kernel": [Place(layer.kernel)],
        f"{name}/bias": [Place(layer.bias)],
    }


def stack_places(name, stack):
    """Return the places of a `ConvolutionStack` or `TransposedStack`."""
    found = {}
    for i, convolution in enumerate(stack.convolutions):
        found |= _layer(f"{name}/layer{i}", convolution)
    for i, norm in enumerate(stack.normalizations):
        found |= {
            f"{name}/layer{i}/bn_beta": [Place(norm.beta)],
            f"{name}/layer{i}/bn_gamma": [Place(norm.gamma)],
            f"{name}/layer{i}/bn_mean": [Place(norm.moving_mean)],
            f"{name}/layer{i}/bn_variance": [Place(norm.moving_variance)],
        }
    return found


def score_places(scoring):
    """Return the score's: one kernel over [hidden | features] in the golden files."""
    kernels = [Place(scoring.state_kernel), Place(scoring.features_kernel)]
    return {"score_head/kernel": kernels, "score_head/bias": [Place(scoring.bias)]}


def scatter(arrays, places):
    """Return [(variable, value)] from golden arrays by name; `gather` backwards."""
    values = {}
    for name, array in arrays.items():
        rows = 0
        for place in places[name]:
            if rows >= len(array):  # the box stage's score has no second part
                break
            key = id(place.variable)
            if key not in values:
                values[key] = (place.variable, np.array(place.variable))
            part = values[key][1][place.index]
            part[...] = array[rows : rows + len(part)]
            rows += len(part)
        assert rows == len(array), name
    return list(values.values())


def gather(places, value_of):
    """Return the golden array of `places`, with `value_of(variable)` for values."""
    parts = [np.asarray(value_of(p.variable))[p.index] for p in places]
    return np.concatenate(parts, axis=0)


def arrays_of(case, group):
    """Return the case's arrays called group/NAME, by NAME."""
    start = f"{group}/"
    return {k.removeprefix(start): v for k, v in case.items() if k.startswith(start)}


def load(case, places):
    """Assign the case's weights; return the variables that got some."""
    values = scatter(arrays_of(case, "weights"), places)
    for variable, value in values:
        variable.assign(value)
    return [variable for variable, _ in values]
