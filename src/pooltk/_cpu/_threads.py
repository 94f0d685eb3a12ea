"""Threads: the one place that knows how many a call may use, and why.

Kernels are told a number, and share their work among so many (`_team.h`). It is, the first that
applies:

- 1 in a forked child, which has none of the parent's threads;
- what `set_num_threads` or POOLTK_NUM_THREADS asked for;
- what OpenMP would use, or without it as many as there are CPUs for the process, but no more than
  the CPU quota of the control groups (containers).

OpenMP runs none of them: it is asked because a user may have told it. A limit that was set in it
after the import and is lower counts as well. That is what `threadpoolctl` does, and it holds for
the Python thread that sets it.
"""

import math
import operator
import os
from typing import SupportsIndex

from ._system import OPENMP, openmp_max_threads

VARIABLE = "POOLTK_NUM_THREADS"
MOST = 1024  # as _team.h has it

_asked = 0  # by set_num_threads or the variable; 0: not asked
_quota = 0  # CPUs; 0: not looked up yet
_serial = False  # one thread, whatever is asked


def _offered() -> int:
    if OPENMP:
        return openmp_max_threads()
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_at_import = _offered()


def set_num_threads(n: SupportsIndex) -> None:
    """Let each following call use up to `n` threads, whichever Python thread makes it.

    Without this it is the environment variable ``POOLTK_NUM_THREADS``, or else what OpenMP
    would use (without it, the number of CPUs) within the CPU quota of the process. A forked child
    always uses one thread.

    Parameters
    ----------
    n : int
        From 1 to 1024. Results do not depend on it.

    Examples
    --------
    >>> import pooltk
    >>> before = pooltk.get_num_threads()
    >>> pooltk.set_num_threads(1)
    >>> pooltk.get_num_threads()
    1
    >>> pooltk.set_num_threads(before)
    """
    global _asked
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n={n!r} must be an int")
    number = operator.index(n)
    if not 1 <= number <= MOST:
        raise ValueError(f"set_num_threads: n={number} must be from 1 to {MOST}")
    _asked = number


def get_num_threads() -> int:
    """Threads that a call made here and now would use at most.

    Returns
    -------
    int
        At least 1. See `set_num_threads` for what decides it.
    """
    if _serial:
        return 1
    if not (_asked or _quota):
        _look_up()
    offered = _offered()
    if _asked:
        return offered if offered < _at_import and offered < _asked else _asked
    return min(offered, _quota)


def explanation() -> str:
    """Why `get_num_threads` says what it says."""
    number = get_num_threads()
    if _serial:
        return "a forked child"
    if _asked == number:
        return f"set by set_num_threads or {VARIABLE}"
    if _asked:
        return f"lowered to {number} since the import; {_asked} asked for"
    quota = cgroup_quota()
    within = f"a CPU quota of {quota:g}" if quota else "no CPU quota"
    return f"{'OpenMP offers' if OPENMP else 'CPUs:'} {_offered()}; {within}"


def cgroup_quota(root: str = "/") -> float | None:
    """CPUs' worth of time that the control groups allow this process; None: no limit."""
    try:
        with open(os.path.join(root, "proc/self/cgroup")) as file:
            groups = [line.split(":", 2) for line in file if line.count(":") >= 2]
    except OSError:  # not Linux
        return None
    quotas = []
    for _, controllers, path in groups:
        if controllers == "":
            mount, read = "sys/fs/cgroup", _quota_v2
        elif "cpu" in controllers.split(","):
            mount, read = "sys/fs/cgroup/cpu", _quota_v1
        else:
            continue
        # A limit binds all groups below it. Those that this container does not see are absent,
        # and then its own group is at the mount point.
        group = path.strip().strip("/")
        while True:
            quotas.append(read(os.path.join(root, mount, group)))
            if not group:
                break
            group = os.path.dirname(group)
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota_v2(folder: str) -> float | None:
    quota, _, period = _read(folder, "cpu.max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(folder: str) -> float | None:
    return _ratio(_read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us"))


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name)) as file:
            return file.read().strip()
    except OSError:
        return ""


def _ratio(quota: str, period: str) -> float | None:
    # No limit is "max" in version 2 and -1 in version 1.
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        return int(quota) / int(period)
    return None


def _look_up() -> None:
    """Read the environment variable and the CPU quota, which the first call needs."""
    global _asked, _quota
    text = os.environ.get(VARIABLE)
    if text:
        if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST):
            raise ValueError(f"{VARIABLE}={text!r} must be an int from 1 to {MOST}")
        _asked = int(text)
    _quota = math.ceil(cgroup_quota() or MOST)


def _after_fork_in_child() -> None:
    global _serial
    _serial = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
