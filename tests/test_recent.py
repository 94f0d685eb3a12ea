"""A call like an earlier one goes straight to its plan: it has to be like it in everything."""

import ml_dtypes
import numpy as np
import pytest

import pooltk
from pooltk import _dispatch, _recent
from pooltk._cpu import _threads

X = np.arange(36, dtype="float32").reshape(6, 6) % 7
GRADIENT = np.arange(9, dtype="float32").reshape(3, 3)

# Function, array, other arguments.
CALLS = [
    ("max_pool2d", X, (2,), {}),
    ("max_pool2d", X, (2, 1), {}),
    ("max_pool2d", X, ((2, 3),), {}),
    ("max_pool2d", X, ([3, 2],), {}),
    ("max_pool2d", X, (3, 2, 1), {}),
    ("max_pool2d", X, (3, 2, "same"), {}),
    ("max_pool2d", X, (3, 2, ((1, 0), (0, 1))), {}),
    ("max_pool2d", X, (3, 2, 1, 2), {}),
    ("max_pool2d", X, (3, 2, 0, 1, True), {}),
    ("max_pool2d", X, (2,), {"return_indices": True}),
    ("max_pool1d", X, (2,), {}),
    ("max_pool1d", X, (2,), {"data_format": "channels_last"}),
    ("avg_pool2d", X, (2,), {}),
    ("avg_pool2d", X, (3, 2, 1), {}),
    ("avg_pool2d", X, (3, 2, 1, False, False), {}),
    ("avg_pool2d", X, (2,), {"divisor_override": 3}),
    ("avg_pool2d", X, (2,), {"dtype": "float64"}),
    ("avg_pool2d", X, (2,), {"dtype": "float16"}),
    ("avg_pool1d", X, (2,), {}),
    ("adaptive_max_pool2d", X, (2,), {}),
    ("adaptive_max_pool2d", X, ((2, None),), {}),
    ("adaptive_max_pool2d", X, (2,), {"return_indices": True}),
    ("adaptive_avg_pool2d", X, (2,), {}),
    ("adaptive_avg_pool2d", X, (4,), {}),
    ("adaptive_avg_pool2d", X, (4,), {"dtype": "float64"}),
    ("avg_pool2d_backward", GRADIENT, ((6, 6), 2), {}),
    ("avg_pool2d_backward", GRADIENT, ((7, 6), 2), {}),
    ("avg_pool2d_backward", GRADIENT, ((6, 6), 2), {"divisor_override": 3}),
    ("adaptive_avg_pool2d_backward", GRADIENT, ((6, 6),), {}),
    ("adaptive_avg_pool2d_backward", GRADIENT, ((6, 7),), {}),
]


# Arguments that compare equal to earlier ones, and mean something else: nothing that is legal.
ILLEGAL = [
    ("max_pool2d", (1,), (True,), {}),
    ("max_pool2d", (1,), (1.0,), {}),
    ("max_pool2d", ((1, 2),), ((True, 2),), {}),
    ("max_pool2d", (2, 2, ((1, 0), (0, 1))), (2, 2, ((1, False), (0, 1))), {}),
    ("max_pool2d", (2, 2, 0, 1, False), (2, 2, 0, 1, 0), {}),
    ("max_pool2d", (2,), (2,), {"return_indices": 0}),
    ("avg_pool2d", (2, 2, 0, False, True), (2, 2, 0, False, 1), {}),
    ("avg_pool2d", (2, 2, 0, False, True, 1), (2, 2, 0, False, True, True), {}),
    ("avg_pool2d", (2,), (2,), {"dtype": "int8"}),
    ("adaptive_max_pool2d", (1,), (True,), {}),
    ("adaptive_max_pool2d", (1,), (1,), {"return_indices": 0}),
    ("adaptive_avg_pool2d", (1,), (1.0,), {}),
    # One number of NumPy's is legal, another with the same bytes is not.
    ("max_pool2d", (np.int64(2),), (np.int64(2).view("float64"),), {}),
    ("max_pool2d", ((1, np.int64(2)),), ((1, np.int64(2).view("float64")),), {}),
]


@pytest.fixture
def ready(monkeypatch):
    monkeypatch.setattr(_recent, "ready", {})
    return _recent.ready


class Forgetful(dict):
    def __setitem__(self, key, value):
        pass


def layouts(array):
    """It and other elements, then arrays that differ from it in one thing each."""
    yield array
    yield array[::-1] + 1
    yield np.asfortranarray(array)
    yield np.repeat(array, 2, axis=1)[:, ::2]
    yield array[:, ::-1]
    yield array.astype("float64")
    yield array.astype(ml_dtypes.bfloat16)
    yield array.astype(array.dtype.newbyteorder())
    yield array.view(Matrix)
    if array is X:
        yield np.stack([array, array + 1])


class Matrix(np.ndarray):
    """A class of its own, which results are not of."""


def forwards():
    for name, array, arguments, options in CALLS:
        for other in layouts(array):
            yield getattr(pooltk, name)(other, *arguments, **options)


