"""Parameters of every preset by hand: a formula a layer, the sources' numbers.

Nothing here reads a preset or builds a model. A count is (all, trained): moving means
and variances of normalisation are not trained.
"""

import typing


class Count(typing.NamedTuple):
    """Numbers of parameters."""

    all: int
    trained: int

    def __add__(self, other):
        return Count(self.all + other.all, self.trained + other.trained)


def weights(number):
    return Count(number, number)


def total(counts):
    result = Count(0, 0)
    for count in counts:
        result += count
    return result


def convolution(read, written, side=3, bias=True):
    return weights(side * side * read * written + bias * written)


def normalization(channels, steps):
    """Scale, shift, mean and variance; the last two are not trained."""
    return Count(4 * channels * steps, 2 * channels * steps)


def dense(read, written):
    return weights(read * written + written)


def lstm(read, units):
    """Four gates, each with a kernel on input and state, and a bias."""
    return weights(4 * (read * units + units * units + units))


def stack(read, depths, steps=1):
    """Convolutions with normalisation; a transposed layer has as many weights."""
    return total(
        convolution(a, b) + normalization(b, steps)
        for a, b in zip([read, *depths], depths, strict=False)
    )


def transposed(reads, depths, steps, last_normalized):
    """Transposed layers that read so many channels each."""
    layers = zip(reads, depths, strict=True)
    count = total(convolution(a, b) + normalization(b, steps) for a, b in layers)
    if not last_normalized:
        surplus = normalization(depths[-1], steps)
        count += Count(-surplus.all, -surplus.trained)
    return count


# -- the pre-processing networks -----------------------------------------------------


def fcn(depths, transposed_depths, joined):
    """An FCN; `joined` = channels that join the map of each transposed layer but one.

    Its last layer is linear, without normalisation.
    """
    reads = [depths[-1]]
    for depth, more in zip(transposed_depths, joined, strict=False):
        reads.append(depth + more)
    return stack(3, depths) + transposed(
        reads, transposed_depths, 1, last_normalized=False
    )


# KITTI's: the maps that convolutions 18, 14, 6 and 1 read have 256, 128, 96 and 3
# channels; they join transposed layers 1, 3, 5 and 10.
SMALL_FCN = fcn(
    [32, 64, 64, 96, 96, *[128] * 8, *[256] * 4, 512],
    [256, 256, 128, 128, 96, 96, 64, 64, 32, 32, 9],
    [256, 0, 128, 0, 96, 0, 0, 0, 0, 3],
)
# Cityscapes': convolutions 18, 9, 7, 5, 3, 1 to transposed layers 1, 3, 5, 7, 9, 11.
LARGE_FCN = fcn(
    [64, 96, 96, 128, 128, 192, 192, *[256] * 8, *[512] * 5],
    [512, 512, 256, 256, 192, 192, 128, 128, 96, 96, 64, 64, 17],
    [512, 0, 256, 0, 192, 0, 128, 0, 96, 0, 3, 0],
)


def own_fcn(transposed_depths):
    """The small one of the presets that are ours."""
    return fcn([16, 32, 64, 64, 96, 128, 128, 128], transposed_depths, [64, 64, 16, 3])


# -- the paper's configurations ------------------------------------------------------


def paper(steps, extra, controller, cells, cnn, decoder, skips):
    """Controller, LSTM, glimpse MLP, head, segmentation, score (sections 2 and 3).

    Args:
        steps: T. extra: input channels beside image and canvas.
        cells: of the controller's last map.
        skips: whether every map and the patch join the transposed layers.
    """
    channels, units, hidden = 3 + 1 + extra, 256, 256
    reads = [cnn[-1], *decoder[:-1]]
    if skips:
        # Layer 2 reads the CNN's last map but one, and so on; the last the patch.
        reads = [
            a + b
            for a, b in zip(reads, [0, *reversed(cnn[:-1]), channels], strict=True)
        ]
    # 48 x 48 patches, pooled three times by 2: a map of 6 x 6.
    features = 6 * 6 * cnn[-1]
    return total(
        [
            stack(channels, controller, steps),
            lstm(controller[-1], units),
            dense(units, hidden),
            dense(hidden, cells),
            dense(units, 9),
            stack(channels, cnn, steps),
            transposed(reads, decoder, steps, last_normalized=True),
            dense(units + features, 1),
        ]
    )


LEAVES_CONTROLLER = [8, 8, 16, 16, 32, 32, 64, 64]
STREET_CONTROLLER = [16, 16, 32, 32, 64, 64, 64, 64]
LEAVES_PARTS = ([8, 8, 16, 16, 32, 32], [32, 32, 16, 16, 8, 8, 1], False)
STREET_PARTS = ([16, 32, 32, 64, 64, 96], [64, 64, 32, 32, 16, 16, 1], True)

# -- ours ----------------------------------------------------------------------------


def wide(channels, levels, depth):
    """A `Context` on a map of so many channels."""
    count = convolution(levels[0][-1], 4 * depth, side=1, bias=False)
    for level, finer in zip(levels, [None, *levels], strict=False):
        count += stack(channels, level)
        channels = level[-1]
        if finer:
            count += convolution(channels, 4 * finer[-1], side=1, bias=False)
            count += stack(2 * finer[-1], finer[-1:])
    return count


