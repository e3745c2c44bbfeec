"""How many cores this process may use, told to TensorFlow before it starts.

TensorFlow starts a thread for every core of the machine that it may be scheduled on. In
a container with a quota (`docker run --cpus 2` on 64 cores) that is far too many: they
use the quota up in an instant and then all stand still.
"""

import math
import os
from pathlib import Path

__all__ = ["cores", "fit_threads", "usable_cores"]

# What TensorFlow reads, once, when it runs its first operation.
VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup=CGROUP):
    """Return (cores that the process is scheduled on, cores of its quota or None)."""
    try:
        scheduled = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        scheduled = os.cpu_count() or 1
    return scheduled, _quota(Path(cgroup))


def cores(cgroup=CGROUP):
    """Return how many cores this process may use, at least one."""
    scheduled, quota = usable_cores(cgroup)
    return min(scheduled, quota or scheduled)


def fit_threads(environment=os.environ, cgroup=CGROUP):
    """Set the number of threads where a quota is below what TensorFlow would take.

    What the user has set stays.
    """
    scheduled, quota = usable_cores(cgroup)
    if quota is not None and quota < scheduled:
        for name in VARIABLES:
            environment.setdefault(name, str(quota))


def _quota(cgroup):
    """Whole cores of the control group's quota, version 2 or 1; None = no quota."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        cores = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # no control groups, or "max"
    return max(1, math.ceil(cores)) if cores > 0 else None
