"""CUDA kernels against the reference, on every path that a plan can take.

The law is `_reference`: maxima, indices, integers and gradients of maxima are equal to its, and
averages lie within the bounds of rounding. Runs wherever CuPy has a device; see CONTRIBUTING.
"""

from math import prod

import numpy as np
import pytest
from _cpu_cases import (
    DTYPES,
    FLOATS,
    Case,
    array_of,
    assert_average,
    assert_equal,
    assert_same_bits,
    assert_within_an_ulp,
    dtype_named,
    padded_rows,
    random_case,
    reference_average,
    reference_max,
    reference_max_backward,
    reversed_axes,
    shuffled_axes,
    strided,
)

import pooltk
from pooltk._cuda import _launch

pytestmark = pytest.mark.gpu

# What a thread has: some windows in a row.
PAIRS = Case("pairs in rows", (3, 4, 32), 2, kernel_size=2)
ROWS = [
    PAIRS,
    Case("triples by 2 in rows", (2, 9, 32), 2, kernel_size=3, stride=2, padding=1),
    Case("rows that end within a group", (2, 6, 12), 2, kernel_size=3, stride=2),
    Case("triples by 1 in rows", (2, 5, 16), 2, kernel_size=3, stride=1, padding=1),
    Case("triples by 3 in rows", (2, 5, 32), 2, kernel_size=3, padding=((1, 0), (2, 1))),
    Case("volumes by 2 in rows", (5, 6, 16), 3, kernel_size=3, stride=2, padding=1),
]
# Some channels.
CHANNELS = [
    Case("pixels", (5, 7, 16), 2, kernel_size=3, stride=2, padding=1, channels_last=True),
    Case("pixels of 6", (2, 5, 6, 6), 2, kernel_size=2, stride=1, channels_last=True),
    Case("pixels, any window", (9, 7, 4), 2, kernel_size=(4, 5), stride=2, channels_last=True),
]
# One window.
WINDOWS = [
    Case("triples of short rows", (2, 7, 13), 2, kernel_size=3, stride=2, ceil_mode=True),
    Case("pixels of 3", (5, 6, 3), 2, kernel_size=2, stride=1, channels_last=True),
    Case("any", (2, 9, 11), 2, kernel_size=(5, 4), stride=(2, 3), padding=((2, 1), (0, 3))),
    Case("dilated", (3, 9, 16), 2, kernel_size=(2, 3), stride=1, dilation=(3, 2), padding=(1, 3)),
    Case("dilated by 2", (40,), 1, kernel_size=4, stride=2, dilation=3, padding=2, ceil_mode=True),
    Case(
        "ceil beyond the padding", (10, 14), 2, kernel_size=4, stride=3, padding=2, ceil_mode=True
    ),
    Case("without taps", (3, 4), 1, kernel_size=2, stride=1, dilation=6, padding=5),
    Case("bins", (2, 10, 17), 2, output_size=(4, 7)),
    Case("more bins than elements", (3, 7, 5), 2, output_size=(11, 12)),
    Case("bins of volumes", (2, 5, 9, 11), 3, output_size=(3, None, 4)),
]
# A team of threads has one, or some channels of it.
TEAMS = [
    Case("whole planes", (3, 23, 7), 2, output_size=1),
    Case("whole rows", (2, 700), 1, output_size=1),
    Case("whole planes of pixels", (2, 9, 8, 8), 2, output_size=1, channels_last=True),
    Case("whole planes of 3", (9, 8, 3), 2, output_size=1, channels_last=True),
    Case("wide bins", (2, 11, 60), 2, output_size=(2, 3)),
    Case("wide overlapping", (1, 14, 16), 2, kernel_size=9, stride=1, padding=4),
    Case("wide dilated", (2, 60), 1, kernel_size=33, stride=7, dilation=2, padding=30),
    Case(
        "rows without taps in between",
        (3, 300),
        2,
        kernel_size=(2, 9),
        stride=1,
        dilation=(4, 1),
        padding=(2, 4),
    ),
    Case("wide without taps", (3, 3), 1, kernel_size=33, stride=20, dilation=40, padding=1200),
]
# Of maxima these are known when a kernel is compiled, of averages not.
COMPARED = [
    Case("fives by 1 in rows", (2, 7, 16), 2, kernel_size=5, stride=1, padding=2),
    Case("fives by 2", (2, 9, 13), 2, kernel_size=(5, 4), stride=2, padding=(2, 1)),
    Case("fives of pixels", (6, 7, 8), 2, kernel_size=5, stride=1, padding=2, channels_last=True),
    Case("thirteen in a row", (2, 3, 32), 1, kernel_size=13, stride=1, padding=6),
    Case("thirteen pixels", (3, 20, 8), 1, kernel_size=13, stride=2, channels_last=True),
]
CASES = [*ROWS, *CHANNELS, *WINDOWS, *TEAMS, *COMPARED]