def heat(
    extra,
    grid,
    fold,
    stride,
    trunk,
    context,
    glimpses,
    features,
    decoder,
    patch,
    cnn,
    joint_context=(),
    block=1,
    center_map=False,
):
    """Late canvas, heat map head, segmentation with skips, all normalised once.

    Args:
        context, joint_context: depths of every level of the wider views.
        block: cells, each way, that share a logit of the glimpses' MLP.
        fold: side of the blocks folded into channels. stride: pixels to a cell.
        glimpses: (LSTM units, MLP units).
        features: (feature depth, canvas depth, joint layers).
        patch: cells of the CNN's last map.
        center_map: one more channel beside the canvas.
    """
    depth, canvas_depth, joint = features
    units, hidden = glimpses
    cells = grid[0] * grid[1] // block**2
    controller = total(
        [
            stack((3 + extra) * fold * fold, trunk),
            wide(trunk[-1], context, depth),
            convolution(trunk[-1] + depth, depth, bias=False),
            convolution((stride // 2) ** 2 + center_map, canvas_depth, side=1),
            convolution(canvas_depth, depth, bias=False),
            normalization(depth, 1),
            stack(depth, [depth] * (joint - 1)),
        ]
    )
    if joint_context:
        controller += wide(depth, joint_context, depth)
    # The map, the cell's place (2), its heat and its box (4).
    readable = depth + 2 + 1 + 4
    head = total(
        [
            weights(1),
            dense(depth, 5),
            lstm(readable, units),
            dense(units, hidden),
            dense(hidden, cells),
            dense(units, hidden),
            dense(hidden, 4),
        ]
    )
    channels = 4 + extra
    reads = [cnn[-1], *decoder[:-1]]
    joined = [0, *reversed(cnn[:-1]), channels]
    joined += [0] * (len(reads) - len(joined))
    reads = [a + b for a, b in zip(reads, joined, strict=True)]
    segmentation = stack(channels, cnn)
    segmentation += transposed(reads, decoder, 1, last_normalized=False)
    return total(
        [controller, head, segmentation, dense(units + 2 + patch * cnn[-1], 1)]
    )


def upright(grid):
    """`kitti`, `cityscapes` and `coco`: they differ in the grid."""
    return heat(
        extra=9,
        grid=grid,
        fold=4,
        stride=8,
        trunk=[32, 48, 48, 64],
        context=[[96, 96, 96]],
        glimpses=(112, 64),
        features=(64, 32, 3),
        decoder=[64, 48, 32, 32, 16, 16, 1],
        patch=6 * 6,
        cnn=[16, 16, 32, 32, 64, 64],
    )


def leaves(extra):
    """`leaves`, with so many channels of a pre-processing network."""
    return heat(
        extra=extra,
        grid=(28, 28),
        fold=2,
        stride=8,
        trunk=[16, 24, 32, 48, 48],
        context=[[64, 64, 64]],
        glimpses=(96, 96),
        features=(48, 32, 2),
        decoder=[48, 32, 32, 16, 16, 1],
        patch=8 * 8,
        cnn=[16, 24, 32, 32, 48],
    )


# The network of `cvppp` and `rosettes`.
ROSETTES = heat(
    extra=0,
    grid=(56, 56),
    fold=4,
    stride=8,
    trunk=[24, 24, 48, 48],
    context=[[64, 64], [96, 96, 96]],
    glimpses=(80, 64),
    features=(48, 32, 2),
    decoder=[64, 48, 48, 32, 32, 16, 16, 1],
    patch=8 * 8,
    cnn=[16, 16, 32, 32, 64, 64, 64],
    joint_context=[[64, 64]],
    block=4,
)
NONE = Count(0, 0)
OWN_FCN = own_fcn([96, 64, 32, 24, 9])
OWN_CLASSES_FCN = own_fcn([96, 64, 32, 32, 17])

# name -> (the whole model without the pre-processing network, that network)
COUNTS = {
    "leaves": (leaves(extra=0), NONE),
    "leaves_preprocessed": (leaves(extra=9), OWN_FCN),
    "cvppp": (ROSETTES, NONE),
    "rosettes": (ROSETTES, NONE),
    "kitti": (upright((16, 56)), OWN_FCN),
    "cityscapes": (upright((32, 64)), OWN_CLASSES_FCN),
    "coco": (upright((28, 28)), OWN_FCN),
    # 224 / 32 = 7; 128 / 32 x 448 / 32 = 4 x 14; 256 / 32 x 512 / 32 = 8 x 16.
    "cvppp_paper": (paper(21, 0, LEAVES_CONTROLLER, 49, *LEAVES_PARTS), NONE),
    "kitti_paper": (paper(20, 9, STREET_CONTROLLER, 56, *STREET_PARTS), SMALL_FCN),
    "cityscapes_paper": (
        paper(20, 9, STREET_CONTROLLER, 128, *STREET_PARTS),
        LARGE_FCN,
    ),
    "coco_paper": (paper(15, 9, LEAVES_CONTROLLER, 49, *LEAVES_PARTS), SMALL_FCN),
    "coco_person_paper": (
        paper(23, 9, LEAVES_CONTROLLER, 49, *LEAVES_PARTS),
        SMALL_FCN,
    ),
}
