"""Every kind of tiny model that is served, and what must come of it."""

import cv2
import numpy as np
import tiny
import tiny_models

PAPER = {"stop": False, "bilateral": True, "mask_threshold": 0.3, "least_kept": 0.0}
MODELS = {
    "patches": tiny.config(inference={"zoom": 1.0}),
    "closer look": tiny.config(inference={"zoom": 3.0, "revisions": 2}),
    "masks": tiny_models.paper_config(inference=PAPER),
    "masks, early stop": tiny_models.paper_config(inference={"mask_threshold": 0.2}),
    "foreground": tiny.preprocessed(
        inference={"zoom": 3.0, "foreground_threshold": 0.5, "foreground_dilation": 4}
    ),
}


def finding(config):
    """A network of wide weights that finds something in nearly every picture."""
    model = tiny_models.build(config, seed=3)
    model.scoring.bias.assign([4.0])
    for weight in model.weights:
        if weight.path.endswith("segmentation/transposed/transposed2/bias"):
            weight.assign([2.0])
    return model


def batch_of(size, count):
    images = [tiny.ellipses((count, i), 2)[0] for i in range(count)]
    return np.stack([cv2.resize(image, size[::-1]) for image in images])


def check_equal(outputs, found, labels):
    """Equal to the last pixel, or all but one of 200 where roundings part."""
    for i, f in enumerate(found):
        n = f.count
        assert outputs["count"][i] == n
        assert labels[i].shape == f.labels.shape
        assert (labels[i] == f.labels).mean() >= 0.995
        np.testing.assert_allclose(outputs["scores"][i][:n], f.scores, atol=1e-3)
        assert not np.any(outputs["scores"][i][n:])
        assert not np.any(outputs["boxes"][i][n:])
        for box, k in zip(np.asarray(outputs["boxes"][i][:n]), range(n), strict=True):
            rows, columns = np.nonzero(labels[i] == k + 1)
            expected = [rows.min(), columns.min(), rows.max(), columns.max()]
            np.testing.assert_array_equal(box, expected)
