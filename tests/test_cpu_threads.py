"""Threads: the kernels', Python's, forked children, and what limits them."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from _cpu_cases import (
    LEVELS,
    Case,
    array_of,
    assert_same_bits,
    check_python,
    forget_plans,
    run_python,
    uses_builds,
    using,
)

import pooltk
from pooltk._cpu import _threads
from pooltk._cpu._system import OPENMP

linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups and libgomp")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
openmp = pytest.mark.skipif(not OPENMP, reason="built without OpenMP")


@pytest.fixture
def forgetful(monkeypatch):
    """A process that has not been told a number of threads, nor looked one up."""
    monkeypatch.delenv("POOLTK_NUM_THREADS", raising=False)
    monkeypatch.setattr(_threads, "_asked", 0)
    monkeypatch.setattr(_threads, "_quota", 0)
    return monkeypatch


# --- Python threads ---------------------------------------------------------------------------


def jobs():
    """Calls of all operations on arrays of several shapes; of each shape several."""
    cases = [
        Case("", (3, 40, 50), 2, kernel_size=3, stride=1, padding=1),
        Case("", (2, 70, 30, 8), 2, kernel_size=2, channels_last=True),
        Case("", (20_000,), 1, kernel_size=60, stride=40),
        Case("", (2, 9, 40, 20), 3, kernel_size=(2, 12, 3), stride=1),
        Case("", (5, 30, 31), 2, output_size=(7, 4)),
    ]
    for seed in range(4):
        for case in cases:
            for dtype in ("float32", "float16", "int64"):
                x = array_of(case.shape, dtype, seed)
                yield lambda case=case, x=x: case.pool("max_pool", x)
                yield lambda case=case, x=x: case.pool("max_pool", x, return_indices=True)
                yield lambda case=case, x=x: case.pool("avg_pool", x)
                if dtype != "int64":
                    grad = array_of(case.result_shape, dtype, seed + 10)
                    yield lambda case=case, x=x, grad=grad: case.pool("max_pool_backward", grad, x)
                    yield lambda case=case, grad=grad: case.pool("avg_pool_backward", grad)


@uses_builds
@pytest.mark.parametrize("kernel_threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
def test_python_threads_at_once(level, kernel_threads):
    """Calls of the same and of other shapes, all at the same time, answer as one by one."""
    calls = list(jobs())
    with using(level, kernel_threads):
        expected = [call() for call in calls]
        start = Barrier(4)

        def work(number):
            start.wait()
            # Each begins elsewhere, so that different calls meet, and now and then the same.
            order = np.roll(np.arange(len(calls)), number * 7)
            return [(i, calls[i]()) for i in order]

        # Nothing is known of the shapes again: the threads find it out at once.
        forget_plans()
        with ThreadPoolExecutor(4) as pool:
            results = [pair for done in pool.map(work, range(4)) for pair in done]
    assert len(results) == 4 * len(calls)
    for i, result in results:
        several = isinstance(result, tuple)
        for actual, wanted in zip(
            result if several else [result], expected[i] if several else [expected[i]], strict=True
        ):
            assert_same_bits(actual, wanted)


# --- the team ---------------------------------------------------------------------------------

TEAM = """
import resource, time
import numpy as np
import pooltk

x = np.random.default_rng(0).standard_normal((32, 128, 128))
pooltk.set_num_threads(1)
expected = pooltk.max_pool2d(x, 3, 1)
out = np.empty_like(expected)

def works(number):
    pooltk.set_num_threads(number)
    out[:] = 0
    return pooltk.max_pool2d(x, 3, 1, out=out) is out and bool((out == expected).all())
"""


def test_sleeping_helpers():
    """More of them, or fewer, than there were; and as many, which have gone to sleep meanwhile."""
    program = """
for number in (2, 7, 3, 7, 1, 2):
    for pause in (0, 0.02):
        time.sleep(pause)
        assert works(number), number
