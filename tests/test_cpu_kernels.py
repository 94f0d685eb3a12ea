"""The CPU kernels against the reference, at every level and number of threads.

Each test asks the reference once, and then every build: the first answer has to be right, and
the others have to be the same bits. So do those that are written to an `out`.
"""

import ml_dtypes  # noqa: F401 - names bfloat16 for NumPy
import numpy as np
import pytest
from _cpu_cases import (
    BUILDS,
    DIRECTED,
    DTYPES,
    FLOATS,
    INTEGERS,
    Case,
    answers,
    array_of,
    assert_average,
    assert_equal,
    assert_same_bits,
    assert_within_an_ulp,
    dtype_named,
    random_case,
    reference_average,
    reference_max,
    reference_max_backward,
    reversed_axes,
    strided,
    uses_builds,
    using,
)

pytestmark = uses_builds

OTHER_DTYPES = [dtype for dtype in DTYPES if dtype != "float32"]
HALVES = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": (2, 5), "stride": (1, 3), "padding": (1, 2), "ceil_mode": True},
    {"output_size": (6, 5)},
    {"output_size": 1},
]
RANDOM_SETS = 60  # of 8 cases each


def each_case(cases=DIRECTED):
    return pytest.mark.parametrize("case", cases, ids=[case.path for case in cases])


def random_cases(number):
    """Some cases and a seed for their arrays, the same ones in every run."""
    rng = np.random.default_rng(number)
    return [(random_case(rng), rng) for _ in range(8)]


def into(call, result, builds=BUILDS[-1:]):
    """Write to an `out` with gaps between its elements; it has to be the same bits."""
    for level, threads in builds:
        several = isinstance(result, tuple)
        outs = [strided(np.zeros_like(array)) for array in (result if several else [result])]
        with using(level, threads):
            returned = call(tuple(outs) if several else outs[0])
        for out, same, expected in zip(
            outs, returned if several else [returned], result if several else [result], strict=True
        ):
            assert same is out
            assert_same_bits(out, expected, "with out=")
            # The elements between those of `out` are not touched.
            assert_same_bits(out.base, strided(expected).base, "between the elements of out")


def check_max(case, x):
    values, indices = reference_max(case, x)
    best = answers(lambda: case.pool("max_pool", x))
    assert_equal(best, values)
    if x.dtype == np.float32:
        settled = np.where(np.isnan(best), np.float32(np.nan), best + 0)
        assert_same_bits(best, settled, "one zero and one NaN")
    pair = answers(lambda: case.pool("max_pool", x, return_indices=True))
    assert_equal(pair[0], values)
    assert_equal(pair[1], indices)
    into(lambda out: case.pool("max_pool", x, out=out), best)
    into(lambda out: case.pool("max_pool", x, return_indices=True, out=out), pair)


def check_average(case, x, **arguments):
    result = answers(lambda: case.pool("avg_pool", x, **arguments))
    into(lambda out: case.pool("avg_pool", x, out=out, **arguments), result)
    dtype = arguments.pop("dtype", None)
    include_pad = arguments.pop("count_include_pad", True)
    divisor = arguments.pop("divisor_override", None)
    if dtype is not None:
        assert result.dtype == dtype_named(dtype)
    if x.dtype.kind in "iub":
        expected = reference_average(case, x, include_pad, divisor, result.dtype.name)
        if result.dtype.kind in "iu":
            assert_equal(result, expected)
        else:
            assert_within_an_ulp(result, case, x, include_pad, divisor)
    else:
        assert_average(case, "avg_pool", result, x, include_pad, divisor)
    return result


def check_max_backward(case, grad_output, x):
    expected = reference_max_backward(case, grad_output, x)
    found = answers(lambda: case.pool("max_pool_backward", grad_output, x))
    assert_equal(found, expected)
    _, indices = reference_max(case, x)
    given = answers(lambda: case.pool("max_pool_backward", grad_output, x, indices=indices))
    assert_same_bits(given, found, "with indices")
    into(lambda out: case.pool("max_pool_backward", grad_output, x, out=out), found)
    into(
        lambda out: case.pool("max_pool_backward", grad_output, x, indices=indices, out=out), found
    )


