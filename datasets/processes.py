"""A function over many jobs, in several processes, with the results in order."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from keras_recattend.threads import cores

__all__ = ["in_order"]

# Up to so many jobs, starting processes costs more than it saves.
FEW = 16
# Jobs handed out for each process; bounds the results that wait in memory.
AHEAD = 4
_LOG = logging.getLogger(__name__)
# Windows cannot wait for more at once.
MOST = 61


def in_order(
    function: Callable[[Any], Any], jobs: Sequence, workers: int | None = None
) -> Generator[Any, None, None]:
    """Give `function(job)` for every job, in order, whatever the number of processes.

    Args:
        function: of one job; with several processes it can be pickled.
        jobs: what to do.
        workers: processes; None = one for each core, 1 = none besides this one.

    Raises:
        Whatever `function` raises, when the turn of that job comes.
    """
    workers = min(workers or cores(), len(jobs), MOST)
    done = 0
    if workers > 1 and len(jobs) > FEW:
        pool = ProcessPoolExecutor(
            workers,
            # "spawn": forking a process that has loaded TensorFlow may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
        )
        try:
            for result in _through(pool, function, jobs, AHEAD * workers):
                yield result
                done += 1
        except BrokenProcessPool:
            # A main script without `if __name__ == "__main__"` cannot be spawned;
            # or the system ended a process for want of memory.
            _LOG.warning("The other processes ended; one process goes on alone.")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for job in jobs[done:]:
        yield function(job)


def _through(pool, function, jobs, most_waiting):
    waiting = deque()
    for job in jobs:
        if len(waiting) == most_waiting:
            yield waiting.popleft().result()
        waiting.append(pool.submit(function, job))
    while waiting:
        yield waiting.popleft().result()


def _begin():
    """What a process does first."""
    # Ctrl-C is for the main process, which then stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Where the main process was killed, nobody else would end this one."""
    multiprocessing.parent_process().join()
    os._exit(1)
