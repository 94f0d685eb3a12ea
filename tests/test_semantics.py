"""What every function computes, one worked example after the other.

They hold for every library's arrays; those about memory are NumPy's alone.
"""

from itertools import permutations, product

import ml_dtypes
import numpy as np
import pytest
from libraries import DTYPES, FLOATING, INTEGER, LIBRARIES

import pooltk

INF, NAN = float("inf"), float("nan")


def check(library, result, expected, dtype="float64"):
    """Compare an array of the library with what it should be, dtype and shape included."""
    found, expected = library.numpy(result), np.asarray(expected)
    assert found.dtype.name == dtype
    assert found.shape == expected.shape
    if dtype in FLOATING:
        found = found.astype(np.float64)
    np.testing.assert_array_equal(found, expected)


def check_pair(library, result, values, indices, dtype="float64"):
    """Compare values and indices."""
    assert type(result) is tuple
    check(library, result[0], values, dtype)
    check(library, result[1], indices, "int64")


# --- shapes and layout ---------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3), (1, 2, 1, 1, 2, 1)], ids=str)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_all_other_axes_are_batch_axes(library, ndim, batch):
    plane = (5, 4, 3)[:ndim]
    values = np.random.default_rng(0).standard_normal((*batch, *plane))
    x = library.array(values)
    for name in ("max_pool", "avg_pool"):
        pool = getattr(pooltk, f"{name}{ndim}d")
        result = library.numpy(pool(x, 2, 1))
        assert result.shape == (*batch, *(n - 1 for n in plane))
        for item in np.ndindex(batch):
            check(library, pool(library.array(values[item]), 2, 1), result[item])


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_channels_last_pools_the_axes_before_the_last_one(library, ndim, batch):
    plane = (5, 4, 3)[:ndim]
    first = np.random.default_rng(0).standard_normal((*batch, 2, *plane))
    last = np.moveaxis(first, len(batch), -1)
    for name in ("max_pool", "avg_pool"):
        pool = getattr(pooltk, f"{name}{ndim}d")
        expected = library.numpy(pool(library.array(first), 2, 1, 1))
        result = pool(library.array(last), 2, 1, 1, data_format="channels_last")
        check_rounded(library, result, np.moveaxis(expected, len(batch), -1))


def check_rounded(library, result, expected):
    """Averages may round otherwise in another layout."""
    np.testing.assert_allclose(library.numpy(result), expected, rtol=1e-14)


def test_indices_are_the_same_in_every_layout(library):
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 6, 5)).astype(float)
    values, indices = pooltk.max_pool2d(library.array(x), 3, 2, 1, return_indices=True)
    last = library.array(np.moveaxis(x, 1, -1))
    result = pooltk.max_pool2d(last, 3, 2, 1, return_indices=True, data_format="channels_last")
    expected = [np.moveaxis(library.numpy(array), 1, -1) for array in (values, indices)]
    check_pair(library, result, *expected)


@pytest.mark.parametrize(
    ("shape", "data_format"),
    [
        ((0, 4, 6), "channels_first"),
        ((0, 2, 4, 6), "channels_first"),
        ((2, 0, 4, 6), "channels_first"),
        ((0, 4, 6, 2), "channels_last"),
        ((2, 4, 6, 0), "channels_last"),
    ],
)
def test_a_batch_axis_of_length_0_gives_an_empty_result(library, shape, data_format):
    layout, nothing = {"data_format": data_format}, np.zeros(shape)
    x = library.array(nothing)
    first = len(shape) - 2 - (data_format == "channels_last")
    pooled = np.zeros((*shape[:first], 2, 3, *shape[first + 2 :]))
    grad_output = library.array(pooled)
    result = pooltk.max_pool2d(x, 2, return_indices=True, **layout)
    check_pair(library, result, pooled, pooled)
    check(library, pooltk.max_pool2d(x, 2, **layout), pooled)
    check(library, pooltk.avg_pool2d(x, 2, **layout), pooled)
    check(library, pooltk.max_pool2d_backward(grad_output, x, 2, **layout), nothing)
    check(library, pooltk.avg_pool2d_backward(grad_output, shape, 2, **layout), nothing)
    result = pooltk.adaptive_max_pool2d(x, (2, 3), True, **layout)
    check_pair(library, result, pooled, pooled)
    check(library, pooltk.adaptive_avg_pool2d(x, (2, 3), **layout), pooled)
    check(library, pooltk.adaptive_max_pool2d_backward(grad_output, x, **layout), nothing)
    check(library, pooltk.adaptive_avg_pool2d_backward(grad_output, shape, **layout), nothing)


