"""Where a contest takes place: whose arrays, how to wait for work on them, what limits it, and
what is asked of a case there.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .cases import Case
from .limit import Copy, Loop
from .peers import overlap


class Host:
    """The CPU, and NumPy's arrays."""

    name = "cpu"
    xp: Any = np
    ahead = 2.0  # times as fast as the fastest peer
    near = 1.2  # times the limit
    demands: Callable[[Iterable[bool]], bool] = any  # of these two
    small_bytes = 64 * 1024  # read; below, a call is mostly overhead, and the limit says nothing

    def has_limit(self, case: Case, read_bytes: int) -> bool:
        """Whether the limit says what a case may take."""
        return read_bytes >= self.small_bytes

    def limit(self) -> Loop:
        """Return what makes the limit's calls; raises where that cannot be built."""
        return Loop()

    def wait(self) -> None:
        """Wait until work is done: here it is when a call returns."""

    def to_numpy(self, array: Any) -> np.ndarray:
        """Return the array as NumPy's."""
        return array

    def facts(self) -> dict[str, str]:
        """Return what a report says of the device."""
        return {}


class Cuda(Host):
    """The current CUDA device, and CuPy's arrays; RuntimeError where there is none."""

    name = "cuda"
    ahead = 1.0
    near = 1 / 0.85  # 85 % of the bandwidth of a copy
    demands = all
    # A call costs the host about as much as it takes a GPU to copy so much (computed).
    small_bytes = 32 * 2**20
    most_overlap = 9  # windows over an element; of more, memory may not be what limits

    def __init__(self) -> None:
        try:
            import cupy
        except ImportError as error:
            raise RuntimeError(f"CuPy is not installed: {error}") from error
        if not cupy.is_available():
            raise RuntimeError("CuPy finds no device")
        self.xp = cupy

    def has_limit(self, case: Case, read_bytes: int) -> bool:
        return super().has_limit(case, read_bytes) and overlap(case) <= self.most_overlap

    def limit(self) -> Copy:
        return Copy(self.xp)

    def wait(self) -> None:
        self.xp.cuda.runtime.deviceSynchronize()

    def to_numpy(self, array: Any) -> np.ndarray:
        return self.xp.asnumpy(array)

    def facts(self) -> dict[str, str]:
        runtime = self.xp.cuda.runtime
        return {
            "device": runtime.getDeviceProperties(runtime.getDevice())["name"].decode(),
            "CUDA driver": str(runtime.driverGetVersion()),
            "CUDA runtime": str(runtime.runtimeGetVersion()),
            "cupy": self.xp.__version__,
        }


DEVICES = {kind.name: kind for kind in (Host, Cuda)}