"""
    check_python(TEAM + program, timeout=60)


@linux
def test_helpers_may_run_where_they_could():
    """Also after they were woken, for which they are kept off the caller's core."""
    program = """
import os

def helpers_cores():
    return [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]

cores = os.sched_getaffinity(0)
for allowed in (cores, {min(cores)}, cores):
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), allowed)
    for _ in range(3):
        assert works(3)
        time.sleep(0.02)
    end = time.monotonic() + 30
    while any(found != allowed for found in helpers_cores()):  # of one that has not run since
        assert time.monotonic() < end, helpers_cores()
        time.sleep(0.001)
"""
    check_python(TEAM + program, timeout=60)


@linux
def test_no_thread_can_be_started():
    """Those there are do everything: each new one would want 8 MB for its stack."""
    program = """
def threads():
    with open("/proc/self/status") as file:
        return int(file.read().split("Threads:")[1].split()[0])

works(1)
before = threads()
with open("/proc/self/statm") as file:
    size = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 4_000_000, resource.RLIM_INFINITY))
assert works(3)
print(threads() - before)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert works(3)
print(threads() - before)
"""
    assert check_python(TEAM + program, timeout=60).split() == ["0", "2"]


# --- fork -------------------------------------------------------------------------------------

FORK = """
import os, sys
import numpy as np
import pooltk

pooltk.set_num_threads(2)
x = np.random.default_rng(0).standard_normal((64, 128, 128))

def work():
    return [
        *pooltk.max_pool2d(x, 3, 1, return_indices=True),
        pooltk.avg_pool2d(x, 3, 1),
        pooltk.max_pool2d_backward(x, x, 1),
        pooltk.avg_pool2d_backward(x, x.shape, 1),
    ]

def works(_=0):
    return all(a.tobytes() == b.tobytes() for a, b in zip(work(), expected, strict=True))

expected = work()  # the kernels' threads have run
"""


@forks
def test_fork_after_use():
    """A forked child runs on one thread: it has none of the others."""
    program = """
child = os.fork()
if child == 0:
    asked = pooltk.get_num_threads()
    pooltk.set_num_threads(2)
    os._exit(0 if asked == pooltk.get_num_threads() == 1 and works() else 1)
assert os.waitpid(child, 0)[1] == 0
assert works()
if pooltk.get_num_threads() != 1:
    assert pooltk.get_num_threads() == 2
"""
    check_python(FORK + program, timeout=60)


@forks
def test_forked_pool():
    program = """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(works, range(4)))
assert works()
"""
    check_python(FORK + program, timeout=60)


@forks
def test_fork_from_a_thread():
    program = """
import threading
def fork():
    child = os.fork()
    if child == 0:
        os._exit(0 if works() else 1)
    status.append(os.waitpid(child, 0)[1])
status = []
thread = threading.Thread(target=fork)
thread.start()
thread.join()
assert status == [0]
"""
    check_python(FORK + program, timeout=60)


# --- how many ---------------------------------------------------------------------------------


def test_set_num_threads(forgetful):
    for number in (1, 3, np.int64(2), 1024):
        pooltk.set_num_threads(number)
        assert pooltk.get_num_threads() == number
        assert type(pooltk.get_num_threads()) is int


@pytest.mark.parametrize(
    ("number", "error"),
    [(0, ValueError), (-1, ValueError), (1025, ValueError), (2**70, ValueError)]
    + [(value, TypeError) for value in (True, 2.0, "2", None, [2])],
)
def test_set_num_threads_refuses(number, error, forgetful):
    before = pooltk.get_num_threads()
    with pytest.raises(error, match=r"^set_num_threads: n="):
        pooltk.set_num_threads(number)
    assert pooltk.get_num_threads() == before