def strides_like(array, shape, dtype=None):
    return np.empty_like(array, dtype, shape=shape, subok=False).strides


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
@pytest.mark.parametrize("backend", ["numpy", "numpy-reference"])
def test_the_result_has_the_memory_order_of_the_input(backend, order):
    with LIBRARIES[backend]():
        check_memory_order(order)


def check_memory_order(order):
    def ordered(shape):
        """Array of this shape whose axes lie in memory in this order."""
        array = np.zeros([shape[axis] for axis in order])
        return array.transpose(np.argsort(order))

    x, grad_output = ordered((2, 3, 6, 7)), ordered((2, 3, 3, 3))
    values, indices = pooltk.max_pool2d(x, 2, return_indices=True)
    results = [values, indices, pooltk.max_pool2d(x, 2), pooltk.avg_pool2d(x, 2)]
    results += [pooltk.avg_pool2d(x, 2, dtype="float32")]
    results += [pooltk.adaptive_avg_pool2d(x, 3), pooltk.adaptive_max_pool2d(x, 3)]
    for result in results:
        assert result.strides == strides_like(x, result.shape, result.dtype)
    gradients = [
        pooltk.max_pool2d_backward(grad_output, np.zeros((2, 3, 6, 7)), 2),
        pooltk.max_pool2d_backward(grad_output, x, 2, indices=indices),
        pooltk.avg_pool2d_backward(grad_output, x.shape, 2),
        pooltk.adaptive_avg_pool2d_backward(grad_output, x.shape),
        pooltk.adaptive_max_pool2d_backward(grad_output, np.zeros((2, 3, 6, 7))),
    ]
    for gradient in gradients:
        assert gradient.strides == strides_like(grad_output, x.shape)


def test_channels_last_stays_channels_last():
    x = np.zeros((2, 6, 7, 3))
    assert pooltk.max_pool2d(x, 2, data_format="channels_last").flags.c_contiguous
    view = pooltk.max_pool2d(x.transpose(0, 3, 1, 2), 2)
    assert view.transpose(0, 2, 3, 1).flags.c_contiguous


def test_a_subclass_counts_as_its_base_array():
    class Subclass(np.ndarray):
        pass

    x = np.arange(4.0).reshape(2, 2).view(Subclass)
    for result in (
        pooltk.max_pool2d(x, 2),
        pooltk.avg_pool2d(x, 2),
        pooltk.avg_pool2d_backward(x, (4, 4), 2),
        pooltk.max_pool2d_backward(x, np.zeros((4, 4)), 2),
    ):
        assert type(result) is np.ndarray


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">i2", ">u8", ">f2"])
def test_any_byte_order_gives_a_native_result(dtype):
    x = np.arange(6).astype(dtype)
    values, indices = pooltk.max_pool1d(x, 2, return_indices=True)
    assert values.dtype.isnative
    assert values.dtype == x.dtype.newbyteorder("=")
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(values, [1, 3, 5])
    average = pooltk.avg_pool1d(x, 2)
    assert average.dtype.isnative
    np.testing.assert_array_equal(average, [0.5, 2.5, 4.5])
    if x.dtype.kind == "f":
        gradient = pooltk.avg_pool1d_backward(x[:3], (6,), 2)
        assert gradient.dtype.isnative
        np.testing.assert_array_equal(gradient, [0, 0, 0.5, 0.5, 1, 1])


def test_lists_and_tuples_become_numpy_arrays():
    assert type(pooltk.max_pool1d([3, 1, 2], 2)) is np.ndarray
    np.testing.assert_array_equal(pooltk.avg_pool2d(([1, 2], [3, 4]), 2), [[2.5]])
    assert pooltk.avg_pool2d([[True, False], [True, True]], 2) == 0.75
    np.testing.assert_array_equal(pooltk.avg_pool1d_backward([2.0], [2], 2), [1, 1])


