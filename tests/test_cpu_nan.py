"""NaN, infinities and windows of nothing, at every place of vectors and of what is left of them."""

import numpy as np
import pytest
from _cpu_cases import (
    DTYPES,
    FLOATS,
    INTEGERS,
    Case,
    answers,
    array_of,
    assert_average,
    assert_equal,
    dtype_named,
    reference_max,
    reference_max_backward,
    uses_builds,
)

pytestmark = uses_builds

# Shorter than a vector of any type, as long as one or more of them, and between.
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 71)

WINDOWS = {
    "2 by 1": {"kernel_size": 2, "stride": 1, "padding": 1},
    "2 by 2": {"kernel_size": 2, "stride": 2, "padding": 1},
    "3 by 1": {"kernel_size": 3, "stride": 1, "padding": 1},
    "3 by 2": {"kernel_size": 3, "stride": 2, "padding": 1},
    "4 by 4": {"kernel_size": 4, "stride": 4, "padding": 2},
    "5 by 1": {"kernel_size": 5, "stride": 1, "padding": 2},
    "10 by 2": {"kernel_size": 10, "stride": 2, "padding": 9},
    "7 by 3, dilated": {"kernel_size": 7, "stride": 3, "padding": 6, "dilation": 2},
    "40 by 35": {"kernel_size": 40, "stride": 35, "padding": 20},
    "whole": {"output_size": 1},
    "bins": {"output_size": 3},
}
each_window = pytest.mark.parametrize("windows", WINDOWS)
each_direction = pytest.mark.parametrize("direction", ["rows", "columns", "channels"])


def check_max(lines, direction, windows):
    """Pool each line: as it is, as columns of a plane, or with the lines as channels."""
    arguments = WINDOWS[windows]
    if direction == "rows":
        x = lines
        case = Case(windows, x.shape, 1, **arguments)
    elif direction == "columns":
        x = np.repeat(lines[:, :, None], 5, axis=2)
        single = {"padding": 0, "output_size": 5}
        pairs = {name: (value, single.get(name, 1)) for name, value in arguments.items()}
        case = Case(windows, x.shape, 2, **pairs)
    else:
        x = lines.T.copy()
        case = Case(windows, x.shape, 1, **arguments, channels_last=True)
    try:
        values, indices = reference_max(case, x)
    except ValueError:  # there is no room for such a window
        return 0
    assert_equal(answers(lambda: case.pool("max_pool", x)), values)
    pair = answers(lambda: case.pool("max_pool", x, return_indices=True))
    assert_equal(pair[0], values)
    assert_equal(pair[1], indices)
    return np.isnan(values.astype("float32")).sum()


def one_odd_element(length, dtype, value, rest):
    """A line for each place, with `value` there and `rest` elsewhere."""
    lines = np.full((length, length), rest, dtype_named(dtype))
    np.fill_diagonal(lines, value)
    return lines


