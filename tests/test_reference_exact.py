"""Averages and their gradients against exact rational arithmetic, within the bounds promised.

With ``B = sum(|taps|) / |divisor|`` and ``t`` taps, an average is off by at most
``(1 + ceil(log2(t)) / 2) * eps * B`` and one smallest subnormal; halves are added in float32 and
rounded once more. Integers are exact: an integer result is the quotient rounded half to even and
saturated, a floating one is within one unit in the last place.
"""

from fractions import Fraction
from math import inf, isnan, nan, prod

import ml_dtypes
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from libraries import DTYPES, FLOATING, INTEGER, LIBRARIES, dtype_named

import pooltk

HALVES = ("float16", "bfloat16")

both_backends = pytest.mark.parametrize(
    "backend", ["numpy", "numpy-reference"], ids=["compiled", "reference"]
)


# --- what is right -------------------------------------------------------------------------


def ulp(value, name):
    """Distance from `value` to the next number of this dtype, away from zero."""
    info = ml_dtypes.finfo(dtype_named(name))
    least = Fraction(float(info.smallest_normal)) * Fraction(float(info.eps))
    exponent = max(Fraction(float(info.smallest_normal)), abs(value))
    # The greatest power of two up to `exponent`, which may be far beyond what a float holds.
    power = exponent.numerator.bit_length() - exponent.denominator.bit_length()
    while Fraction(2) ** power > exponent:
        power -= 1
    return max(least, Fraction(2) ** power * Fraction(float(info.eps)))


def rounding_bound(taps, magnitude, name, result_name, subnormals):
    """Greatest error of an average of floating values of magnitude B."""
    in_float32 = {name, result_name} <= {*HALVES, "float32"}
    info = np.finfo(np.float32 if in_float32 else np.float64)
    log2 = (max(taps, 1) - 1).bit_length()
    relative = (1 + Fraction(log2, 2)) * Fraction(float(info.eps))
    return relative * magnitude + subnormals * Fraction(float(info.smallest_subnormal))


def check_average(result, exact, magnitude, taps, name, result_name, subnormals=1):
    """Check the average of `taps` floating values called `name`, as a `result_name`."""
    bound = rounding_bound(taps, magnitude, name, result_name, subnormals)
    if result_name in HALVES or (name, result_name) == ("float64", "float32"):
        bound += ulp(abs(exact) + bound, result_name) / 2  # rounded once more
    greatest = Fraction(float(ml_dtypes.finfo(dtype_named(result_name)).max))
    if abs(exact) + bound > greatest:
        assert np.abs(np.float64(result)) >= float(greatest - bound)
    else:
        assert abs(Fraction(float(result)) - exact) <= bound, (float(result), float(exact))


def check_quotient(result, exact, result_name):
    """Check an average of integers."""
    if result_name in INTEGER:
        info = np.iinfo(result_name)
        assert int(result) == min(max(round(exact), info.min), info.max), (result, exact)
        return
    greatest = Fraction(float(ml_dtypes.finfo(dtype_named(result_name)).max))
    if abs(exact) + ulp(exact, result_name) > greatest:
        assert np.abs(np.float64(result)) >= float(greatest - ulp(greatest, result_name))
    else:
        error = abs(Fraction(float(result)) - exact)
        assert error <= ulp(exact, result_name), (float(result), float(exact))


def exact_value(element):
    """Element of any dtype as a fraction."""
    if element.dtype.name in FLOATING:
        return Fraction(float(element))
    return Fraction(int(element))


# --- any arguments -------------------------------------------------------------------------


@st.composite
def windows_of(draw, ndim):
    """Sizes of the pooled axes, the windows by definition, and a function's arguments for them."""

    def each(strategy):
        return draw(st.tuples(*[strategy] * ndim))

    sizes = each(st.integers(1, 8 if ndim < 3 else 4))
    if draw(st.integers(0, 3)) == 0:
        output_size = each(st.integers(1, 6))
        axes = [oracle.bins(n, m) for n, m in zip(sizes, output_size, strict=True)]
        return oracle.Plane(sizes, axes), (output_size,), True, None
    kernel_size, stride = each(st.integers(1, 4)), each(st.integers(1, 3))
    dilation, ceil_mode = each(st.integers(1, 3)), draw(st.booleans())
    extents = [d * (k - 1) + 1 for d, k in zip(dilation, kernel_size, strict=True)]
    padding = draw(st.sampled_from(["same", "same_lower", "pairs"]))
    if padding == "pairs":
        sides = [draw(st.tuples(*[st.integers(0, extent - 1)] * 2)) for extent in extents]
        padding = tuple(sides)
    else:
        lower = padding == "same_lower"
        each_axis = zip(sizes, kernel_size, stride, dilation, strict=True)
        sides = [oracle.same(*axis, lower) for axis in each_axis]
    axes = [
        oracle.sliding(n, k, s, *side, d, ceil_mode)
        for n, k, s, side, d in zip(sizes, kernel_size, stride, sides, dilation, strict=True)
    ]
    assume(all(axes))
    count_include_pad = draw(st.booleans())
    divisor_override = draw(st.sampled_from([None, None, 1, 3, -2, -7, 2**53 - 1]))
    arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return oracle.Plane(sizes, axes), (arguments, dilation), count_include_pad, divisor_override


