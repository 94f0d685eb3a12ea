"""Arrays of other libraries on a CUDA device: pooled there as CuPy's, and handed back in kind.

The library is a made-up one, around CuPy's own memory: it stands for those that have from_dlpack.
"""

from types import ModuleType

import numpy as np
import pytest
from _cpu_cases import array_of, assert_same_bits

import pooltk
from pooltk import _foreign

pytestmark = pytest.mark.gpu


class Array:
    """What pooltk may ask of an array: the array API's attributes, and DLPack."""

    def __init__(self, array):
        self.array = array
        self.shape, self.ndim, self.size = array.shape, array.ndim, array.size
        self.dtype = array.dtype
        self.device = f"cuda:{array.device.id}"

    def __array_namespace__(self, api_version=None):
        return LIBRARY

    def __dlpack__(self, **arguments):
        LIBRARY.asked.append(arguments)
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


LIBRARY = ModuleType("others")
LIBRARY.asked = []
for name in ("float32", "float64", "int64"):
    setattr(LIBRARY, name, np.dtype(name))


@pytest.fixture
def array(cupy, monkeypatch):
    """Function that makes such an array of NumPy's."""
    monkeypatch.setattr(_foreign, "speaks_array_api", lambda x: isinstance(x, Array))
    monkeypatch.setattr(_foreign, "namespace", lambda x: LIBRARY)
    monkeypatch.setattr(LIBRARY, "asked", [])
    LIBRARY.from_dlpack = lambda x: Array(cupy.from_dlpack(x))
    return lambda values: Array(cupy.asarray(values))


def values_of(array):
    assert type(array) is Array
    return array.array.get()


def test_results_are_of_the_library(array):
    x = array_of((2, 9, 32), "float32", 0)
    on_device = array(x)
    values, indices = pooltk.max_pool2d(on_device, 2, return_indices=True)
    expected = pooltk.max_pool2d(x, 2, return_indices=True)
    assert_same_bits(values_of(values) + 0, expected[0] + 0)
    assert_same_bits(values_of(indices), expected[1])
    averages = values_of(pooltk.avg_pool2d(on_device, 2))
    np.testing.assert_allclose(averages, pooltk.avg_pool2d(x, 2), atol=1e-6)
    for given in ({}, {"indices": indices}):
        result = pooltk.max_pool2d_backward(values, on_device, 2, **given)
        np.testing.assert_array_equal(
            values_of(result), pooltk.max_pool2d_backward(expected[0], x, 2)
        )
    result = pooltk.avg_pool2d_backward(values, x.shape, 2)
    np.testing.assert_allclose(
        values_of(result), pooltk.avg_pool2d_backward(expected[0], x.shape, 2), atol=1e-6
    )


def test_memory_is_shared(array):
    x = array_of((4, 8), "float32", 0)
    on_device, out = array(x), array(np.zeros((2, 4), "float32"))
    assert pooltk.max_pool2d(on_device, 2, out=out) is out
    np.testing.assert_array_equal(values_of(out), pooltk.max_pool2d(x, 2))
    with pytest.raises(ValueError, match=r"max_pool2d: out=<.*Array> must share no memory"):
        pooltk.max_pool2d(on_device, 2, out=Array(on_device.array[:2, :4]))


def test_nothing_waits(log, array):
    on_device, out = array(np.ones((4, 8), "float32")), array(np.zeros((2, 4), "float32"))
    for arguments in ({}, {"out": out}):
        pooltk.max_pool2d(on_device, 2, **arguments)
        with log.record() as recorded:
            pooltk.max_pool2d(on_device, 2, **arguments)
        recorded.assert_asynchronous()
        assert len(recorded.launches) == 1


def test_the_library_is_told_the_stream(cupy, array):
    """So that CuPy's work comes behind what the library has still to do on the array."""
    on_device = array(np.ones((4, 8), "float32"))
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        pooltk.max_pool2d(on_device, 2)
    assert {asked["stream"] for asked in LIBRARY.asked} == {stream.ptr}
