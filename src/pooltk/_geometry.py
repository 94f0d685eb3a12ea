"""Window arithmetic on plain ints. Nothing here knows an array.

A pooled axis is described once, by an `Axis`, and every backend works from that
description. Windows are intervals: output ``i`` covers the taps
``first_tap, first_tap + dilation, ...`` that lie inside the input, whether the window
slides with a fixed stride or is one of the bins of adaptive pooling.

The results are cached, so callers pass validated ints only (a cache takes ``True`` and
``1.0`` for ``1``).
"""

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple


class Axis(NamedTuple):
    """One pooled axis. ``stride`` is 0 where the windows are adaptive bins."""

    input_size: int
    output_size: int
    kernel_size: int  # taps a window; of adaptive bins, the widest one's
    stride: int
    dilation: int
    padding_low: int
    padding_high: int


def extent(kernel_size: int, dilation: int) -> int:
    """Length that a window spans, first tap to last."""
    return dilation * (kernel_size - 1) + 1


def output_size(
    input_size: int,
    kernel_size: int,
    stride: int,
    dilation: int,
    padding_low: int,
    padding_high: int,
    ceil_mode: bool,
) -> int:
    """Count the windows; may be below 1, which is for the caller to refuse."""
    padded = input_size + padding_low + padding_high
    spare = padded - extent(kernel_size, dilation)
    if not ceil_mode:
        return spare // stride + 1
    size = -(-spare // stride) + 1
    # The last window has to start inside the input or the low padding.
    if (size - 1) * stride >= input_size + padding_low:
        size -= 1
    return size


def same_padding(
    input_size: int, kernel_size: int, stride: int, dilation: int, lower: bool
) -> tuple[int, int]:
    """(low, high) padding that makes ``ceil(input_size / stride)`` windows fit."""
    windows = -(-input_size // stride)
    total = max((windows - 1) * stride + extent(kernel_size, dilation) - input_size, 0)
    small, large = total // 2, total - total // 2
    return (large, small) if lower else (small, large)


@lru_cache(maxsize=4096)
def sliding_axis(
    input_size: int,
    kernel_size: int,
    stride: int,
    dilation: int,
    padding_low: int,
    padding_high: int,
    ceil_mode: bool,
) -> Axis:
    """Describe windows of ``kernel_size`` taps, ``stride`` apart."""
    windows = output_size(
        input_size, kernel_size, stride, dilation, padding_low, padding_high, ceil_mode
    )
    return Axis(input_size, windows, kernel_size, stride, dilation, padding_low, padding_high)


@lru_cache(maxsize=4096)
def adaptive_axis(input_size: int, output_size: int) -> Axis:
    """Describe ``output_size`` bins that cover the axis; where it divides evenly, they slide."""
    if output_size and input_size % output_size == 0:
        width = input_size // output_size
        return Axis(input_size, output_size, width, width, 1, 0, 0)
    # A bin spans one tap more than the quotient, and one more again where both its ends cut taps.
    both_cut = input_size % output_size > gcd(input_size, output_size) if output_size else False
    widest = input_size // max(output_size, 1) + (2 if both_cut else 1)
    return Axis(input_size, output_size, widest, 0, 1, 0, 0)


def bin_taps(input_size: int, output_size: int, index: int) -> range:
    """Taps of one adaptive bin."""
    start = index * input_size // output_size
    stop = -(-(index + 1) * input_size // output_size)
    return range(start, stop)


def window_taps(axis: Axis, index: int) -> range:
    """Taps of window ``index`` that lie inside the input, in order; may be empty."""
    if not axis.stride:
        return bin_taps(axis.input_size, axis.output_size, index)
    first = index * axis.stride - axis.padding_low
    stop = min(first + extent(axis.kernel_size, axis.dilation), axis.input_size)
    if first < 0:  # the first tap of this window's grid that is not padding
        first %= axis.dilation
    return range(first, max(first, stop), axis.dilation)


def window_count(axis: Axis, index: int, count_include_pad: bool) -> int:
    """Taps by which an average divides along this axis."""
    if not (count_include_pad and axis.stride):
        return len(window_taps(axis, index))
    first = index * axis.stride - axis.padding_low
    # In ceil mode the last window may reach past the padding; those taps never count.
    stop = min(first + extent(axis.kernel_size, axis.dilation), axis.input_size + axis.padding_high)
    return max(0, -(-(stop - first) // axis.dilation))


@lru_cache(maxsize=1024)
def common_count(axes: tuple[Axis, ...], count_include_pad: bool) -> int:
    """Return the count by which every window's average divides, or 0 if they differ."""
    counts = []
    for axis in axes:
        if not axis.output_size:
            return 0
        first, last = (window_count(axis, i, count_include_pad) for i in (0, axis.output_size - 1))
        # Sliding windows grow from the low edge to their full count and fall to the high edge.
        if axis.output_size > 1 and not (axis.stride and first == last == axis.kernel_size):
            return 0
        counts.append(first)
    return prod(counts)


def result_shape(
    shape: tuple[int, ...], axes: tuple[Axis, ...], channels_last: bool
) -> tuple[int, ...]:
    """Shape of the forward's result for an input of `shape`."""
    first = len(shape) - len(axes) - channels_last
    sizes = tuple(axis.output_size for axis in axes)
    return shape[:first] + sizes + shape[first + len(axes) :]