def max_backwards():
    indices = pooltk.max_pool2d(X, 2, return_indices=True)[1]
    dtypes = "int64", "int32", "uint8", indices.dtype.newbyteorder()
    calls = [(gradient, X, None) for gradient in layouts(GRADIENT)]
    calls += [(GRADIENT, x, None) for x in layouts(X) if x.ndim == 2]
    calls += [(GRADIENT, X, indices[::-1].astype(dtype)) for dtype in dtypes]
    calls += [(GRADIENT, X, np.asfortranarray(indices))]
    for gradient, x, indices in calls:
        yield pooltk.max_pool2d_backward(gradient, x, 2, indices=indices)
        yield pooltk.max_pool2d_backward(gradient, x, 2, 2, indices=indices)
        yield pooltk.adaptive_max_pool2d_backward(gradient, x, indices=indices)


@pytest.mark.parametrize("calls", [forwards, max_backwards])
def test_recalled_calls_answer_as_the_first(ready, monkeypatch, calls):
    with monkeypatch.context() as patch:
        patch.setattr(_recent, "ready", Forgetful())
        expected = list(calls())
    for _ in range(2):
        for results, wanted in zip(calls(), expected, strict=True):
            several = isinstance(results, tuple)
            pairs = zip(results, wanted, strict=True) if several else [(results, wanted)]
            for result, other in pairs:
                assert type(result) is np.ndarray
                assert (result.dtype, result.shape) == (other.dtype, other.shape)
                assert result.strides == other.strides
                assert result.tobytes() == other.tobytes()


def test_what_is_remembered(ready):
    """Neither a class of its own, nor what is converted first; elements make no difference."""
    list(forwards())
    number = sum(len(list(layouts(array))) - 3 for _, array, _, _ in CALLS)
    assert len(ready) == number
    for dtype, more in ("int32", 0), ("int64", 1):
        indices = np.zeros(GRADIENT.shape, dtype)
        pooltk.max_pool2d_backward(GRADIENT, X, 2, indices=indices)
        assert len(ready) == number + more


@pytest.mark.parametrize("name, legal, illegal, options", ILLEGAL)
def test_equal_arguments_of_other_types(ready, name, legal, illegal, options):
    function = getattr(pooltk, name)
    function(X, *legal)
    for _ in range(2):
        with pytest.raises(TypeError, match=f"^{name}: "):
            function(X, *illegal, **options)
        function(X, *legal)


def test_arguments_that_change(ready):
    kernel_size = [1, 1]
    for length in 1, 2, 3, 2:
        kernel_size[0] = length
        assert pooltk.max_pool2d(X, kernel_size).shape == (6 // length, 6)


def test_arrays_to_write_to(ready):
    expected = pooltk.avg_pool2d(X, 2)
    out = np.empty_like(expected)
    assert pooltk.avg_pool2d(X, 2, out=out) is out
    np.testing.assert_array_equal(out, expected)
    x = X.copy()
    with pytest.raises(ValueError, match="share no memory"):
        pooltk.avg_pool2d(x, 2, out=x[:3, :3])
    with pytest.raises(TypeError, match="array of the input's kind"):
        pooltk.avg_pool2d(x, 2, out=[])


def test_arrays_that_are_refused(ready):
    pooltk.max_pool2d(X, 2)
    with pytest.raises(TypeError, match="without a mask"):
        pooltk.max_pool2d(np.ma.masked_array(X), 2)
    with pytest.raises(TypeError, match="dtype"):
        pooltk.max_pool2d(X.astype("complex64"), 2)
    pooltk.max_pool2d_backward(GRADIENT, X, 2)
    with pytest.raises(TypeError, match="without a mask"):
        pooltk.max_pool2d_backward(GRADIENT, np.ma.masked_array(X), 2)


def test_threads_are_asked_for_anew(ready, monkeypatch):
    asked = []
    monkeypatch.setattr(_threads, "get_num_threads", lambda: asked.append(1) or 2)
    x = np.zeros((1024, 1024), "float32")
    for calls in range(1, 4):
        pooltk.max_pool2d(x, 2)
        assert len(asked) == calls
    pooltk.max_pool2d(X, 2)
    assert len(asked) == 3, "so little work is worth no second thread"


def test_no_more_calls_are_kept_than_so_many(ready, monkeypatch):
    monkeypatch.setattr(_recent, "_MOST", 5)
    for length in range(1, 20):
        pooltk.max_pool1d(np.zeros(length), 1)
        assert 1 <= len(ready) <= 5


def test_what_is_known_is_not_checked_again(ready, monkeypatch):
    expected = pooltk.avg_pool2d(X, 2)
    monkeypatch.setattr(_dispatch, "to_array", None)
    np.testing.assert_array_equal(pooltk.avg_pool2d(X, 2), expected)
    with pytest.raises(TypeError, match="not callable"):
        pooltk.avg_pool2d(X, 3)