def check_average_backward(case, grad_output, include_pad=True, divisor=None):
    arguments = {}
    if not case.adaptive:
        arguments = {"count_include_pad": include_pad, "divisor_override": divisor}
    result = answers(lambda: case.pool("avg_pool_backward", grad_output, **arguments))
    assert_average(case, "avg_pool_backward", result, grad_output, include_pad, divisor)
    into(lambda out: case.pool("avg_pool_backward", grad_output, out=out, **arguments), result)


def divisors(case, number):
    """One of the three ways to count."""
    if case.adaptive:
        return {}
    ways = ({}, {"count_include_pad": False}, {"divisor_override": -3})
    return ways[number % 3]


# --- maxima --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@each_case()
def test_max(case, dtype):
    check_max(case, array_of(case.shape, dtype, seed=len(case.path), special=True))


@pytest.mark.parametrize("number", range(RANDOM_SETS))
def test_max_of_random_windows(number):
    for case, rng in random_cases(number):
        check_max(case, array_of(case.shape, rng.choice(DTYPES), rng, special=rng.random() < 0.5))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", range(1, 10))
def test_the_sign_of_a_zero(width, dtype):
    """It is the same in rows shorter than a vector, and however they are read."""
    x = np.copysign(0, np.random.default_rng(width).standard_normal((3, 9, width)))
    for windows in (
        {"kernel_size": (3, 1), "stride": 1},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"output_size": 1},
        {"output_size": (3, width)},
    ):
        for channels_last in (False, True):
            case = Case("", x.shape, 2, channels_last=channels_last, **windows)
            check_max(case, x.astype(dtype_named(dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "windows", [{"output_size": 1}, {"output_size": (2, 3)}, {"kernel_size": (1, 40)},
                {"kernel_size": (2, 12)}], ids=str,
)  # fmt: skip
def test_zeros_and_nan_among_winners(windows, dtype):
    """In whatever way winners are found, zeros have the same sign and NaN the same bits."""
    rng = np.random.default_rng(3)
    odd = np.array([-1, 0.0, -0.0, np.nan, -np.nan], dtype)
    for shape in ((40, 7, 47), (9, 2, 333), (5, 9, 83)):
        for share in ([0.6, 0.2, 0.2, 0, 0], [0.8, 0.08, 0.08, 0.02, 0.02]):
            check_max(Case("", shape, 2, **windows), rng.choice(odd, shape, p=share))


# --- averages ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", range(3), ids=["with padding", "without padding", "divisor"])
@each_case()
def test_average(case, way):
    if way and case.adaptive:
        pytest.skip("bins have one way to count")
    check_average(case, array_of(case.shape, "float32", seed=way), **divisors(case, way))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@each_case()
def test_average_of_other_floats(case, dtype):
    way = divisors(case, len(case.path))
    check_average(case, array_of(case.shape, dtype, seed=1), **way)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("windows", HALVES, ids=str)
def test_halves_average_as_floats_do(windows, dtype):
    """Sums of halves are those of floats, rounded at the end."""
    for shape in ((3, 20, 37), (70, 13, 11)):
        x = array_of(shape, dtype, seed=7, special=True)
        case = Case("", shape, 2, **windows)
        wide = case.pool("avg_pool", x.astype("float32"))
        with np.errstate(over="ignore"):
            expected = wide.astype(x.dtype)
        expected[np.isnan(wide)] = np.nan
        assert_same_bits(answers(lambda case=case, x=x: case.pool("avg_pool", x)), expected, "")


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_average_of_one_element_is_it_itself(dtype):
    """But for NaN, which is the same one in every average."""
    bits = np.dtype(f"u{dtype_named(dtype).itemsize}")
    x = array_of((6, 5, 7), dtype, seed=8, special=True)
    x[:, 1, 2] = np.nan
    expected = x.copy()
    x.view(bits)[0, 1, 2] += 1
    x.view(bits)[1, 1, 2] |= 1 << (8 * bits.itemsize - 1)
    expected[np.isnan(expected)] = np.nan
    for windows in ({"output_size": (5, 7)}, {"kernel_size": 1, "stride": 1}):
        case = Case("", x.shape, 2, **windows)
        assert_same_bits(answers(lambda case=case: case.pool("avg_pool", x)), expected, "")


@pytest.mark.parametrize("length", [49, 50, 63, 64, 65, 79, 255, 1000])
@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 40, 100, 600])
def test_whole_planes_of_channels(length, channels):
    """Rows merged sixteen at a time, and what is left of them."""
    for windows in ({"output_size": 1}, {"output_size": (2, 1)}):
        case = Case("", (2, 4, length, channels), 2, channels_last=True, **windows)
        check_max(case, array_of(case.shape, "float32", seed=11, special=True))
        check_average(case, array_of(case.shape, "float32", seed=12))


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32", "uint8"])
@each_case()
def test_average_of_integers(case, dtype):
    x = array_of(case.shape, dtype, seed=2)
    way = divisors(case, len(case.path))
    check_average(case, x, **way)
    check_average(case, x, dtype=dtype, **way)


