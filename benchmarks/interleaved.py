"""Runs cases in turn, each in a process of its own: A, B, A, B."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.case import Result

__all__ = ["measure"]

ROOT = Path(__file__).parents[1]


def measure(cases, repetitions):
    """Measure cases side by side; return a `Result` for each.

    All are built first, and run once without being counted. While one runs, the others
    wait; what disturbs the machine for longer than a repetition disturbs all alike.

    Args:
        cases: a few `Case`s: all are in memory together.
        repetitions: times that each is run.

    Raises:
        RuntimeError: a worker failed; what it printed was shown.
    """
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(_Worker(case)) for case in cases]
        built = [worker.answer() for worker in workers]
        runs = [[] for _ in cases]
        for repetition in range(repetitions + 1):
            for worker, own in zip(workers, runs, strict=True):
                values = worker.go()
                if repetition:
                    own.append(values)
    return [
        Result(
            case,
            tuple(run["seconds"] for run in own),
            max(run["peak_bytes"] for run in own),
            about["build_seconds"],
            about["images"],
            tuple(run["processor_seconds"] for run in own),
        )
        for case, about, own in zip(cases, built, runs, strict=True)
    ]


class _Worker:
    """A process of `benchmarks.worker`."""

    def __init__(self, case):
        self.case = case
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._tell(json.dumps(dataclasses.asdict(case)))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def go(self):
        self._tell("go")
        return self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker of {self.case} failed; see above.")
        return json.loads(line)