def call(name, ndim, suffix, *arrays_and_arguments, **options):
    """Average by sliding windows, whose arguments are a pair, or by bins."""
    *arrays, arguments = arrays_and_arguments
    if len(arguments) == 2:
        arguments, options["dilation"] = arguments
        return getattr(pooltk, f"{name}{ndim}d{suffix}")(*arrays, *arguments, **options)
    if suffix:
        arguments = ()
    return getattr(pooltk, f"adaptive_{name}{ndim}d{suffix}")(*arrays, *arguments, **options)


def random_values(draw, name, shape):
    """Values that cancel, saturate or lie near the ends of the dtype's range."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if name == "bool":
        return rng.random(shape) < 0.5
    if name in INTEGER:
        info = np.iinfo(name)
        ends = np.array([info.min, info.min + 1, 0, 1, info.max - 1, info.max], name)
        return draw(
            st.sampled_from(
                [
                    rng.choice(ends, shape),
                    rng.integers(max(info.min, -5), 6, shape).astype(name),
                    rng.integers(info.min, info.max, shape, name, endpoint=True),
                ]
            )
        )
    values = rng.standard_normal(shape)
    spread = draw(st.sampled_from(["none", "wide", "cancelling", "tiny"]))
    if spread == "wide":
        values = values * 10.0 ** rng.integers(-4, 4, shape)
    elif spread == "cancelling":
        values = rng.choice([1e4, -1e4], shape) + values
    elif spread == "tiny":
        values = values * 8 * float(ml_dtypes.finfo(dtype_named(name)).smallest_normal)
    return values.astype(dtype_named(name))


@st.composite
def dtype_pairs(draw):
    """Dtype of the input and, unless None, of the result."""
    name = draw(st.sampled_from(DTYPES))
    if name in FLOATING:
        return name, draw(st.sampled_from([None, *FLOATING]))
    return name, draw(st.sampled_from([None, *FLOATING, *INTEGER]))


@both_backends
@settings(max_examples=500)
@given(data=st.data(), ndim=st.integers(1, 3), dtypes=dtype_pairs())
def test_averages(backend, data, ndim, dtypes):
    name, asked = dtypes
    plane, arguments, count_include_pad, divisor_override = data.draw(windows_of(ndim))
    x = random_values(data.draw, name, (2, *plane.sizes))
    with LIBRARIES[backend]():
        dtype = None if asked is None else dtype_named(asked)
        result = call("avg_pool", ndim, "", x, arguments, dtype=dtype)
    result_name = asked or (name if name in FLOATING else "float64")
    assert result.dtype.name == result_name
    assert result.shape == (2, *plane.output_sizes)
    for batch in range(2):
        values = [exact_value(element) for element in x[batch].ravel()]
        divisors = plane.divisors(count_include_pad, divisor_override)
        for (output, taps, _), divisor in zip(plane.windows, divisors, strict=True):
            exact = sum((values[tap] for tap in taps), Fraction(0)) / divisor
            found = result[(batch, *output)]
            if name in FLOATING:
                magnitude = sum(abs(values[tap]) for tap in taps) / abs(divisor)
                check_average(found, exact, magnitude, len(taps), name, result_name)
            else:
                check_quotient(found, exact, result_name)


@both_backends
@settings(max_examples=300)
@given(data=st.data(), ndim=st.integers(1, 3), name=st.sampled_from(FLOATING))
def test_gradients_of_averages(backend, data, ndim, name):
    plane, arguments, count_include_pad, divisor_override = data.draw(windows_of(ndim))
    grad_output = random_values(data.draw, name, (2, *plane.output_sizes))
    with LIBRARIES[backend]():
        grad_input = call("avg_pool", ndim, "_backward", grad_output, (2, *plane.sizes), arguments)
    assert grad_input.dtype.name == name
    for batch in range(2):
        shares = [[] for _ in range(prod(plane.sizes))]
        divisors = plane.divisors(count_include_pad, divisor_override)
        for (output, taps, _), divisor in zip(plane.windows, divisors, strict=True):
            share = exact_value(grad_output[(batch, *output)]) / divisor
            for tap in taps:
                shares[tap].append(share)
        for found, contributions in zip(grad_input[batch].ravel(), shares, strict=True):
            exact, magnitude = sum(contributions), sum(map(abs, contributions))
            count = len(contributions)
            # Each may have become a subnormal number when it was divided.
            subnormals = 1 + Fraction(count, 2)
            check_average(found, Fraction(exact), magnitude, count, name, name, subnormals)


# --- wide windows --------------------------------------------------------------------------


ADVERSARIES = ["constant", "cancelling", "drowning", "huge"]


def adversary(kind, size, name):
    """Values that a sum of another kind than pairwise, or over more than its window, gets wrong."""
    rng = np.random.default_rng(0)
    small = 2.0**-9
    large = small * 2.0 ** (53 if name == "float64" else 24)  # beside which `small` is nothing
    values = np.full(size, small)
    if kind == "constant":
        values[:] = 0.1
    elif kind == "cancelling":  # halves of which almost nothing is left
        values = rng.standard_normal(size) * 1e-3
        values[: size // 2] += 1e4
        values[size - size // 2 :] -= 1e4
    elif kind == "drowning":
        values[::1000] = large
        values[500::2000] = -large
    else:
        values[0] = large
    return values.astype(dtype_named(name))


def window_sums(values, shape, kernel_size):
    """Exact sum of every window of stride 1, by differences of running sums."""
    sums = np.array([Fraction(float(value)) for value in values], object).reshape(shape)
    for axis, kernel in enumerate(kernel_size):
        sums = np.cumsum(sums, axis=axis)
        before = np.insert(sums, 0, Fraction(0), axis=axis)
        starts, stops = np.arange(shape[axis] - kernel + 1), np.arange(kernel, shape[axis] + 1)
        sums = np.take(before, stops, axis=axis) - np.take(before, starts, axis=axis)
    return sums.ravel()


@pytest.mark.parametrize("kind", ADVERSARIES)
@pytest.mark.parametrize(
    ("shape", "kernel_size"),
    [((5200,), (5000,)), ((1400,), (1025,)), ((75, 80), (71, 71)), ((5, 11, 100), (5, 10, 100))],
    ids=str,
)
@pytest.mark.parametrize("name", FLOATING)
def test_wide_windows(name, shape, kernel_size, kind):
    x = adversary(kind, prod(shape), name)
    pool = getattr(pooltk, f"avg_pool{len(shape)}d")
    layouts = [
        pool(x.reshape(shape), kernel_size, 1),
        pool(np.stack([x, x], -1).reshape(*shape, 2), kernel_size, 1, data_format="channels_last"),
    ]
    sums = window_sums(x, shape, kernel_size)
    magnitudes = window_sums(np.abs(x), shape, kernel_size)
    taps = prod(kernel_size)
    results = [layouts[0].ravel(), layouts[1][..., 0].ravel(), layouts[1][..., 1].ravel()]
    for result in results:
        for found, total, magnitude in zip(result, sums, magnitudes, strict=True):
            check_average(found, total / taps, magnitude / taps, taps, name, name)


@pytest.mark.parametrize("kind", ADVERSARIES)
@pytest.mark.parametrize("name", FLOATING)
def test_wide_windows_of_the_reference(name, kind):
    x = adversary(kind, 5010, name)
    with LIBRARIES["numpy-reference"]():
        result = pooltk.avg_pool1d(x, 5000, 1)
    sums, magnitudes = (window_sums(values, (5010,), (5000,)) for values in (x, np.abs(x)))
    for found, total, magnitude in zip(result, sums, magnitudes, strict=True):
        check_average(found, total / 5000, magnitude / 5000, 5000, name, name)


@pytest.mark.parametrize("kind", ADVERSARIES)
@pytest.mark.parametrize("name", FLOATING)
def test_gradients_of_wide_windows(name, kind):
    """An input element in the middle is in 1200 windows."""
    grad_output = adversary(kind, 1201, name)
    grad_input = pooltk.avg_pool1d_backward(grad_output, (2400,), 1200, 1)
    padded = np.pad(grad_output, 1199)  # so that every element has 1200 windows
    sums, magnitudes = (window_sums(g, padded.shape, (1200,)) for g in (padded, np.abs(padded)))
    for found, total, magnitude in zip(grad_input, sums, magnitudes, strict=True):
        check_average(found, total / 1200, magnitude / 1200, 1200, name, name)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_whole_plane_of_a_constant(name):
    """A running float32 sum of so many values of 0.1 is far off."""
    x = np.full((1, 2000, 2500), 0.1, dtype_named(name))
    exact = Fraction(float(x[0, 0, 0]))
    for result in (pooltk.adaptive_avg_pool2d(x, 1), pooltk.avg_pool2d(x, (2000, 2500))):
        check_average(result.item(), exact, exact, x.size, name, name)


# --- integers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*INTEGER, "bool"])
@pytest.mark.parametrize(
    ("backend", "taps"),
    [("numpy", 2), ("numpy", 3), ("numpy", 4096), ("numpy-reference", 2), ("numpy-reference", 101)],
)
def test_exact_sums_of_extreme_integers(backend, taps, name):
    info = np.iinfo(name) if name in INTEGER else None
    extremes = [0, 1] if info is None else [info.min, info.max, info.max - 1]
    x = np.repeat(np.array(extremes, name)[:, None], taps, axis=1)
    x[:, 0] = info.max // 2 if info else True
    sums = [sum(map(int, row)) for row in x]
    with LIBRARIES[backend]():
        for result_name in (*INTEGER, *FLOATING):
            for divisor in (None, 1, -3, 2**53 - 1):
                result = pooltk.avg_pool1d(
                    x, taps, divisor_override=divisor, dtype=dtype_named(result_name)
                )
                for found, total in zip(result[:, 0], sums, strict=True):
                    check_quotient(found, Fraction(total, divisor or taps), result_name)


def test_integer_sums_beyond_two_to_the_64th():
    x = np.broadcast_to(np.uint64(2**64 - 1), (70000,))
    total = 70000 * (2**64 - 1)
    assert pooltk.adaptive_avg_pool1d(x, 1, dtype="uint64")[0] == 2**64 - 1
    assert pooltk.avg_pool1d(x, 70000, divisor_override=70001, dtype="uint64")[0] == round(
        Fraction(total, 70001)
    )
    for result_name in ("float32", "float64"):
        result = pooltk.avg_pool1d(x, 70000, divisor_override=3, dtype=result_name)
        check_quotient(result[0], Fraction(total, 3), result_name)
    least = np.broadcast_to(np.int64(-(2**63)), (70000,))
    assert pooltk.adaptive_avg_pool1d(least, 1, dtype="int64")[0] == -(2**63)
    assert pooltk.avg_pool1d(least, 70000, divisor_override=-1, dtype="int64")[0] == 2**63 - 1


@both_backends
@pytest.mark.parametrize("name", ["int8", "int16", "int32", "int64"])
def test_halves_round_to_even(backend, name):
    pairs = np.array([[0, 1], [1, 2], [2, 3], [-1, 0], [-2, -1], [-3, -2], [3, 3]], name)
    with LIBRARIES[backend]():
        rounded = pooltk.avg_pool1d(pairs, 2, dtype=name)
    np.testing.assert_array_equal(rounded[:, 0], [0, 2, 2, 0, -2, -2, 3])


# --- inf and NaN ---------------------------------------------------------------------------


def plain_sum(values):
    """The sum, as far as inf and NaN decide it; None if they don't."""
    if any(map(isnan, values)) or {inf, -inf} <= set(values):
        return nan
    return next((value for value in values if value in (inf, -inf)), None)