# --- output length -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "padding", "ceil_mode", "length"),
    [
        (5, 2, 2, 0, False, 2),
        (5, 2, 2, 0, True, 3),
        (2, 1, 2, 0, True, 1),  # OpenVINO's ceil says 2: the last would start outside
        (1, 2, 2, 0, True, 1),  # sticks out, but starts inside
        (6, 3, 2, 1, False, 3),
        (6, 3, 2, 1, True, 4),
        (4, 2, 3, 1, True, 2),  # a third would start in the high padding
        (3, 1, 1, 0, True, 3),
    ],
)
def test_output_length(library, n, kernel, stride, padding, ceil_mode, length):
    x = library.array(np.zeros(n))
    for result in (
        pooltk.max_pool1d(x, kernel, stride, padding, 1, ceil_mode),
        pooltk.avg_pool1d(x, kernel, stride, padding, ceil_mode),
    ):
        assert result.shape == (length,)
    assert pooltk.pool_output_shape((n,), kernel, stride, padding, 1, ceil_mode) == (length,)


def test_the_stride_is_the_kernel_by_default(library):
    x = library.array(np.arange(24.0).reshape(4, 6))
    check(library, pooltk.max_pool2d(x, (2, 3)), [[8, 11], [20, 23]])


def test_one_int_counts_for_every_axis(library):
    x = library.array(np.random.default_rng(0).standard_normal((7, 8, 9)))
    one = pooltk.max_pool3d(x, 2, 3, 1, 2)
    for each in (tuple, list):
        pairs = (each((n,) * 3) for n in (2, 3, 1, 2))
        check(library, pooltk.max_pool3d(x, *pairs), library.numpy(one))
    numpy_ints = (np.int64(2), np.array(3), (np.uint8(1),) * 3, [np.int16(2)] * 3)
    check(library, pooltk.max_pool3d(x, *numpy_ints), library.numpy(one))


# --- padding -------------------------------------------------------------------------------


def test_forms_of_padding(library):
    x = library.array(np.arange(1.0, 21.0).reshape(4, 5))

    def pooled(padding):
        return library.numpy(pooltk.avg_pool2d(x, 3, 2, padding))

    for padding in ((1, 1), [1, 1], ((1, 1), (1, 1)), [[1, 1], [1, 1]], np.int32(1)):
        np.testing.assert_array_equal(pooled(padding), pooled(1))
    np.testing.assert_array_equal(pooled((0, 1)), pooled(((0, 0), (1, 1))))
    np.testing.assert_array_equal(pooled("valid"), pooled(0))
    result = pooltk.avg_pool1d(library.array([1.0, 2.0, 3.0]), 2, 1, ((1, 0),))
    check(library, result, [0.5, 1.5, 2.5])


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_same_padding_puts_the_odd_one_on_the_high_side(library, ceil_mode):
    x = library.array([1.0, 2.0, 3.0, 4.0])

    def pooled(kernel, stride, padding):
        options = {"ceil_mode": ceil_mode, "divisor_override": 1}
        return pooltk.avg_pool1d(x, kernel, stride, padding, **options)

    check(library, pooled(2, 1, "same"), [3, 5, 7, 4])
    check(library, pooled(2, 1, "same_lower"), [1, 3, 5, 7])
    check(library, pooled(3, 2, "same"), [6, 7])
    check(library, pooled(3, 2, "same_lower"), [3, 9])
    check(library, pooled(3, 1, "same"), [3, 6, 9, 7])
    check(library, pooled(1, 3, "same"), [1, 4])


def test_same_padding_counts_the_dilated_extent(library):
    x = library.array([1.0, 2.0, 3.0, 4.0])
    values = pooltk.max_pool1d(x, 2, 1, "same", 3)  # 1 low, 2 high
    check(library, values, [3, 4, 2, 3])
    check(library, pooltk.max_pool1d(x, 2, 1, "same_lower", 3), [2, 3, 4, 2])


def test_padding_up_to_the_extent(library):
    x = library.array([1.0, 2.0])
    check(library, pooltk.max_pool1d(x, 3, 1, 2), [1, 2, 2, 2])
    check(library, pooltk.avg_pool1d(x, 3, 1, 2, divisor_override=1), [1, 3, 3, 2])
    # An extent of 4: the padding may be 3, although the kernel is only 2.
    check(library, pooltk.max_pool1d(x, 2, 1, 3, 3), [1, 2, -INF, 1, 2])


