"""Every operation in plain array-API code, slow and obvious.

This is the law that the other backends are tested against, and what pools the arrays of
libraries that have no backend of their own. The functions take checked arguments and mean what
the functions of the same names mean in every backend.

All of them look at the world one tap at a time: "the third tap of every window" is one gather,
and there are as many of them as the widest window has taps. The taps of a window come in
row-major order. A backward function is the same from the other side, where an input element
looks at the outputs whose windows it is in.

Averages of floating values add with compensation (Knuth's two-sum, as Ogita, Rump and Oishi's
Sum2), in float64, or float32 for the halves: the rounding of each addition is itself added up,
so that nothing of the sum's order is left in the result.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy

from ._foreign import namespace
from ._geometry import Axis, result_shape, window_count, window_taps
from ._support import FLOATING, dtype_name

_HALVES = ("float16", "bfloat16")
_LOW_BITS = 2**32 - 1

# What NumPy would say of an overflow or a NaN is part of the result here.
_quietly = numpy.errstate(all="ignore")


@_quietly
def max_pool(
    x: Any, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Greatest value of each window, and which tap it is."""
    best, index = _winners(x, axes, channels_last)
    if not return_indices:
        return _deliver(best, x, out)
    out = (None, None) if out is None else out
    return _deliver(best, x, out[0]), _deliver(index, x, out[1])


def _winners(x: Any, axes: tuple[Axis, ...], channels_last: bool) -> tuple[Any, Any]:
    """Values and flat indices of the first winning tap of every window."""
    xp = namespace(x)
    dtype = x.dtype
    floating = dtype_name(dtype) in FLOATING
    if dtype_name(dtype) == "bool":  # the array API orders no bools
        x = xp.astype(x, xp.uint8)
    least = -float("inf") if floating else xp.iinfo(x.dtype).min
    shape = result_shape(tuple(x.shape), axes, channels_last)
    best = xp.full(shape, least, dtype=x.dtype, device=x.device)
    index = xp.full(shape, -1, dtype=xp.int64, device=x.device)
    for value, inside, position in _taps(x, _windows(axes), _sizes(axes), channels_last):
        wins = (index < 0) | (value > best)
        if floating:
            wins = wins | (xp.isnan(value) & ~xp.isnan(best))
        wins = wins & inside
        best = xp.where(wins, value, best)
        index = xp.where(wins, position, index)
    return xp.astype(best, dtype), index


@_quietly
def avg_pool(
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: Any,
    out: Any,
) -> Any:
    """Sum of each window, divided by its count."""
    xp = namespace(x)
    divisor = _divisors(x, axes, channels_last, count_include_pad, divisor_override)
    taps = _taps(x, _windows(axes), _sizes(axes), channels_last)
    shape = result_shape(tuple(x.shape), axes, channels_last)
    if dtype_name(x.dtype) not in FLOATING:
        average = _integer_average(xp, x, taps, shape, divisor, dtype)
    else:
        both_half = {dtype_name(x.dtype), dtype_name(dtype)} <= set(_HALVES)
        wide = xp.float32 if both_half else xp.float64
        zero = xp.zeros(shape, dtype=wide, device=x.device)
        values = (xp.where(inside, xp.astype(value, wide), zero) for value, inside, _ in taps)
        average = _compensated_sum(xp, values, zero) / xp.astype(divisor, wide)
    return _deliver(xp.astype(average, dtype), x, out)


@_quietly
def max_pool_backward(
    grad_output: Any,
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: Any,
    out: Any,
) -> Any:
    """Sum, for each input element, of the gradients of the windows that it won."""
    xp = namespace(grad_output)
    if indices is None:
        _, indices = _winners(x, axes, channels_last)
    dtype = grad_output.dtype
    wide = xp.float32 if dtype_name(dtype) in _HALVES else dtype
    grad_input = xp.zeros(x.shape, dtype=wide, device=x.device)
    own = _flat_positions(xp, x, axes, channels_last)
    outputs, sizes = _windows_over(axes), tuple(axis.output_size for axis in axes)
    gradients = _taps(xp.astype(grad_output, wide), outputs, sizes, channels_last)
    winners = _taps(indices, outputs, sizes, channels_last)
    for (gradient, inside, _), (winner, _, _) in zip(gradients, winners, strict=True):
        won = inside & (winner == own)
        grad_input = grad_input + xp.where(won, gradient, xp.zeros_like(gradient))
    return _deliver(xp.astype(grad_input, dtype), grad_output, out)