def as_is(array):
    return array


def check_max(cupy, case, dtype, form=as_is, seed=0):
    """Values, indices, and the gradient by both ways to find the winners."""
    x = array_of(case.shape, dtype, seed, special=True)
    gradient_dtype = dtype if dtype in FLOATS else "float32"
    grad_output = array_of(case.result_shape, gradient_dtype, seed + 1)
    values, indices = reference_max(case, x)
    grad_input = reference_max_backward(case, grad_output, x)

    on_device = form(cupy.asarray(x))
    assert_equal(case.pool("max_pool", on_device).get(), values, f"{case}, {dtype}")
    found = case.pool("max_pool", on_device, return_indices=True)
    assert_equal(found[0].get(), values, f"{case}, {dtype}, beside indices")
    assert_equal(found[1].get(), indices, f"{case}, {dtype}, indices")
    spread = form(cupy.asarray(grad_output))
    result = case.pool("max_pool_backward", spread, on_device)
    assert_equal(result.get(), grad_input, f"{case}, {dtype}, gradient")
    result = case.pool("max_pool_backward", spread, on_device, indices=form(found[1]))
    assert_equal(result.get(), grad_input, f"{case}, {dtype}, gradient by indices")


def check_average(cupy, case, dtype, form=as_is, include_pad=True, seed=0):
    """Averages, and their gradient."""
    options = {} if case.adaptive else {"count_include_pad": include_pad}
    for operation, shape in (
        ("avg_pool", case.shape),
        ("avg_pool_backward", case.result_shape),
    ):
        array = array_of(shape, dtype, seed, special=True)
        result = case.pool(operation, form(cupy.asarray(array)), **options).get()
        assert result.dtype == array.dtype
        assert_average(case, operation, result, array, include_pad, message=f"{case}, {dtype}")


def check_integer_average(cupy, case, dtype, include_pad=True):
    """Averages of integers, as floating numbers and as integers."""
    x = array_of(case.shape, dtype, 0)
    options = {} if case.adaptive else {"count_include_pad": include_pad}
    on_device = cupy.asarray(x)
    result = case.pool("avg_pool", on_device, **options).get()
    assert_within_an_ulp(result, case, x, include_pad)
    result = case.pool("avg_pool", on_device, dtype="int64", **options).get()
    assert_equal(result, reference_average(case, x, include_pad, dtype="int64"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_max(cupy, case):
    check_max(cupy, case, "float32")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.path)
def test_average(cupy, case):
    check_average(cupy, case, "float32", include_pad=False)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(cupy, dtype):
    """Those that have not had all cases; gradients of a max have the dtype of floats alone."""
    for case in (ROWS[1], CHANNELS[0], TEAMS[0]) if dtype in FLOATS else (ROWS[0], TEAMS[0]):
        if dtype in FLOATS:
            check_max(cupy, case, dtype)
            check_average(cupy, case, dtype)
        else:
            x = array_of(case.shape, dtype, 0)
            values, indices = case.pool("max_pool", cupy.asarray(x), return_indices=True)
            expected = reference_max(case, x)
            assert_equal(values.get(), expected[0])
            assert_equal(indices.get(), expected[1])
            check_integer_average(cupy, case, dtype, include_pad=False)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "bool"])
