"""The reference and the compiled kernels against PyTorch, with arguments drawn by hypothesis.

Where PyTorch differs from pooltk, and what that means here:

- it pads by half a window at most, on both sides alike: no more is drawn;
- in a window without a tap inside the input (dilation) it names an index outside the plane, and
  its backward would write there: such outputs are left out, and so is backward;
- among NaNs it names the last: indices of NaN are not compared, and backward not with any;
- its average over one axis has no `divisor_override`;
- its avg_pool3d takes no half, and no input that only padding makes as wide as the window;
- its adaptive_avg_pool3d adds halves in that dtype: its answer in float32 counts;
- its backward adds halves in that dtype, too: here as well the answer in float32 counts;
- it averages no integer but int64, and drops the fraction.
"""

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from libraries import FLOATING, LIBRARIES, dtype_named

import pooltk

pytestmark = [
    pytest.mark.torch,
    pytest.mark.parametrize("backend", ["numpy", "numpy-reference"], ids=["compiled", "reference"]),
]

HALVES = ("float16", "bfloat16")
TORCH_INTEGERS = ("uint8", "int8", "int16", "int32", "int64")


class Case(NamedTuple):
    """An input, and windows that pool it."""

    ndim: int
    x: Any  # channels first; of shape (N, C, ...)
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...] | None
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool
    data_format: str
    contiguous: bool  # of channels-last arrays: as they are pooled, or seen through a transpose

    def function(self, name, suffix=""):
        """The function of pooltk for so many axes."""
        return getattr(pooltk, f"{name}{self.ndim}d{suffix}")

    def torch_function(self, torch, name):
        """PyTorch's function."""
        return getattr(torch.nn.functional, f"{name}{self.ndim}d")

    def lay(self, array):
        """View or copy of a channels-first array in the case's layout."""
        if self.data_format == "channels_first":
            return array
        moved = np.moveaxis(array, 1, -1)
        return np.ascontiguousarray(moved) if self.contiguous else moved

    def unlay(self, array):
        """Back to channels first."""
        return array if self.data_format == "channels_first" else np.moveaxis(array, -1, 1)


