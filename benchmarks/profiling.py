"""Print the operations that take most of a training step's time.

    python -m benchmarks.profiling plain
    python -m benchmarks.profiling ours

By TensorFlow's profiler: one step of the paper's model, self time of all threads
together, without waiting. `ParallelFor` is work that operations hand to other threads.
"""

import collections
import os
import tempfile
from pathlib import Path

from benchmarks.case import Case
from benchmarks.suite import AGAIN
from keras_recattend.command_line import Parser, quiet_tensorflow, run_command

__all__ = ["self_times"]

SHOWN = 10
# Time of the executor's own threads around the operations.
NO_OPERATIONS = ("Run", "Process", "FunctionRun", "train_step")


def self_times(lines):
    """Return the time of every name without that of what it contains, a Counter.

    Args:
        lines: for each thread, events (name, start, duration).
    """
    total = collections.Counter()
    for events in lines:
        stack = []
        for name, start, duration in sorted(events, key=lambda e: (e[1], -e[2])):
            while stack and stack[-1][1] <= start:
                stack.pop()
            if stack:
                total[stack[-1][0]] -= duration
            total[name] += duration
            stack.append((name, start + duration))
    return total


def _operations(folder):
    """(type, seconds) of the profile that lies in a folder, the longest first."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    plane = next(p for p in space.planes if p.name == "/host:CPU")
    names = plane.event_metadata

    def kind(event):
        # "name:Type", or "Class::Method" of the executor.
        return names[event.metadata_id].name.split(":")[-1]

    times = self_times(
        [(kind(e), e.offset_ps, e.duration_ps) for e in line.events]
        for line in plane.lines
    )
    return [(n, t / 1e12) for n, t in times.most_common() if n not in NO_OPERATIONS]


def main():
    parser = Parser(__doc__)
    parser.add_argument("variant", choices=["plain", "ours"])
    variant = parser.parse_args().variant
    plain = variant == "plain"
    case = Case(
        variant, "train", variant, onednn=not plain, recompute=0 if plain else AGAIN
    )
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = str(int(case.onednn))
    quiet_tensorflow()
    import tensorflow as tf

    from benchmarks.subjects import subject

    run, images = subject(case)
    run()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        run()
        tf.profiler.experimental.stop()
        found = _operations(folder)
    total = sum(seconds for _, seconds in found)
    print("| operation | ms / image | share |\n| --- | ---: | ---: |")
    for name, seconds in found[:SHOWN]:
        each = 1000 * seconds / images
        print(f"| `{name}` | {each:.1f} | {100 * seconds / total:.0f}% |")
    print(f"| all {len(found)} kinds | {1000 * total / images:.1f} | 100% |")


if __name__ == "__main__":
    run_command(main)
