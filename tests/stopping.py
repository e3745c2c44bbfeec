"""At which step the images of a batch stop."""

import numpy as np


def stop_steps(scores, threshold):
    """Return for each image the first step below the threshold (T = none)."""
    return [
        next((t for t, s in enumerate(row) if s < threshold), len(row))
        for row in scores
    ]


def differing_threshold(scores):
    """Return the threshold at which the images stop at most different steps."""
    values = np.sort(scores.ravel())
    middles = (values[1:] + values[:-1]) / 2
    gaps = values[1:] - values[:-1]
    middles = middles[gaps > 1e-5]

    def quality(threshold):
        steps = stop_steps(scores, threshold)
        inner = [t for t in steps if 0 < t < scores.shape[1]]
        return len(set(steps)) + len(set(inner))

    best = max(middles, key=quality)
    assert len(set(stop_steps(scores, best))) > 1, "all images stop at one step"
    return float(best)