def test_gradients_of_a_maximum_of_integers(cupy, dtype):
    check_max(cupy, ROWS[1], dtype)


@pytest.fixture
def passes(cupy, monkeypatch):
    """Axes are pooled one after the other however little there is to do; count such calls."""
    from pooltk._cuda import _pool

    counted = []
    in_passes = _pool._in_passes

    def count(*arguments):
        counted.append(arguments)
        return in_passes(*arguments)

    monkeypatch.setattr(_launch, "_LARGE", 0)
    monkeypatch.setattr(_pool, "_in_passes", count)
    _launch.passes.cache_clear()
    yield counted
    _launch.passes.cache_clear()


IN_PASSES = [
    case
    for case in [*WINDOWS, *TEAMS]
    if sum(axis.kernel_size > 1 for axis in case.axes) > 1
    and prod(axis.kernel_size for axis in case.axes) >= 32
    and any(axis.output_size > 1 for axis in case.axes)
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("case", IN_PASSES, ids=lambda case: case.path)
def test_one_axis_after_the_other(cupy, passes, case, dtype):
    check_max(cupy, case, dtype)
    assert len(passes) == 1  # indices name the first winner in row-major order: all at once
    check_average(cupy, case, dtype, include_pad=dtype == "float16")
    assert len(passes) == 3


def test_one_axis_after_the_other_into_any_memory(cupy, passes):
    case = IN_PASSES[1]
    x = cupy.asarray(array_of(case.shape, "float32", 0))
    small = cupy.asarray(array_of(case.result_shape, "float32", 1))
    for operation, array in ("max_pool", x), ("avg_pool", x), ("avg_pool_backward", small):
        expected = case.pool(operation, array)
        for form in strided, reversed_axes, shuffled_axes, padded_rows:
            out = copied(cupy, cupy.full_like(expected, 77), form)
            assert case.pool(operation, copied(cupy, array, form), out=out) is out
            assert_same_bits(out.get(), expected.get())
    divided = case.pool("avg_pool", x, divisor_override=-3)
    assert_average(case, "avg_pool", divided.get(), x.get(), divisor=-3)
    assert len(passes) == 3 * 5 + 1


def test_random_windows(cupy):
    rng = np.random.default_rng(5)
    for seed in range(8):
        case = random_case(rng, elements=400)
        check_max(cupy, case, "float32", seed=seed)
        check_average(cupy, case, "float32", include_pad=seed % 2 == 0, seed=seed)


# --- values --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", [PAIRS, TEAMS[0]], ids=lambda case: case.path)
def test_subnormal_numbers_have_an_order(cupy, case, dtype):
    """CuPy compiles with -ftz=true, under which a comparison of floats takes them for 0."""
    bits = np.dtype(f"u{dtype_named(dtype).itemsize}")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, case.shape).astype(bits)
    x |= (rng.random(case.shape) < 0.7).astype(bits) << bits.type(8 * bits.itemsize - 1)
    x = x.view(dtype_named(dtype))
    values, indices = case.pool("max_pool", cupy.asarray(x), return_indices=True)
    expected, places = reference_max(case, x)
    assert_equal(values.get(), expected)
    assert_equal(indices.get(), places)
    grad_output = np.abs(expected) + expected.dtype.type(0)
    result = case.pool("max_pool_backward", cupy.asarray(grad_output), cupy.asarray(x))
    assert_equal(result.get(), reference_max_backward(case, grad_output, x))


def test_averages_keep_subnormal_numbers(cupy):
    tiny = np.finfo("float32").smallest_subnormal
    x = np.arange(32, dtype="float32").reshape(2, 16) * (8 * tiny)
    exact = x.reshape(1, 2, 8, 2).sum(axis=(1, 3), dtype="float64") / 4
    assert 0 < exact.max() < np.finfo("float32").tiny
    np.testing.assert_array_equal(pooltk.avg_pool2d(cupy.asarray(x), 2).get(), exact)
    result = pooltk.avg_pool2d_backward(cupy.asarray(x), (4, 32), 2)
    np.testing.assert_array_equal(result.get(), np.repeat(np.repeat(x / 4, 2, 0), 2, 1))


