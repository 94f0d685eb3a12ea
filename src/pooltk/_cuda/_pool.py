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
        ready = _prepare(key, shape, "max_pool", axes, channels_last, arrays, macros)
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
    windows = ("avg_pool", axes, channels_last, count_include_pad, divisor_override)
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
            *_sum_macros(dtype_name(x.dtype), dtype_name(out.dtype), axes),
            _count_macro(count_include_pad, divisor),
        )
        arrays = (x, out)
        ready = _prepare(
            key, shape, "avg_pool", axes, channels_last, arrays, macros, divisor=divisor
        )
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
        if indices is None and not _launch.seeks_winners(axes):
            _by_numbers(grad_output, x, axes, channels_last, grad_input)
            return grad_input
        macros: tuple[str, ...] = (f"GRADIENT={_type(grad_input)}", f"WIDE={_wide(grad_input)}")
        if indices is None:
            arrays = (x, grad_input, None, grad_output)
            macros += (f"X={_type(x)}", "NUMBER=int64", "SEARCH")
        else:
            arrays = (None, grad_input, indices, grad_output)
            macros += ("X=uint8", f"NUMBER={_type(indices)}")
        ready = _prepare(key, (), "max_pool_backward", axes, channels_last, arrays, macros)
    ready.run(x, grad_input, 0 if indices is None else indices, grad_output)
    return grad_input


def _by_numbers(
    grad_output: Any, x: Any, axes: tuple[Axis, ...], channels_last: bool, grad_input: Any
) -> None:
    """Find each winner once, and keep its number in its window: in the least memory."""
    dtype = numpy.min_scalar_type(_launch.relative_numbers(axes) - 1)
    numbers = _new(grad_output, grad_output.shape, dtype)
    number = (f"NUMBER={_type(numbers)}", "RELATIVE")
    _run(
        "max_pool",
        axes,
        channels_last,
        (x, None, numbers),
        (f"X={_type(x)}", *number, "NUMBERS"),
        relative=True,
    )
    _run(
        "max_pool_backward",
        axes,
        channels_last,
        (None, grad_input, numbers, grad_output),
        (f"GRADIENT={_type(grad_input)}", f"WIDE={_wide(grad_input)}", "X=uint8", *number),
        relative=True,
    )


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
    grad_input = _new(grad_output, input_shape, grad_output.dtype) if out is None else out
    windows = ("avg_pool_backward", axes, channels_last, count_include_pad, divisor_override)
    key = (windows, _layout(grad_output), input_shape, _layout(out))
    ready = _ready.get(key)
    if ready is None:
        divisor = divisor_override or common_count(axes, count_include_pad)
        macros = (
            f"GRADIENT={_type(grad_input)}",
            f"WIDE={_wide(grad_input)}",
            f"COUNTED={int(not divisor)}",
            _count_macro(count_include_pad, divisor),
        )
        arrays = (grad_output, grad_input)
        ready = _prepare(
            key, (), "avg_pool_backward", axes, channels_last, arrays, macros, divisor=divisor
        )
    ready.run(grad_output, grad_input)
    return grad_input


# --- types, as the kernels name them -------------------------------------------------------


def _type(array: Any) -> str:
    name = dtype_name(array.dtype)
    return "uint8" if name == "bool" else name


def _wide(array: Any) -> str:
    """In which type gradients are added up."""
    return "float64" if dtype_name(array.dtype) == "float64" else "float32"


def _sum_macros(x_name: str, result_name: str, axes: tuple[Axis, ...]) -> tuple[str, ...]:
    """How a window is summed up."""
    if x_name in FLOATING:
        wide = "float64" if "float64" in (x_name, result_name) else "float32"
        return f"WIDE={wide}", f"SUM=FloatSum<{wide}>"
    bits = 8 * numpy.dtype(x_name).itemsize
    if bits == 64:
        return ("SUM=LimbSum",)
    bits += prod(axis.kernel_size for axis in axes).bit_length()
    # Below 2**50 a quotient needs no division of integers.
    small = ("SMALL_SUMS",) if bits <= 50 else ()
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


# --- launches ------------------------------------------------------------------------------


def _run(
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    arrays: _Arrays,
    macros: tuple[str, ...],
    **counting: Any,
) -> None:
    """Run a kernel over these arrays; None is one that the call has no use for."""
    key = (kernel, axes, channels_last, macros, *map(_layout, arrays), *counting.items())
    ready = _ready.get(key)
    if ready is None:
        ready = _prepare(key, (), kernel, axes, channels_last, arrays, macros, **counting)
    ready.run(*[0 if array is None else array for array in arrays])


def _prepare(
    key: tuple[Any, ...],
    shape: tuple[int, ...],
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    arrays: _Arrays,
    macros: tuple[str, ...],
    **counting: Any,
) -> _Ready:
    """Make and keep what runs a kernel over such arrays."""
    if len(_ready) >= _MOST_READY:
        _ready.clear()
    run: Callable[..., None]
    written = [k for k in _launch.KERNELS[kernel].written if arrays[k] is not None]
    if any(array is not None and array.size == 0 for array in arrays):

        def run(*arrays: Any) -> None:
            for k in written:
                arrays[k].fill(0)

    else:
        layouts = tuple(
            None if array is None else _launch.Layout(
                array.shape, array.strides, array.itemsize, array.data.ptr % _launch.WIDEST == 0
            )
            for array in arrays
        )  # fmt: skip
        launch = _launch.plan(kernel, axes, channels_last, layouts, macros, **counting)
        if launch is not None:
            run = _modules.Kernel(launch)
        else:
            present = [array is not None for array in arrays]

            def run(*arrays: Any) -> None:
                copies = tuple(
                    array.copy(order="C") if is_present else None
                    for array, is_present in zip(arrays, present, strict=True)
                )
                _run(kernel, axes, channels_last, copies, macros, **counting)
                for k in written:
                    arrays[k][...] = copies[k]

    ready = _ready[key] = _Ready(run, shape)
    return ready
