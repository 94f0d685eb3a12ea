"""What a test needs from the fake driver: the call log, accesses, schedules, errors, exact bounds.

with cuda_log.record() as log:
    pool(x)
log.assert_asynchronous()               # no synchronisation, no copy to the host
log.assert_stream(cupy.cuda.get_current_stream())
"""

import ctypes
import json
import os
from contextlib import contextmanager
from functools import lru_cache


class Access(ctypes.Structure):
    """What a thread did to global memory; `what` is b"r" (read), b"w" (write) or b"a" (atomic)."""

    _fields_ = (
        ("address", ctypes.c_uint64),
        ("size", ctypes.c_uint32),
        ("block", ctypes.c_uint32),
        ("thread", ctypes.c_uint32),
        ("what", ctypes.c_char),
    )


@lru_cache
def _driver():
    library = ctypes.CDLL("libcuda.so.1")
    library.cupy_on_cpu_log_get.restype = ctypes.c_char_p
    library.cupy_on_cpu_error.restype = ctypes.c_char_p
    library.cupy_on_cpu_accesses.restype = ctypes.POINTER(Access)
    return library


def is_emulated():
    """Whether this process was started with `run`."""
    return bool(os.environ.get("CUPY_ON_CPU_HOME"))


class Log:
    """The recorded events, in order; each is a dict with the key 'event'."""

    def __init__(self):
        self.events = []

    def of(self, *kinds):
        return [event for event in self.events if event["event"] in kinds]

    @property
    def launches(self):
        """Keys: kernel, grid, block, shared (dynamic bytes), stream."""
        return self.of("launch")

    @property
    def syncs(self):
        """Calls that made the host wait. Keys: call, stream."""
        return self.of("sync")

    @property
    def copies(self):
        """Keys: direction ('device-to-host', ...), bytes, stream."""
        return self.of("memcpy")

    @property
    def copies_to_host(self):
        return [copy for copy in self.copies if copy["direction"] == "device-to-host"]

    @property
    def allocations(self):
        """CudaMalloc calls; arrays that the memory pool serves don't show. Keys: bytes."""
        return self.of("malloc")

    def assert_asynchronous(self):
        assert not self.syncs, f"the host waited: {self.syncs}"
        assert not self.copies_to_host, f"copied to the host: {self.copies_to_host}"

    def assert_stream(self, stream):
        """All work was put on the given cupy.cuda.Stream, and there was some."""
        work = self.of("launch", "memcpy", "memset", "graph-launch")
        strays = [event for event in work if event["stream"] != stream.ptr]
        assert work, "nothing was launched"
        assert not strays, f"not on stream {stream.ptr}: {strays}"


@contextmanager
def record():
    """Record the calls made inside the `with` block; not to be nested."""
    driver, log = _driver(), Log()
    driver.cupy_on_cpu_log_start()
    try:
        yield log
    finally:
        driver.cupy_on_cpu_log_stop()
        count = driver.cupy_on_cpu_log_size()
        log.events = [json.loads(driver.cupy_on_cpu_log_get(i)) for i in range(count)]


@contextmanager
def accesses():
    """Record what kernels do to global memory inside the `with` block, in the order they do it.

    Blocks and threads are counted along x first. Kernels are slower meanwhile.
    """
    driver, found = _driver(), []
    driver.cupy_on_cpu_accesses_start()
    try:
        yield found
    finally:
        driver.cupy_on_cpu_accesses_stop()
        first, count = driver.cupy_on_cpu_accesses(), driver.cupy_on_cpu_accesses_size()
        found.extend(Access.from_buffer_copy(first[i]) for i in range(count))


def read(path):
    """A log file written with `run --log`."""
    log = Log()
    with open(path) as file:
        log.events = [json.loads(line) for line in file]
    return log


def schedules(seeds=range(8)):
    """Iterate over thread and block orders: `for seed in schedules(): launch()`."""
    try:
        for seed in seeds:
            _driver().cupy_on_cpu_seed(seed)
            yield seed
    finally:
        _driver().cupy_on_cpu_seed(int(os.environ.get("CUPY_ON_CPU_SEED", 0)))


def last_error():
    """The explanation of the last error: kernel, address, PTX line, block and thread."""
    return _driver().cupy_on_cpu_error().decode()


def clear_error():
    """Forget a failed kernel. On a GPU nothing works any more after one."""
    _driver().cupy_on_cpu_clear_error()


@contextmanager
def exact_allocations():
    """Arrays made inside come from cudaMalloc, not from the pool: their bounds are exact."""
    import cupy

    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(None)
    try:
        yield
    finally:
        cupy.cuda.set_allocator(before)
