"""Window arithmetic against windows by their definition, exhaustively over small sizes."""

from itertools import product

import oracle
import pytest

import pooltk
from pooltk import _geometry


def both_paddings(kernel, dilation):
    """(low, high): none, the widest, and one of each kind between."""
    widest = dilation * (kernel - 1)
    return {(0, 0), (widest, widest), (widest // 2, (widest + 1) // 2), (widest, 0), (0, widest)}


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("n", range(1, 10))
def test_sliding_windows(n, ceil_mode):
    for kernel, stride, dilation in product(range(1, 5), range(1, 6), range(1, 4)):
        for low, high in both_paddings(kernel, dilation):
            expected = oracle.sliding(n, kernel, stride, low, high, dilation, ceil_mode)
            axis = _geometry.sliding_axis(n, kernel, stride, dilation, low, high, ceil_mode)
            assert max(axis.output_size, 0) == len(expected), axis
            for i, window in enumerate(expected):
                assert list(_geometry.window_taps(axis, i)) == window.taps, (axis, i)
                assert _geometry.window_count(axis, i, True) == window.count, (axis, i)
                assert _geometry.window_count(axis, i, False) == len(window.taps), (axis, i)


@pytest.mark.parametrize("n", range(1, 26))
def test_adaptive_bins(n):
    for m in range(31):
        expected = oracle.bins(n, m)
        axis = _geometry.adaptive_axis(n, m)
        assert (axis.input_size, axis.output_size) == (n, m)
        if m:
            assert axis.kernel_size == max(window.count for window in expected), axis
        for i, window in enumerate(expected):
            assert list(_geometry.bin_taps(n, m, i)) == window.taps, (n, m, i)
            assert list(_geometry.window_taps(axis, i)) == window.taps, (axis, i)
            for count_include_pad in (False, True):
                assert _geometry.window_count(axis, i, count_include_pad) == window.count, (axis, i)


def test_bins_that_divide_the_axis_are_sliding_windows():
    assert _geometry.adaptive_axis(12, 4) == _geometry.sliding_axis(12, 3, 3, 1, 0, 0, False)
    assert _geometry.adaptive_axis(12, 5).stride == 0


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("lower", [False, True])
def test_same_padding_gives_one_window_for_each_stride(lower, ceil_mode):
    for n, kernel, stride, dilation in product(range(1, 12), range(1, 6), range(1, 7), range(1, 4)):
        low, high = _geometry.same_padding(n, kernel, stride, dilation, lower)
        assert (low, high) == oracle.same(n, kernel, stride, dilation, lower)
        axis = _geometry.sliding_axis(n, kernel, stride, dilation, low, high, ceil_mode)
        assert axis.output_size == len(range(0, n, stride))


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pool_output_shape(ceil_mode):
    for kernel, stride, padding, dilation in product((1, 2, 3), (None, 1, 2, 4), (0, 1), (1, 2)):
        if padding > dilation * (kernel - 1):
            continue
        shape = pooltk.pool_output_shape((11, 6, 7), kernel, stride, padding, dilation, ceil_mode)
        step = kernel if stride is None else stride
        expected = [
            oracle.sliding(n, kernel, step, padding, padding, dilation, ceil_mode)
            for n in (11, 6, 7)
        ]
        assert shape == tuple(map(len, expected))


def test_pool_output_shape_takes_an_argument_for_each_axis():
    shape = pooltk.pool_output_shape(
        [9, 9, 9, 9], (1, 2, 3, 3), (1, 2, 3, 4), ((0, 0), (1, 0), (1, 1), (0, 2)), (1, 2, 1, 3)
    )
    assert shape == (9, 4, 3, 2)
    assert pooltk.pool_output_shape((7, 8), 3, 2, "same") == (4, 4)
    assert pooltk.pool_output_shape((7, 8), 3, 2, "valid", ceil_mode=True) == (3, 4)


def elements_seen(layers, output):
    """Positions along the input that one output sees, padding included, through every layer."""
    seen = {output}
    for kernel, stride, padding, dilation in reversed(layers):
        seen = {i * stride - padding + tap * dilation for i in seen for tap in range(kernel)}
    return seen


@pytest.mark.parametrize(
    "layers",
    [
        [],
        [(3, 1, 0, 1)],
        [(2, 2, 0, 1), (2, 2, 0, 1)],
        [(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 2, 2)],
        [(1, 3, 0, 1), (3, 1, 1, 3), (5, 4, 2, 1), (2, 1, 0, 1)],
    ],
)
def test_receptive_field(layers):
    field = pooltk.receptive_field(layers)
    for output in range(3):
        seen = elements_seen(layers, output)
        assert min(seen) == field.offset + output * field.stride
        assert max(seen) - min(seen) + 1 == field.size


def test_receptive_field_defaults_and_kind():
    assert pooltk.receptive_field([(3,)]) == pooltk.receptive_field([[3, 1, 0, 1]]) == (3, 1, 0)
    assert pooltk.receptive_field([(3, 2)]) == (3, 2, 0)
    assert pooltk.receptive_field([(3, 2, 1)]) == (3, 2, -1)
    assert pooltk.receptive_field([(3,)])._fields == ("size", "stride", "offset")
    assert isinstance(pooltk.receptive_field([]), pooltk.ReceptiveField)
