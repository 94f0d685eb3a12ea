"""The NumPy backend: results are allocated here, and filled by the Cython kernels.

Every array is brought to the kernels' view of it (`_views`), every pooled axis to a row of
numbers (`_windows`), and both to a plan of the level's kernels (`_levels`), which runs on so many
threads (`_threads`). Plans are kept, so that a call like an earlier one costs little more than its
result.
"""

from collections.abc import Callable
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

import numpy

from .._geometry import Axis, adaptive_axis, common_count, extent, result_shape
from .._views import Views, views
from . import _levels, _threads

# Elements that a thread has to have to be worth its start.
_WORK_OF_A_THREAD = 1 << 18

_SLIDING, _ADAPTIVE, _TRANSPOSED = range(3)  # as in _windows.pxi

# As `kind_t` of _elements.pxi lists them, and the type as which kernels are shown the elements.
_KINDS = {
    "float32": (0, "float", "float32"),
    "float64": (1, "double", "float64"),
    "float16": (2, "uint16_t", "uint16"),
    "bfloat16": (3, "uint16_t", "uint16"),
    "int8": (4, "int8_t", "int8"),
    "int16": (5, "int16_t", "int16"),
    "int32": (6, "int32_t", "int32"),
    "int64": (7, "int64_t", "int64"),
    "uint8": (8, "uint8_t", "uint8"),
    "uint16": (9, "uint16_t", "uint16"),
    "uint32": (10, "uint32_t", "uint32"),
    "uint64": (11, "uint64_t", "uint64"),
    "bool": (8, "uint8_t", "uint8"),
}


class _Ready(NamedTuple):
    """What a call needs that is like an earlier one."""

    plan: Any
    shape: tuple[int, ...]  # of the result
    dtype: numpy.dtype
    c_order: bool
    work: int  # elements that decide how many threads are worth their start
    as_integers: bool  # arrays of a dtype that exports no buffer: bfloat16

    def __call__(self, x: numpy.ndarray) -> numpy.ndarray:
        """Allocate the result of a forward call, and fill it."""
        if self.c_order:
            values = numpy.empty(self.shape, self.dtype)
        else:
            values = numpy.empty_like(x, self.dtype, shape=self.shape, subok=False)
        if self.work:
            _run(self, x, values)
        return values


_ready: dict[tuple[Any, ...], _Ready] = {}
_MOST_READY = 4096

# The same, by the arguments of a public call: what has been checked once needs no second look.
recent: dict[tuple[Any, ...], _Ready] = {}


def remember(call: tuple[Any, ...], *key: Any) -> None:
    """Let a call that is like this one, whose key here was `key`, go straight to its plan."""
    ready = _ready.get(key)
    if ready is not None:
        if len(recent) >= _MOST_READY:
            recent.clear()
        recent[call] = ready