@_quietly
def avg_pool_backward(
    grad_output: Any,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: Any,
) -> Any:
    """Sum, for each input element, of its share of the gradients of the windows it is in."""
    xp = namespace(grad_output)
    dtype = grad_output.dtype
    wide = xp.float32 if dtype_name(dtype) in _HALVES else xp.float64
    divisor = _divisors(grad_output, axes, channels_last, count_include_pad, divisor_override)
    share = xp.astype(grad_output, wide) / xp.astype(divisor, wide)
    zero = xp.zeros(input_shape, dtype=wide, device=grad_output.device)
    sizes = tuple(axis.output_size for axis in axes)
    values = (
        xp.where(inside, value, zero)
        for value, inside, _ in _taps(share, _windows_over(axes), sizes, channels_last)
    )
    grad_input = _compensated_sum(xp, values, zero)
    return _deliver(xp.astype(grad_input, dtype), grad_output, out)


# --- taps ----------------------------------------------------------------------------------

# For each pooled axis, and each cell along it: the positions that the cell looks at, in order.
Views = tuple[list[list[int]], ...]


def _windows(axes: tuple[Axis, ...]) -> Views:
    """List the taps of each output."""
    return tuple([list(window_taps(axis, i)) for i in range(axis.output_size)] for axis in axes)


def _windows_over(axes: tuple[Axis, ...]) -> Views:
    """List the outputs of each tap: the transpose of `_windows`."""
    views: Views = tuple([[] for _ in range(axis.input_size)] for axis in axes)
    for view, windows in zip(views, _windows(axes), strict=True):
        for output, taps in enumerate(windows):
            for tap in taps:
                view[tap].append(output)
    return views


def _sizes(axes: tuple[Axis, ...]) -> tuple[int, ...]:
    return tuple(axis.input_size for axis in axes)


def _taps(
    x: Any, views: Views, sizes: tuple[int, ...], channels_last: bool
) -> Iterator[tuple[Any, Any, Any]]:
    """Gather the first position of every cell, then the second, and so on, in row-major order.

    Yields the values there, whether the cell looks at so many positions, and their flat index
    over the pooled axes, of `sizes`.
    """
    if not views:
        yield x, True, 0
        return
    xp = namespace(x)
    axis = x.ndim - len(views) - channels_last
    shape = tuple(len(views[0]) if other == axis else 1 for other in range(x.ndim))
    for n in range(max(map(len, views[0]), default=0)):
        position = [view[n] if n < len(view) else 0 for view in views[0]]
        position = xp.asarray(position, dtype=xp.int64, device=x.device)
        inside = xp.asarray([n < len(view) for view in views[0]], dtype=xp.bool, device=x.device)
        rows = xp.take(x, position, axis=axis)
        above = xp.reshape(position, shape) * prod(sizes[1:])
        inside = xp.reshape(inside, shape)
        for value, inside_row, index in _taps(rows, views[1:], sizes[1:], channels_last):
            yield value, inside & inside_row, above + index


def _flat_positions(xp: Any, x: Any, axes: tuple[Axis, ...], channels_last: bool) -> Any:
    """Flat index of every input element over the pooled axes, to broadcast against `x`."""
    plane = _sizes(axes)
    index = xp.arange(prod(plane), dtype=xp.int64, device=x.device)
    return xp.reshape(index, plane + (1,) * channels_last)


# --- averages ------------------------------------------------------------------------------


