"""Launch geometry, in plain Python: which kernel, compiled how, for how many threads, over what.

Nothing here knows CuPy, so that all of it can be tested on any machine. `plan` sees the arrays of
a call as the CPU's kernels do (`_views`), as batch axes and (depth, height, width, channels),
and divides the result into groups, each of which is the work of one thread or one team:

- a block of windows, some above each other and, where rows are aligned, so that they come in loads
  of 16 bytes, some in a row; these windows are small, and known when the kernel is compiled;
- some channels of such windows, where channels lie side by side;
- one window in all other cases; if it has many taps, a team of threads shares them.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy

from .._geometry import Axis, extent
from .._views import views

BLOCK = 256  # threads
WIDEST = 16  # bytes, of a load or store
# Windows known at compile time are at most so far apart, and have at most so many taps an axis: as
# many as may be added one by one, or for maxima as fit in registers, more in one axis alone.
_MOST_STRIDE = 3
_MOST_ADDED = 3
_MOST_COMPARED = 5
_MOST_IN_LINE = 16
_WIDE = 32  # with fewer taps a window is the work of one thread
_BUSY = 1 << 17  # so many threads keep a device busy
# With so many taps of all windows together, pooling axes one after the other pays for its launches.
_LARGE = 1 << 20
# Below it 32 bits hold every position, rounded up to whole groups and blocks.
_NARROW = 2**31 - 2**11


class Layout(NamedTuple):
    """What a launch depends on of an array."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    itemsize: int
    aligned: bool  # whether the widest load may begin at its first element


class Roles(NamedTuple):
    """What the arrays of a kernel are; a call may leave out some of them."""

    large: tuple[bool, ...]  # whether they have the input's shape, not that of the forward's result
    walked: int  # whose windows are walked
    result: int  # which is divided into groups
    written: tuple[int, ...]


#: By kernel, whose file and symbol have this name, in the order of its arguments.
KERNELS = {
    "max_pool": Roles((True, False, False), 0, 1, (1, 2)),  # x, values, numbers
    "avg_pool": Roles((True, False), 0, 1, (1,)),  # x, result
    # grad_input, numbers, grad_output
    "max_pool_backward": Roles((True, False, False), 0, 0, (0,)),
    "avg_pool_backward": Roles((False, True), 0, 1, (1,)),  # grad_output, grad_input
}


class Launch(NamedTuple):
    """A kernel, the macros that it is compiled with, and what it is started with."""

    kernel: str
    macros: tuple[str, ...]
    blocks: int
    geometry: numpy.ndarray  # bytes of `Geometry` in geometry.cuh


class _Seen(NamedTuple):
    """The arrays of a call as the kernels see them; strides are in elements."""

    axes: tuple[Axis, ...]  # three
    batch: tuple[int, ...]  # two
    channels: int
    strides: tuple[tuple[int, ...], ...]  # of each array: batch, batch, d, h, w, c
    itemsizes: tuple[int, ...]
    aligned: tuple[bool, ...]