def max_pool(
    x: numpy.ndarray, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Maxima of windows, and where they are."""
    if return_indices:
        return _max_pool_indices(x, axes, channels_last, out)
    strides = out is None or out.strides
    key = ("max_pool", axes, channels_last, x.shape, x.strides, x.dtype, strides)
    ready = _ready.get(key)
    if ready is None:
        shape = result_shape(x.shape, axes, channels_last)
        if out is None:
            out = numpy.empty_like(x, shape=shape, subok=False)
        ready = _prepare(key, "max_pool", axes, channels_last, (True, False), (x, out), out)
    if out is None:
        return ready(x)
    if ready.work:
        _run(ready, x, out)
    return out


def _max_pool_indices(
    x: numpy.ndarray, axes: tuple[Axis, ...], channels_last: bool, out: Any
) -> tuple[numpy.ndarray, numpy.ndarray]:
    strides = None if out is None else (out[0].strides, out[1].strides)
    key = ("max_pool_indices", axes, channels_last, x.shape, x.strides, x.dtype, strides)
    ready = _ready.get(key)
    shape = result_shape(x.shape, axes, channels_last) if ready is None else ready.shape
    if out is None:
        values = numpy.empty_like(x, shape=shape, subok=False)
        indices = numpy.empty_like(x, numpy.int64, shape=shape, subok=False)
    else:
        values, indices = out
    if ready is None:
        arrays = (x, values, indices)
        large = (True, False, False)
        ready = _prepare(key, "max_pool_indices", axes, channels_last, large, arrays, values)
    if ready.work:
        _run(ready, x, values, indices)
    return values, indices


def avg_pool(
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: numpy.dtype,
    out: numpy.ndarray | None,
) -> numpy.ndarray:
    """Averages of windows."""
    options = (count_include_pad, divisor_override, dtype)
    strides = out is None or out.strides
    key = ("avg_pool", axes, channels_last, options, x.shape, x.strides, x.dtype, strides)
    ready = _ready.get(key)
    if ready is None:
        shape = result_shape(x.shape, axes, channels_last)
        if out is None:
            out = numpy.empty_like(x, dtype, shape=shape, subok=False)
        divisor = divisor_override or 0
        ready = _prepare(
            key, "avg_pool", axes, channels_last, (True, False), (x, out), out,
            lambda seen: (_windows(seen.axes), count_include_pad, divisor, False),
        )  # fmt: skip
    if out is None:
        return ready(x)
    if ready.work:
        _run(ready, x, out)
    return out


def max_pool_backward(
    grad_output: numpy.ndarray,
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: numpy.ndarray | None,
    out: numpy.ndarray | None,
) -> numpy.ndarray:
    """Each gradient, at the tap that won."""
    if out is None:
        out = numpy.empty_like(grad_output, shape=x.shape, subok=False)
    # Without indices nothing is at their place; any array of their shape serves there.
    arrays = (x, out, grad_output if indices is None else indices, grad_output)
    layouts = tuple((array.shape, array.strides, array.dtype) for array in arrays)
    key = ("max_pool_backward", axes, channels_last, layouts)
    ready = _ready.get(key)
    if ready is None:
        large = (True, True, False, False)
        ready = _prepare(key, "max_pool_backward", axes, channels_last, large, arrays, out)
    if ready.work and grad_output.size:
        _run(ready, x, out, indices, grad_output)
    else:
        out[...] = 0
    return out


def avg_pool_backward(
    grad_output: numpy.ndarray,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: numpy.ndarray | None,
) -> numpy.ndarray:
    """Each gradient, divided among its window's taps: sums over the windows that hold a tap."""
    if out is None:
        out = numpy.empty_like(grad_output, shape=input_shape, subok=False)
    options = (count_include_pad, divisor_override, out.shape, out.strides, out.dtype)
    layout = (grad_output.shape, grad_output.strides, grad_output.dtype)
    key = ("avg_pool_backward", axes, channels_last, options, layout)
    ready = _ready.get(key)
    if ready is None:

        def more(seen: Views) -> tuple[Any, ...]:
            divisor = divisor_override or common_count(seen.axes, count_include_pad)
            return _windows(seen.axes), count_include_pad, divisor, not divisor

        ready = _prepare(
            key, "avg_pool", axes, channels_last, (False, True), (grad_output, out), out,
            more, _transposed,
        )  # fmt: skip
    if ready.work and grad_output.size:
        _run(ready, grad_output, out)
    else:
        out[...] = 0
    return out


def _prepare(
    key: tuple[Any, ...],
    operation: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    large: tuple[bool, ...],
    arrays: tuple[numpy.ndarray, ...],
    result: numpy.ndarray,
    more: Callable[[Views], tuple[Any, ...]] = lambda seen: (),
    windows: Callable[[tuple[Axis, ...]], numpy.ndarray] | None = None,
) -> _Ready:
    """Make and keep the plan of an operation; `large` arrays have the input's shape."""
    plan = None
    work = 0
    if all(array.size for array in arrays):
        lead = arrays[0]
        strides = [array.strides for array in arrays]
        # Winners are counted within a plane, and gradients of small ones lie side by side.
        planes_merge = operation in ("max_pool", "avg_pool")
        planes_merge &= large[0] or axes[-1].output_size == 1
        seen = views(axes, channels_last, lead.itemsize, planes_merge, large, lead.shape, *strides)
        described = [_array(seen, place, array) for place, array in enumerate(arrays)]
        table = (windows or _windows)(seen.axes)
        plan = getattr(_levels.kernels(), operation)(*described, seen.batch, table, *more(seen))
        work = max(array.size for array in arrays)
        work *= 1 if operation in ("max_pool", "avg_pool") else 8  # winners take about so many times as long as maxima
    if len(_ready) >= _MOST_READY:
        _ready.clear()
    as_integers = any(_is_bfloat16(array) for array in arrays)
    ready = _Ready(plan, result.shape, result.dtype, result.flags.c_contiguous, work, as_integers)
    _ready[key] = ready
    return ready


def _run(ready: _Ready, *arrays: numpy.ndarray | None) -> None:
    if ready.as_integers:
        arrays = tuple(
            array.view(numpy.uint16) if array is not None and _is_bfloat16(array) else array
            for array in arrays
        )
    threads = 1
    if ready.work >= 2 * _WORK_OF_A_THREAD:
        threads = min(_threads.get_num_threads(), ready.work // _WORK_OF_A_THREAD)
    ready.plan.run(threads, *arrays)


def _is_bfloat16(array: numpy.ndarray) -> bool:
    return array.dtype.name == "bfloat16"


def _array(seen: Views, position: int, array: numpy.ndarray) -> Any:
    kind, name, shown = _KINDS[array.dtype.name]
    view = seen.of(position, array)
    return _levels.kernels().array[name](view.view(shown), kind)


@lru_cache(maxsize=1024)
def _windows(axes: tuple[Axis, ...]) -> numpy.ndarray:
    """Windows of each axis, as `axis_t` of _windows.pxi."""
    rows = [
        (_SLIDING, *axis, axis.dilation)
        if axis.stride
        else (_ADAPTIVE, *axis._replace(stride=1), 1)
        for axis in axes
    ]
    return numpy.array(rows, dtype=numpy.int64)


@lru_cache(maxsize=1024)
def _transposed(axes: tuple[Axis, ...]) -> numpy.ndarray:
    """For each axis the windows that hold an element of the input: its inverse."""
    rows = []
    for axis in axes:
        if not axis.stride:
            inverse = adaptive_axis(axis.output_size, axis.input_size)
            rows.append((_ADAPTIVE, *inverse._replace(stride=1), 1))
            continue
        inverse = axis._replace(input_size=axis.output_size, output_size=axis.input_size)
        if axis.stride == 1:
            padding = extent(axis.kernel_size, axis.dilation) - 1 - axis.padding_low
            rows.append((_SLIDING, *inverse._replace(padding_low=padding), axis.dilation))
        else:
            step = axis.dilation // gcd(axis.dilation, axis.stride)
            rows.append((_TRANSPOSED, *inverse, step))
    return numpy.array(rows, dtype=numpy.int64)