@st.composite
def cases(draw, dtypes=FLOATING, ndims=(1, 2, 3)):
    """Any windows that PyTorch's max pooling takes."""
    ndim = draw(st.sampled_from(ndims))

    def each(strategy):
        return draw(st.tuples(*[strategy] * ndim))

    longest = {1: 80, 2: 40, 3: 20}[ndim]
    sizes = each(st.integers(1, 7))
    sizes = (*sizes[:-1], draw(st.integers(1, 9) | st.integers(10, longest)))
    kernel_size = each(st.integers(1, 5))
    dilation = draw(st.just((1,) * ndim) | st.tuples(*[st.integers(1, 3)] * ndim))
    return Case(
        ndim,
        draw_input(draw, draw(st.sampled_from(dtypes)), sizes),
        kernel_size,
        draw(st.none() | st.tuples(*[st.integers(1, 4)] * ndim)),
        tuple(draw(st.integers(0, k // 2)) for k in kernel_size),
        dilation,
        draw(st.booleans()),
        draw(st.sampled_from(["channels_first", "channels_last"])),
        draw(st.booleans()),
    )


def draw_input(draw, dtype, sizes):
    """Ordinary values, or some with ties, infinities or NaN."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sizes)
    kinds = ["ties", "ordinary"] if dtype in TORCH_INTEGERS else ["ties", "ordinary", "inf", "nan"]
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if dtype in TORCH_INTEGERS:
        info = np.iinfo(dtype)
        if kind == "ties":
            return rng.integers(max(info.min, -2), 3, shape).astype(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x = rng.standard_normal(shape)
    if kind == "ties":
        x = np.round(x)
    if kind == "inf":
        x[rng.random(shape) < 0.1] = np.inf
        x[rng.random(shape) < 0.1] = -np.inf
    if kind == "nan":
        x[rng.random(shape) < 0.1] = np.nan
    return x.astype(dtype_named(dtype))


def to_torch(torch, array):
    """Copy as a tensor; NumPy and PyTorch share no bfloat16."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def to_numpy(torch, tensor):
    """Copy of a tensor."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16).copy()
    return tensor.numpy().copy()


def torch_gradient(torch, forward, x, grad_output):
    """Gradient of `forward` at `x`, in float32 at least."""
    wide = np.float32 if x.dtype.itemsize == 2 else x.dtype
    leaf = to_torch(torch, x.astype(wide)).requires_grad_()
    forward(leaf).backward(to_torch(torch, grad_output.astype(wide)))
    return to_numpy(torch, leaf.grad)


def random_gradient(case, shape):
    """Gradient of the forward's result, channels first; another one for every case."""
    rng = np.random.default_rng(case.x.size + sum(shape))
    return rng.standard_normal(shape).astype(case.x.dtype)


def check_same(actual, expected):
    """Compare values, NaN being one of them."""
    assert actual.dtype == expected.dtype
    if actual.dtype.name in FLOATING:  # NumPy's test takes no NaN of bfloat16 for one
        actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    np.testing.assert_array_equal(actual, expected)


def check_close(actual, expected, dtype):
    """Compare sums and averages that were added in float32 or wider, then rounded to `dtype`."""
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    largest = np.max(np.abs(expected[np.isfinite(expected)]), initial=1.0)
    eps = float(ml_dtypes.finfo(dtype).eps)
    sum_eps = min(eps, 2.0**-23)  # of up to 125 values, in another order than PyTorch's
    np.testing.assert_allclose(actual, expected, rtol=eps, atol=1000 * sum_eps * largest)


def check_max(torch, case, name, arguments, torch_result, backward_arguments=None):
    """Compare values, indices and both ways of going backward."""
    x, dtype = case.x, case.x.dtype
    layout = {"data_format": case.data_format}
    forward = case.function(name)
    values, indices = forward(case.lay(x), *arguments, True, **layout)
    assert values.dtype == dtype
    assert indices.dtype == np.int64
    torch_values, torch_indices = (to_numpy(torch, tensor) for tensor in torch_result(x))
    check_same(forward(case.lay(x), *arguments, **layout), values)
    values, first_indices = case.unlay(values), case.unlay(indices)
    empty = first_indices < 0
    check_same(values[~empty], torch_values[~empty])
    comparable = ~empty & ~np.isnan(values.astype(np.float64))
    check_same(first_indices[comparable], torch_indices[comparable])
    if dtype.name in TORCH_INTEGERS or not comparable.all():
        return
    grad_output = random_gradient(case, values.shape)
    expected = torch_gradient(torch, lambda leaf: torch_result(leaf)[0], x, grad_output)
    backward = case.function(name, "_backward")
    for given_indices in (None, indices, indices.astype(np.int32)):
        grad_input = backward(
            case.lay(grad_output),
            case.lay(x),
            *(arguments if backward_arguments is None else backward_arguments),
            indices=given_indices,
            **layout,
        )
        check_close(case.unlay(grad_input), expected, dtype)


def as_tensor(torch, x):
    return x if isinstance(x, torch.Tensor) else to_torch(torch, x)


@settings(max_examples=400)
@given(case=cases())
def test_max_pool(torch, backend, case):
    arguments = (case.kernel_size, case.stride, case.padding, case.dilation, case.ceil_mode)

    def torch_result(x):
        forward = case.torch_function(torch, "max_pool")
        return forward(as_tensor(torch, x), *arguments, return_indices=True)

    with LIBRARIES[backend]():
        check_windows_fit(torch_result, case, arguments)
        check_max(torch, case, "max_pool", arguments, torch_result)


@settings(max_examples=150)
@given(case=cases(TORCH_INTEGERS, ndims=(2, 3)))
def test_max_pool_of_integers(torch, backend, case):
    arguments = (case.kernel_size, case.stride, case.padding, case.dilation, case.ceil_mode)

    def torch_result(x):
        forward = case.torch_function(torch, "max_pool")
        return forward(as_tensor(torch, x), *arguments, return_indices=True)

    with LIBRARIES[backend]():
        check_windows_fit(torch_result, case, arguments)
        check_max(torch, case, "max_pool", arguments, torch_result)


def check_windows_fit(torch_result, case, arguments):
    """Both refuse the same windows; the case ends here if they do."""
    try:
        result = torch_result(case.x)
    except RuntimeError as error:
        assert "Output size is too small" in str(error) or "Invalid computed" in str(error)
        with pytest.raises(ValueError, match="must have room for one window"):
            pooltk.pool_output_shape(case.x.shape[2:], *arguments)
        assume(False)
    values = result[0] if isinstance(result, tuple) else result
    assert pooltk.pool_output_shape(case.x.shape[2:], *arguments) == tuple(values.shape[2:])


@settings(max_examples=400)
@given(
    case=cases(),
    count_include_pad=st.booleans(),
    divisor_override=st.sampled_from([None, None, 1, 3, -2]),
)
def test_avg_pool(torch, backend, case, count_include_pad, divisor_override):
    x, dtype = case.x, case.x.dtype
    if case.ndim == 1:
        divisor_override = None
    if case.ndim == 3:
        assume(dtype.name not in HALVES)
        assume(all(k <= n for k, n in zip(case.kernel_size, x.shape[2:], strict=True)))
    common = (case.kernel_size, case.stride, case.padding, case.ceil_mode, count_include_pad)
    arguments = (*common, divisor_override)

    def torch_result(x):
        forward = case.torch_function(torch, "avg_pool")
        return forward(as_tensor(torch, x), *(common if case.ndim == 1 else arguments))

    with LIBRARIES[backend]():
        windows = (case.kernel_size, case.stride, case.padding, 1, case.ceil_mode)
        check_windows_fit(torch_result, case, windows)
        check_average(torch, case, "avg_pool", arguments, torch_result, arguments)


def check_average(torch, case, name, arguments, torch_result, backward_arguments):
    """Compare values and gradient."""
    x, dtype = case.x, case.x.dtype
    layout = {"data_format": case.data_format}
    values = case.unlay(case.function(name)(case.lay(x), *arguments, **layout))
    in_wider = case.ndim == 3 and dtype.name in HALVES
    expected = torch_result(x.astype(np.float32) if in_wider else x)
    check_close(values, to_numpy(torch, expected), dtype)
    grad_output = random_gradient(case, values.shape)
    grad_input = case.function(name, "_backward")(
        case.lay(grad_output), case.lay(x).shape, *backward_arguments, **layout
    )
    expected = torch_gradient(torch, torch_result, x, grad_output)
    check_close(case.unlay(grad_input), expected, dtype)


@settings(max_examples=150)
@given(
    case=cases(("int64",)),
    count_include_pad=st.booleans(),
    divisor_override=st.sampled_from([None, None, 1, 3, -2]),
)
def test_avg_pool_of_int64(torch, backend, case, count_include_pad, divisor_override):
    x = case.x // 2**16  # sums stay far from PyTorch's limit
    if case.ndim == 1:
        divisor_override = None
    if case.ndim == 3:
        assume(all(k <= n for k, n in zip(case.kernel_size, x.shape[2:], strict=True)))
    common = (case.kernel_size, case.stride, case.padding, case.ceil_mode, count_include_pad)
    arguments = (*common, divisor_override)
    forward, layout = case.function("avg_pool"), {"data_format": case.data_format}

    def torch_result(x):
        torch_forward = case.torch_function(torch, "avg_pool")
        return torch_forward(as_tensor(torch, x), *(common if case.ndim == 1 else arguments))

    with LIBRARIES[backend]():
        windows = (case.kernel_size, case.stride, case.padding, 1, case.ceil_mode)
        check_windows_fit(torch_result, case._replace(x=x), windows)
        if divisor_override == 1:  # nothing is rounded
            sums = forward(case.lay(x), *arguments, dtype="int64", **layout)
            check_same(case.unlay(sums), to_numpy(torch, torch_result(x)))
        x = np.sign(x) * (np.abs(x) % 2**40)  # so that float64 keeps the sums
        averages = case.unlay(forward(case.lay(x), *arguments, **layout))
        check_same(np.trunc(averages), to_numpy(torch, torch_result(x)).astype(np.float64))


@st.composite
def output_sizes(draw, case):
    """An int, or an int or None for each axis."""
    if draw(st.booleans()):
        return draw(st.integers(1, 6))
    return draw(st.tuples(*[st.none() | st.integers(1, 9)] * case.ndim))


def torch_output_size(case, output_size):
    """PyTorch takes None only for one of several axes."""
    if isinstance(output_size, int):
        return output_size
    sizes = zip(output_size, case.x.shape[2:], strict=True)
    return [n if m is None else m for m, n in sizes]


@settings(max_examples=250)
@given(data=st.data(), case=cases())
def test_adaptive_max_pool(torch, backend, data, case):
    output_size = data.draw(output_sizes(case))

    def torch_result(x):
        forward = case.torch_function(torch, "adaptive_max_pool")
        size = torch_output_size(case, output_size)
        return forward(as_tensor(torch, x), size, return_indices=True)

    with LIBRARIES[backend]():
        check_max(torch, case, "adaptive_max_pool", (output_size,), torch_result, ())


@settings(max_examples=250)
@given(data=st.data(), case=cases())
def test_adaptive_avg_pool(torch, backend, data, case):
    output_size = data.draw(output_sizes(case))

    def torch_result(x):
        forward = case.torch_function(torch, "adaptive_avg_pool")
        return forward(as_tensor(torch, x), torch_output_size(case, output_size))

    with LIBRARIES[backend]():
        check_average(torch, case, "adaptive_avg_pool", (output_size,), torch_result, ())
