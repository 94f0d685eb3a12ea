"""The functions of the CuPy backend: results are allocated here, and filled by CUDA kernels.

What a call has that is like an earlier one is kept, so that it costs little more than its launch.
"""

from collections.abc import Callable
from functools import wraps
from math import prod
from typing import Any, NamedTuple

import cupy
import numpy

from .._geometry import Axis, common_count, result_shape
from .._support import FLOATING, dtype_name
from . import _launch, _modules

_Arrays = tuple[Any, ...]


class _Ready(NamedTuple):
    """What a call needs that is like an earlier one."""

    run: Callable[..., None]  # with the arrays of its kernel, or 0 for one that it has no use for
    shape: tuple[int, ...]  # of the result


_ready: dict[tuple[Any, ...], _Ready] = {}
_MOST_READY = 4096


def _on_its_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function work on the device of its first array, whichever is the current one."""

    @wraps(function)
    def run(array: Any, *arguments: Any) -> Any:
        device = array.data.device_id
        if device == cupy.cuda.runtime.getDevice():
            return function(array, *arguments)
        with cupy.cuda.Device(device):
            return function(array, *arguments)

    return run


@_on_its_device
def max_pool(
    x: Any, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Maxima of windows, and where they are."""
    if not return_indices and (order := _launch.passes("max_pool", axes, x.size)):

        def pool(array: Any, axis: Axis, is_last: bool, out: Any) -> Any:
            return max_pool(array, (axis,), False, False, out)

        return _in_passes(pool, x, axes, channels_last, order, out)
    values, indices = out if return_indices and out is not None else (out, None)
    windows = ("max_pool", axes, channels_last, return_indices)
    key = (windows, _layout(x), _layout(values), _layout(indices))
    ready = _ready.get(key)
    shape = ready.shape if ready else result_shape(x.shape, axes, channels_last)
    if out is None:
        values = _new(x, shape, x.dtype)
        indices = _new(x, shape, numpy.int64) if return_indices else None
    if ready is None:
        macros = (f"X={_type(x)}", "VALUES", "NUMBER=int64", *["NUMBERS"] * return_indices)
        arrays = (x, values, indices)
        run = _prepare("max_pool", axes, channels_last, arrays, macros)
        ready = _remember(key, run, shape)
    ready.run(x, values, indices if return_indices else 0)
    return (values, indices) if return_indices else values


@_on_its_device
def avg_pool(
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: Any,
    out: Any,
) -> Any:
    """Averages of windows."""
    options = (count_include_pad, divisor_override)
    return _avg_pool(x, axes, channels_last, options, dtype, out)


def _avg_pool(
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    options: tuple[bool, int | None],
    dtype: Any,
    out: Any,
    is_pass: bool = False,
) -> Any:
    count_include_pad, divisor_override = options
    if dtype_name(x.dtype) in FLOATING and (order := _launch.passes("avg_pool", axes, x.size)):

        def pool(array: Any, axis: Axis, is_last: bool, out: Any) -> Any:
            divisor = divisor_override and (divisor_override if is_last else 1)
            result = dtype if is_last else numpy.dtype(_wide(x.dtype, dtype))
            passed = (count_include_pad, divisor)
            return _avg_pool(array, (axis,), False, passed, result, out, True)

        return _in_passes(pool, x, axes, channels_last, order, out)
    windows = ("avg_pool", axes, channels_last, options, is_pass)
    key = (windows, _layout(x), dtype, _layout(out))
    ready = _ready.get(key)
    shape = ready.shape if ready else result_shape(x.shape, axes, channels_last)
    if out is None:
        out = _new(x, shape, dtype)
    if ready is None:
        divisor = divisor_override or common_count(axes, count_include_pad)
        macros = (
            f"X={_type(x)}",
            f"RESULT={_type(out)}",
            *_sum_macros(x.dtype, out.dtype, axes, divisor),
            # What a pass gives is rounded, and so has to be as exact as can be.
            *["ONE_BY_ONE"] * is_pass,
            _count_macro(count_include_pad, divisor),
        )
        arrays = (x, out)
        run = _prepare("avg_pool", axes, channels_last, arrays, macros, divisor=divisor)
        ready = _remember(key, run, shape)
    ready.run(x, out)
    return out


@_on_its_device
def max_pool_backward(
    grad_output: Any,
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: Any,
    out: Any,
) -> Any:
    """Each gradient, at the tap that won."""
    grad_input = _new(grad_output, x.shape, grad_output.dtype) if out is None else out
    windows = ("max_pool_backward", axes, channels_last)
    key = (windows, _layout(grad_output), _layout(x), _layout(indices), _layout(out))
    ready = _ready.get(key)
    if ready is None:
        if indices is None:
            run = _by_numbers(grad_output, x, axes, channels_last, grad_input)
        else:
            macros = (*_gradient_macros(grad_input), f"NUMBER={_type(indices)}")
            arrays = (grad_input, indices, grad_output)
            run = _prepare("max_pool_backward", axes, channels_last, arrays, macros)
        ready = _remember(key, run)
    ready.run(grad_input, x if indices is None else indices, grad_output)
    return grad_input


