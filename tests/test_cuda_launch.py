"""Plans of launches: plain Python, which needs no CuPy.

What a plan says is followed as a kernel follows it: groups cover a result once, and the memory that
they load is counted. The last tests hold that against what kernels do on the emulated device.
"""

from collections import defaultdict
from importlib.resources import files
from itertools import product
from math import prod

import numpy as np
import pytest
from _cpu_cases import DIRECTED, Case, array_of, dtype_named, random_case

from pooltk._cuda import _launch
from pooltk._geometry import adaptive_axis, sliding_axis, window_taps

SECTOR = 32  # bytes, of which DRAM is read in whole ones
# Blocks at work at once, of which a GPU has hundreds: what one has read the others find in a
# cache.
RESIDENT = 4
ONE, LAST, MANY = range(3)  # as in geometry.cuh


def layout(shape, dtype="float32", strides=None, aligned=True):
    array = np.lib.stride_tricks.as_strided(np.empty(1, dtype_named(dtype)), shape)
    strides = np.empty(shape, array.dtype).strides if strides is None else strides
    return _launch.Layout(tuple(shape), tuple(strides), array.itemsize, aligned)


def plan(kernel, case, dtype="float32", numbers=None, macros=(), **options):
    """Plan a kernel over contiguous arrays; those that the call leaves out are None."""
    large, small = layout(case.shape, dtype), layout(case.result_shape, dtype)
    numbers = numbers and layout(case.result_shape, numbers)
    layouts = {
        "max_pool": (large, small, numbers),
        "avg_pool": (large, small),
        "max_pool_backward": (large, numbers or small, small),
        "avg_pool_backward": (small, large),
    }[kernel]
    launch = _launch.plan(kernel, case.axes, case.channels_last, layouts, macros, **options)
    return launch, layouts


def macros_of(launch):
    return dict((*macro.split("=", 1), "")[:2] for macro in launch.macros)


class Told:
    """What a kernel is told, read as geometry.cuh declares it."""

    def __init__(self, launch):
        self.macros = macros_of(launch)
        self.vector_h, self.vector_w, self.vector_c, self.chunk = (
            int(self.macros[m]) for m in ("VH", "VW", "VC", "CHUNK")
        )
        self.places = [int(kind) for kind in self.macros["PLACES"].split(",")]
        wide = self.macros["INDEX"] == "long long"
        members = iter(launch.geometry[8:].view("i8" if wide else "i4").tolist())
        self.divisor = int(launch.geometry[:8].view("i8")[0])
        self.bits = 64 if wide else 32

        def take(count):
            return [next(members) for _ in range(count)]

        self.items, self.packed = take(2)
        self.dividers = [take(3) for _ in range(5)]  # batch, d, h, w, c
        self.numbers = take(2)
        self.axes = [(*take(7), take(6))[:7] for _ in range(3)]  # and dividers
        self.strides = [take(6) for _ in range(4)]
        assert len(list(members)) <= 1, "padding alone is left"

    def groups(self):
        """Yield where the first element of each group is: (batch, batch, d, h, w, c)."""
        for n in range(self.items):
            place = []
            for kind, told in zip(self.places[:0:-1], reversed(self.dividers), strict=True):
                divisor, multiplier, shift = told
                high = n * (multiplier % 2**self.bits) >> self.bits
                whole = 0 if kind == LAST else (high + n) >> shift
                place.append(0 if kind == ONE else n - whole * divisor)
                n = n if kind == ONE else whole
            c, w, h, *others = place
            assert n == 0 or self.places[0] != ONE
            yield (
                *(n, *reversed(others)),
                *(h * self.vector_h, w * self.vector_w, c * self.vector_c),
            )


def offset(strides, place):
    return sum(step * at for step, at in zip(strides, place, strict=True))