@pytest.mark.parametrize("dtype", FLOATS)
@each_window
@each_direction
def test_nan_wins_at_every_place(direction, windows, dtype):
    """Over numbers and infinity, and of several the first is found."""
    found = 0
    for length in LENGTHS:
        lines = one_odd_element(length, dtype, np.nan, np.inf)
        found += check_max(lines, direction, windows)
        lines[lines == np.inf] = -3
        lines[:, length // 2 :: 5] = np.nan
        found += check_max(lines, direction, windows)
    assert found > 100


@pytest.mark.parametrize("dtype", FLOATS)
@each_window
@each_direction
def test_minus_infinity(direction, windows, dtype):
    """It loses to every number, and is found where there is nothing else."""
    for length in LENGTHS:
        check_max(one_odd_element(length, dtype, -60_000.0, -np.inf), direction, windows)
        check_max(np.full((3, length), -np.inf, dtype_named(dtype)), direction, windows)


@pytest.mark.parametrize("dtype", INTEGERS)
@each_window
@each_direction
def test_extreme_integers(direction, windows, dtype):
    """The least is not taken for padding, and the greatest wins at every place."""
    limits = np.iinfo(dtype)
    for length in LENGTHS[1::2]:
        odd = one_odd_element(length, dtype, limits.max, limits.max - 1)
        check_max(odd, direction, windows)
        check_max(np.full((3, length), limits.min, dtype), direction, windows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_windows_of_nothing(channels_last, dtype):
    """With dilation, all taps of a window may lie in the padding."""
    shape = (3, 4, 5)
    case = Case(
        "nothing", shape, 2, channels_last=channels_last, kernel_size=2, stride=1, dilation=(9, 7),
        padding=(8, 6),
    )  # fmt: skip
    x = np.ones(shape, dtype_named(dtype))
    empty = np.broadcast_to(case.taps("max_pool") == 0, case.result_shape)
    assert empty.any()
    assert not empty.all()
    least = {"b": False, "i": np.iinfo, "u": np.iinfo}.get(x.dtype.kind, -np.inf)
    least = least(dtype).min if callable(least) else least
    values, indices = answers(lambda: case.pool("max_pool", x, return_indices=True))
    for result in (values, answers(lambda: case.pool("max_pool", x))):
        assert (result[empty] == np.array(least, x.dtype)).all()
        assert (result[~empty] == 1).all()
    assert (indices[empty] == -1).all()
    assert (indices[~empty] >= 0).all()
    averages = answers(lambda: case.pool("avg_pool", x, count_include_pad=False))
    np.testing.assert_array_equal(averages.astype("float64"), ~empty)

    # A window of nothing has no gradient to give, whatever it is told.
    gradient = np.where(empty, np.nan, 1)
    for given in ({}, {"indices": indices}):
        result = answers(lambda given=given: case.pool("max_pool_backward", gradient, x, **given))
        assert_equal(result, reference_max_backward(case, gradient, x))
        assert result.sum() == (~empty).sum()
    result = answers(lambda: case.pool("avg_pool_backward", gradient, count_include_pad=False))
    assert result.sum() == (~empty).sum()


@pytest.mark.parametrize("dtype", FLOATS)
@each_window
def test_averages_of_nan_and_infinity(windows, dtype):
    """Each poisons the windows that hold it, and no others: there are no running sums."""
    for length in LENGTHS[3:]:
        for value in (np.nan, np.inf, -np.inf):
            x = one_odd_element(length, dtype, value, 1.0)
            x[:, -1] = np.inf
            case = Case(windows, x.shape, 1, **WINDOWS[windows])
            try:
                case.axes  # noqa: B018 - checks them
            except ValueError:  # there is no room for such a window
                continue
            assert_average(
                case, "avg_pool", answers(lambda case=case, x=x: case.pool("avg_pool", x)), x
            )


@pytest.mark.parametrize("columns", [7, 18, 41])
def test_unsought_gradients(columns):
    """Indices that point outside the plane name nobody, and nothing is written there."""
    case = Case("outside", (2, 6, columns), 2, kernel_size=2)
    gradient = array_of(case.result_shape, "float32", seed=1)
    size = 6 * columns
    places = np.array([-1, size, size + 1, 2**31, 2**32, 2**63 - 1, -(2**63), -(2**32), 10**6])
    indices = np.resize(places, case.result_shape)
    indices[0, 0, 0] = 1
    expected = np.zeros(case.shape, "float32")
    expected[0, 0, 1] = gradient[0, 0, 0]
    x = np.zeros(case.shape, "float32")
    for dtype in ("float32", "float16"):
        result = answers(
            lambda dtype=dtype: case.pool(
                "max_pool_backward", gradient.astype(dtype), x, indices=indices
            )
        )
        assert_equal(result, expected.astype(dtype))
    unsigned = indices.astype("uint64")  # some are beyond int64
    assert_equal(case.pool("max_pool_backward", gradient, x, indices=unsigned), expected)


@pytest.mark.parametrize("planes", [1, 20])
def test_one_nan_among_gradients(planes):
    """Whichever NaN were added up, and whatever was infinite: a sum that is NaN has its bits."""
    case = Case("nan", (planes, 9, 40), 2, kernel_size=3, stride=1)
    x = array_of(case.shape, "float32", seed=1)
    gradient = array_of(case.result_shape, "float32", seed=2)
    odd = np.array([0x7FC01234, 0xFFC00001, 0x7F800000, 0xFF800000, 0x7FA00000], "uint32")
    every_seventh = gradient.reshape(-1)[::7].view("uint32")
    every_seventh[:] = np.resize(odd, every_seventh.size)
    _, indices = case.pool("max_pool", x, return_indices=True)
    for given in (None, indices):
        result = answers(
            lambda given=given: case.pool("max_pool_backward", gradient, x, indices=given)
        )
        assert len(set(result.view("uint32")[np.isnan(result)])) == 1