# --- max -----------------------------------------------------------------------------------


def test_padding_never_wins(library):
    for dtype in library.having([*FLOATING, "int8", "int16", "int32", "int64"]):
        x = library.array([[-3, -4], [-5, -2]], dtype)
        expected = [[-3, -3, -4], [-3, -2, -2], [-5, -2, -2]]
        check(library, pooltk.max_pool2d(x, 2, 1, 1), expected, dtype)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 16, 17, 31, 64, 65])
def test_nan_wins_wherever_it_is(library, length):
    # Row i has NaN at i, and infinities everywhere else.
    x = np.where(np.arange(length) % 2, INF, -INF) + np.zeros((length, 1))
    x[np.eye(length, dtype=bool)] = NAN
    rows, columns = np.indices(x.shape)
    in_window = abs(rows - columns) <= 1
    for dtype in library.having(FLOATING):
        values, indices = pooltk.max_pool1d(library.array(x, dtype), 3, 1, 1, return_indices=True)
        np.testing.assert_array_equal(np.isnan(library.numpy(values)), in_window)
        np.testing.assert_array_equal(library.numpy(indices)[in_window], rows[in_window])
        values = pooltk.max_pool1d(library.array(x, dtype), 3, 1, 1)
        np.testing.assert_array_equal(np.isnan(library.numpy(values)), in_window)


def test_the_first_nan_wins(library):
    x = library.array([[1.0, NAN], [NAN, 2.0]])
    check_pair(library, pooltk.max_pool2d(x, 2, return_indices=True), [[NAN]], [[1]])
    x = library.array([[INF, 1.0], [NAN, NAN]])
    check_pair(library, pooltk.max_pool2d(x, 2, return_indices=True), [[NAN]], [[2]])


def test_the_first_of_a_tie_wins(library):
    """In row-major order: rows that are reduced before columns meet the 2 below first."""
    x = library.array([[1.0, 2.0], [2.0, 1.0]])
    check_pair(library, pooltk.max_pool2d(x, 2, return_indices=True), [[2]], [[1]])
    x = library.array(np.zeros((4, 4)))
    _, indices = pooltk.max_pool2d(x, 2, 1, return_indices=True)
    check(library, indices, [[0, 1, 2], [4, 5, 6], [8, 9, 10]], "int64")


def test_zeros_of_both_signs_tie(library):
    for zeros in ([-0.0, 0.0], [0.0, -0.0]):
        x = library.array(zeros)
        check_pair(library, pooltk.max_pool1d(x, 2, return_indices=True), [0], [0])


def test_infinities_are_values(library):
    x = library.array([-INF, -INF, 1.0, INF, INF])
    result = pooltk.max_pool1d(x, 2, 1, return_indices=True)
    check_pair(library, result, [-INF, 1, INF, INF], [0, 2, 3, 3])


def test_indices_count_over_the_pooled_axes_of_the_unpadded_input(library):
    values = np.zeros((3, 4, 5))
    values[1, 2, 3] = 1
    x = library.array(values)
    _, indices = pooltk.max_pool1d(x, 5, return_indices=True)
    assert library.numpy(indices)[1, 2] == 3
    _, indices = pooltk.max_pool2d(x, (4, 5), return_indices=True)
    assert library.numpy(indices)[1] == 2 * 5 + 3
    _, indices = pooltk.max_pool3d(x, (3, 4, 5), return_indices=True)
    assert library.numpy(indices) == (1 * 4 + 2) * 5 + 3
    plane = library.array(values[1])
    _, indices = pooltk.max_pool2d(plane, 2, 2, 1, return_indices=True)
    check(library, indices, [[0, 1, 3], [5, 6, 13], [15, 16, 18]], "int64")


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_value_is_the_element_at_the_index(library, ndim):
    rng = np.random.default_rng(0)
    plane = (6, 5, 4)[:ndim]
    x = rng.integers(-3, 4, (2, *plane)).astype(float)
    pool = getattr(pooltk, f"max_pool{ndim}d")
    result, indices = pool(library.array(x), 3, 1, 1, 2, return_indices=True)
    values = library.numpy(result).reshape(2, -1)
    at = np.take_along_axis(x.reshape(2, -1), library.numpy(indices).reshape(2, -1), axis=1)
    np.testing.assert_array_equal(values, at)
    check(library, pool(library.array(x), 3, 1, 1, 2), library.numpy(result))