def _divisors(
    like: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Return what each window's sum is divided by, as int64 to broadcast against the result."""
    xp = namespace(like)
    shape = tuple(axis.output_size for axis in axes) + (1,) * channels_last
    if divisor_override is not None:
        return xp.full(shape, divisor_override, dtype=xp.int64, device=like.device)
    divisor = xp.ones((), dtype=xp.int64, device=like.device)
    for axis in axes:
        count = [window_count(axis, i, count_include_pad) for i in range(axis.output_size)]
        divisor = divisor[..., None] * xp.asarray(count, dtype=xp.int64, device=like.device)
    # A window without taps has the sum 0, and its average is 0.
    return xp.reshape(xp.where(divisor == 0, xp.ones_like(divisor), divisor), shape)


def _compensated_sum(xp: Any, values: Iterator[Any], zero: Any) -> Any:
    """Add arrays in their order, and what each addition rounds off to the sum's end."""
    total, lost = zero, zero
    for value in values:
        new = total + value
        part = new - total
        lost = lost + ((total - (new - part)) + (value - part))
        total = new
    # Beside inf and NaN nothing is lost, and `lost` is NaN.
    return xp.where(xp.isfinite(total), total + lost, total)


def _integer_average(
    xp: Any,
    x: Any,
    taps: Iterator[tuple[Any, Any, Any]],
    shape: tuple[int, ...],
    divisor: Any,
    dtype: Any,
) -> Any:
    """Exact sums and quotients, in two limbs: ``high * 2**32 + low``, both int64."""
    zero = xp.zeros(shape, dtype=xp.int64, device=x.device)
    high, low = zero, zero
    for value, inside, _ in taps:
        if dtype_name(x.dtype) != "uint64":
            value = xp.astype(value, xp.int64)
        high = high + xp.where(inside, xp.astype(value >> 32, xp.int64), zero)
        low = low + xp.where(inside, xp.astype(value & _LOW_BITS, xp.int64), zero)
    high, low = _carried(high, low)

    # Divide magnitudes; the sign comes back at the end.
    minus = high < 0
    high, low = _carried(xp.where(minus, -high, high), xp.where(minus, -low, low))
    minus = minus ^ (divisor < 0)
    divisor = xp.abs(divisor)
    high, rest = high // divisor, high % divisor
    quotient = zero
    for shift in (24, 16, 8, 0):  # a divisor has 53 bits at most, so the next 8 still fit
        rest = rest * 256 + ((low >> shift) & 255)
        quotient = quotient * 256 + rest // divisor
        rest = rest % divisor
    high, low = _carried(high, quotient)

    if dtype_name(dtype) in FLOATING:
        # Smallest first, each part below the next one's last place but one.
        fraction = xp.astype(rest, xp.float64) / xp.astype(divisor, xp.float64)
        size = xp.astype(low, xp.float64) + fraction
        size = xp.astype(high & _LOW_BITS, xp.float64) * 2.0**32 + size
        size = xp.astype(high >> 32, xp.float64) * 2.0**64 + size
        return xp.astype(xp.where(minus, -size, size), dtype)

    odd = (low & 1) == 1
    round_up = (2 * rest > divisor) | ((2 * rest == divisor) & odd)
    high, low = _carried(high, low + xp.astype(round_up, xp.int64))
    greatest, least = xp.iinfo(dtype).max, -xp.iinfo(dtype).min
    most_high = xp.where(minus, zero + (least >> 32), zero + (greatest >> 32))
    most_low = xp.where(minus, zero + (least & _LOW_BITS), zero + (greatest & _LOW_BITS))
    too_much = (high > most_high) | ((high == most_high) & (low > most_low))
    high = xp.where(too_much, most_high, high)
    low = xp.where(too_much, most_low, low)
    if dtype_name(dtype) == "uint64":
        return xp.astype(high, dtype) * 2**32 + xp.astype(low, dtype)
    high, low = xp.where(minus, -high, high), xp.where(minus, -low, low)
    return xp.astype(high * 2**32 + low, dtype)


def _carried(high: Any, low: Any) -> tuple[Any, Any]:
    """Move all but the lowest 32 bits of `low` into `high`."""
    return high + (low >> 32), low & _LOW_BITS


# --- results -------------------------------------------------------------------------------


def _deliver(values: Any, like: Any, out: Any) -> Any:
    """Write `values` to `out`; without one, give them the memory order of `like`, if NumPy's."""
    if out is None:
        if type(values) is not numpy.ndarray:
            return values
        out = numpy.empty_like(like, dtype=values.dtype, shape=values.shape, subok=False)
    out[...] = values
    return out