@both_backends
@pytest.mark.parametrize("kernel", [1, 2, 3, 8, 13, 40, 150])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("name", FLOATING)
def test_inf_and_nan_stay_in_their_windows(backend, name, kernel, stride):
    rng = np.random.default_rng(kernel)
    x = rng.standard_normal(600)
    special = rng.choice(600, 12, replace=False)
    x[special] = rng.choice([inf, -inf, nan], 12)
    x = x.astype(dtype_named(name))
    for divisor in (None, -2):
        with LIBRARIES[backend]():
            result = pooltk.avg_pool1d(x, kernel, stride, divisor_override=divisor)
        for i, found in enumerate(result):
            values = [float(value) for value in x[i * stride : i * stride + kernel]]
            expected = plain_sum(values)
            if expected is not None:
                np.testing.assert_equal(float(found), expected / (divisor or 1))
                continue
            by = abs(divisor or kernel)
            exact = sum(map(Fraction, values)) / (divisor or kernel)
            magnitude = sum(map(abs, map(Fraction, values))) / by
            check_average(found, exact, magnitude, kernel, name, name)


@both_backends
@pytest.mark.parametrize("name", FLOATING)
def test_inf_and_nan_stay_in_their_gradients(backend, name):
    grad_output = np.ones((6, 40))
    grad_output[2, 7], grad_output[4, 30], grad_output[4, 31] = nan, inf, -inf
    with LIBRARIES[backend]():
        grad_input = pooltk.avg_pool2d_backward(
            grad_output.astype(dtype_named(name)), (8, 42), 3, 1, divisor_override=1
        ).astype(np.float64)
    is_nan, is_inf, is_minus_inf = np.zeros((3, 8, 42), bool)
    is_inf[4:7, 30] = is_minus_inf[4:7, 33] = True
    is_nan[2:5, 7:10] = is_nan[4:7, 31:33] = True
    np.testing.assert_array_equal(np.isnan(grad_input), is_nan)
    np.testing.assert_array_equal(grad_input == inf, is_inf)
    np.testing.assert_array_equal(grad_input == -inf, is_minus_inf)
    assert grad_input[0, 0] == 1
    assert grad_input[3, 20] == 9
