"""A lock on a file that ends with the process that took it, however that ends."""

import errno
import logging

try:
    import fcntl
except ImportError:  # Windows: two commands at once are the user's to avoid.
    fcntl = None

__all__ = ["take"]

_LOG = logging.getLogger(__name__)
# Network disks mounted without locks, or without the service for them.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def take(file) -> bool:
    """Lock an open file; tell whether this process, and no other, has it now.

    A disk without locks is told of, and the file is taken to be free; so it is on
    Windows. Children that inherit the file hold the lock, too.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _LOG.warning(
            "%s cannot be locked on this disk (%s): see to it that no second command "
            "writes to its folder.",
            file.name,
            error.strerror,
        )
    return True
