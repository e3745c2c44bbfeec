"""Reading ahead, writing behind, and batches by weight: the network never waits for
files, nor is it given more than fits.
"""

import collections
import threading
from concurrent.futures import ThreadPoolExecutor

__all__ = ["WriteBehind", "grouped", "read_ahead"]


def read_ahead(read, items, most, weight):
    """Yield (item, what `read` returned, what it raised) in order, read in a thread.

    Args:
        read: function of an item. Its exceptions are given, not raised.
        items: what to read.
        most: reading pauses while results that weigh this much wait to be taken.
        weight: function of a result, its weight.
    """
    ready, condition = collections.deque(), threading.Condition()
    state = {"waiting": 0, "stopped": False}

    def run():
        for item in items:
            with condition:
                condition.wait_for(lambda: state["stopped"] or state["waiting"] < most)
                if state["stopped"]:
                    return
            result, error = None, None
            try:
                result = read(item)
            except Exception as caught:
                error = caught
            heavy = 0 if error else weight(result)
            with condition:
                ready.append((heavy, (item, result, error)))
                state["waiting"] += heavy
                condition.notify_all()

    thread = threading.Thread(target=run, name="read ahead", daemon=True)
    thread.start()
    try:
        for _ in range(len(items)):
            with condition:
                condition.wait_for(lambda: ready)
                heavy, found = ready.popleft()
                state["waiting"] -= heavy
                condition.notify_all()
            yield found
    finally:
        with condition:
            state["stopped"] = True
            condition.notify_all()
        thread.join()


class WriteBehind:
    """Runs one function at a time in a thread, at most one behind the caller.

    Use as a context: leaving it waits for what is still being written, whatever
    happened meanwhile. An exception of the writing is raised by the next call, or
    when the context is left without another one.
    """

    def __enter__(self):
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="write behind")
        self._last = None
        return self

    def __call__(self, function, *arguments):
        """Wait for the call before, then start this one."""
        self.wait()
        self._last = self._pool.submit(function, *arguments)

    def wait(self):
        """Wait for the last call; raise what it raised."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __exit__(self, kind, *_):
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()


def grouped(items, size, most, weight):
    """Yield lists of `size` items, fewer where together they would weigh over `most`.

    Args:
        items: iterable; one alone may weigh more. weight: function of an item.
    """
    group, total = [], 0
    for item in items:
        own = weight(item)
        if group and (len(group) == size or total + own > most):
            yield group
            group, total = [], 0
        group.append(item)
        total += own
    if group:
        yield group
