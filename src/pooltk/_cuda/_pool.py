"""The functions of the CuPy backend: results are allocated here, and filled by CUDA kernels.

Plans are kept, so that a call like an earlier one costs little more than its launch.
"""

from math import prod
from typing import Any

import cupy
import numpy

from .._geometry import Axis, common_count, result_shape
from .._support import FLOATING, dtype_name
from . import _launch, _modules

_HALVES = ("float16", "bfloat16")
_MOST_READY = 4096

_ready: dict[tuple[Any, ...], _modules.Kernel | None] = {}


def max_pool(
    x: Any, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Maxima of windows, and where they are."""
    shape = result_shape(x.shape, axes, channels_last)
    values, indices = out if return_indices and out is not None else (out, None)
    if values is None:
        values = cupy.empty_like(x, shape=shape)
    if return_indices and indices is None:
        indices = cupy.empty_like(x, dtype=numpy.int64, shape=shape)
    macros = (f"X={_type(x)}", "VALUES", "NUMBER=int64", *(["NUMBERS"] if return_indices else []))
    _run("max_pool", axes, channels_last, (x, values, indices), macros)
    return (values, indices) if return_indices else values


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
    if out is None:
        out = cupy.empty_like(x, dtype=dtype, shape=result_shape(x.shape, axes, channels_last))
    divisor = divisor_override or common_count(axes, count_include_pad)
    macros = (
        f"X={_type(x)}",
        f"RESULT={_type(out)}",
        *_sum_macros(dtype_name(x.dtype), dtype_name(out.dtype), axes),
        f"COUNT_INCLUDE_PAD={int(count_include_pad or bool(divisor))}",
    )
    _run("avg_pool", axes, channels_last, (x, out), macros, divisor=divisor)
    return out


def max_pool_backward(
    grad_output: Any,
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: Any,
    out: Any,
) -> Any:
    """Each gradient, at the tap that won."""
    if out is None:
        out = cupy.empty_like(grad_output, shape=x.shape)
    if not grad_output.size:
        out.fill(0)
        return out
    macros: tuple[str, ...]
    types = (f"GRADIENT={_type(out)}", f"WIDE={_wide(out)}")
    if indices is not None:
        macros = (*types, "X=uint8", f"NUMBER={_type(indices)}")
        _run("max_pool_backward", axes, channels_last, (None, out, indices, grad_output), macros)
    elif _launch.seeks_winners(axes):
        macros = (*types, f"X={_type(x)}", "NUMBER=int64", "SEARCH")
        _run("max_pool_backward", axes, channels_last, (x, out, None, grad_output), macros)
    else:
        # Each winner is found once: by its number in its window, which takes the least memory.
        dtype = numpy.min_scalar_type(_launch.relative_numbers(axes) - 1)
        winners = cupy.empty_like(grad_output, dtype=dtype)
        macros = (f"X={_type(x)}", f"NUMBER={_type(winners)}", "NUMBERS", "RELATIVE")
        _run("max_pool", axes, channels_last, (x, None, winners), macros, relative=True)
        macros = (*types, "X=uint8", f"NUMBER={_type(winners)}", "RELATIVE")
        arrays = (None, out, winners, grad_output)
        _run("max_pool_backward", axes, channels_last, arrays, macros, relative=True)
    return out


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
    if out is None:
        out = cupy.empty_like(grad_output, shape=input_shape)
    if not grad_output.size:
        out.fill(0)
        return out
    divisor = divisor_override or common_count(axes, count_include_pad)
    macros = (
        f"GRADIENT={_type(out)}",
        f"WIDE={_wide(out)}",
        f"COUNTED={int(not divisor)}",
        f"COUNT_INCLUDE_PAD={int(count_include_pad or bool(divisor))}",
    )
    _run("avg_pool_backward", axes, channels_last, (grad_output, out), macros, divisor=divisor)
    return out


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
    bits_of_sum = bits + prod(axis.kernel_size for axis in axes).bit_length()
    if bits == 64:
        return ("SUM=LimbSum",)
    # Below 2**50 a quotient needs no division of integers.
    small = ("SMALL_SUMS",) if bits_of_sum <= 50 else ()
    return (f"SUM=IntegerSum<{'int32' if bits_of_sum <= 31 else 'int64'}>", *small)


# --- launches ------------------------------------------------------------------------------


def _run(
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    arrays: tuple[Any, ...],
    macros: tuple[str, ...],
    **counting: Any,
) -> None:
    """Run a kernel over these arrays; None is one that the call has no use for."""
    if not all(array is None or array.size for array in arrays):
        return
    layouts = tuple(None if array is None else _layout(array) for array in arrays)
    key = (kernel, axes, channels_last, layouts, macros, *counting.items())
    ready = _ready.get(key)
    if ready is None:
        launch = _launch.plan(kernel, axes, channels_last, layouts, macros, **counting)
        if launch is None:
            copies = tuple(array if array is None else array.copy(order="C") for array in arrays)
            _run(kernel, axes, channels_last, copies, macros, **counting)
            for k in _launch.KERNELS[kernel].written:
                if arrays[k] is not None:
                    arrays[k][...] = copies[k]
            return
        if len(_ready) >= _MOST_READY:
            _ready.clear()
        ready = _ready[key] = _modules.Kernel(launch)
    ready(*(0 if array is None else array for array in arrays))


def _layout(array: Any) -> _launch.Layout:
    return _launch.Layout(
        array.shape, array.strides, array.dtype.itemsize, array.data.ptr % _launch.WIDEST == 0
    )