def plan(
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    layouts: tuple[Layout | None, ...],
    macros: tuple[str, ...],
    *,
    divisor: int = 0,
    relative: bool = False,
) -> Launch | None:
    """Plan a launch; None if these arrays cannot be seen so, having too many batch axes.

    `layouts` has an entry for each array of the kernel, and `macros` says which types they have.
    A `divisor` is that of every window, or 0. Numbers of positions that are `relative` count from
    their window's origin.
    """
    roles = KERNELS[kernel]
    seen = _see(kernel, axes, channels_last, layouts)
    if seen is None:
        return None
    present = [k for k, layout in enumerate(layouts) if layout is not None]
    is_backward = roles.large[roles.result]
    walked = layouts[roles.walked]
    known = _is_known(kernel, seen.axes)
    # More results than so many don't fit in registers.
    most = 16 if kernel == "max_pool" and layouts[2] is None else 8
    vector_h, vector_w, chunk, team, run = 1, 1, 1, 1, False
    strides = seen.axes[1].stride * seen.axes[2].stride if known and is_backward else 1
    vector_c = _channel_vector(seen, roles, layouts, 16 // strides)
    if known:
        vector_w, chunk = _row_vector(seen, roles, layouts, is_backward, most)
        vector_h = _column_vector(seen, is_backward, most, vector_w, vector_c)

    sizes = [axis.input_size if is_backward else axis.output_size for axis in seen.axes]
    rows, columns = -(-sizes[1] // vector_h), -(-sizes[2] // vector_w)
    groups = (*seen.batch, sizes[0], rows, columns, seen.channels // vector_c)
    if not (known or is_backward) and walked is not None:
        team, run = _team(seen, roles, prod(groups), seen.channels // vector_c, vector_c)
        chunk = WIDEST // walked.itemsize if run else 1
    wide_index = _needs_wide_index(seen, prod(groups) * team)
    defined = [
        *macros,
        f"INDEX={'long long' if wide_index else 'int'}",
        f"BLOCK={BLOCK}",
        f"TEAM={team}",
        f"PLACES={_listed(_places(groups))}",
        f"ONES={_listed(int(axis[:3] == (1, 1, 1)) for axis in seen.axes)}",
        f"VH={vector_h}",
        f"VW={vector_w}",
        f"VC={vector_c}",
        f"CHUNK={chunk}",
        *(["ROWS_RUN_ON"] if all(seen.strides[k][4] == 1 for k in present) else []),
        *(["RUN"] if run else []),
    ]
    if known:
        defined.extend(_known_windows(seen.axes, is_backward, (vector_h, vector_w), chunk))
    packed = all(
        _takes_packs(seen, k, vector_w) and sizes[2] % vector_w == 0
        for k in present
        if k in roles.written
    )
    geometry = _geometry(seen, groups, packed, divisor, relative, wide_index)
    return Launch(kernel, tuple(defined), -(-prod(groups) * team // BLOCK), geometry)


@lru_cache(maxsize=1024)
def passes(kernel: str, axes: tuple[Axis, ...], size: int) -> tuple[int, ...]:
    """In which order to pool axes one after the other; none if all at once is not slower.

    `size` is that of the larger array, the forward's input.
    """
    pooled = [k for k, axis in enumerate(axes) if axis.kernel_size > 1]
    is_whole = all(axis.output_size == 1 for axis in axes)
    if len(pooled) < 2 or is_whole or not size or _is_known(kernel, axes):
        return ()
    # What shrinks most comes first, so that least is left for the others; of equals the slowest,
    # along which neighbours lie side by side.
    order = sorted(pooled, key=lambda k: axes[k].output_size / axes[k].input_size)
    taps = prod(axis.kernel_size for axis in axes)
    at_once = taps * size * prod(axis.output_size / axis.input_size for axis in axes)
    in_turn, left = 0.0, float(size)
    for k in order:
        left *= axes[k].output_size / axes[k].input_size
        in_turn += left * axes[k].kernel_size
    # Of windows with few taps each is one thread's anyway.
    if at_once < _LARGE or (taps < _WIDE and at_once < 2 * in_turn):
        return ()
    return tuple(reversed(order) if kernel == "avg_pool_backward" else order)


def _is_known(kernel: str, axes: tuple[Axis, ...]) -> bool:
    """Tell whether windows are known when the kernel is compiled."""
    most = _MOST_ADDED if kernel.startswith("avg") else _MOST_COMPARED
    if kernel == "max_pool" and sum(axis.kernel_size > 1 for axis in axes) == 1:
        most = _MOST_IN_LINE
    return all(
        0 < axis.stride <= _MOST_STRIDE and axis.kernel_size <= most and axis.dilation == 1
        for axis in axes
    )


def relative_numbers(axes: tuple[Axis, ...]) -> int:
    """How many positions the largest window has, those between its taps included."""
    return prod(extent(axis.kernel_size, axis.dilation) for axis in axes)


# --- the arrays ----------------------------------------------------------------------------


def _see(
    kernel: str,
    axes: tuple[Axis, ...],
    channels_last: bool,
    layouts: tuple[Layout | None, ...],
) -> _Seen | None:
    present = [k for k, layout in enumerate(layouts) if layout is not None]
    given = [layout for layout in layouts if layout is not None]
    if any(stride % layout.itemsize for layout in given for stride in layout.strides):
        return None
    # Planes may become one tall plane where nobody counts within them.
    merge = kernel == "avg_pool" or (kernel == "max_pool" and layouts[2] is None)
    large = tuple(KERNELS[kernel].large[k] for k in present)
    lead = given[0]
    strides = [layout.strides for layout in given]
    view = views(axes, channels_last, lead.itemsize, False, merge, large, lead.shape, *strides)
    if len(view.first) > 2:
        return None
    sizes, *steps = view.batch.tolist()
    missing = 2 - len(sizes)
    found: list[tuple[int, ...]] = [(0,) * 6] * len(layouts)
    channels = 1
    for place, (k, layout) in enumerate(zip(present, given, strict=True)):
        # An array of these strides; its memory is never looked at.
        dummy = numpy.lib.stride_tricks.as_strided(
            numpy.empty(1, f"V{layout.itemsize}"), layout.shape, layout.strides
        )
        plane = view.of(place, dummy)
        channels = plane.shape[3]
        lengths = [*[1] * missing, *sizes, *plane.shape]
        in_bytes = [*[0] * missing, *steps[place], *plane.strides]
        found[k] = tuple(
            step // layout.itemsize if length > 1 else 0
            for length, step in zip(lengths, in_bytes, strict=True)
        )
    return _Seen(
        view.axes,
        (*[1] * missing, *sizes),
        channels,
        tuple(found),
        tuple(1 if layout is None else layout.itemsize for layout in layouts),
        tuple(layout is not None and layout.aligned for layout in layouts),
    )


def _takes_packs(seen: _Seen, array: int, length: int, axis: int = 4) -> bool:
    """Tell whether groups of so many elements along an axis, by default rows, are aligned."""
    if length == 1:
        return True
    steps = list(seen.strides[array])
    pack = max(1, min(WIDEST // seen.itemsizes[array], length))
    along = steps.pop(axis)
    return seen.aligned[array] and along == 1 and all(step % pack == 0 for step in steps)


def _row_vector(
    seen: _Seen, roles: Roles, layouts: tuple[Layout | None, ...], is_backward: bool, most: int
) -> tuple[int, int]:
    """How many positions in a row a thread has, and how many elements it loads at once."""
    rows = [k for k, layout in enumerate(layouts) if roles.large[k] and layout is not None]
    chunk = min(WIDEST // max(seen.itemsizes[k] for k in rows), most)
    axis = seen.axes[2]
    if is_backward and axis.stride == 1:  # many windows are over each
        chunk = min(chunk, 4)
    fits = seen.channels == 1 and axis.input_size % chunk == 0
    fits = fits and all(_takes_packs(seen, k, chunk) for k in rows)
    if is_backward:  # of whole strides it is known which windows are over them
        return (chunk, chunk) if fits and chunk % axis.stride == 0 else (axis.stride, 1)
    if not fits:
        return 1, 1
    if chunk % axis.stride:
        return chunk, chunk
    return max(chunk // axis.stride, min(chunk, 4)), chunk


def _column_vector(seen: _Seen, is_backward: bool, most: int, vector_w: int, vector_c: int) -> int:
    """How many positions above each other a thread has: as many as registers hold."""
    most = 8 // vector_c if vector_c > 1 else min(2 if vector_w > 1 else 4, most // vector_w)
    axis = seen.axes[1]
    vector_h = axis.stride if is_backward else 1
    size = axis.input_size if is_backward else axis.output_size
    while 2 * vector_h <= min(most, size):
        vector_h *= 2
    return vector_h


def _channel_vector(
    seen: _Seen, roles: Roles, layouts: tuple[Layout | None, ...], most: int
) -> int:
    """How many channels a thread has."""
    present = [k for k, layout in enumerate(layouts) if layout is not None]
    main = roles.walked if layouts[roles.walked] is not None else roles.result
    length = min(WIDEST // seen.itemsizes[main], most)
    while length > 1 and (
        seen.channels % length or not all(_takes_packs(seen, k, length, axis=5) for k in present)
    ):
        length //= 2
    return length


# --- the threads ---------------------------------------------------------------------------


def _team(
    seen: _Seen, roles: Roles, items: int, channel_groups: int, vector_c: int
) -> tuple[int, bool]:
    """How many threads share a window, and whether its taps are one run of memory."""
    depth, height, width = seen.axes
    taps = prod(axis.kernel_size for axis in seen.axes)
    if taps < _WIDE:
        return 1, False
    is_row = depth.kernel_size == height.kernel_size == width.dilation == 1
    run = is_row and seen.channels == 1 and seen.strides[roles.walked][4] == 1
    # Neighbouring threads read the same memory if their windows overlap, or side by side.
    share = vector_c > 1 or 0 < 2 * width.stride <= width.kernel_size
    if share and items >= _BUSY:
        return 1, False
    each = WIDEST // seen.itemsizes[roles.walked] if run else 4
    most = BLOCK if vector_c == 1 else BLOCK // min(32, _power_of_2(channel_groups))
    team = max(8, min(_power_of_2(taps // each), most))
    # Where there is enough to do, each thread has several loads, so that fewer wait for each other.
    while team > 2 and run and items * team > 2 * _BUSY and taps < 4 * each * team:
        team //= 2
    return team, run


def _places(groups: tuple[int, ...]) -> list[int]:
    """What is known of each axis of groups, as `split` in geometry.cuh has it."""
    one, last, many = range(3)
    return [
        one if size == 1 else many if prod(groups[:k]) > 1 else last
        for k, size in enumerate(groups)
    ]


def _power_of_2(n: int) -> int:
    """The greatest one that is not above n."""
    return 1 << (n.bit_length() - 1)


def _needs_wide_index(seen: _Seen, threads: int) -> bool:
    reach = [threads]
    lengths = (*seen.batch, *(max(a.input_size, a.output_size) for a in seen.axes), seen.channels)
    for steps in seen.strides:
        spans = (abs(step) * length for step, length in zip(steps, lengths, strict=True))
        reach.append(sum(spans))
    for axis in seen.axes:
        padded = axis.input_size + axis.padding_low + axis.padding_high
        reach.append(padded + 2 * extent(axis.kernel_size, axis.dilation) + 2 * axis.stride)
        if not axis.stride:
            reach.append((axis.input_size + 1) * (axis.output_size + 1))
    reach.append(prod(axis.input_size for axis in seen.axes))
    reach.append(relative_numbers(seen.axes))
    return max(reach) > _NARROW


# --- what the kernel is told ---------------------------------------------------------------


def _known_windows(
    axes: tuple[Axis, ...], is_backward: bool, block: tuple[int, int], chunk: int
) -> list[str]:
    """Say what the windows are, and how the positions of a thread's block relate to them."""
    macros = [
        f"KERNEL_SIZE={_listed(axis.kernel_size for axis in axes)}",
        f"STRIDES={_listed(axis.stride for axis in axes)}",
        f"PADDINGS={_listed(axis.padding_low for axis in axes)}",
    ]
    if not is_backward:
        return [*macros, f"PHASE={-axes[2].padding_low % chunk}"]
    first, count = [], []  # of the windows over a block
    for axis, length in zip(axes[1:], block, strict=True):
        first.append(-((axis.kernel_size - 1 - axis.padding_low) // axis.stride))
        count.append((length - 1 + axis.padding_low) // axis.stride - first[-1] + 1)
    return [*macros, f"FIRST={_listed(first)}", f"WINDOWS={_listed(count)}"]


def _listed(values: Iterable[int]) -> str:
    return ",".join(map(str, values))


def _geometry(
    seen: _Seen,
    groups: tuple[int, ...],
    packed: bool,
    divisor: int,
    relative: bool,
    wide_index: bool,
) -> numpy.ndarray:
    """Bytes of `Geometry`, in its order."""
    bits = 64 if wide_index else 32
    lengths = [
        extent(axis.kernel_size, axis.dilation) if relative else axis.input_size
        for axis in seen.axes
    ]
    members = [prod(groups), int(packed)]
    for size in groups[1:]:
        members.extend(divider(size, bits))
    members.extend((lengths[1] * lengths[2], lengths[2]))
    for axis in seen.axes:
        members.extend(axis)
        members.extend(divider(axis.output_size, bits))
        members.extend(divider(axis.stride or axis.input_size, bits))
    for steps in seen.strides:
        members.extend(steps)
    members.extend([0] * (6 * (4 - len(seen.strides))))
    members.extend([0] * (len(members) % 2))  # the struct is as long as its alignment demands
    told = numpy.array(members, dtype=f"i{bits // 8}")
    return numpy.concatenate([numpy.array([divisor]).view("u1"), told.view("u1")])


@lru_cache(maxsize=1024)
def divider(divisor: int, bits: int) -> tuple[int, int, int]:
    """Divide n by ``(high half of n * multiplier, plus n) >> shift``, for n below 2**(bits - 1).

    T. Granlund and P. L. Montgomery, "Division by invariant integers using multiplication", 1994.
    """
    shift = (divisor - 1).bit_length()
    multiplier = 2**bits * (2**shift - divisor) // divisor + 1
    # The same bits, in a type with a sign.
    return divisor, multiplier - 2**bits if multiplier >= 2 ** (bits - 1) else multiplier, shift