def _by_numbers(
    grad_output: Any, x: Any, axes: tuple[Axis, ...], channels_last: bool, grad_input: Any
) -> Callable[..., None]:
    """Return what finds each winner once, and keeps its number in its window, in few bytes."""
    dtype = numpy.min_scalar_type(_launch.relative_numbers(axes) - 1)
    shape = grad_output.shape
    numbers = _new(grad_output, shape, dtype)
    macros = (f"NUMBER={_type(numbers)}", "RELATIVE")
    windows = (axes, channels_last)
    seek = _prepare(
        *("max_pool", *windows, (x, None, numbers)),
        (f"X={_type(x)}", "NUMBERS", *macros),
        relative=True,
    )
    add = _prepare(
        *("max_pool_backward", *windows, (grad_input, numbers, grad_output)),
        (*_gradient_macros(grad_input), *macros),
        relative=True,
    )

    def run(grad_input: Any, x: Any, grad_output: Any) -> None:
        numbers = _kept(_new(grad_output, shape, dtype))
        seek(x, 0, numbers)
        add(grad_input, numbers, grad_output)

    return run


@_on_its_device
def avg_pool_backward(
    grad_output: Any,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: Any,
) -> Any:
    """Each gradient, divided among its window's taps."""
    options = (count_include_pad, divisor_override)
    return _avg_pool_backward(
        grad_output, input_shape, axes, channels_last, options, grad_output.dtype, out
    )


def _avg_pool_backward(
    grad_output: Any,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    options: tuple[bool, int | None],
    dtype: Any,
    out: Any,
) -> Any:
    count_include_pad, divisor_override = options
    if order := _launch.passes("avg_pool_backward", axes, prod(input_shape)):

        def pool(array: Any, axis: Axis, is_last: bool, out: Any) -> Any:
            divisor = divisor_override and (divisor_override if is_last else 1)
            result = dtype if is_last else numpy.dtype(_wide(dtype))
            shape = (*array.shape[:-1], axis.input_size)
            passed = (count_include_pad, divisor)
            return _avg_pool_backward(array, shape, (axis,), False, passed, result, out)

        return _in_passes(pool, grad_output, axes, channels_last, order, out)
    grad_input = _new(grad_output, input_shape, dtype) if out is None else out
    windows = ("avg_pool_backward", axes, channels_last, options, dtype)
    key = (windows, _layout(grad_output), input_shape, _layout(out))
    ready = _ready.get(key)
    if ready is None:
        divisor = divisor_override or common_count(axes, count_include_pad)
        macros = (
            f"GRADIENT={_type(grad_output)}",
            f"RESULT={_type(grad_input)}",
            f"WIDE={_wide(grad_output.dtype, dtype)}",
            f"COUNTED={int(not divisor)}",
            _count_macro(count_include_pad, divisor),
        )
        arrays = (grad_output, grad_input)
        run = _prepare("avg_pool_backward", axes, channels_last, arrays, macros, divisor=divisor)
        ready = _remember(key, run)
    ready.run(grad_output, grad_input)
    return grad_input


# --- calls like an earlier one, whose arguments need no second look ------------------------


def _ready_for(pool: Callable[..., Any]) -> Callable[..., Callable[[Any], Any]]:
    def ready(_: Any, *options: Any) -> Callable[[Any], Any]:
        return lambda array: pool(array, *options, None)

    return ready


ready_max_pool, ready_avg_pool, ready_avg_pool_backward = map(
    _ready_for, (max_pool, avg_pool, avg_pool_backward)
)


def ready_max_pool_backward(
    grad_output: Any, x: Any, axes: tuple[Axis, ...], channels_last: bool, indices: Any
) -> Callable[..., Any]:
    """As the CPU's has them: with `x`, the result, `indices` and `grad_output`."""

    def run(x: Any, out: Any, indices: Any, grad_output: Any) -> Any:
        return max_pool_backward(grad_output, x, axes, channels_last, indices, out)

    return run


# --- types, as the kernels name them -------------------------------------------------------


def _type(array: Any) -> str:
    name = dtype_name(array.dtype)
    return "uint8" if name == "bool" else name


def _gradient_macros(array: Any) -> tuple[str, str]:
    """How the gradients of a maximum are added up."""
    return f"GRADIENT={_type(array)}", f"WIDE={_wide(array.dtype)}"


