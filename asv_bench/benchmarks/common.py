"""What the benchmarks share: the parameters, and an array for each combination of them."""

from collections.abc import Callable
from typing import Any

from contest.arrays import Arrays
from contest.cases import FIRST, LAST, Case

import pooltk
from pooltk import _support

DTYPES = "float32", "float16", "uint8"
SHAPES = "1x64x28x28", "8x64x112x112"  # in a core's own cache, in no core's


def floating(dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """Return those that have gradients."""
    return tuple(dtype for dtype in dtypes if dtype in _support.FLOATING)


class Pooling:
    """Base of all that pool: `x`, `grad` and, as CuPy does not wait for its device, a `wait`."""

    params: tuple[tuple[Any, ...], ...] = (DTYPES, (FIRST, LAST), SHAPES, ("numpy", "cupy"))
    param_names = "dtype", "layout", "shape", "backend"

    op: str
    args: dict[str, Any]

    def setup(self, dtype: str, layout: str, shape: str, backend: str) -> None:
        pooltk.set_num_threads(1)
        asarray, self.wait = library(backend)
        sizes = tuple(map(int, shape.split("x")))
        case = Case("", self.op, sizes, tuple(self.args.items()), dtype=dtype, layout=layout)
        arrays = Arrays(case)
        self.x, self.grad = asarray(arrays.x(layout)), asarray(arrays.grad(layout))


def library(backend: str) -> tuple[Callable[[Any], Any], Callable[[], object]]:
    """Return what makes an array of the backend's library and what waits for its device.

    A backend that this machine or this commit lacks is skipped.
    """
    if backend == "numpy":
        return lambda array: array, lambda: None
    if backend not in _support.LIBRARIES:
        raise NotImplementedError(f"pooltk has no backend for {backend}")
    try:
        import cupy
    except ImportError as error:
        raise NotImplementedError("CuPy is not installed") from error
    if not cupy.is_available():
        raise NotImplementedError("CuPy finds no device")
    return cupy.asarray, cupy.cuda.get_current_stream().synchronize
