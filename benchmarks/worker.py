"""A process that builds one case and runs it when told: `python -m benchmarks.worker`.

The case comes as JSON in the first line of stdin. Then each line "go" runs it once,
each answer is a line of JSON, and the end of stdin ends it.
"""

import json
import os
import sys
import time

from benchmarks.case import Case


def main():
    # Whatever TensorFlow prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    case = Case(**json.loads(sys.stdin.readline()))
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = str(int(case.onednn))
    from keras_recattend.command_line import quiet_tensorflow

    began = time.perf_counter()
    quiet_tensorflow()
    from benchmarks.subjects import subject

    run, images = subject(case)
    build = time.perf_counter() - began
    before = _resident("VmRSS")
    _forget_peak()

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    answer(images=images, build_seconds=build)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        run()
        answer(
            seconds=time.perf_counter() - began,
            processor_seconds=time.process_time() - worked,
            peak_bytes=max(0, _resident("VmHWM") - before),
        )


def _resident(name):
    """A line of the process' status, in bytes: "VmRSS" now, "VmHWM" at most."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return 1024 * int(line.split()[1])
    return 0


def _forget_peak():
    """Let VmHWM begin again at what is resident now."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


if __name__ == "__main__":
    main()