def test_whole_planes_average_as_exactly_as_pairs_would(cupy):
    x = np.full((1, 300, 300), 0.1, "float32")
    result = float(pooltk.adaptive_avg_pool2d(cupy.asarray(x), 1)[0, 0, 0])
    assert abs(result - float(x[0, 0, 0])) <= 2 * np.finfo("float32").eps * 0.1


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint8"])
def test_extreme_integers_average_exactly(cupy, dtype):
    limits = np.iinfo(dtype)
    x = np.array([[limits.max] * 3, [limits.min] * 3, [limits.max, limits.min, limits.max]], dtype)
    x = np.concatenate([x, np.arange(6).reshape(2, 3).astype(dtype)])
    for divisor in (None, 1, -2, 3, 2**53 - 1):
        for result_dtype in (dtype, "int8", "uint64", "float64"):
            result = pooltk.avg_pool1d(
                cupy.asarray(x), 3, divisor_override=divisor, dtype=result_dtype
            )
            expected = pooltk.avg_pool1d(x, 3, divisor_override=divisor, dtype=result_dtype)
            np.testing.assert_array_equal(result.get(), expected)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_averages_of_another_floating_dtype(cupy, dtype):
    x = array_of(PAIRS.shape, "float32", 0)
    result = PAIRS.pool("avg_pool", cupy.asarray(x), dtype=dtype_named(dtype)).get()
    assert_average(PAIRS, "avg_pool", result, x)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64"])
def test_indices_of_any_integer_dtype(cupy, dtype):
    grad_output, x = array_of(PAIRS.result_shape, "float32", 0), array_of(PAIRS.shape, "int8", 1)
    _, indices = reference_max(PAIRS, x)
    limits = np.iinfo(dtype)
    indices = np.where(indices % 3, indices.astype(dtype), dtype_named(dtype).type(limits.max))
    indices[0, 0, 0] = limits.min or limits.max
    result = PAIRS.pool(
        "max_pool_backward",
        cupy.asarray(grad_output),
        cupy.asarray(x),
        indices=cupy.asarray(indices),
    )
    known = np.where(indices < 4 * 32, indices.astype("int64"), -1)
    known = np.where(known < 0, -1, known)
    assert_equal(result.get(), reference_max_backward(PAIRS, grad_output, x, known))


# --- memory --------------------------------------------------------------------------------


