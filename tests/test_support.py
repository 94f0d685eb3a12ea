"""The table of supported dtypes (`_support`) against what is really taken and refused."""

import ml_dtypes
import numpy as np
import pytest
from libraries import DTYPES, FLOATING, INTEGER, dtype_named

import pooltk
from pooltk import _support

# Every dtype of NumPy and ml_dtypes, by name.
ALL_DTYPES = {
    np.dtype(code).name: np.dtype(code)
    for code in (
        *np.typecodes["AllInteger"],
        *np.typecodes["AllFloat"],
        *("?", "O", "S2", "U2", "V2", "M8[s]", "m8[s]", "i4,f4"),
    )
}
ALL_DTYPES |= {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in dir(ml_dtypes)
    if isinstance(getattr(ml_dtypes, name), type)
    and issubclass(getattr(ml_dtypes, name), np.generic)
}


def test_the_table_says_what_is_promised():
    assert _support.dtypes("max_pool", "numpy") == DTYPES
    assert _support.dtypes("avg_pool", "numpy") == DTYPES
    assert _support.dtypes("max_pool_backward", "numpy") == FLOATING
    assert _support.dtypes("avg_pool_backward", "numpy") == FLOATING
    assert _support.dtypes("indices", "numpy") == INTEGER
    for name in FLOATING:
        assert _support.average_dtypes(name, "numpy")[0] == name
        assert set(_support.average_dtypes(name, "numpy")) == set(FLOATING)
    for name in (*INTEGER, "bool"):
        assert _support.average_dtypes(name, "numpy")[0] == "float64"
        assert set(_support.average_dtypes(name, "numpy")) == {*FLOATING, *INTEGER}
    assert set(DTYPES) < set(ALL_DTYPES)


def takes(operation, library, name):
    """Tell whether the table says so."""
    return name in _support.dtypes(operation, library.name)


def ones(library, name, shape):
    """Array of ones, or of zeros if that is all that the dtype has; None if there is no such."""
    if name in library.dtypes:
        return library.array(np.ones(shape), name)
    is_numpy = isinstance(library.array(0), np.ndarray)
    return np.zeros(shape, ALL_DTYPES[name]) if is_numpy else None


def check_refused(call, name):
    """The error names the dtype, and those that work."""
    with pytest.raises(TypeError, match=r"dtype=.* must be one of .*float32") as caught:
        call()
    assert f"dtype={name}" in str(caught.value)


@pytest.mark.parametrize("name", ALL_DTYPES)
def test_forward(library, name):
    x = ones(library, name, (1, 4, 4))
    if x is None:
        return
    calls = {
        "max_pool": [
            lambda: pooltk.max_pool2d(x, 2),
            lambda: pooltk.max_pool2d(x, 2, return_indices=True)[0],
            lambda: pooltk.adaptive_max_pool2d(x, 2),
        ],
        "avg_pool": [
            lambda: pooltk.avg_pool2d(x, 2),
            lambda: pooltk.adaptive_avg_pool2d(x, 2),
        ],
    }
    for operation, same_dtype in (("max_pool", DTYPES), ("avg_pool", FLOATING)):
        for call in calls[operation]:
            if not takes(operation, library, name):
                check_refused(call, name)
                continue
            result = library.numpy(call())
            assert result.dtype.name == (name if name in same_dtype else "float64")
            assert (result == 1).all()
            assert result.shape == (1, 2, 2)


@pytest.mark.parametrize("name", ALL_DTYPES)
def test_backward(library, name):
    grad_output, x = ones(library, name, (1, 2, 2)), library.array(np.ones((1, 4, 4)))
    if grad_output is None:
        return
    calls = {
        "max_pool_backward": [
            lambda: pooltk.max_pool2d_backward(grad_output, x, 2),
            lambda: pooltk.adaptive_max_pool2d_backward(grad_output, x),
        ],
        "avg_pool_backward": [
            lambda: pooltk.avg_pool2d_backward(grad_output, (1, 4, 4), 2),
            lambda: pooltk.adaptive_avg_pool2d_backward(grad_output, (1, 4, 4)),
        ],
    }
    for operation, functions in calls.items():
        for call in functions:
            if not takes(operation, library, name):
                check_refused(call, name)
                continue
            result = library.numpy(call())
            assert result.dtype.name == name
            assert result.astype(float).sum() == 4


@pytest.mark.parametrize("name", ALL_DTYPES)
def test_arrays_beside_the_gradient(library, name):
    grad_output, x = library.array([5.0]), library.array([1.0, 2.0, 3.0])
    other_x, indices = ones(library, name, (3,)), ones(library, name, (1,))
    if other_x is None:
        return
    if takes("max_pool", library, name):
        result = pooltk.max_pool1d_backward(grad_output, other_x, 3)
        np.testing.assert_array_equal(library.numpy(result), [5, 0, 0])
    else:
        check_refused(lambda: pooltk.max_pool1d_backward(grad_output, other_x, 3), name)
    if takes("indices", library, name):
        result = pooltk.max_pool1d_backward(grad_output, x, 3, indices=indices)
        np.testing.assert_array_equal(library.numpy(result), [0, 5, 0])
    else:
        with pytest.raises(TypeError, match=r"indices.dtype=.* must be one of int8, "):
            pooltk.max_pool1d_backward(grad_output, x, 3, indices=indices)


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_of_averages(library, name):
    x = ones(library, name, (1, 4))
    if x is None:
        return
    is_numpy = isinstance(x, np.ndarray)
    asked_for = ALL_DTYPES if is_numpy else library.dtypes
    if library.name == "cupy":  # which compiles each pair: a quarter of them, and each dtype
        asked_for = asked_for[DTYPES.index(name) % 4 :: 4]
    for asked in asked_for:
        dtype = ALL_DTYPES[asked] if is_numpy else library.dtype(asked)
        for call in (
            lambda dtype=dtype: pooltk.avg_pool1d(x, 2, dtype=dtype),
            lambda dtype=dtype: pooltk.adaptive_avg_pool1d(x, 2, dtype=dtype),
        ):
            if asked not in _support.average_dtypes(name, library.name):
                with pytest.raises(TypeError, match=f"dtype=.* must be .* for x.dtype={name}"):
                    call()
                continue
            result = library.numpy(call())
            assert result.dtype.name == asked
            assert (result == 1).all()


@pytest.mark.parametrize("name", DTYPES)
def test_dtype_names(library, name):
    """One name for a dtype, whatever its library and byte order."""
    assert _support.dtype_name(dtype_named(name)) == name
    assert _support.dtype_name(dtype_named(name).newbyteorder(">")) == name
    if name in library.dtypes:
        assert _support.dtype_name(library.dtype(name)) == name
        assert _support.dtype_name(library.array([0, 1], name).dtype) == name