def test_a_window_without_a_tap_inside(library):
    for dtype in library.having(DTYPES):
        least = np.iinfo(dtype).min if dtype in INTEGER else False if dtype == "bool" else -INF
        x = library.array([1, 0], dtype)
        result = pooltk.max_pool1d(x, 2, 1, 2, 3, return_indices=True)
        check_pair(library, result, [0, least, 1], [1, -1, 0], dtype)
        check(library, pooltk.max_pool1d(x, 2, 1, 2, 3), [0, least, 1], dtype)
        grad_output = library.array([5.0, 7.0, 11.0])
        for indices in (None, result[1]):
            gradient = pooltk.max_pool1d_backward(grad_output, x, 2, 1, 2, 3, indices=indices)
            check(library, gradient, [11, 5])


# --- average -------------------------------------------------------------------------------


def test_what_sticks_out_of_the_padding_never_counts(library):
    """OpenVINO divides the last one by 4."""
    x = library.array([1.0, 2.0, 3.0, 4.0, 5.0])
    result = library.numpy(pooltk.avg_pool1d(x, 4, 3, 2, ceil_mode=True))
    np.testing.assert_allclose(result, [0.75, 3.5, 5 / 3], rtol=1e-15)
    result = pooltk.avg_pool1d(x, 4, 3, 2, ceil_mode=True, count_include_pad=False)
    check(library, result, [1.5, 3.5, 5])


def test_divisors(library):
    x = library.array([[1.0, 2.0], [3.0, 4.0]])
    check(library, pooltk.avg_pool2d(x, 2, 2, 1), [[0.25, 0.5], [0.75, 1]])
    check(library, pooltk.avg_pool2d(x, 2, 2, 1, count_include_pad=False), [[1, 2], [3, 4]])
    check(library, pooltk.avg_pool2d(x, 2, 2, 1, divisor_override=2), [[0.5, 1], [1.5, 2]])
    check(library, pooltk.avg_pool2d(x, 2, divisor_override=-5), [[-2]])
    # The override takes the place of either count.
    result = pooltk.avg_pool2d(x, 2, 2, 1, False, False, 2)
    check(library, result, [[0.5, 1], [1.5, 2]])


def test_the_count_is_the_product_over_the_axes(library):
    x = library.array(np.ones((3, 4)))
    result = pooltk.avg_pool2d(x, 3, 1, ((1, 0), (0, 2)))
    share = np.outer([2 / 3, 1], [1, 1, 2 / 3, 1 / 3])
    np.testing.assert_allclose(library.numpy(result), share, rtol=1e-15)
    check(library, pooltk.avg_pool2d(x, 3, 1, ((1, 0), (0, 2)), False, False), np.ones((2, 4)))


def test_an_average_without_a_tap_is_0(library):
    x = library.array([1.0, 3.0])
    for options in ({}, {"count_include_pad": False}, {"divisor_override": -3}):
        result = library.numpy(pooltk.avg_pool1d(x, 2, 1, 2, dilation=3, **options))
        assert result[1] == 0
        gradient = pooltk.avg_pool1d_backward(
            library.array([0.0, 7.0, 0.0]), (2,), 2, 1, 2, dilation=3, **options
        )
        check(library, gradient, [0, 0])


def test_dilated_average(library):
    x = library.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    check(library, pooltk.avg_pool1d(x, 2, 1, dilation=3), [4.5, 9, 18])
    result = pooltk.avg_pool1d(x, 2, 1, 3, dilation=3, divisor_override=1)
    check(library, result, [1, 2, 4, 9, 18, 36, 8, 16, 32])


# --- adaptive ------------------------------------------------------------------------------


def test_adaptive_bins(library):
    check(library, pooltk.adaptive_avg_pool1d(library.array(np.arange(10.0)), 4), [1, 3, 6, 8])
    check(library, pooltk.adaptive_max_pool1d(library.array(np.arange(10.0)), 4), [2, 4, 7, 9])
    x = library.array([1.0, 2.0, 3.0])  # more bins than elements
    check(library, pooltk.adaptive_avg_pool1d(x, 7), [1, 1, 1.5, 2, 2.5, 3, 3])
    result = pooltk.adaptive_max_pool1d(x, 7, True)
    check_pair(library, result, [1, 1, 2, 2, 3, 3, 3], [0, 0, 1, 1, 2, 2, 2])


