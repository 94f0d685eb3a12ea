"""What the benchmarks share: the parameters, and an array for each combination of them."""

from typing import Any

from contest.arrays import Arrays
from contest.cases import FIRST, LAST, Case
from contest.devices import Cuda, Host

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
        device = device_of(backend)
        self.wait = device.wait
        sizes = tuple(map(int, shape.split("x")))
        case = Case("", self.op, sizes, tuple(self.args.items()), dtype=dtype, layout=layout)
        arrays = Arrays(case, device.xp)
        self.x, self.grad = arrays.x(layout), arrays.grad(layout)


def device_of(backend: str) -> Host:
    """Return where a backend's arrays are; what this machine or this commit lacks is skipped."""
    if backend not in _support.LIBRARIES:
        raise NotImplementedError(f"pooltk has no backend for {backend}")
    try:
        return {"numpy": Host, "cupy": Cuda}[backend]()
    except RuntimeError as error:
        raise NotImplementedError(str(error)) from error
