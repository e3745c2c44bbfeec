"""One thing to measure, and what was measured."""

import dataclasses

__all__ = ["Case", "Result"]


@dataclasses.dataclass(frozen=True)
class Case:
    """What a worker process is to run.

    Attributes:
        name: unique in a run.
        kind: "train", "infer", "predict", "files", "pipeline".
        variant: "ours", or "plain" (`benchmarks/plain.py`).
        preset: whose configuration.
        stage: for "train".
        size: side of the square image in pixels; None = the preset's.
        timespan: T; None = the preset's.
        batch: images.
        objects: in every image. Inference finds exactly these.
        onednn: whether TensorFlow takes oneDNN's kernels.
        recompute: `BoxNetwork.recompute`.
    """

    name: str
    kind: str
    variant: str = "ours"
    preset: str = "cvppp_paper"
    stage: str = "joint"
    size: int | None = None
    timespan: int | None = None
    batch: int = 4
    objects: int = 10
    onednn: bool = True
    recompute: int = 0


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes:
        case: the `Case`.
        seconds: one number for each repetition, for a whole batch.
        peak_bytes: most memory above what was resident before the first step.
        build_seconds: model and graph.
        images: that one repetition goes through.
        processor_seconds: of all threads together, for each repetition: other
            processes on the machine change it little.
    """

    case: Case
    seconds: tuple[float, ...]
    peak_bytes: int
    build_seconds: float
    images: int
    processor_seconds: tuple[float, ...]