def copied(cupy, array, form):
    """Device copy in the form that a function of `_cpu_cases` gives NumPy's array."""
    formed = form(array.get())
    steps = [s * (n - 1) for n, s in zip(formed.shape, formed.strides, strict=True)]
    memory = cupy.full(sum(map(abs, steps)) // formed.itemsize + 1, 77, formed.dtype)
    first = memory.data - sum(step for step in steps if step < 0)
    result = cupy.ndarray(formed.shape, formed.dtype, first, strides=formed.strides)
    result[...] = array
    return result


@pytest.mark.parametrize("form", [strided, reversed_axes, shuffled_axes, padded_rows])
@pytest.mark.parametrize("case", [ROWS[1], CHANNELS[0], TEAMS[0]], ids=lambda case: case.path)
def test_views(cupy, case, form):
    def formed(array):
        return copied(cupy, array, form)

    case = Case(case.path, (2, 3, *case.shape[-3:]), case.ndim,
                channels_last=case.channels_last, **case.windows)  # fmt: skip
    check_max(cupy, case, "float32", formed)
    check_average(cupy, case, "float32", formed)


def test_rows_that_begin_between_loads(cupy):
    """A view's pointer may not be where a load of 16 bytes may begin."""
    x = array_of((4, 33), "float32", 0)
    for first in range(4):
        view = cupy.asarray(x).reshape(-1)[first : first + 128].reshape(4, 32)
        expected = pooltk.max_pool2d(view.get(), 2)
        assert_equal(pooltk.max_pool2d(view, 2).get(), expected)
        whole = pooltk.adaptive_avg_pool2d(view, 1).get()
        np.testing.assert_allclose(whole, view.get().mean(keepdims=True), rtol=1e-6)


def test_batch_axes_that_do_not_merge_are_copied(cupy):
    x = array_of((3, 4, 5, 6, 8), "float32", 0)
    view = cupy.asarray(x)[::2, ::2, ::2]
    expected = pooltk.max_pool1d(x[::2, ::2, ::2], 2, return_indices=True)
    out = (
        cupy.zeros((4, 4, 6, 6, 4), "float32")[::2, ::2, ::2],
        cupy.zeros((2, 2, 3, 6, 4), "int64"),
    )
    for result in (
        pooltk.max_pool1d(view, 2, return_indices=True),
        pooltk.max_pool1d(view, 2, return_indices=True, out=out),
    ):
        np.testing.assert_array_equal(result[0].get(), expected[0])
        np.testing.assert_array_equal(result[1].get(), expected[1])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
def test_results_have_the_memory_order_of_the_input(cupy, order):
    x = np.ascontiguousarray(array_of((2, 3, 4, 6), "float32", 0).transpose(order))
    x, on_device = (array.transpose(np.argsort(order)) for array in (x, cupy.asarray(x)))
    for pool in (pooltk.max_pool2d, pooltk.avg_pool2d):
        assert pool(on_device, 2).strides == pool(x, 2).strides
    grad_output = pooltk.max_pool2d(on_device, 2)
    result = pooltk.max_pool2d_backward(grad_output, on_device, 2)
    assert result.strides == pooltk.max_pool2d_backward(pooltk.max_pool2d(x, 2), x, 2).strides


@pytest.mark.parametrize("case", [ROWS[1], CHANNELS[0], TEAMS[0]], ids=lambda case: case.path)
def test_out(cupy, case):
    """The same bits as without, and nothing beside them is written."""
    x = cupy.asarray(array_of(case.shape, "float32", 0))
    values, indices = case.pool("max_pool", x, return_indices=True)
    shape = tuple(n + 1 for n in values.shape)
    inner = tuple(slice(n) for n in values.shape)
    outs = cupy.full(shape, 77, "float32"), cupy.full(shape, 77, "int64")
    result = case.pool("max_pool", x, return_indices=True, out=tuple(out[inner] for out in outs))
    for found, expected, out in zip(result, (values, indices), outs, strict=True):
        assert_same_bits(found.get(), expected.get())
        assert int((out == 77).sum()) == out.size - found.size
    for operation, arrays in (
        ("avg_pool", (x,)),
        ("avg_pool_backward", (values,)),
        ("max_pool_backward", (values, x)),
    ):
        expected = case.pool(operation, *arrays)
        out = cupy.full_like(expected, 77)
        assert case.pool(operation, *arrays, out=out) is out
        assert_same_bits(out.get(), expected.get())


def test_an_offset_beyond_32_bits(cupy):
    """Of two small planes with 2 GiB between them, which nobody touches."""
    far = 2**31 + 64
    memory = cupy.empty(far + 64, "uint8")
    x = cupy.ndarray((2, 6, 8), "uint8", memory.data, strides=(far, 8, 1))
    x[...] = cupy.asarray(array_of((2, 6, 8), "uint8", 0))
    values, indices = pooltk.max_pool2d(x, 3, 2, return_indices=True)
    expected = pooltk.max_pool2d(x.get(), 3, 2, return_indices=True)
    assert_same_bits(values.get(), expected[0])
    assert_same_bits(indices.get(), expected[1])
    grad_output = array_of(values.shape, "float32", 1)
    result = pooltk.max_pool2d_backward(cupy.asarray(grad_output), x, 3, 2)
    assert_same_bits(result.get(), pooltk.max_pool2d_backward(grad_output, x.get(), 3, 2))
