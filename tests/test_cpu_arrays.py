"""The kernels read and write any NumPy array where it lies, however it lies."""

import math
import sys
import tracemalloc

import numpy as np
import pytest
from _cpu_cases import (
    BUILDS,
    LEVELS,
    SANITIZED,
    Case,
    answers,
    array_of,
    assert_average,
    assert_equal,
    assert_same_bits,
    check_python,
    dtype_named,
    misaligned,
    padded_rows,
    reference_average,
    reference_max,
    reference_max_backward,
    reversed_axes,
    shuffled_axes,
    strided,
    uses_builds,
    using,
)

pytestmark = uses_builds


class Subclass(np.ndarray):
    """Of its own kind: what it is a view of is what counts."""


def channels_behind(array):
    """Channels-first shape, channels-last memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def odd_single_axes(array):
    """Axes of length 1 whose strides mean nothing."""
    strides = [
        step if size > 1 else 12345 for size, step in zip(array.shape, array.strides, strict=True)
    ]
    return np.lib.stride_tricks.as_strided(array, strides=strides, writeable=True)


def read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def byte_swapped(array):
    if array.dtype.name == "bfloat16":
        pytest.skip("ml_dtypes has no bfloat16 of another byte order")
    return array.astype(array.dtype.newbyteorder())


def memory_mapped(array):
    import tempfile

    with tempfile.TemporaryFile() as file:
        array.tofile(file)
        return np.memmap(file, array.dtype, "r", shape=array.shape)


def overlapping_rows(array):
    """Each row begins one element behind the one before: strides that no axes merge over."""
    line = np.resize(array, sum(array.shape))
    return np.lib.stride_tricks.as_strided(line, array.shape, line.strides * array.ndim)


def amid_others(array):
    """What lies before and behind must stay, though kernels write whole vectors."""
    line = np.full(array.size + 128, 99, array.dtype)
    part = line[64:-64].reshape(array.shape)
    part[...] = array
    return part


WRITEABLE = {
    "contiguous": np.ascontiguousarray,
    "amid others": amid_others,
    "Fortran-ordered": np.asfortranarray,
    "gaps along all axes": strided,
    "gaps after rows": padded_rows,
    "backwards": reversed_axes,
    "shuffled axes": shuffled_axes,
    "channels behind": channels_behind,
    "odd single axes": odd_single_axes,
    "misaligned": misaligned,
    "subclass": lambda array: array.view(Subclass),
}
LAYOUTS = WRITEABLE | {
    "read-only": read_only,
    "byte-swapped": byte_swapped,
    "memory-mapped": memory_mapped,
    # These repeat elements in memory.
    "broadcast batch": lambda array: np.broadcast_to(array[:1], array.shape),
    "broadcast rows": lambda array: np.broadcast_to(array[:, :, :1], array.shape),
    "broadcast columns": lambda array: np.broadcast_to(array[..., :1], array.shape),
    "one element": lambda array: np.broadcast_to(array.flat[0], array.shape),
    "overlapping rows": overlapping_rows,
}
CASES = [
    Case("overlapping", (3, 4, 13, 15), 2, kernel_size=3, stride=2, padding=1),
    Case("filled", (3, 4, 12, 16), 2, kernel_size=(3, 2)),
    Case("squares", (3, 4, 7, 14), 2, kernel_size=2),
    Case("pixels", (3, 11, 15, 5), 2, kernel_size=3, stride=1, padding=1, channels_last=True),
    Case("single channel", (3, 1, 9, 70), 2, kernel_size=(2, 3), stride=1),
    Case("single row", (3, 4, 1, 70), 2, kernel_size=(1, 4), stride=(1, 3)),
    Case("wide rows", (2, 3, 40, 9), 2, kernel_size=(12, 3), stride=1, padding=(6, 1)),
    Case("whole", (3, 4, 9, 37), 2, output_size=1),
    Case("narrow rows of many planes", (65, 1, 6, 17), 2, kernel_size=3, stride=1, padding=1),
    Case("bins of many planes", (65, 1, 20, 50), 2, output_size=(2, 9)),
    Case("wide windows", (2, 4, 3, 140), 1, kernel_size=40, stride=33),
    Case("bins", (3, 4, 10, 17), 2, output_size=(4, 7)),
    Case("volumes", (2, 5, 6, 7), 3, kernel_size=2, stride=1),
    Case("volumes of pixels", (2, 5, 6, 7, 3), 3, kernel_size=3, stride=2, channels_last=True),
]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.path for case in CASES])
each_layout = pytest.mark.parametrize("layout", LAYOUTS)
each_writeable = pytest.mark.parametrize("layout", WRITEABLE)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "uint8"])


def plain(array):
    """The same elements in an array like any other."""
    return np.array(array, array.dtype.newbyteorder("="), order="C", subok=False)


def assert_memory_order(result, like):
    expected = np.empty_like(like, result.dtype, shape=result.shape, subok=False)
    assert type(result) is np.ndarray
    assert result.dtype.isnative
    for size, step, expected_step in zip(
        result.shape, result.strides, expected.strides, strict=True
    ):
        assert size == 1 or step == expected_step


@each_dtype
@each_layout
@each_case
def test_max(case, layout, dtype):
    x = LAYOUTS[layout](array_of(case.shape, dtype, seed=1, special=True))
    values, indices = reference_max(case, plain(x))
    best = answers(lambda: case.pool("max_pool", x))
    pair = answers(lambda: case.pool("max_pool", x, return_indices=True))
    assert_equal(best, values)
    assert_equal(pair[0], values)
    assert_equal(pair[1], indices)
    for result in (best, *pair):
        assert_memory_order(result, x)


@each_dtype
@each_layout
@each_case
def test_average(case, layout, dtype):
    x = LAYOUTS[layout](array_of(case.shape, dtype, seed=2))
    result = answers(lambda: case.pool("avg_pool", x))
    assert_memory_order(result, x)
    if x.dtype.kind in "iu":
        # Exact up to the last rounding: what another layout of the same integers gives.
        assert_same_bits(result, case.pool("avg_pool", plain(x)))
        rounded = answers(lambda: case.pool("avg_pool", x, dtype="int32"))
        assert_equal(rounded, reference_average(case, plain(x), dtype="int32"))
    else:
        assert_average(case, "avg_pool", result, plain(x))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@each_layout
@each_case
def test_max_backward(case, layout, dtype):
    """`x`, the indices and the gradient all lie so."""
    lie = LAYOUTS[layout]
    x = lie(array_of(case.shape, "float32", seed=3))
    gradient = lie(array_of(case.result_shape, dtype, seed=4))
    _, indices = reference_max(case, plain(x))
    expected = reference_max_backward(case, plain(gradient), plain(x))
    result = answers(lambda: case.pool("max_pool_backward", gradient, x))
    assert_equal(result, expected)
    assert_memory_order(result, gradient)
    given = lie(indices)
    if "broadcast" not in layout and np.array_equal(given, indices):
        result = answers(lambda: case.pool("max_pool_backward", gradient, x, indices=given))
        assert_equal(result, expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@each_layout
@each_case
def test_average_backward(case, layout, dtype):
    gradient = LAYOUTS[layout](array_of(case.result_shape, dtype, seed=5))
    result = answers(lambda: case.pool("avg_pool_backward", gradient))
    assert_average(case, "avg_pool_backward", result, plain(gradient))
    assert_memory_order(result, gradient)


@each_writeable
@each_case
def test_out(case, layout):
    """The same bits as without, whatever lies in `out` before, and nothing beside it."""
    x = array_of(case.shape, "float32", seed=6, special=True)
    gradient = array_of(case.result_shape, "float32", seed=7)
    halves = x.astype("float16")
    calls = [
        (lambda **out: case.pool("max_pool", x, **out), False),
        (lambda **out: case.pool("max_pool", halves, **out), False),
        (lambda **out: case.pool("max_pool", x, return_indices=True, **out), True),
        (lambda **out: case.pool("avg_pool", gradient_like_x(case), **out), False),
        (lambda **out: case.pool("max_pool_backward", gradient, x, **out), False),
        (lambda **out: case.pool("avg_pool_backward", gradient, **out), False),
        (lambda **out: case.pool("avg_pool_backward", gradient.astype("float16"), **out), False),
    ]
    for call, pair in calls:
        expected = call() if pair else (call(),)
        for level, threads in BUILDS:
            outs = tuple(WRITEABLE[layout](np.full_like(array, 99)) for array in expected)
            with using(level, threads):
                returned = call(out=outs if pair else outs[0])
            for out, given_back, array in zip(
                outs, returned if pair else (returned,), expected, strict=True
            ):
                # The caller's memory, though a subclass comes back as the array it is a view of.
                assert np.shares_memory(given_back, out)
                assert_same_bits(np.asarray(out), array, f"at {level}, {threads} threads")
                if layout in ("gaps along all axes", "gaps after rows", "amid others"):
                    assert out.base.tobytes() == WRITEABLE[layout](array).base.tobytes()


def gradient_like_x(case):
    return array_of(case.shape, "float32", seed=8)


@pytest.mark.parametrize("operation", ["max_pool", "avg_pool"])
def test_transposed_planes_are_pooled_in_the_order_of_memory(operation):
    """To the bit as the same memory by its own axes, whose windows have the other shape."""
    x = array_of((3, 2, 40, 9, 31), "float32", seed=12, special=True)
    case = Case("", x.shape, 3, kernel_size=(2, 3, 5), stride=(3, 1, 2), padding=(1, 0, 2))
    across = Case(
        "", (3, 2, 31, 40, 9), 3, kernel_size=(5, 2, 3), stride=(2, 3, 1), padding=(2, 1, 0)
    )
    order = (0, 1, 4, 2, 3)
    expected = answers(lambda: case.pool(operation, x)).transpose(order)
    result = answers(lambda: across.pool(operation, x.transpose(order)))
    assert_same_bits(result, expected)
    assert result.strides == expected.strides


# --- many axes ------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["max_pool", "avg_pool", "max_pool_backward"])
@pytest.mark.parametrize("batch", ["12 axes", "64 axes", "12 axes that do not merge"])
def test_many_axes(batch, operation):
    shape = {
        "12 axes": (2, 1, 2, 1, 1, 3, 1, 2, 1, 2),
        "64 axes": (1, 1, 2, 1, 1) * 12 + (1, 2),
        "12 axes that do not merge": (2, 2, 2, 3, 2, 2, 2, 2, 3, 2),
    }[batch]
    x = array_of((*shape, 6, 7), "float32", seed=9)
    if "merge" in batch:  # every other one has gaps behind it and runs backwards
        more = tuple(n + axis % 2 for axis, n in enumerate(x.shape))
        x = array_of(more, "float32", seed=9)[tuple(map(slice, x.shape))]
        x = x[(slice(None), slice(None, None, -1)) * 5]
    case = Case(batch, x.shape, 2, kernel_size=3, stride=2, padding=1)
    # The reference need not know so many.
    flat = Case(batch, (math.prod(shape), 6, 7), 2, kernel_size=3, stride=2, padding=1)
    lines = plain(x).reshape(flat.shape)
    if operation == "max_pool_backward":
        gradient = array_of(flat.result_shape, "float32", seed=10)
        expected = reference_max_backward(flat, gradient, lines)
        gradient = gradient.reshape(case.result_shape)
        result = answers(lambda: case.pool(operation, gradient, x))
        assert_equal(result.reshape(expected.shape), expected)
        return
    result = answers(lambda: case.pool(operation, x))
    assert result.shape == case.result_shape
    if operation == "max_pool":
        assert_equal(result.reshape(flat.result_shape), reference_max(flat, lines)[0])
    else:
        assert_average(flat, operation, plain(result).reshape(flat.result_shape), lines)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(0, 3, 8, 9), (3, 0, 8, 9), (5, 0, 3, 8, 9)])
def test_no_batch(shape, level):
    case = Case("empty", shape, 2, kernel_size=3, stride=2)
    with using(level, 3):
        for dtype in ("float32", "float16", "int8"):
            values, indices = case.pool("max_pool", np.zeros(shape, dtype), return_indices=True)
            assert values.shape == indices.shape == case.result_shape
            assert (values.dtype, indices.dtype) == (dtype, np.int64)
            assert case.pool("max_pool", np.zeros(shape, dtype)).shape == case.result_shape
        out = np.zeros(case.result_shape)
        assert case.pool("avg_pool", np.zeros(shape), out=out) is out
        gradient = np.zeros(case.result_shape)
        assert case.pool("max_pool_backward", gradient, np.zeros(shape)).shape == shape
        assert case.pool("avg_pool_backward", gradient).shape == shape


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_no_bins(dtype, level):
    """Nothing comes out, and nothing flows back."""
    case = Case("no bins", (2, 5, 6), 2, output_size=(0, 3))
    x = array_of(case.shape, dtype, seed=11)
    with using(level, 3):
        assert case.pool("avg_pool", x).shape == (2, 0, 3)
        values, indices = case.pool("max_pool", x, return_indices=True)
        assert values.shape == indices.shape == (2, 0, 3)
        nothing = np.empty((2, 0, 3), dtype)
        for result in (
            case.pool("max_pool_backward", nothing, x),
            case.pool("avg_pool_backward", nothing),
            case.pool("avg_pool_backward", nothing, out=np.full(case.shape, 7, dtype)),
        ):
            assert_equal(result, np.zeros(case.shape, dtype))


# --- more than fits 32 bits -----------------------------------------------------------------


def sparse_file(tmp_path, shape, dtype):
    """An array of zeros that takes no room, neither on disk nor in memory."""
    if sys.platform != "linux":
        pytest.skip("files with holes may take room here")
    return np.memmap(tmp_path / "zeros", dtype, "w+", shape=shape)


@pytest.mark.parametrize(("level", "threads"), BUILDS)
def test_planes_of_more_than_2_to_the_31(level, threads):
    """Positions in a plane are beyond int32; there is one row in memory, and few windows."""
    row = np.arange(70_001, dtype="float32")
    x = np.broadcast_to(row, (70_000, 70_001))
    with using(level, threads):
        values, indices = max_pool_of(x, 2, kernel_size=2, stride=34_000)
        averages = Case("", x.shape, 2, kernel_size=2, stride=34_000).pool("avg_pool", x)
    columns = np.arange(3) * 34_000 + 1
    columns = columns[columns < 70_001]
    rows = np.arange(3)[:, None] * 34_000
    np.testing.assert_array_equal(values, np.broadcast_to(columns, indices.shape))
    np.testing.assert_array_equal(indices, rows * 70_001 + columns)
    np.testing.assert_array_equal(averages, values - 0.5)
    assert indices.max() > 2**32


@pytest.mark.parametrize(("level", "threads"), BUILDS)
def test_rows_of_more_than_2_to_the_32(level, threads):
    for dtype in ("float32", "uint8"):
        x = np.broadcast_to(dtype_named(dtype).type(3), (2**32 + 9,))
        with using(level, threads):
            values, indices = max_pool_of(x, 1, kernel_size=5, stride=2**30, padding=1)
            averages = Case("", x.shape, 1, kernel_size=5, stride=2**30).pool("avg_pool", x)
        np.testing.assert_array_equal(values, [3] * 5)
        np.testing.assert_array_equal(indices, np.maximum(np.arange(5) * 2**30 - 1, 0))
        np.testing.assert_array_equal(averages, [3] * 5)


@pytest.mark.parametrize(("level", "threads"), BUILDS)
def test_batches_of_more_than_2_to_the_32(level, threads):
    lines = array_of((64, 1, 9), "int16", seed=12)
    x = np.broadcast_to(lines, (64, 2**27, 9))[:, :: 2**26]
    case = Case("", x.shape, 1, kernel_size=3)
    few = Case("", lines.shape, 1, kernel_size=3)
    with using(level, threads):
        result = case.pool("max_pool", x)
    expected = reference_max(few, lines)[0]
    assert_equal(result, np.broadcast_to(expected, case.result_shape).copy())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_files_of_more_than_2_to_the_32_bytes(tmp_path, dtype, backwards, level):
    """Addresses are beyond 32 bits, in each axis that an address is made of."""
    x = sparse_file(tmp_path, (3, 5, 2**29 + 7), dtype)
    for place, value in (((0, 0, 2**29 + 2), 5), ((2, 4, 2**29 + 6), 9), ((1, 3, 1), 2)):
        x[place] = value
    seen = x[::-1, ::-1, ::-1] if backwards else x
    with using(level, 2):
        lines, lines_at = max_pool_of(seen, 1, kernel_size=7, stride=2**29)
        planes, planes_at = max_pool_of(seen, 2, kernel_size=(5, 7), stride=(1, 2**29))
        averages = Case("", seen.shape, 2, kernel_size=(5, 7), stride=(1, 2**29)).pool(
            "avg_pool", seen
        )
    marks = {(0, 0, 2**29 + 2): 5, (2, 4, 2**29 + 6): 9, (1, 3, 1): 2}
    if backwards:
        marks = {
            tuple(n - 1 - i for n, i in zip(x.shape, place, strict=True)): value
            for place, value in marks.items()
        }
    expected = np.zeros(lines.shape, dtype)
    expected_at = np.broadcast_to([0, 2**29], lines.shape).copy()
    for (item, row, column), value in marks.items():
        window = column // 2**29
        expected[item, row, window] = value
        expected_at[item, row, window] = column
    np.testing.assert_array_equal(lines, expected)
    np.testing.assert_array_equal(lines_at, expected_at)
    np.testing.assert_array_equal(planes, expected.max(1, keepdims=True))
    best = expected.argmax(1)[:, None]
    np.testing.assert_array_equal(
        planes_at,
        np.where(
            planes > 0,
            best * x.shape[2] + np.take_along_axis(expected_at, best, 1),
            [0, 2**29],
        ),
    )
    total = expected.astype("float64").sum(1, keepdims=True)
    np.testing.assert_allclose(averages, total / 35, rtol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_windows_of_more_than_2_to_the_31(level):
    """A window's count is beyond int32."""
    x = np.broadcast_to(np.uint8(255), (2**31 + 5,))
    case = Case("", x.shape, 1, output_size=1)
    with using(level):
        assert case.pool("avg_pool", x) == 255
        assert case.pool("avg_pool", x, dtype="uint8") == 255


