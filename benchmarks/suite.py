"""Which cases make up the benchmark, in groups that are measured side by side."""

from benchmarks.case import Case

__all__ = ["groups", "quick_groups"]

# Convolutions of the controller that run again in the backward pass: those before the
# first pool keep half of what all eight do.
AGAIN = 2
ALL_AGAIN = 8


def groups():
    """Return {title: [Case]}: all of the benchmark."""
    return {
        "training": _training(),
        "inference": _inference(),
        "stages of cvppp": _stages(),
        "a large batch": [
            Case("ours, all again, batch 5", "train", batch=5, recompute=ALL_AGAIN)
        ],
        "training against T": [
            Case(f"train, T = {t}", "train", timespan=t, recompute=AGAIN, objects=t - 1)
            for t in (6, 11, 21)
        ],
        "training against resolution, T = 11": [
            Case(f"train, {s} x {s}", "train", size=s, timespan=11, recompute=AGAIN)
            for s in (96, 160, 224, 320)
        ],
        "training against batch, T = 11": [
            Case(f"train, batch {b}", "train", batch=b, timespan=11, recompute=AGAIN)
            for b in (1, 2, 4, 8)
        ],
        "inference against objects": [
            Case(f"infer, {n} objects", "infer", objects=n, batch=4)
            for n in (0, 5, 10, 15, 20)
        ],
        "cvppp inference against objects": [
            Case(f"cvppp, {n} objects", "infer", preset="cvppp", objects=n, batch=4)
            for n in (0, 5, 10, 15, 20)
        ],
        "predictions": _predictions(),
        "pipeline": _pipeline(),
    }


def quick_groups():
    """Return what the three ratios need; one to two minutes.

    Image and T keep their size: of small ones, most time and memory would go into what
    every step has.
    """
    chosen = ("plain", "ours")
    return {
        title: [case for case in cases if case.name in chosen]
        for title, cases in (("training", _training()), ("inference", _inference()))
    }


def _training():
    return [
        Case("plain", "train", "plain", onednn=False),
        Case("plain, oneDNN", "train", "plain"),
        Case("ours", "train", recompute=AGAIN),
        Case("ours, kept", "train"),
        Case("ours, all again", "train", recompute=ALL_AGAIN),
    ]


def _inference():
    return [
        Case("plain", "infer", "plain", onednn=False),
        Case("plain, oneDNN", "infer", "plain"),
        Case("ours", "infer"),
        Case("ours, all steps", "infer", objects=21),
        Case("cvppp", "infer", preset="cvppp"),
    ]


def _stages():
    return [
        Case(name, "train", preset="cvppp", stage=name, batch=batch)
        for name, batch in (
            ("box", 8),
            ("segmentation", 8),
            ("own_canvases", 8),
            ("joint", 2),
        )
    ]


def _predictions():
    return [
        Case("leaves, pictures", "predict", preset="leaves", batch=8),
        Case("cvppp, pictures", "predict", preset="cvppp", batch=8),
        Case("leaves, files of 12 megapixels", "files", preset="leaves", batch=2),
    ]


def _pipeline():
    return [
        Case("cvppp pipeline", "pipeline", preset="cvppp", batch=8),
        Case("cvppp_paper pipeline", "pipeline", batch=4),
    ]
