"""The limit: what it costs to read the input and to write the result's bytes.

No pooling can be faster, as each has to do at least that. On the CPU it is a loop, `limit.c`,
compiled when the contest starts by the compiler at hand; on a CUDA device, a copy of as many bytes.
The result's memory is there beforehand: what an allocator costs is no part of the limit.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Arrays

SOURCE = Path(__file__).with_name("limit.c")


def _level_flags() -> list[str]:
    """Return the flags for vectors of 32 bytes where this processor has them."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return []
    return ["-march=x86-64-v3"] if {"avx2", "bmi2", "fma", "f16c"} <= set(flags) else []


class Loop:
    """The compiled loop; raises OSError or CalledProcessError where no compiler compiles it."""

    def __init__(self) -> None:
        compiler = os.environ.get("CC", "cc").split()
        flags = ["-O3", *_level_flags(), "-fopenmp", "-shared", "-fPIC"]
        self.command = [*compiler, *flags]
        with tempfile.TemporaryDirectory(prefix="contest-limit-") as folder:
            library = os.path.join(folder, "limit.so")
            command = [*self.command, str(SOURCE), "-o", library]
            subprocess.run(command, check=True, capture_output=True, text=True)
            self._loop = ctypes.CDLL(library).limit
        self._loop.restype = ctypes.c_uint64

    def prepare(self, arrays: Arrays, threads: int) -> Callable[[], object]:
        """Return the call that reads what a case reads, where it lies, and writes as much."""
        array, result_bytes = arrays.read, arrays.written_bytes
        start, offsets, row_bytes = runs(array)
        result = np.zeros(result_bytes, np.uint8)  # every page written once, before the clock
        arguments = (
            ctypes.c_void_p(start),
            ctypes.c_void_p(offsets.ctypes.data),
            ctypes.c_int64(len(offsets)),
            ctypes.c_int64(row_bytes),
            ctypes.c_void_p(result.ctypes.data),
            ctypes.c_int64(result_bytes),
            ctypes.c_uint64(0x3F8CCCCD3F8CCCCD),  # twice the float 1.1
            ctypes.c_int(threads),
        )
        loop = self._loop
        owners = array, offsets, result

        def call(_owners: object = owners) -> object:
            return loop(*arguments)

        return call


class Copy:
    """A copy from one place on a device to another."""

    command = ("cupy.copyto",)

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy

    def prepare(self, arrays: Arrays, threads: int) -> Callable[[], object]:
        """Return the call that reads and writes as many bytes as a case has to, half of each."""
        shape = (arrays.moved_bytes // 2,)
        target, source = self._cupy.zeros(shape, np.uint8), self._cupy.zeros(shape, np.uint8)
        return lambda: self._cupy.copyto(target, source)


def runs(array: np.ndarray) -> tuple[int, np.ndarray, int]:
    """Where the elements of `array` lie: lowest address, offset of every run, bytes a run.

    A run is a stretch of memory that holds elements close together; of every second element the
    ones between are read as well, since they come with the same cache lines.
    """
    axes = [(abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1]
    low = array.__array_interface__["data"][0] + sum(
        s * (n - 1) for s, n in zip(array.strides, array.shape, strict=True) if s < 0
    )
    run = array.itemsize
    outer: list[tuple[int, int]] = []
    for stride, length in sorted(axes):
        if not outer and stride <= max(run, 2 * array.itemsize):
            run += stride * (length - 1)
        else:
            outer.append((stride, length))
    offsets = np.zeros(1, np.int64)
    for stride, length in outer:
        offsets = (np.arange(length)[:, None] * stride + offsets).ravel()
    return low, offsets, run
