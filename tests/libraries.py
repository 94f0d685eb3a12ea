"""Arrays of each library, for tests that say the same of all of them."""

import contextlib
import os
from math import prod
from threading import Lock

import array_api_strict
import ml_dtypes
import numpy as np
import pytest

from pooltk import _dispatch, _foreign, _recent, _reference

FLOATING = ("float16", "bfloat16", "float32", "float64")
INTEGER = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DTYPES = (*FLOATING, *INTEGER, "bool")


def dtype_named(name):
    """NumPy dtype of this name, bfloat16 included."""
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


class Patch:
    """Attributes that are others for as long as any thread is within."""

    def __init__(self, *attributes):
        self.attributes = attributes
        self.patch = pytest.MonkeyPatch()
        self.lock = Lock()
        self.within = 0

    def __enter__(self):
        with self.lock:
            self.within += 1
            if self.within == 1:
                for module, name, value in self.attributes:
                    self.patch.setattr(module, name, value)

    def __exit__(self, *error):
        with self.lock:
            self.within -= 1
            if not self.within:
                self.patch.undo()


# The reference pools NumPy's arrays. (Calls that are known would go straight to the kernels.)
BY_REFERENCE = Patch((_dispatch, "backend", lambda x: _reference), (_recent, "ready", {}))
WITHOUT_DLPACK = Patch((_foreign, "library_of", lambda x: None))


class Library(contextlib.AbstractContextManager):
    """NumPy arrays, pooled by the compiled kernels."""

    name = "numpy"  # in the package's table of libraries
    dtypes = DTYPES

    def __exit__(self, *error):
        return None

    def having(self, names):
        """Those of these dtypes that the library has."""
        return [name for name in names if name in self.dtypes]

    def array(self, values, dtype="float64"):
        """Array of this library."""
        return np.array(values, dtype_named(dtype))

    def numpy(self, array):
        """NumPy array of the same elements; fails if `array` is of another library."""
        assert type(array) is np.ndarray
        return array

    def dtype(self, name):
        """Dtype, as this library calls it."""
        return dtype_named(name)


class Hostile(Library):
    """NumPy arrays with gaps, whose axes run backwards, at an odd address."""

    def array(self, values, dtype="float64"):
        values = super().array(values, dtype)
        shape = tuple(2 * size for size in values.shape)
        memory = np.full(prod(shape) * values.itemsize + 1, 77, np.uint8)
        room = memory[1:].view(values.dtype).reshape(shape)
        array = room[(..., *[slice(None, None, -2)] * values.ndim)]
        array[...] = values
        return array


class Reference(Library):
    """NumPy arrays, pooled by the reference."""

    def __enter__(self):
        BY_REFERENCE.__enter__()
        return self

    def __exit__(self, *error):
        BY_REFERENCE.__exit__(*error)


class Strict(Library):
    """Arrays that offer what the array API demands and no more, pooled through DLPack."""

    name = "array_api_strict"
    dtypes = tuple(name for name in DTYPES if name not in ("float16", "bfloat16"))

    def array(self, values, dtype="float64"):
        return array_api_strict.asarray(super().array(values, dtype))

    def numpy(self, array):
        assert type(array) is type(array_api_strict.asarray(0))
        return np.from_dlpack(array)

    def dtype(self, name):
        return getattr(array_api_strict, name)


class StrictReference(Strict):
    """The same without DLPack: the reference pools them."""

    name = "others"

    def __enter__(self):
        WITHOUT_DLPACK.__enter__()
        return self

    def __exit__(self, *error):
        WITHOUT_DLPACK.__exit__(*error)


class Cupy(Library):
    """Arrays on a device, pooled by the CUDA kernels."""

    name = "cupy"

    def __init__(self):
        self.cupy = import_cupy()

    def __enter__(self):
        return self

    def array(self, values, dtype="float64"):
        return self.cupy.asarray(super().array(values, dtype))

    def numpy(self, array):
        assert type(array) is self.cupy.ndarray
        return self.cupy.asnumpy(array)


def import_cupy():
    """CuPy, if it has a device. Where POOLTK_REQUIRE_GPU=1, it must have one."""
    required = os.environ.get("POOLTK_REQUIRE_GPU") == "1"
    try:
        import cupy
    except ImportError:
        if required:
            raise
        pytest.skip("CuPy is not installed")
    if not cupy.is_available():
        assert not required, "CuPy finds no device"
        pytest.skip("CuPy finds no device")
    return cupy


LIBRARIES = {
    "numpy": Library,
    "numpy-hostile": Hostile,
    "numpy-reference": Reference,
    "strict": Strict,
    "strict-reference": StrictReference,
    "cupy": Cupy,
}


class Exhausted:
    """NumPy, as a module sees it that gets memory for so many arrays more."""

    def __init__(self, left):
        self.left = left

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, *args, **kwargs):
        return self._new(np.empty, *args, **kwargs)

    def empty_like(self, *args, **kwargs):
        return self._new(np.empty_like, *args, **kwargs)

    def array(self, *args, **kwargs):
        return self._new(np.array, *args, **kwargs)

    def ascontiguousarray(self, *args, **kwargs):
        return self._new(np.ascontiguousarray, *args, **kwargs)

    def _new(self, function, *args, **kwargs):
        if not self.left:
            raise MemoryError("no memory for this array")
        self.left -= 1
        return function(*args, **kwargs)