def max_pool_of(x, ndim, **windows):
    return Case("", x.shape, ndim, **windows).pool("max_pool", x, return_indices=True)


# --- no copies ------------------------------------------------------------------------------

MEMORY = """
import sys
from _cpu_cases import *

def grown_by(call):
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is what there is now
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before

def resident(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

def lie(array):
    if layout == "gaps":
        return padded_rows(array)
    if layout == "channels behind":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 0, -1)), -1, 0)
    if layout == "backwards":
        return reversed_axes(array)
    return misaligned(array) if layout == "misaligned" else array

dtype, layout = sys.argv[1:]
cases = [
    Case("", (16, 512, 512), 2, kernel_size=3, stride=2, padding=1),
    Case("", (16, 512, 512), 2, kernel_size=2),
    Case("", (16, 512, 512), 2, kernel_size=33, stride=20),
    Case("", (16, 512, 512), 2, output_size=(7, 100)),
    Case("", (16, 512, 512), 3, kernel_size=8, stride=5),
    Case("", (16, 512, 512), 2, kernel_size=3, channels_last=True),
    Case("", (16, 512, 512), 1, output_size=1),
    Case("", (1, 16, 512 * 512), 1, kernel_size=64, stride=9),
]
x, grad_input = (lie(array_of(cases[0].shape, dtype, seed)) for seed in (1, 2))
calls = []
for case in cases if layout in ("none", "misaligned") else cases[:-1]:
    big, out = x.reshape(case.shape), grad_input.reshape(case.shape)
    gradient = array_of(case.result_shape, dtype, 3)
    values, indices = gradient.copy(), np.ones(case.result_shape, "int64")
    def call(operation, *arrays, case=case, **arguments):
        calls.append(lambda: case.pool(operation, *arrays, **arguments))
    call("max_pool", big, out=values)
    call("max_pool", big, return_indices=True, out=(values, indices))
    call("avg_pool", big, out=values, dtype=dtype_named(dtype))
    if dtype in FLOATS:
        call("max_pool_backward", gradient, big, out=out)
        call("max_pool_backward", gradient, big, indices=indices, out=out)
        call("avg_pool_backward", gradient, out=out)
with using(LEVELS[-1], 2):
    grown = [grown_by(call) for call in calls]
assert grown_by(x.copy) > 0.9 * x.nbytes, "a copy would not have been seen"
print(max(grown[1:]))  # the first one starts the threads
print([round(growth / 2**20, 2) for growth in grown], file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")
@pytest.mark.skipif(SANITIZED, reason="sanitizers need memory of their own")
@pytest.mark.parametrize("layout", ["none", "gaps", "channels behind", "backwards", "misaligned"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_scratch_is_small(dtype, layout):
    """Two threads take less than 1 MB each, whatever is asked of arrays of 4 to 16 MB."""
    grown = int(check_python(MEMORY, dtype, layout, MALLOC_MMAP_THRESHOLD_="65536"))
    assert grown < 2 * 2**20


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "byte-swapped"])
@each_case
def test_nothing_is_copied(case, layout):
    """NumPy allocates the results, and nothing else of their size or of the input's."""
    shape = (30, *case.shape)
    case = Case(case.path, shape, case.ndim, channels_last=case.channels_last, **case.windows)
    assert 4 * math.prod(shape) > 40_000  # what is measured below would show
    lie = LAYOUTS["overlapping rows" if "broadcast" in layout else layout]
    x = lie(array_of(shape, "float32", seed=13))
    gradient = lie(array_of(case.result_shape, "float32", seed=14))
    _, indices = case.pool("max_pool", x, return_indices=True)
    for results, call in (
        (x.itemsize * gradient.size, lambda: case.pool("max_pool", x)),
        (12 * gradient.size, lambda: case.pool("max_pool", x, return_indices=True)),
        (4 * gradient.size, lambda: case.pool("avg_pool", x)),
        (4 * x.size, lambda: case.pool("max_pool_backward", gradient, x)),
        (4 * x.size, lambda: case.pool("max_pool_backward", gradient, x, indices=indices)),
        (4 * x.size, lambda: case.pool("avg_pool_backward", gradient)),
    ):
        call()
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < results + 20_000