def _wide(*dtypes: Any) -> str:
    """In which type floating numbers of these are added up."""
    return "float64" if "float64" in map(dtype_name, dtypes) else "float32"


def _sum_macros(x: Any, result: Any, axes: tuple[Axis, ...], divisor: int) -> tuple[str, ...]:
    """How windows are summed up, of such elements for such results."""
    x_name = dtype_name(x)
    if x_name in FLOATING:
        wide = _wide(x, result)
        return f"WIDE={wide}", f"SUM=FloatSum<{wide}>"
    bits = 8 * numpy.dtype(x_name).itemsize
    if bits == 64:
        return ("SUM=LimbSum",)
    bits += prod(axis.kernel_size for axis in axes).bit_length()
    # Below 2**50 a quotient needs no division of integers, and to an integer below 2**22 no double.
    small = ("SMALL_SUMS",) if bits <= 50 else ()
    if bits <= 22 and abs(divisor) < 2**22 and "int" in dtype_name(result):
        small = ("TINY_SUMS",)
    return (f"SUM=IntegerSum<{'int32' if bits <= 31 else 'int64'}>", *small)


def _count_macro(count_include_pad: bool, divisor: int) -> str:
    # Where one divisor serves all windows nothing is counted: no need to compile it twice.
    return f"COUNT_INCLUDE_PAD={int(count_include_pad or divisor != 0)}"


# --- arrays --------------------------------------------------------------------------------


def _new(like: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Array in the memory order of another one."""
    if like.flags.c_contiguous:  # `empty_like` takes twice as long
        return cupy.empty(shape, dtype)
    return cupy.empty_like(like, dtype=dtype, shape=shape)


_captured: list[Any] = []


def _kept(scratch: Any) -> Any:
    """Keep what a call needs beside its result where its launches will be run again, by a graph."""
    if cupy.cuda.get_current_stream().is_capturing():
        _captured.append(scratch)
    return scratch


def _layout(array: Any) -> tuple[Any, ...] | None:
    """What a launch depends on of an array; its kernel, on its dtype and device too."""
    if array is None:
        return None
    data = array.data
    return (
        array.shape,
        array.strides,
        array.dtype,
        data.ptr % _launch.WIDEST == 0,
        data.device_id,
    )


# --- one axis after the other --------------------------------------------------------------


def _in_passes(
    pool: Callable[[Any, Axis, bool, Any], Any],
    array: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    order: tuple[int, ...],
    out: Any,
) -> Any:
    """Pool axes in this order by `pool`, of arrays whose last axis it is; told if none follows."""
    first = array.ndim - len(axes) - channels_last
    for k in order:
        is_last = k == order[-1]
        target = cupy.moveaxis(out, first + k, -1) if is_last and out is not None else None
        array = pool(cupy.moveaxis(array, first + k, -1), axes[k], is_last, target)
        if not is_last:
            _kept(array)
        array = cupy.moveaxis(array, -1, first + k)
    return array if out is None else out


# --- launches ------------------------------------------------------------------------------


def _remember(
    key: tuple[Any, ...], run: Callable[..., None], shape: tuple[int, ...] = ()
) -> _Ready:
    if len(_ready) >= _MOST_READY:
        _ready.clear()
    ready = _ready[key] = _Ready(run, shape)
    return ready


def _prepare(
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    arrays: _Arrays,
    macros: tuple[str, ...],
    **counting: Any,
) -> Callable[..., None]:
    """Return what runs a kernel over such arrays; None is one that the call has no use for."""
    written = [k for k in _launch.KERNELS[kernel].written if arrays[k] is not None]
    if any(array is not None and array.size == 0 for array in arrays):

        def fill(*arrays: Any) -> None:
            for k in written:
                arrays[k].fill(0)

        return fill
    layouts = tuple(
        None if array is None else _launch.Layout(
            array.shape, array.strides, array.itemsize, array.data.ptr % _launch.WIDEST == 0
        )
        for array in arrays
    )  # fmt: skip
    launch = _launch.plan(kernel, axes, channels_last, layouts, macros, **counting)
    if launch is not None:
        return _modules.Kernel(launch)

    def empty(array: Any) -> Any:
        return None if array is None else cupy.empty(array.shape, array.dtype)

    run = _prepare(kernel, axes, channels_last, tuple(map(empty, arrays)), macros, **counting)

    def run_packed(*arrays: Any) -> None:
        copies = list(arrays)
        for k, layout in enumerate(layouts):
            if layout is not None:
                copies[k] = _kept(empty(arrays[k]) if k in written else arrays[k].copy(order="C"))
        run(*copies)
        for k in written:
            arrays[k][...] = copies[k]

    return run_packed