@pytest.mark.parametrize("divisor", [None, 1, 2, 16, 128, 256, -4])
@pytest.mark.parametrize("kernel_size", [2, 4, (1, 2), (4, 1), 3])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_average_of_short_integers(dtype, kernel_size, divisor):
    """Powers of two are shifted by where the quotient fits, and all others divided by."""
    for shape, channels_last in (((3, 4, 5), False), ((2, 9, 70), False), ((9, 11, 33), True)):
        for stride in (kernel_size, 1, 2):
            case = Case(
                "", shape, 2, kernel_size=kernel_size, stride=stride, channels_last=channels_last
            )
            x = array_of(shape, dtype, seed=6)
            check_average(case, x, dtype=dtype, divisor_override=divisor)


@pytest.mark.parametrize("number", range(RANDOM_SETS))
def test_average_of_random_windows(number):
    for case, rng in random_cases(1000 + number):
        dtype = rng.choice(DTYPES)
        x = array_of(case.shape, dtype, rng, special=rng.random() < 0.3)
        results = FLOATS if dtype in FLOATS else FLOATS + INTEGERS
        result = None if rng.random() < 0.3 else dtype_named(rng.choice(results))
        check_average(case, x, dtype=result, **divisors(case, rng.integers(3)))


@pytest.mark.parametrize(
    "windows",
    [
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": (1, 3), "stride": 1, "padding": (0, 1)},
        {"kernel_size": (3, 5), "stride": 1, "padding": (0, 2)},
        {"kernel_size": 9, "stride": 9},
        {"kernel_size": (1, 4), "padding": (0, 2)},
        {"kernel_size": 4},
        {"output_size": 1},
        {"output_size": (3, 1)},
        {"output_size": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_the_first_of_equals_wins(windows, dtype):
    """Most elements are equal to others: in strips, in bins, and where a row's ends are."""
    rng = np.random.default_rng(21)
    for shape in ((3, 9, 9), (40, 13, 14), (2, 31, 70), (1, 70, 18)):
        x = rng.integers(-1, 2, shape).astype(dtype)
        check_max(Case("", shape, 2, **windows), x)
        if dtype != "int16":
            x[rng.random(shape) < 0.7] = -np.inf
            check_max(Case("", shape, 2, **windows), x)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    "windows",
    [
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": (4, 1), "stride": (3, 1)},
        {"kernel_size": 6, "stride": 3},
        {"output_size": (25, 24)},
        {"output_size": (7, 6)},
    ],
    ids=str,
)
def test_large_arrays(windows, channels_last):
    """From 8 MB on, what comes next is fetched ahead: the results are those of each item alone."""
    shape = (9, 60, 61, 64) if channels_last else (9, 64, 60, 61)
    x = array_of(shape, "float32", seed=22)
    assert x.nbytes > 8 << 20
    case = Case("", shape, 2, channels_last=channels_last, **windows)
    for name in "max_pool", "avg_pool":
        whole = answers(lambda name=name: case.pool(name, x))
        for item, part in zip(x, whole, strict=True):
            assert_same_bits(case.pool(name, item), part)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [*range(7, 21), 31, 57, 64, 111, 4099])
def test_threes_apart(columns, dtype):
    """Windows of 3 with stride 2: where rows begin and end, in and beyond vectors."""
    for padding in (0, 1):
        for ceil_mode in (False, True):
            case = Case(
                "",
                (2, 9, columns),
                2,
                kernel_size=3,
                stride=2,
                padding=padding,
                ceil_mode=ceil_mode,
            )
            x = array_of(case.shape, dtype, columns, special=True)
            check_max(case, x)
            check_average(case, x)
            check_average(case, x, count_include_pad=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", range(2, 11))
def test_windows_apart(width, dtype):
    """Windows of few columns: of a long row, of pixels, and of planes that fit the registers."""
    for stride in (2, 3, 4, 7):
        for shape in ((1, width, 16 * stride + width + 1), (70, width + 2, width + 2 * stride)):
            for padding in (0, width // 2):
                case = Case(
                    "", shape, 2, kernel_size=width, stride=(1, stride), padding=(0, padding)
                )
                x = array_of(case.shape, dtype, width, special=True)
                check_max(case, x)
                check_average(case, x)
        case = Case(
            "",
            (1, width, 2 * stride + width, 24),
            2,
            kernel_size=width,
            stride=stride,
            channels_last=True,
        )
        x = array_of(case.shape, dtype, width, special=True)
        check_max(case, x)
        check_average(case, x)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", range(1, 20))
def test_rows_of_a_window(rows, dtype):
    """However many, they are merged in one order, wherever they lie."""
    for columns in (15, 16, 37):
        case = Case("", (2, 2 * rows + 1, columns), 2, kernel_size=(rows, 2), stride=rows)
        x = array_of(case.shape, dtype, rows, special=True)
        check_max(case, x)
        check_average(case, x)


@pytest.mark.parametrize("divisor", [7, 2**24 + 1, -(2**26) - 3])
@pytest.mark.parametrize(("columns", "kernel_size", "stride"), [(12, 3, 3), (17, 5, 3), (14, 7, 7)])
def test_divisors_that_no_float_holds(columns, kernel_size, stride, divisor):
    """Quotients are rounded once, wherever the windows are merged."""
    shape = (70, columns, columns)
    case = Case("", shape, 2, kernel_size=kernel_size, stride=stride)
    check_average(case, array_of(shape, "float32", 27), divisor_override=divisor)


@pytest.mark.parametrize("shape", [(70, 21, 26), (2, 40, 31), (1, 90, 200), (3, 9, 33)], ids=str)
def test_bins_of_wide_planes(shape):
    """Bins of up to four columns, of which eight are merged at once, over any number of columns."""
    for outputs in (8, 9, 13, shape[2] // 3, shape[2] // 2, shape[2] - 3, shape[2]):
        case = Case("", shape, 2, output_size=(shape[1] // 2, outputs))
        x = array_of(case.shape, "float32", outputs, special=True)
        check_max(case, x)
        check_average(case, x)


@pytest.mark.parametrize("shape", [(1, 44, 44, 300), (1, 1600, 1, 300), (1, 50, 36, 520)], ids=str)
def test_few_windows_of_many_channels(shape):
    """Threads share the channels of one window: whatever their number, and whatever runs on."""
    x = array_of(shape, "float32", 26)
    for view in (x, x[:, :40, :40]):
        case = Case("", view.shape, 2, output_size=1, channels_last=True)
        check_max(case, view)
        check_average(case, view)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint16"])
@pytest.mark.parametrize("length", [5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 49, 100, 256, 257])
def test_windows_side_by_side(length, dtype):
    """Runs of a row: few elements in lanes, those of short types many at a time."""
    for windows, stride in ((1, length), (31, length), (70, length + 1), (33, 2 * length)):
        shape = (2, (windows - 1) * stride + length)
        x = array_of(shape, dtype, 24, special=True)
        case = Case("", shape, 1, kernel_size=length, stride=stride)
        check_max(case, x)
        check_average(case, x)
    case = Case("", (67, length), 1, output_size=1)
    x = array_of(case.shape, dtype, 25, special=True)
    check_max(case, x)
    check_average(case, x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int16"])
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("length", [10, 13, 15, 16, 20, 31, 32, 47, 64])
def test_windows_that_hardly_overlap(length, rows, dtype):
    """Runs, of rows that lie where they are or are merged; the first and the last are shorter."""
    narrow = max(1, 40 // length) * length  # planes that are one long row, unless out= has gaps
    for shape in ((2, 2 * rows, 400), (70, rows, narrow)):
        x = array_of(shape, dtype, 27, special=True)
        for stride, padding in ((length, 0), (length // 2 + 1, 0), (length // 2 + 1, length // 2)):
            case = Case("", x.shape, 2, kernel_size=(rows, length), stride=(rows, stride),
                        padding=(0, padding))  # fmt: skip
            check_max(case, x)
            check_average(case, x)


@pytest.mark.parametrize(
    "windows",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 1, "padding": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
        {"kernel_size": (5, 3), "stride": (4, 1), "padding": (2, 0)},
        {"kernel_size": (1, 5), "stride": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
def test_views_are_pooled_as_what_they_are_views_of(windows, dtype):
    """Rows that do not run on are packed: parts of large planes, and small ones together."""
    for shape in ((2, 70, 260), (130, 9, 11), (1, 3, 20, 3000), (3, 5, 40)):
        x = array_of(shape, dtype, 22, special=True)
        case = Case("", shape, 2, **windows)
        for view in (strided(x), reversed_axes(x), x[..., ::-1].copy()[..., ::-1]):
            check_max(case, view)
            check_average(case, view)
    deep = Case("", (2, 3, 9, 30, 100), 3, kernel_size=3, stride=(2, 1, 2), padding=1)
    check_max(deep, strided(array_of(deep.shape, dtype, 23)))


# --- backward ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@each_case()
def test_max_backward(case, dtype):
    x = array_of(case.shape, "float32", seed=3)
    check_max_backward(case, array_of(case.result_shape, dtype, seed=4), x)


@pytest.mark.parametrize("number", range(RANDOM_SETS))
def test_max_backward_of_random_windows(number):
    for case, rng in random_cases(2000 + number):
        x = array_of(case.shape, rng.choice(DTYPES), rng, special=rng.random() < 0.5)
        gradient = array_of(case.result_shape, rng.choice(FLOATS), rng, special=rng.random() < 0.2)
        check_max_backward(case, gradient, x)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@each_case()
def test_average_backward(case, dtype):
    way = {} if case.adaptive else [{}, {"include_pad": False}, {"divisor": 7}][len(case.path) % 3]
    check_average_backward(case, array_of(case.result_shape, dtype, seed=5), **way)


@pytest.mark.parametrize("number", range(RANDOM_SETS))
def test_average_backward_of_random_windows(number):
    for case, rng in random_cases(3000 + number):
        gradient = array_of(case.result_shape, rng.choice(FLOATS), rng, special=rng.random() < 0.2)
        include_pad, divisor = bool(rng.integers(2)), rng.choice([None, -7, 1])
        if case.adaptive:
            include_pad, divisor = True, None
        check_average_backward(case, gradient, include_pad, divisor)
