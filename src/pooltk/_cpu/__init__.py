"""The NumPy backend: results are allocated here, and filled by the Cython kernels.

Every array is brought to the kernels' view of it (`_views`), every pooled axis to a row of
numbers (`_windows`), and both to a plan of the level's kernels (`_levels`), which runs on so many
threads (`_threads`). Plans are kept, so that a call like an earlier one costs little more than its
result.
"""

from collections.abc import Callable
from functools import lru_cache
from math import gcd, prod
from typing import Any

import numpy

from .._geometry import Axis, adaptive_axis, common_count, extent, result_shape
from .._views import Views, views
from . import _levels, _threads

# Elements that a thread has to have to be worth its start.
_WORK_OF_A_THREAD = 1 << 16

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


# An operation on arrays of one geometry, ready to run: `pool` of `_prepare`.
Ready = Callable[..., Any]

_ready: dict[tuple[Any, ...], Ready] = {}
_MOST_READY = 4096


def max_pool(
    x: numpy.ndarray, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Maxima of windows, and where they are."""
    results = out if return_indices and out is not None else (out,)
    return ready_max_pool(x, axes, channels_last, return_indices, *results)(x, *results)


def ready_max_pool(
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    return_indices: bool,
    values: numpy.ndarray | None = None,
    indices: numpy.ndarray | None = None,
) -> Ready:
    """What pools arrays like `x`, into results like these, or into new ones."""
    operation = "max_pool_indices" if return_indices else "max_pool"
    key = (operation, axes, channels_last, _layout(x), _layout(values), _layout(indices))
    ready = _ready.get(key)
    if ready is None:
        shape = result_shape(x.shape, axes, channels_last)
        arrays = [x, _result(values, x, x.dtype, shape)]
        if return_indices:
            arrays.append(_result(indices, x, numpy.dtype(numpy.int64), shape))
        large = (True, False, False)[: len(arrays)]
        ready = _prepare(key, operation, axes, channels_last, large, *arrays)
    return ready


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
    return ready_avg_pool(x, axes, channels_last, *options, out)(x, out)


def ready_avg_pool(
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: numpy.dtype,
    out: numpy.ndarray | None = None,
) -> Ready:
    """What averages arrays like `x`, into a result like `out`, or into a new one."""
    options = (count_include_pad, divisor_override, dtype)
    key = ("avg_pool", axes, channels_last, options, _layout(x), _layout(out))
    ready = _ready.get(key)
    if ready is None:
        values = _result(out, x, dtype, result_shape(x.shape, axes, channels_last))
        divisor = divisor_override or 0
        ready = _prepare(
            key, "avg_pool", axes, channels_last, (True, False), x, values,
            more=lambda seen: (_windows(seen.axes), count_include_pad, divisor, False),
        )  # fmt: skip
    return ready


def max_pool_backward(
    grad_output: numpy.ndarray,
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: numpy.ndarray | None,
    out: numpy.ndarray | None,
) -> numpy.ndarray:
    """Each gradient, at the tap that won."""
    ready = ready_max_pool_backward(grad_output, x, axes, channels_last, indices, out)
    return ready(x, out, indices, grad_output)


def ready_max_pool_backward(
    grad_output: numpy.ndarray,
    x: numpy.ndarray,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: numpy.ndarray | None,
    out: numpy.ndarray | None = None,
) -> Ready:
    """What spreads gradients like this one over a result like `out`, or over a new one."""
    layouts = tuple(map(_layout, (x, out, indices, grad_output)))
    key = ("max_pool_backward", axes, channels_last, layouts)
    ready = _ready.get(key)
    if ready is None:
        result = _result(out, grad_output, grad_output.dtype, x.shape)
        # Without indices nothing is at their place; any array of their shape serves there.
        arrays = (x, result, grad_output if indices is None else indices, grad_output)
        large = (True, True, False, False)
        ready = _prepare(key, "max_pool_backward", axes, channels_last, large, *arrays)
    return ready


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
    options = (count_include_pad, divisor_override)
    ready = ready_avg_pool_backward(grad_output, input_shape, axes, channels_last, *options, out)
    return ready(grad_output, out)


def ready_avg_pool_backward(
    grad_output: numpy.ndarray,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: numpy.ndarray | None = None,
) -> Ready:
    """What spreads gradients like this one over a result like `out`, or over a new one."""
    options = (count_include_pad, divisor_override, input_shape)
    key = ("avg_pool_backward", axes, channels_last, options, _layout(grad_output), _layout(out))
    ready = _ready.get(key)
    if ready is None:

        def more(seen: Views) -> tuple[Any, ...]:
            divisor = divisor_override or common_count(seen.axes, count_include_pad)
            return _windows(seen.axes), count_include_pad, divisor, not divisor

        result = _result(out, grad_output, grad_output.dtype, input_shape)
        ready = _prepare(
            key, "avg_pool", axes, channels_last, (False, True), grad_output, result,
            more=more, windows=_transposed,
        )  # fmt: skip
    return ready


def _layout(array: numpy.ndarray | None) -> tuple[Any, ...] | None:
    return None if array is None else (array.shape, array.strides, array.dtype)


def _result(
    given: numpy.ndarray | None, like: numpy.ndarray, dtype: numpy.dtype, shape: tuple[int, ...]
) -> numpy.ndarray:
    """The array to write to, or a new one in the memory order of `like`."""
    return numpy.empty_like(like, dtype, shape=shape, subok=False) if given is None else given


def _prepare(
    key: tuple[Any, ...],
    operation: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    large: tuple[bool, ...],
    *arrays: numpy.ndarray,
    more: Callable[[Views], tuple[Any, ...]] = lambda seen: (),
    windows: Callable[[tuple[Axis, ...]], numpy.ndarray] | None = None,
) -> Ready:
    """Make and keep the plan of an operation on arrays like these, which come as in `Plan.run`.

    `large` arrays have the input's shape.
    """
    run = None
    work = 0  # elements that decide how many threads are worth their start
    if all(array.size for array in arrays):
        lead = arrays[0]
        strides = [array.strides for array in arrays]
        # Winners are counted within a plane, row by row. Gradients of small planes lie side by
        # side, where windows do not; all planes as one row would be a thread's alone.
        axes_swap = operation in ("max_pool", "avg_pool")
        planes_merge = axes_swap and (
            axes[-1].output_size == 1
            or (not _are_narrow(axes, lead.dtype) if large[0] else _are_side_by_side(axes))
        )
        merging = (axes_swap, planes_merge, large)
        seen = views(axes, channels_last, lead.itemsize, *merging, lead.shape, *strides)
        described = [_array(seen, place, array) for place, array in enumerate(arrays)]
        table = (windows or _windows)(seen.axes)
        plan = getattr(_levels.kernels(), operation)(*described, seen.batch, table, *more(seen))
        run = plan.run
        sizes = [array.size for array in arrays]
        work = max(sizes)
        if operation.startswith("max_pool_"):
            work *= 8  # winners take about so many times as long as maxima
        else:  # windows that overlap, as long as so many taps of those that do not
            taps = prod(min(axis.kernel_size, 4) for axis in axes)
            work = max(work, min(sizes) * taps // 3)
    most_threads = work // _WORK_OF_A_THREAD
    with_indices = operation == "max_pool_indices"
    as_integers = any(map(_is_bfloat16, arrays))
    shape, dtype, c_order = arrays[1].shape, arrays[1].dtype, arrays[1].flags.c_contiguous

    def pool(
        src: numpy.ndarray,
        dst: numpy.ndarray | None = None,
        indices: numpy.ndarray | None = None,
        grad: numpy.ndarray | None = None,
    ) -> Any:
        if dst is None:
            like = src if grad is None else grad
            if c_order:  # takes a fifth of the time
                dst = numpy.empty(shape, dtype)
            else:
                dst = numpy.empty_like(like, dtype, shape=shape, subok=False)
            if with_indices:
                indices = numpy.empty_like(dst, numpy.int64)
        threads = 1
        if most_threads > 1:
            threads = min(_threads.get_num_threads(), most_threads)
        if run is None:
            dst[...] = 0
        elif as_integers:
            run(threads, *map(_as_integers, (src, dst, indices, grad)))
        else:
            run(threads, src, dst, indices, grad)
        return (dst, indices) if with_indices else dst

    if len(_ready) >= _MOST_READY:
        _ready.clear()
    _ready[key] = pool
    return pool


def _are_side_by_side(axes: tuple[Axis, ...]) -> bool:
    """Whether windows are, and not all along one row; or whether they are single elements."""
    kernel_sizes = [axis.kernel_size for axis in axes]
    return all(axis.kernel_size == axis.stride for axis in axes) and (
        (len(axes) > 1 and kernel_sizes[0] > 1) or max(kernel_sizes) == 1
    )


def _are_narrow(axes: tuple[Axis, ...], dtype: numpy.dtype) -> bool:
    """Whether planes have so few columns that many are pooled side by side, or in registers."""
    columns = axes[-1].input_size
    if all(axis.kernel_size == 1 for axis in axes[:-1]):
        return False
    if axes[-1].kernel_size == 3:
        return columns <= (24 if dtype == numpy.float32 else 20)
    return axes[-1].kernel_size >= 5 and columns <= 40


def _as_integers(array: numpy.ndarray | None) -> numpy.ndarray | None:
    """Show an array of bfloat16, which exports no buffer, as one of integers."""
    return array.view(numpy.uint16) if array is not None and _is_bfloat16(array) else array


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