def test_none_keeps_an_axis(library):
    x = library.array(np.arange(12.0).reshape(3, 4))
    check(library, pooltk.adaptive_avg_pool2d(x, (None, 2)), [[0.5, 2.5], [4.5, 6.5], [8.5, 10.5]])
    check(library, pooltk.adaptive_max_pool2d(x, [1, None]), [[8, 9, 10, 11]])
    check(library, pooltk.adaptive_max_pool2d(x, None), np.arange(12.0).reshape(3, 4))


def test_no_bins_give_an_empty_result(library):
    x = library.array(np.ones((2, 3, 4)))
    check(library, pooltk.adaptive_avg_pool2d(x, 0), np.zeros((2, 0, 0)))
    check(library, pooltk.adaptive_avg_pool2d(x, (0, 2)), np.zeros((2, 0, 2)))
    result = pooltk.adaptive_max_pool2d(x, (2, 0), True)
    check_pair(library, result, np.zeros((2, 2, 0)), np.zeros((2, 2, 0)))
    empty = library.array(np.zeros((2, 2, 0)))
    zeros = np.zeros((2, 3, 4))
    check(library, pooltk.adaptive_avg_pool2d_backward(empty, (2, 3, 4)), zeros)
    check(library, pooltk.adaptive_max_pool2d_backward(empty, x), zeros)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_one_bin_is_global_pooling(library, ndim):
    values = np.random.default_rng(0).integers(-9, 9, (2, 3, 4, 5)).astype(float)
    x = library.array(values)
    axes = tuple(range(4 - ndim, 4))
    maximum = getattr(pooltk, f"adaptive_max_pool{ndim}d")(x, 1)
    check(library, maximum, values.max(axes, keepdims=True))
    average = getattr(pooltk, f"adaptive_avg_pool{ndim}d")(x, 1)
    np.testing.assert_allclose(library.numpy(average), values.mean(axes, keepdims=True), rtol=1e-14)


# --- dtypes of averages --------------------------------------------------------------------


def test_averages_of_integers_are_float64(library):
    check(library, pooltk.avg_pool1d(library.array([1, 2, 4], "uint8"), 3), [7 / 3])
    check(library, pooltk.avg_pool1d(library.array([True, False], "bool"), 2), [0.5])


def test_an_integer_average_is_rounded_half_to_even_then_saturated(library):
    x = library.array([1, 2, 2, 3, -1, -2, 300, 300], "int16")

    def averages(name, **options):
        return pooltk.avg_pool1d(x, 2, dtype=library.dtype(name), **options)

    check(library, averages("int16"), [2, 2, -2, 300], "int16")
    check(library, averages("uint8"), [2, 2, 0, 255], "uint8")
    check(library, averages("int8"), [2, 2, -2, 127], "int8")
    check(library, averages("int8", divisor_override=-1), [-3, -5, 3, -128], "int8")


def test_a_floating_average_as_another_floating_dtype(library):
    names = library.having(FLOATING)
    for x_name, name in product(names, names):
        x, dtype = library.array([1, 2], x_name), library.dtype(name)
        check(library, pooltk.avg_pool1d(x, 2, dtype=dtype), [1.5], name)
        check(library, pooltk.adaptive_avg_pool1d(x, 1, dtype=dtype), [1.5], name)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (np.float32, "float32"),
        (np.dtype("f2"), "float16"),
        ("f4", "float32"),
        (float, "float64"),
        ("bfloat16", "bfloat16"),
        (ml_dtypes.bfloat16, "bfloat16"),
        (">f4", "float32"),
        (int, "int64"),
        ("u1", "uint8"),
    ],
)
def test_dtype_in_the_words_of_numpy(dtype, name):
    result = pooltk.avg_pool1d([1, 2, 3], 3, dtype=dtype)
    assert result.dtype.name == name
    assert result.dtype.isnative
    assert result == [2]


# --- backward ------------------------------------------------------------------------------


