"""The data of a case: one set of random values, in whatever order of memory a peer likes best."""

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

import pooltk

from .cases import FIRST, LAST, Case

Shape = tuple[int, ...]

# Of every view: the array it is a part of, and which part.
_VIEWS: dict[str, tuple[Callable[[Shape], Shape], Callable[[np.ndarray], np.ndarray]]] = {
    "": (lambda shape: shape, lambda base: base),
    "crop": (lambda n: (*n[:2], n[2] + 2, n[3] + 2), lambda base: base[..., 1:-1, 1:-1]),
    "step": (lambda n: (*n[:2], n[2] * 2, n[3] * 2), lambda base: base[..., ::2, ::2]),
    "flip": (lambda n: n, lambda base: base[..., ::-1]),
    "transpose": (lambda n: (*n[:2], n[3], n[2]), lambda base: base.swapaxes(-1, -2)),
    "channels": (lambda n: (n[0], n[1] * 2, *n[2:]), lambda base: base[:, ::2]),
}


def numpy_dtype(name: str) -> np.dtype:
    """Return the dtype of that name, bfloat16 included."""
    if name == "bfloat16":
        import ml_dtypes

        dtype: np.dtype = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


def in_layout(array: Any, layout: str, xp: Any = np) -> Any:
    """Return `array` (batch, channel, ...) of that library with its memory in that order."""
    if layout == FIRST:
        return xp.ascontiguousarray(array)
    return xp.moveaxis(xp.ascontiguousarray(xp.moveaxis(array, 1, -1)), -1, 1)


class Arrays:
    """Input and gradient of a case, made when first asked for and shared by the peers.

    Every array is shaped (batch, channel, pooled axes), and of the library `xp`; the layout is a
    matter of strides.
    """

    def __init__(self, case: Case, xp: Any = np) -> None:
        self.case = case
        self.xp = xp
        self._made: dict[tuple[str, str], Any] = {}

    def x(self, layout: str) -> Any:
        """Return the input, a view where the case is about views."""
        enlarge, view = _VIEWS[self.case.view]
        return view(self._array("x", enlarge(self.case.shape), layout))

    def grad(self, layout: str) -> Any:
        """Return the gradient of the result."""
        return self._array("grad", self.result_shape, layout)

    @property
    def read(self) -> Any:
        """What is read: the input, or the gradient going backward."""
        return (self.grad if self.case.backward else self.x)(self.case.layout)

    @cached_property
    def result_shape(self) -> Shape:
        """Shape of the forward result."""
        kwargs, pooled = self.case.kwargs, self.case.shape[2:]
        if self.case.is_adaptive:
            size = kwargs["output_size"]
            sizes = (size,) * self.case.ndim if isinstance(size, int) else tuple(size)
        else:
            names = "kernel_size", "stride", "padding", "dilation", "ceil_mode"
            given = {name: kwargs[name] for name in names if name in kwargs}
            sizes = pooltk.pool_output_shape(pooled, **given)
        return *self.case.shape[:2], *sizes

    @cached_property
    def read_bytes(self) -> int:
        """Bytes of `read`."""
        read = self.result_shape if self.case.backward else self.case.shape
        return prod(read) * numpy_dtype(self.case.dtype).itemsize

    @cached_property
    def written_bytes(self) -> int:
        """Bytes of the result."""
        if self.case.backward:
            return prod(self.case.shape) * numpy_dtype(self.case.dtype).itemsize
        indices = 8 if self.case.return_indices else 0
        return prod(self.result_shape) * (numpy_dtype(self.case.result_dtype).itemsize + indices)

    @property
    def moved_bytes(self) -> int:
        """Bytes that are read and written; a maximum's gradient needs the input as well."""
        again = self.written_bytes if self.case.backward and self.case.is_max else 0
        return self.read_bytes + self.written_bytes + again

    def _array(self, role: str, shape: Shape, layout: str) -> Any:
        key = role, layout
        if key not in self._made:
            other = self._made.get((role, FIRST if layout == LAST else LAST))
            values = self.xp.asarray(self._random(shape, role)) if other is None else other
            self._made[key] = in_layout(values, layout, self.xp)
        return self._made[key]

    def _random(self, shape: Shape, role: str) -> np.ndarray:
        random = np.random.default_rng(list(f"{role} {shape}".encode()))
        dtype = numpy_dtype(self.case.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        # As many digits as the dtype has: who computes with fewer is found out.
        values = random.random(shape, np.float64 if dtype == np.float64 else np.float32)
        values -= 0.5
        return values.astype(dtype, copy=False)
