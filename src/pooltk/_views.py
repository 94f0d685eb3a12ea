"""Any array as the kernels see it: batch axes, and (depth, height, width, channels).

Axes are permuted, merged where their strides allow it in every array of a call, and never
copied. What does not merge stays a batch axis, and the kernels walk those.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy

from ._geometry import Axis

_MOST_ROWS = 8  # of windows whose sums share none with others': WIDE_ROWS of _job.pxi
_WHOLE = Axis(1, 1, 1, 1, 1, 0, 0)  # the depth of an image, the height of a line


class Views(NamedTuple):
    """How the arrays of a call are to be seen."""

    axes: tuple[Axis, ...]  # three
    permutation: tuple[int, ...] | None
    shapes: tuple[tuple[int, ...], ...]  # of each array: merged batch axes, then four
    first: tuple[int, ...]  # index of the first batch item
    batch: numpy.ndarray  # sizes of the batch axes, then each array's strides in bytes

    def of(self, position: int, array: numpy.ndarray) -> numpy.ndarray:
        """View of the first batch item of the array at this position."""
        if self.permutation is not None:
            array = array.transpose(self.permutation)
        return array.reshape(self.shapes[position], copy=False)[self.first]


@lru_cache(maxsize=1024)
def views(
    axes: tuple[Axis, ...],
    channels_last: bool,
    item_size: int,
    axes_swap: bool,
    planes_merge: bool,
    large: tuple[bool, ...],
    shape: tuple[int, ...],
    *strides: tuple[int, ...],
) -> Views:
    """See arrays of these strides, the first of which has `item_size` and leads, together.

    `large` says of each array whether its pooled axes have the input's sizes or the output's;
    `shape` is the first one's. With `axes_swap` the pooled axes come in the first one's order in
    memory, as those of a transposed image. With `planes_merge`, planes whose windows fill them
    exactly may become one tall plane.
    """
    stop = len(shape) - channels_last
    pooled = list(range(stop - len(axes), stop))
    if axes_swap:
        # Axes along which memory does not move go first.
        steps = [abs(strides[0][axis]) if shape[axis] > 1 else 0 for axis in pooled]
        order = sorted(range(len(axes)), key=lambda i: -steps[i] if steps[i] else -math.inf)
        pooled = [pooled[i] for i in order]
        axes = tuple(axes[i] for i in order)
    batch = [axis for axis in range(len(shape)) if axis not in pooled and shape[axis] > 1]
    batch.sort(key=lambda axis: -abs(strides[0][axis]))
    channels = []
    if not _rows_run_on(batch, pooled[-1], axes[-1], item_size, large, strides):
        channels = _channels(batch, shape, item_size, strides)
    batch = [axis for axis in batch if axis not in channels]
    ones = [axis for axis in range(len(shape)) if shape[axis] == 1 and axis not in pooled]
    permutation = (*ones, *batch, *pooled, *channels)

    # Lists of one [size, stride, ...] an axis, slowest first; pooled axes have a size an array.
    groups: list[list[int]] = []
    for axis in batch:
        steps = [stride[axis] for stride in strides]
        if groups and all(
            outer == shape[axis] * step for outer, step in zip(groups[-1][1:], steps, strict=True)
        ):
            groups[-1] = [groups[-1][0] * shape[axis], *steps]
        else:
            groups.append([shape[axis], *steps])
    windows = list(axes)
    steps_of = [[stride[axis] for stride in strides] for axis in pooled]
    _fold_whole_axes(windows, steps_of, large)
    # Sums of more rows depend on what merges, which must not depend on a result that is given.
    if planes_merge and all(axis.kernel_size <= _MOST_ROWS for axis in windows[:-1]):
        _merge_rows(windows, steps_of, large)
    # Bins of many planes are pooled side by side, and their sums in another order than those of
    # one: they must not become one by the strides of a result, which may be given.
    few_rows = all(axis.kernel_size <= _MOST_ROWS for axis in windows[1:-1])
    if planes_merge and groups and windows[-1].stride and few_rows:
        _merge_planes(groups, windows, steps_of[0], large)

    depth_height_width = tuple([_WHOLE] * (3 - len(windows)) + windows)
    sizes = tuple(group[0] for group in groups)
    count = 1
    for axis in channels:
        count *= shape[axis]
    shapes = tuple(
        (*sizes, *(a.input_size if is_large else a.output_size for a in depth_height_width), count)
        for is_large in large
    )
    table = numpy.array(groups or [[1] + [0] * len(strides)], dtype=numpy.int64).T
    return Views(
        depth_height_width,
        None if permutation == tuple(range(len(shape))) else permutation,
        shapes,
        (0,) * len(groups),
        numpy.ascontiguousarray(table),
    )


def _rows_run_on(
    batch: list[int],
    width: int,
    axis: Axis,
    item_size: int,
    large: tuple[bool, ...],
    strides: tuple[tuple[int, ...], ...],
) -> bool:
    """Whether neighbours along the width are neighbours in memory."""
    for place, (is_large, stride) in enumerate(zip(large, strides, strict=True)):
        if (axis.input_size if is_large else axis.output_size) > 1:
            if place == 0:
                return stride[width] == item_size
            # The dtype, and so the length of its elements, may be another.
            return all(abs(stride[width]) < abs(stride[other]) for other in batch)
    return False


def _channels(
    batch: list[int],
    shape: tuple[int, ...],
    item_size: int,
    strides: tuple[tuple[int, ...], ...],
) -> list[int]:
    """Batch axes that lie within each pixel, slowest first: rows hold whole pixels then."""
    channels: list[int] = []
    expected = [item_size if k == 0 else 0 for k in range(len(strides))]
    for axis in reversed(batch):
        steps = [stride[axis] for stride in strides]
        if steps[0] != expected[0] or (channels and steps != expected):
            break
        channels.insert(0, axis)
        expected = [shape[axis] * step for step in steps]
    return channels


def _fold_whole_axes(
    windows: list[Axis], steps_of: list[list[int]], large: tuple[bool, ...]
) -> None:
    """Make one axis of two that a single window covers whole, where memory runs on."""
    while len(windows) > 1:
        outer, inner = windows[-2:]
        if not (_is_whole(outer) and _is_whole(inner)):
            return
        for is_large, outer_step, inner_step in zip(large, steps_of[-2], steps_of[-1], strict=True):
            if is_large and outer.input_size > 1 and outer_step != inner.input_size * inner_step:
                return
        n = outer.input_size * inner.input_size
        windows[-2:] = [Axis(n, 1, n, n, 1, 0, 0)]
        if inner.input_size == 1:
            steps_of[-1] = steps_of[-2]
        del steps_of[-2]


def _is_whole(axis: Axis) -> bool:
    return axis == Axis(axis.input_size, 1, axis.input_size, axis.stride, 1, 0, 0) and (
        axis.stride >= axis.kernel_size
    )


def _merge_rows(windows: list[Axis], steps_of: list[list[int]], large: tuple[bool, ...]) -> None:
    """Make one long row of rows that their windows fill exactly, if none is merged with another."""
    while len(windows) > 1:
        outer, inner = windows[-2:]
        n = outer.input_size
        if outer != Axis(n, n, 1, 1, 1, 0, 0) or not _is_filled(inner):
            return
        for is_large, outer_step, inner_step in zip(large, steps_of[-2], steps_of[-1], strict=True):
            if outer_step != (inner.input_size if is_large else inner.output_size) * inner_step:
                return
        windows[-2:] = [_times(inner, n)]
        del steps_of[-2]


def _is_filled(axis: Axis) -> bool:
    return axis.output_size * axis.stride == axis.input_size and axis == axis._replace(
        kernel_size=min(axis.kernel_size, axis.stride), dilation=1, padding_low=0, padding_high=0
    )


def _times(axis: Axis, count: int) -> Axis:
    return axis._replace(input_size=axis.input_size * count, output_size=axis.output_size * count)


def _merge_planes(
    groups: list[list[int]], windows: list[Axis], steps: list[int], large: tuple[bool, ...]
) -> None:
    """Let the fastest batch axis continue the slowest pooled one, whose windows fill it exactly."""
    axis = windows[0]
    if not _is_filled(axis):
        return
    count = groups[-1][0]
    for is_large, outer, step in zip(large, groups[-1][1:], steps, strict=True):
        if outer != (axis.input_size if is_large else axis.output_size) * step:
            return
    windows[0] = _times(axis, count)
    del groups[-1]