def test_the_gradient_of_a_maximum_goes_to_the_winner(library):
    x = library.array([[1.0, 5.0, 2.0], [4.0, 3.0, 0.0]])
    grad_output = library.array([[1.0, 10.0]])
    for indices in (None, library.array([[1, 1]], "int64")):
        gradient = pooltk.max_pool2d_backward(grad_output, x, 2, 1, indices=indices)
        check(library, gradient, [[0, 11, 0], [0, 0, 0]])


def test_the_first_of_a_tie_gets_the_gradient(library):
    x = library.array([[1.0, 2.0], [2.0, 1.0]])
    gradient = pooltk.max_pool2d_backward(library.array([[3.0]]), x, 2)
    check(library, gradient, [[0, 3], [0, 0]])
    x = library.array([NAN, 1.0, NAN])
    gradient = pooltk.max_pool1d_backward(library.array([3.0]), x, 3)
    check(library, gradient, [3, 0, 0])


def test_the_gradient_of_an_average_goes_to_every_tap_inside(library):
    grad_output = library.array([6.0, 12.0, 18.0])
    gradient = pooltk.avg_pool1d_backward(grad_output, (4,), 3, 2, 1, ceil_mode=True)
    # Windows of 2, 3 and 2 taps (the last reaches beyond the padding), divided by 3, 3 and 2.
    check(library, gradient, [2, 6, 4, 13])
    gradient = pooltk.avg_pool1d_backward(
        grad_output, (4,), 3, 2, 1, ceil_mode=True, count_include_pad=False
    )
    check(library, gradient, [3, 7, 4, 22])
    gradient = pooltk.avg_pool1d_backward(
        grad_output, (4,), 3, 2, 1, ceil_mode=True, divisor_override=-6
    )
    check(library, gradient, [-1, -3, -2, -5])


def test_adaptive_gradients(library):
    grad_output = library.array([2.0, 3.0, 4.0])
    check(library, pooltk.adaptive_avg_pool1d_backward(grad_output, (4,)), [1, 2.5, 3.5, 2])
    x = library.array([1.0, 3.0, 2.0, 2.0])
    for indices in (None, library.array([1, 1, 2], "int64")):
        gradient = pooltk.adaptive_max_pool1d_backward(grad_output, x, indices=indices)
        check(library, gradient, [0, 5, 4, 0])


@pytest.mark.parametrize("dtype", INTEGER)
def test_indices_may_be_of_any_integer_dtype(library, dtype):
    grad_output, x = library.array([1.0, 2.0]), library.array([3.0, 1.0, 0.0, 4.0])
    gradient = pooltk.max_pool1d_backward(grad_output, x, 2, indices=library.array([0, 3], dtype))
    check(library, gradient, [1, 0, 0, 2])


@pytest.mark.parametrize(
    ("index", "dtype"),
    [
        (-1, "int64"),
        (-1, "int8"),
        (4, "int64"),
        (255, "uint8"),
        (2**32, "int64"),
        (2**63 - 1, "int64"),
        (-(2**63), "int64"),
        (2**63, "uint64"),
        (2**64 - 1, "uint64"),
    ],
)
def test_an_index_outside_the_plane_contributes_nothing(library, index, dtype):
    grad_output, x = library.array([5.0, 7.0]), library.array([3.0, 1.0, 0.0, 4.0])
    indices = library.array([index, 3], dtype)
    gradient = pooltk.max_pool1d_backward(grad_output, x, 2, indices=indices)
    check(library, gradient, [0, 0, 0, 7])
    gradient = pooltk.adaptive_max_pool1d_backward(grad_output, x, indices=indices)
    check(library, gradient, [0, 0, 0, 7])


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1)])
def test_an_index_outside_its_window_does_no_harm(library, kernel, stride):
    x, grad_output = library.array(np.ones((3, 4))), library.array([[5.0, 7.0]] * 3)
    indices = library.array([[1, 2], [3, 0], [1, 2]], "int64")  # those of row 1 are wrong
    result = pooltk.max_pool1d_backward(grad_output, x, kernel, stride, indices=indices)
    gradient = library.numpy(result)
    np.testing.assert_array_equal(gradient[::2], [[0, 5, 7, 0]] * 2)
    assert set(gradient[1]) <= {0, 5, 7}


