"""Windows by their definition, in plain Python: slow, and apart from the package's arithmetic."""

from fractions import Fraction
from itertools import count, product
from math import prod
from typing import NamedTuple


class Window(NamedTuple):
    """One window along one axis."""

    taps: list[int]  # those inside the input
    count: int  # those inside the padded input


def sliding(n, kernel, stride, low, high, dilation, ceil_mode):
    """Windows along an axis of length `n`, each as long as all that it covers lies in the padding.

    In ceil mode there is one more, unless the last one ends where the padding ends, or it would
    start in the high padding or beyond.
    """
    extent = dilation * (kernel - 1) + 1

    def grid(i):
        first = i * stride - low
        return range(first, first + extent, dilation)

    fitting = next(i for i in count(-n - extent) if grid(i)[-1] >= n + high)
    if ceil_mode and grid(fitting - 1)[-1] != n + high - 1 and grid(fitting)[0] < n:
        fitting += 1
    return [
        Window(
            [tap for tap in grid(i) if 0 <= tap < n],
            sum(tap < n + high for tap in grid(i)),
        )
        for i in range(fitting)
    ]


def same(n, kernel, stride, dilation, lower):
    """(low, high) padding of "same" or, if `lower`, of "same_lower"."""
    extent = dilation * (kernel - 1) + 1
    outputs = len(range(0, n, stride))
    total = max((outputs - 1) * stride + extent - n, 0)
    sides = (total // 2, (total + 1) // 2)
    return sides[::-1] if lower else sides


def bins(n, m):
    """`m` bins of an axis of length `n`: element t is the interval (t, t + 1)."""
    windows = []
    for i in range(m):
        start, stop = Fraction(i * n, m), Fraction((i + 1) * n, m)
        taps = [t for t in range(n) if t + 1 > start and t < stop]
        windows.append(Window(taps, len(taps)))
    return windows


class Plane:
    """Windows over all pooled axes at once."""

    def __init__(self, sizes, axes):
        self.sizes = tuple(sizes)
        self.output_sizes = tuple(map(len, axes))
        self.windows = []  # (output's index, flat indices of the taps, count with padding)
        for output in product(*(range(size) for size in self.output_sizes)):
            windows = [axis[i] for axis, i in zip(axes, output, strict=True)]
            positions = product(*(window.taps for window in windows))
            taps = [self._flat(position) for position in positions]
            self.windows.append((output, taps, prod(window.count for window in windows)))

    def _flat(self, position):
        index = 0
        for size, i in zip(self.sizes, position, strict=True):
            index = index * size + i
        return index

    def divisors(self, count_include_pad, divisor_override):
        """Divisor of each window; 1 where there is none to count."""
        for _, taps, padded in self.windows:
            counted = padded if count_include_pad else len(taps)
            yield divisor_override or counted or 1