def test_variable():
    program = "import pooltk; print(pooltk.get_num_threads())"
    assert check_python(program, POOLTK_NUM_THREADS="3").strip() == "3"
    program = "import pooltk; pooltk.set_num_threads(2); print(pooltk.get_num_threads())"
    assert check_python(program, POOLTK_NUM_THREADS="3").strip() == "2"


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "1.5", " 2", "²", "9" * 30])
def test_wrong_variable(text):
    """It is an error of the first call, not of the import; set_num_threads makes up for it."""
    program = """
import numpy, pooltk
x = numpy.zeros((1000, 1000))
pooltk.max_pool2d(x[:2, :2], 2)  # too small for a second thread
try:
    pooltk.max_pool2d(x, 2)
except ValueError as error:
    print(error)
pooltk.set_num_threads(2)
pooltk.max_pool2d(x, 2)
"""
    printed = check_python(program, POOLTK_NUM_THREADS=text, PYTHONIOENCODING="utf-8")
    assert printed.strip() == f"POOLTK_NUM_THREADS={text!r} must be an int from 1 to 1024"


@openmp
def test_openmp_decides_by_default():
    program = "import pooltk; print(pooltk.get_num_threads())"
    assert check_python(program, OMP_NUM_THREADS="1").strip() == "1"
    everything = int(check_python(program, OMP_NUM_THREADS="1000").strip())
    quota = _threads.cgroup_quota()
    assert everything == (1000 if quota is None else min(1000, -(-quota // 1)))


@openmp
def test_threadpoolctl():
    """Its limits hold while they last, whatever was asked for."""
    pytest.importorskip("threadpoolctl")
    program = """
import numpy, pooltk, threadpoolctl
numpy.dot(numpy.ones((9, 9)), numpy.ones((9, 9)))
def count():
    return pooltk.get_num_threads()
before = count()
with threadpoolctl.threadpool_limits(1):
    one = count()
with threadpoolctl.threadpool_limits(2, user_api="openmp"):
    two = count()
print(before, one, two, count())
pooltk.set_num_threads(3)
with threadpoolctl.threadpool_limits(1):
    one = count()
print(count(), one)
"""
    printed = check_python(program, OMP_NUM_THREADS="4", POOLTK_NUM_THREADS="4").split()
    assert printed == ["4", "1", "2", "4", "3", "1"]


def test_forked_child_is_serial(forgetful):
    forgetful.setattr(_threads, "_serial", True)
    pooltk.set_num_threads(7)
    assert pooltk.get_num_threads() == 1


@pytest.mark.parametrize(
    ("quota", "offered", "expected"),
    [(None, 8, 8), (2.0, 8, 2), (1.5, 8, 2), (0.1, 8, 1), (16.0, 8, 8)],
)
def test_quota_limits(quota, offered, expected, forgetful):
    """A part of a CPU counts as one. What was asked for is not limited by it."""
    forgetful.setattr(_threads, "cgroup_quota", lambda: quota)
    forgetful.setattr(_threads, "_offered", lambda: offered)
    assert pooltk.get_num_threads() == expected
    pooltk.set_num_threads(5)
    forgetful.setattr(_threads, "_at_import", offered)
    assert pooltk.get_num_threads() == 5


# --- control groups ---------------------------------------------------------------------------


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return str(root)


CPU = "sys/fs/cgroup"
TREES = {
    "no control groups": ({}, None),
    "version 2": ({"proc/self/cgroup": "0::/", f"{CPU}/cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ({"proc/self/cgroup": "0::/", f"{CPU}/cpu.max": "max 100000"}, None),
    "version 2, in a group": (
        {"proc/self/cgroup": "0::/user/app", f"{CPU}/user/app/cpu.max": "300000 100000"},
        3.0,
    ),
    "version 2, a limit above": (
        {
            "proc/self/cgroup": "0::/user/app",
            f"{CPU}/user/app/cpu.max": "max 100000",
            f"{CPU}/user/cpu.max": "50000 100000",
        },
        0.5,
    ),
    "version 2, the least counts": (
        {
            "proc/self/cgroup": "0::/user/app",
            f"{CPU}/user/app/cpu.max": "200000 100000",
            f"{CPU}/user/cpu.max": "900000 100000",
            f"{CPU}/cpu.max": "400000 100000",
        },
        2.0,
    ),
    "version 2, a container sees its own group alone": (
        {"proc/self/cgroup": "0::/docker/1234", f"{CPU}/cpu.max": "250000 100000"},
        2.5,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "12:memory:/x\n4:cpu,cpuacct:/app\n1:name=systemd:/",
            f"{CPU}/cpu/app/cpu.cfs_quota_us": "700000",
            f"{CPU}/cpu/app/cpu.cfs_period_us": "100000",
        },
        7.0,
    ),
    "version 1, no limit": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/",
            f"{CPU}/cpu/cpu.cfs_quota_us": "-1",
            f"{CPU}/cpu/cpu.cfs_period_us": "100000",
        },
        None,
    ),
    "version 1, a container sees its own group alone": (
        {
            "proc/self/cgroup": "4:cpuacct,cpu:/docker/1234",
            f"{CPU}/cpu/cpu.cfs_quota_us": "20000",
            f"{CPU}/cpu/cpu.cfs_period_us": "10000",
        },
        2.0,
    ),
    "both versions": (
        {
            "proc/self/cgroup": "4:cpu:/a\n0::/b",
            f"{CPU}/cpu/a/cpu.cfs_quota_us": "600000",
            f"{CPU}/cpu/a/cpu.cfs_period_us": "100000",
            f"{CPU}/b/cpu.max": "max 100000",
        },
        6.0,
    ),
    "the quota of cpuset is none": (
        {"proc/self/cgroup": "4:cpuset:/", f"{CPU}/cpu/cpu.cfs_quota_us": "100000"},
        None,
    ),
    "nonsense": ({"proc/self/cgroup": "0::/", f"{CPU}/cpu.max": "a lot"}, None),
    "a period of 0": ({"proc/self/cgroup": "0::/", f"{CPU}/cpu.max": "100000 0"}, None),
    "lines of no form": ({"proc/self/cgroup": "\nno colons", f"{CPU}/cpu.max": "1 1"}, None),
}


@pytest.mark.parametrize("name", TREES)
def test_cgroup_quota(name, tmp_path):
    files, expected = TREES[name]
    assert _threads.cgroup_quota(tree(tmp_path, files)) == expected


@linux
def test_cgroup_quota_of_this_process():
    quota = _threads.cgroup_quota()
    assert quota is None or quota > 0


def test_explanation(forgetful):
    forgetful.setattr(_threads, "cgroup_quota", lambda: 1.5)
    forgetful.setattr(_threads, "_offered", lambda: 8)
    offered = "OpenMP offers 8" if OPENMP else "CPUs: 8"
    assert _threads.explanation() == f"{offered}; a CPU quota of 1.5"
    forgetful.setattr(_threads, "cgroup_quota", lambda: None)
    assert _threads.explanation() == f"{offered}; no CPU quota"
    pooltk.set_num_threads(3)
    assert _threads.explanation() == "set by set_num_threads or POOLTK_NUM_THREADS"
    forgetful.setattr(_threads, "_at_import", 8)
    forgetful.setattr(_threads, "_offered", lambda: 2)
    assert _threads.explanation() == "lowered to 2 since the import; 3 asked for"
    forgetful.setattr(_threads, "_serial", True)
    assert _threads.explanation() == "a forked child"


# --- interrupts -------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_interrupt():
    """Ctrl-C during a call is raised behind it, and later calls work."""
    program = """
import os, signal, threading
import numpy as np
import pooltk
x = np.random.default_rng(0).standard_normal((100, 300, 300))
expected = pooltk.max_pool2d(x, 3, 1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell has put behind
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        pooltk.max_pool2d(x, 3, 1)
except KeyboardInterrupt:
    assert pooltk.max_pool2d(x, 3, 1).tobytes() == expected.tobytes()
    print("interrupted")
"""
    done = run_python(program)
    assert done.stdout.strip() == "interrupted", done.stderr