def test_contributions_are_added_in_row_major_order(library):
    """Halves are added in float32."""
    x = np.zeros((3, 3))
    x[1, 1] = 1
    for dtype in library.having(["float16", "bfloat16", "float32"]):
        large, small = (2.0**15, 2.0**-10) if dtype == "float16" else (2.0**26, 1.0)
        for contributions, total in (
            ([[large, small], [-large, 0]], 0),  # `small` is lost beside `large`
            ([[large, -large], [small, 0]], small),
            ([[small, large], [0, -large]], 0),
        ):
            grad_output = library.array(contributions, dtype)
            for indices in (None, library.array(np.full((2, 2), 4), "int64")):
                gradient = pooltk.max_pool2d_backward(
                    grad_output, library.array(x), 2, 1, indices=indices
                )
                check(library, gradient, x * total, dtype)


def test_the_gradient_of_a_maximum_has_the_dtype_of_grad_output(library):
    for x_name, name in product(library.having(DTYPES), library.having(FLOATING)):
        x, grad_output = library.array([0, 1, 1, 0], x_name), library.array([2, 3], name)
        check(library, pooltk.max_pool1d_backward(grad_output, x, 2), [0, 2, 3, 0], name)


@pytest.mark.parametrize("backend", ["numpy", "numpy-reference"])
def test_gradients_of_halves_are_added_in_float32(backend):
    """A float16 sum of ones stops at 2048."""
    ones = np.ones((65, 65), np.float16)
    x = np.zeros((129, 129))
    x[64, 64] = 1  # all windows hold it
    with LIBRARIES[backend]():
        of_average = pooltk.avg_pool2d_backward(ones, x.shape, 65, 1, divisor_override=1)
        of_maximum = pooltk.max_pool2d_backward(ones, x, 65, 1)
    assert of_average[64, 64] == of_maximum[64, 64] == np.float16(4225)


# --- out= ----------------------------------------------------------------------------------


def test_out_is_filled_and_returned(library):
    rng = np.random.default_rng(0)
    x, grad_output = library.array(rng.random((2, 6, 7))), library.array(rng.random((2, 3, 3)))
    calls = [
        lambda out: pooltk.max_pool2d(x, 2, out=out),
        lambda out: pooltk.avg_pool2d(x, 2, out=out),
        lambda out: pooltk.adaptive_max_pool2d(x, 3, out=out),
        lambda out: pooltk.adaptive_avg_pool2d(x, 3, out=out),
        lambda out: pooltk.max_pool2d_backward(grad_output, x, 2, out=out),
        lambda out: pooltk.avg_pool2d_backward(grad_output, x.shape, 2, out=out),
        lambda out: pooltk.adaptive_max_pool2d_backward(grad_output, x, out=out),
        lambda out: pooltk.adaptive_avg_pool2d_backward(grad_output, x.shape, out=out),
    ]
    for pool in calls:
        expected = library.numpy(pool(None))
        out = library.array(np.full(expected.shape, 9.0))
        assert pool(out) is out
        check(library, out, expected)


def test_out_of_a_call_with_indices_is_a_pair(library):
    x = library.array(np.random.default_rng(0).random((2, 6, 7)))
    for pool in (
        lambda out: pooltk.max_pool2d(x, 2, return_indices=True, out=out),
        lambda out: pooltk.adaptive_max_pool2d(x, 3, True, out=out),
    ):
        expected = [library.numpy(array) for array in pool(None)]
        values = library.array(np.zeros((2, 3, 3)))
        indices = library.array(np.zeros((2, 3, 3)), "int64")
        result = pool([values, indices])
        assert result[0] is values
        assert result[1] is indices
        check_pair(library, result, *expected)


def test_out_of_any_strides():
    x = np.random.default_rng(0).random((2, 3, 6, 7))
    expected = pooltk.avg_pool2d(x, 2)
    around = np.full((6, 5, 4, 7), 9.0)
    out = around[::3, 1:4, ::-1, 1::2].transpose(0, 1, 3, 2)[..., :3]
    assert out.shape == expected.shape
    assert pooltk.avg_pool2d(x, 2, out=out) is out
    np.testing.assert_array_equal(out, expected)
    out[...] = 9
    np.testing.assert_array_equal(around, 9)  # nothing else was written