# --- arithmetic ----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [32, 64])
def test_a_division_is_a_multiplication(bits):
    rng = np.random.default_rng(0)
    greatest = 2 ** (bits - 1) - 1
    divisors = [*range(1, 70), *(2**k + d for k in range(2, bits - 1) for d in (-1, 0, 1))]
    for divisor in filter(lambda d: d <= greatest, [*divisors, greatest]):
        same, multiplier, shift = _launch.divider(divisor, bits)
        assert same == divisor
        assert -(2 ** (bits - 1)) <= multiplier < 2 ** (bits - 1)
        near = [k * divisor + d for k in (1, 2, greatest // divisor) for d in (-1, 0, 1)]
        for n in [0, greatest, *near, *rng.integers(0, greatest, 9, endpoint=True).tolist()]:
            if 0 <= n <= greatest:
                high = n * (multiplier % 2**bits) >> bits
                assert (high + n) >> shift == n // divisor


def test_relative_numbers_are_as_many_as_the_largest_window_spans():
    assert _launch.relative_numbers((sliding_axis(50, 3, 1, 1, 0, 0, False),) * 2) == 9
    assert _launch.relative_numbers((sliding_axis(50, 3, 1, 4, 0, 0, False),)) == 9


def test_wide_windows_are_pooled_one_axis_after_the_other():
    def axis(kernel, stride=1, size=64):
        return sliding_axis(size, kernel, stride, 1, kernel // 2, kernel // 2, False)

    def order(*axes, kernel="max_pool", size=256 * 64 * 64):
        return _launch.passes(kernel, axes, size)

    bins, whole = adaptive_axis(64, 7), adaptive_axis(64, 1)
    assert order(axis(7), axis(7)) == (0, 1)
    assert order(axis(7), axis(7, 2)) == (1, 0)  # what shrinks most comes first
    assert order(axis(7), axis(7), kernel="avg_pool_backward") == (1, 0)
    assert order(axis(7), axis(1), axis(7)) == (0, 2)
    assert order(bins, bins) == (0, 1)
    assert order(axis(5), axis(5), kernel="avg_pool") == (0, 1)
    # All at once: small windows, one axis, whole planes, and where there is little to do or gain.
    assert order(axis(5), axis(5)) == ()
    assert order(axis(3), axis(3), kernel="avg_pool") == ()
    assert order(axis(1), axis(9)) == ()
    assert order(whole, whole) == ()
    assert order(axis(7), axis(7), size=64 * 64) == ()
    assert order(axis(5, 5), axis(5, 5), kernel="avg_pool") == ()


# --- groups --------------------------------------------------------------------------------

ROWS = Case("rows", (2, 3, 9, 32), 2, kernel_size=3, stride=2, padding=1)
ENDS = Case("rows that end within a group", (2, 6, 12), 2, kernel_size=3, stride=2)
PIXELS = Case("pixels", (9, 8, 12), 2, kernel_size=3, stride=2, padding=1, channels_last=True)
ANY = Case("any", (4, 11, 13), 2, kernel_size=(4, 5), stride=3)
PLANES = Case("whole planes", (4, 11, 13), 2, output_size=1)
SMALL = [case for case in DIRECTED if prod(case.shape) < 2500]


def covered(kernel, launch, layouts):
    """How often each element of a result is stored to, by its offset."""
    told = Told(launch)
    result = _launch.KERNELS[kernel].result
    rows, columns = (axis[0 if kernel.endswith("backward") else 1] for axis in told.axes[1:])
    count = defaultdict(int)
    for place in told.groups():
        for k in product(range(told.vector_h), range(told.vector_w), range(told.vector_c)):
            h, w, c = (at + step for at, step in zip(place[3:], k, strict=True))
            if h < rows and w < columns:
                count[offset(told.strides[result], (*place[:3], h, w, c))] += 1
    assert sorted(count) == list(range(prod(layouts[result].shape)))
    return set(count.values())


@pytest.mark.parametrize(
    "case", [ROWS, ENDS, PIXELS, ANY, PLANES, *SMALL], ids=lambda case: case.path
)
def test_groups_cover_the_result_once(case):
    for kernel in _launch.KERNELS:
        launch, layouts = plan(kernel, case)
        assert covered(kernel, launch, layouts) == {1}
        told = Told(launch)
        team = int(told.macros["TEAM"])
        assert launch.blocks == -(-told.items * team // _launch.BLOCK)


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_random_windows(seed):
    case = random_case(np.random.default_rng(seed), elements=600)
    for kernel in ("max_pool", "avg_pool_backward"):
        assert covered(kernel, *plan(kernel, case)) == {1}


def test_common_windows_are_known_and_rows_are_loaded_16_bytes_at_a_time():
    for kernel, stride in ((2, 2), (3, 2), (3, 1)):
        case = Case("", (2, 4, 8, 64), 2, kernel_size=kernel, stride=stride, padding=kernel // 3)
        for dtype, chunk in (("float32", 4), ("float16", 8), ("float64", 2), ("uint8", 16)):
            told = Told(plan("max_pool", case, dtype)[0])
            assert told.macros["KERNEL_SIZE"] == f"1,{kernel},{kernel}"
            assert told.macros["STRIDES"] == f"1,{stride},{stride}"
            assert told.chunk == chunk
            assert told.vector_w * stride % chunk == 0
            told = Told(plan("max_pool_backward", case, dtype)[0])
            assert told.vector_w == told.chunk == min(chunk, 4 if stride == 1 else 8)
            assert told.vector_h % stride == 0


def test_channels_are_loaded_together_as_far_as_they_divide():
    for channels, length in ((16, 4), (12, 4), (6, 2), (3, 1)):
        shape = (8, 8, channels)
        case = Case("", shape, 2, kernel_size=3, stride=2, channels_last=True)
        assert Told(plan("max_pool", case)[0]).vector_c == length


def test_what_is_not_aligned_is_not_loaded_16_bytes_at_a_time():
    x, values = layout(ROWS.shape), layout(ROWS.result_shape)
    between = x._replace(aligned=False)
    odd_rows = layout(ROWS.shape, strides=(3 * 9 * 33 * 4, 9 * 33 * 4, 33 * 4, 4))
    apart = layout(ROWS.shape, strides=(3 * 9 * 64 * 4, 9 * 64 * 4, 64 * 4, 8))
    for given, length in ((x, 4), (between, 1), (odd_rows, 1), (apart, 1)):
        launch = _launch.plan("max_pool", ROWS.axes, False, (given, values, None), ())
        assert Told(launch).vector_w == length
        assert Told(launch).chunk == length
    launch = _launch.plan(
        "max_pool", ROWS.axes, False, (x, values._replace(aligned=False), None), ()
    )
    assert (Told(launch).vector_w, Told(launch).packed) == (4, 0)
    assert Told(_launch.plan("max_pool", ROWS.axes, False, (x, values, None), ())).packed == 1


def test_rows_of_aligned_memory_may_end_before_it_does():
    """Rows of 32 elements with only 30 in use, and rows of 8 with 5."""
    case = Case("", (2, 9, 30), 2, kernel_size=3, stride=2, padding=1)
    x = layout(case.shape, strides=(9 * 128, 128, 4))
    launch = _launch.plan("max_pool", case.axes, False, (x, layout(case.result_shape), None), ())
    assert Told(launch).vector_w == 1
    values = layout(ENDS.result_shape, strides=(2 * 32, 32, 4))
    launch = _launch.plan("max_pool", ENDS.axes, False, (layout(ENDS.shape), values, None), ())
    assert (Told(launch).vector_w, Told(launch).packed) == (4, 0)


def test_teams_share_large_windows():
    def team(case, dtype="float32"):
        macros = macros_of(plan("avg_pool", case, dtype)[0])
        return int(macros["TEAM"]), "RUN" in macros

    assert team(Case("", (64, 7, 7), 2, output_size=1)) == (8, True)
    assert team(Case("", (4, 112, 112), 2, output_size=1)) == (256, True)
    assert team(Case("", (4, 40, 40), 2, output_size=(3, 3))) == (32, False)
    assert team(Case("", (4, 40, 40), 2, kernel_size=5)) == (1, False)
    # Windows that overlap are each one thread's where there are enough of them.
    assert team(Case("", (200, 40, 40), 2, kernel_size=9, stride=1))[0] == 1
    assert team(Case("", (1, 40, 40), 2, kernel_size=9, stride=1))[0] > 1
    # Of channels, 32 threads in a row read neighbours.
    channels = Case("", (112, 112, 256), 2, output_size=1, channels_last=True)
    assert team(channels) == (8, False)


def test_indices_are_wide_only_where_they_have_to_be():
    def index(shape, strides=None, **windows):
        case = Case("", shape, 1, **windows)
        x = layout(shape, "uint8", strides or (shape[-1], 1))
        small = layout(case.result_shape, "uint8", (case.result_shape[-1], 1))
        return macros_of(_launch.plan("max_pool", case.axes, False, (x, small, None), ()))["INDEX"]

    assert index((2, 2**30 - 2**12), kernel_size=2) == "int"
    assert index((2, 2**30), kernel_size=2) == "long long"
    assert index((2, 8), (2**31, 1), kernel_size=2) == "long long"
    assert index((2, 8), (-(2**31), 1), kernel_size=2) == "long long"
    assert index((2, 9), kernel_size=2, dilation=2**31, padding=2**31) == "long long"
    half = ((2**29, 2**29),)
    assert index((2, 9), kernel_size=2, dilation=2**30, padding=half) == "long long"
    assert index((1, 2**16), output_size=2**14) == "int"
    assert index((1, 2**16), output_size=2**15 + 1) == "long long"


def test_batch_axes_that_do_not_merge_are_two_at_most():
    strides = (64 * 512, 64 * 64, 64 * 4, 4)
    axes = (sliding_axis(8, 2, 2, 1, 0, 0, False),)
    values = layout((2, 3, 4, 4))
    assert _launch.plan("max_pool", axes, False, (layout((2, 3, 4, 8)), values, None), ())
    apart = layout((2, 3, 4, 8), strides=strides)
    assert _launch.plan("max_pool", axes, False, (apart, values, None), ()) is None
    two = layout((3, 4, 8), strides=strides[1:])
    assert _launch.plan("max_pool", axes, False, (two, layout((3, 4, 4)), None), ())
    between = layout((4, 8), strides=(34, 4))  # elements that are not where elements may be
    assert _launch.plan("max_pool", axes, False, (between, layout((4, 4)), None), ()) is None


def test_sources_are_in_the_package():
    for kernel in _launch.KERNELS:
        source = files("pooltk._cuda").joinpath("kernels", f"{kernel}.cu").read_text()
        assert f" {kernel}(" in source
        for line in source.splitlines():
            if line.startswith("#include"):
                name = line.split('"')[1]
                assert files("pooltk._cuda").joinpath("kernels", name).is_file()


# --- memory --------------------------------------------------------------------------------
#
# The model: blocks run in order, RESIDENT of them at a time, whose reads of one sector are one
# read of DRAM. All loads of a group are those of its windows' taps, widened to whole chunks, which
# is what kernels load on the emulated device.


def windows_of(axis, is_backward):
    """Positions that each position looks at along an axis, as _geometry describes windows."""
    n, m, kernel, stride, dilation, low, high = axis
    windows = [
        list(window_taps(_launch.Axis(n, m, kernel, stride, dilation, low, high), i))
        for i in range(m)
    ]
    if not is_backward:
        return windows
    over = [[] for _ in range(n)]
    for output, taps in enumerate(windows):
        for tap in taps:
            over[tap].append(output)
    return over


def sectors_read(launch, array, itemsize, looks, large):
    """Sectors that each block reads of an array, given where groups look along each pooled axis."""
    told = Told(launch)
    per_block = _launch.BLOCK // int(told.macros["TEAM"])
    blocks = [set() for _ in range(launch.blocks)]
    length = told.axes[2][0] if large else told.axes[2][1]
    chunk = told.chunk if large else 1
    for n, place in enumerate(told.groups()):
        in_row = {
            at // chunk * chunk + k
            for w in range(place[4], min(place[4] + told.vector_w, len(looks[2])))
            for at in looks[2][w]
            for k in range(chunk)
        }
        assert all(at < length for at in in_row)
        in_column = {
            at
            for h in range(place[3], min(place[3] + told.vector_h, len(looks[1])))
            for at in looks[1][h]
        }
        for d, h, w in product(looks[0][place[2]], in_column, in_row):
            first = offset(told.strides[array], (*place[:2], d, h, w, place[5])) * itemsize
            last = first + told.vector_c * itemsize - 1
            blocks[n // per_block].update((first // SECTOR, last // SECTOR))
    return blocks


def bytes_read(blocks):
    """Bytes of DRAM that are read of an array, of which each block reads these sectors."""
    last_read = {}
    reads = 0
    for block, sectors in enumerate(blocks):
        for sector in sectors:
            if block - last_read.get(sector, -RESIDENT) >= RESIDENT:
                reads += 1
            last_read[sector] = block
    return reads * SECTOR


LARGE = [
    Case("pairs", (8, 56, 64), 2, kernel_size=2),
    Case("triples by 2", (8, 56, 64), 2, kernel_size=3, stride=2, padding=1),
    Case("triples by 1", (4, 28, 64), 2, kernel_size=3, stride=1, padding=1),
    Case("pairs of short rows", (16, 13, 13), 2, kernel_size=2, ceil_mode=True),
    Case("pixels", (28, 28, 32), 2, kernel_size=3, stride=2, padding=1, channels_last=True),
    Case("planes", (64, 14, 16), 2, output_size=1),
]


def model(case, kernel):
    """Plan a kernel; say by array, of those that it reads, which sectors each block reads."""
    launch, layouts = plan(kernel, case)
    axes = Told(launch).axes
    taps = [windows_of(axis, False) for axis in axes]
    over = [windows_of(axis, True) for axis in axes]
    looks = {
        "max_pool": {0: (taps, True)},
        "avg_pool": {0: (taps, True)},
        "max_pool_backward": {1: (over, False), 2: (over, False)},
        "avg_pool_backward": {0: (over, False)},
    }[kernel]
    return layouts, {k: sectors_read(launch, k, 4, *looks[k]) for k in looks}


MODELLED = [
    pytest.param(case, kernel, id=f"{kernel}-{case.path}")
    for case in LARGE
    for kernel in _launch.KERNELS
]


@pytest.mark.parametrize("case, kernel", MODELLED)
def test_each_byte_is_read_once(case, kernel):
    layouts, read = model(case, kernel)
    for array, blocks in read.items():
        nbytes = 4 * prod(layouts[array].shape)
        assert bytes_read(blocks) <= 1.1 * nbytes + SECTOR


@pytest.mark.gpu
@pytest.mark.parametrize("case, kernel", MODELLED)
def test_kernels_read_what_the_model_says(cupy, log, case, kernel):
    """And write each element of the result once."""
    x = cupy.asarray(array_of(case.shape, "float32", 0))
    small = cupy.asarray(array_of(case.result_shape, "float32", 1))
    backward = kernel.endswith("backward")
    given, options = {0: small if backward else x}, {}
    if kernel == "max_pool_backward":
        options["indices"] = indices = cupy.zeros(small.shape, "int32")
        given = {1: indices, 2: small}
    arrays = (small, x) if kernel == "max_pool_backward" else (small,) if backward else (x,)
    out = cupy.empty_like(x if backward else small)
    with log.accesses() as accesses:
        case.pool(kernel, *arrays, out=out, **options)
    for array, blocks in model(case, kernel)[1].items():
        start, nbytes = given[array].data.ptr, given[array].nbytes
        seen = [set() for _ in blocks]
        for access in accesses:
            if access.what == b"r" and 0 <= access.address - start < nbytes:
                last = access.address + access.size - 1
                seen[access.block].update((at - start) // SECTOR for at in (access.address, last))
        if kernel == "max_pool_backward" and array == 2:  # perhaps those alone that were won
            assert all(some <= all_ for some, all_ in zip(seen, blocks, strict=True))
        else:
            assert seen == blocks
    written = sorted((a.address - out.data.ptr, a.size) for a in accesses if a.what == b"w")
    ends = [at + size for at, size in written]
    assert [at for at, _ in written] == [0, *ends[:-1]]
    assert ends[-1] == out.nbytes
