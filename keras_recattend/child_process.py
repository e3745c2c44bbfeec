"""A process to wait for: it gets this one's signals, and holds its folder's lock."""

import contextlib
import os
import signal
import subprocess

from keras_recattend import file_lock
from keras_recattend.errors import UserError

__all__ = ["INTERRUPTED", "locked", "run_child"]

# train.py's exit code after Ctrl-C, with everything saved; and how a process ends that
# was stopped before it could catch the signal.
INTERRUPTED = (130, -signal.SIGINT, -signal.SIGTERM)
# What the child is sent for what this process receives; train.py saves on either.
# (Windows, which has no sessions, gives Ctrl-C to both.)
_PASSED_ON = {signal.SIGTERM: signal.SIGTERM}
if os.name == "posix":
    _PASSED_ON |= {signal.SIGINT: signal.SIGINT, signal.SIGHUP: signal.SIGTERM}


@contextlib.contextmanager
def locked(file, folder, option):
    """Hold a folder's lock, for this process and the children that it starts.

    Args:
        file: path of the lock. folder: the one that it stands for.
        option: of the command line, that names another folder.

    Yields:
        The open file, which the children inherit: where this process is killed, the
        child that it left behind goes on, and holds the lock until it ends. None where
        the system has none to hand on.

    Raises:
        UserError: another process, or a child that one left behind, has the folder, or
            it cannot be written to.
    """
    if file_lock.fcntl is None:
        yield None
        return
    try:
        # "a": what another process wrote there stays.
        opened = open(file, "a+")  # noqa: SIM115
    except OSError as error:
        raise _refused(folder, error, option) from error
    with opened as lock:
        if not file_lock.take(lock):
            lock.seek(0)
            raise UserError(
                f"Another process trains in {folder} just now: this command, "
                "started twice, or a train.py that went on when its command was killed "
                f"(the last one had the number {lock.read() or 'unknown'}). Wait until "
                "it has ended, end it with kill, after which it saves, or name another "
                f"folder with {option}."
            )
        try:
            _note(lock, os.getpid())
        except OSError as error:
            raise _refused(folder, error, option) from error
        yield lock


def _refused(folder, error, option):
    return UserError(
        f"{folder} cannot be written to ({error.strerror}). Make room if the disk is "
        f"full, or name another folder with {option}."
    )


def run_child(command, lock=None):
    """Run a command to its end and return its exit code; 130 where it was stopped.

    It has a session of its own, so that Ctrl-C and the signal of a scheduler, to this
    process or to its whole group, reach it once: handed on from here. It is given the
    time to save.

    Args:
        command: a list of words. lock: of `locked`, for the child to hold as well.
    """
    received, started = [], []

    def hand_on(number, _):
        received.append(number)
        for process in started:
            process.send_signal(_PASSED_ON[number])

    # Ignored ones stay so: nohup.
    numbers = [n for n in _PASSED_ON if signal.getsignal(n) != signal.SIG_IGN]
    old = {number: signal.signal(number, hand_on) for number in numbers}
    try:
        files = [lock.fileno()] if lock else ()
        with subprocess.Popen(command, pass_fds=files, start_new_session=True) as child:
            # The number is for people: a full disk is the child's to tell.
            with contextlib.suppress(OSError):
                _note(lock, child.pid)
            early = list(received)
            started.append(child)
            # Never twice: the second would end it at once, with nothing saved.
            for number in early[:1]:
                child.send_signal(_PASSED_ON[number])
            code = child.wait()
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
    return INTERRUPTED[0] if received else code


def _note(lock, number):
    """Write the number of the process that trains into the lock's file."""
    if lock:
        lock.truncate(0)
        # Past the buffer, which would be written again, and fail, when it is closed.
        os.write(lock.fileno(), str(number).encode())
