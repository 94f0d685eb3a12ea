"""Gradients against numerical differentiation of the forward, in float64.

All elements of the input are bumped at once, each in a batch item of its own. Averages are linear
and maxima linear as long as no bump changes a winner, which values 1 apart make sure of: the
difference quotient is right but for rounding.
"""

import numpy as np
import pytest
from libraries import LIBRARIES

import pooltk

BUMP = 0.25
CASES = {
    "blocks": ((6, 7), {"kernel_size": 2}),
    "overlapping": ((7, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    "stride 1": ((6, 6), {"kernel_size": (3, 4), "stride": 1, "padding": ((0, 2), (1, 3))}),
    "gaps": ((8, 11), {"kernel_size": 2, "stride": 3}),
    "dilated": ((9, 8), {"kernel_size": (2, 3), "stride": (1, 2), "dilation": (4, 2)}),
    "padded taps only": ((3, 4), {"kernel_size": 2, "stride": 1, "padding": 4, "dilation": 5}),
    "ceil": ((7, 6), {"kernel_size": (2, 4), "stride": (2, 3), "padding": 1, "ceil_mode": True}),
    "same": ((5, 8), {"kernel_size": 4, "stride": 3, "padding": "same"}),
    "line": ((23,), {"kernel_size": 5, "stride": 2, "padding": 4}),
    "volume": ((4, 3, 5), {"kernel_size": (2, 3, 2), "stride": (1, 2, 2), "padding": (1, 1, 0)}),
}
BINS = {"bins": ((7, 9), (3, 4)), "more bins": ((4, 3), (7, 5)), "line": ((11,), (4,))}
BINS |= {"one bin": ((5, 6), (1, 1)), "volume": ((3, 5, 4), (2, None, 3))}

pytestmark = pytest.mark.parametrize(
    ("backend", "data_format"),
    [
        ("numpy", "channels_first"),
        ("numpy", "channels_last"),
        ("numpy-reference", "channels_first"),
        ("numpy-reference", "channels_last"),
    ],
    ids=["compiled", "compiled-last", "reference", "reference-last"],
)


def check_gradient(forward, backward, sizes, data_format):
    """Compare the gradient of ``sum(weights * forward(x))`` with its difference quotients."""
    rng = np.random.default_rng(0)
    channels = 2
    plane = (channels, *sizes) if data_format == "channels_first" else (*sizes, channels)
    x = rng.permutation(np.prod(plane)).reshape(plane).astype(np.float64)
    weights = rng.standard_normal(forward(x).shape)

    bumps = BUMP * np.eye(x.size).reshape(x.size, *plane)
    difference = forward(x + bumps) - forward(x - bumps)
    quotients = (difference * weights).reshape(x.size, -1).sum(axis=1) / (2 * BUMP)
    gradient = backward(weights, x)
    assert gradient.shape == x.shape
    np.testing.assert_allclose(gradient.ravel(), quotients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_max_pool(case, backend, data_format):
    sizes, windows = CASES[case]
    name, options = f"max_pool{len(sizes)}d", {**windows, "data_format": data_format}
    forward, backward = getattr(pooltk, name), getattr(pooltk, f"{name}_backward")

    def finite(x):  # windows without a tap give -inf, before and after
        values = forward(x, **options)
        return np.where(np.isneginf(values), 0.0, values)

    def backward_with_indices(grad_output, x):
        _, indices = forward(x, return_indices=True, **options)
        return backward(grad_output, x, indices=indices, **options)

    def backward_alone(grad_output, x):
        return backward(grad_output, x, **options)

    with LIBRARIES[backend]():
        check_gradient(finite, backward_alone, sizes, data_format)
        check_gradient(finite, backward_with_indices, sizes, data_format)


@pytest.mark.parametrize(
    "options", [{}, {"count_include_pad": False}, {"divisor_override": -3}], ids=str
)
@pytest.mark.parametrize("case", CASES)
def test_avg_pool(case, options, backend, data_format):
    sizes, windows = CASES[case]
    name, options = f"avg_pool{len(sizes)}d", {**windows, **options, "data_format": data_format}
    forward, backward = getattr(pooltk, name), getattr(pooltk, f"{name}_backward")
    with LIBRARIES[backend]():
        check_gradient(
            lambda x: forward(x, **options),
            lambda grad_output, x: backward(grad_output, x.shape, **options),
            sizes,
            data_format,
        )


@pytest.mark.parametrize("case", BINS)
def test_adaptive_max_pool(case, backend, data_format):
    sizes, output_size = BINS[case]
    name, layout = f"adaptive_max_pool{len(sizes)}d", {"data_format": data_format}
    forward, backward = getattr(pooltk, name), getattr(pooltk, f"{name}_backward")
    with LIBRARIES[backend]():
        check_gradient(
            lambda x: forward(x, output_size, **layout),
            lambda grad_output, x: backward(grad_output, x, **layout),
            sizes,
            data_format,
        )


@pytest.mark.parametrize("case", BINS)
def test_adaptive_avg_pool(case, backend, data_format):
    sizes, output_size = BINS[case]
    name, layout = f"adaptive_avg_pool{len(sizes)}d", {"data_format": data_format}
    forward, backward = getattr(pooltk, name), getattr(pooltk, f"{name}_backward")
    with LIBRARIES[backend]():
        check_gradient(
            lambda x: forward(x, output_size, **layout),
            lambda grad_output, x: backward(grad_output, x.shape, **layout),
            sizes,
            data_format,
        )
