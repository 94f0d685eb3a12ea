"""Array -> backend: where the data lives decides who pools it.

The type of a plain NumPy array is tested first everywhere: it is the common case, and nothing
of what `_foreign` knows, or imports, is needed for it.
"""

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy

from . import _checks, _cpu, _foreign, _reference, _support

_INT64 = numpy.dtype(numpy.int64)
_PYTHON_DATA = (list, tuple, bool, int, float, complex, str, bytes, numpy.generic)
# The dtypes that need no further look; bfloat16 and those in another byte order are not among them.
_PLAIN_DTYPES = {
    operation: {
        numpy.dtype(name) for name in _support.dtypes(operation, "numpy") if name != "bfloat16"
    }
    for operation in _support.OPERATIONS
}


def to_array(function: str, argument: str, x: Any, operation: str) -> Any:
    """Return `x` as an array of its library; what belongs to none becomes NumPy's.

    No array is copied, so that the checks can come before any work. Refused is an array that no
    backend can pool where it lies, or that has a dtype which the operation does not take.
    """
    if type(x) is numpy.ndarray or type(x) in _foreign.plain_types:
        if x.dtype in _PLAIN_DTYPES[operation]:
            return x
    else:
        x = _to_array(function, argument, x)
    _checks.check_dtype(function, argument, x.dtype, _support.dtypes(operation, _library_name(x)))
    return x


def _to_array(function: str, argument: str, x: Any) -> Any:
    if isinstance(x, numpy.ma.MaskedArray):
        raise _checks.masked_array(function, argument)
    if isinstance(x, numpy.ndarray):
        return numpy.asarray(x)
    if not isinstance(x, _PYTHON_DATA):
        library = _foreign.library_of(x)
        if library is not None:
            library.check(function, argument, x)
            return x
        if _foreign.speaks_array_api(x):
            return x
        _foreign.check_host(function, argument, x)
    try:
        array = numpy.asarray(x)
    except ValueError:
        raise _checks.ragged_array(function, argument, x) from None
    if array.ndim == 0 and array.dtype.hasobject:
        raise _checks.no_array(function, argument, x)
    return array


def backend(x: Any) -> ModuleType:
    """Return the module that pools `x`, an array that `to_array` gave."""
    if type(x) is numpy.ndarray:
        return _cpu
    library = _foreign.library_of(x)
    return _reference if library is None else library.backend()


def _library_name(x: Any) -> str:
    """Return the name of an array's library in `_support.LIBRARIES`."""
    if type(x) is numpy.ndarray:
        return "numpy"
    library = _foreign.library_of(x)
    return "others" if library is None else library.name


# --- the other arrays of a call ------------------------------------------------------------


def same_library(function: str, argument: str, x: Any, other_argument: str, other: Any) -> None:
    """Refuse two arrays of different libraries or devices in one call."""
    if type(x) is numpy.ndarray and type(other) is numpy.ndarray:
        return
    _foreign.check_same(function, argument, x, other_argument, other)


def native(x: Any) -> Any:
    """Return `x` in the machine's byte order: the one copy of an input that is ever made."""
    if type(x) is not numpy.ndarray or x.dtype.isnative:
        return x
    return x.astype(x.dtype.newbyteorder("="))


def native_dtype(x: Any) -> Any:
    """Return the dtype of `native(x)`."""
    return x.dtype.newbyteorder("=") if type(x) is numpy.ndarray else x.dtype


def as_indices(indices: Any) -> Any:
    """Return `indices` as int64; an unsigned one beyond it becomes negative: outside the plane."""
    if type(indices) is numpy.ndarray and indices.dtype == _INT64:
        return indices
    if type(indices) is not numpy.ndarray and _foreign.library_of(indices) is not None:
        return indices  # `_foreign` converts them, and CUDA kernels take any integers
    xp = _foreign.namespace(indices)
    return xp.astype(indices, xp.int64, copy=False)


def check_indices(function: str, x: Any, axes: Any) -> None:
    """Refuse to return indices of `x` that its library has no integers for."""
    if type(x) is numpy.ndarray:
        return
    library = _foreign.library_of(x)
    if library is not None:
        library.check_indices(function, axes)


# --- dtypes --------------------------------------------------------------------------------


def average_dtype(function: str, x: Any, dtype: Any) -> Any:
    """Dtype of an average of `x`, as an object of its library; None asks for the default."""
    if dtype is None and type(x) is numpy.ndarray:
        return _default_average_dtype(x.dtype)
    library = _library_name(x)
    x_name = _support.dtype_name(x.dtype)
    allowed = _support.average_dtypes(x_name, library)
    if library not in _support.NAMED_LIBRARIES:
        allowed = tuple(name for name in allowed if dtype_like(x, name) is not None)
    if dtype is None:
        return dtype_like(x, allowed[0])
    name = _checks.as_average_dtype(function, dtype, _dtype_name_of(x, dtype), x_name, allowed)
    return dtype_like(x, name)


@lru_cache(maxsize=64)
def _default_average_dtype(dtype: numpy.dtype) -> numpy.dtype:
    return _support.numpy_dtype(_support.average_dtypes(_support.dtype_name(dtype), "numpy")[0])


def _dtype_name_of(x: Any, dtype: Any) -> str | None:
    """Name of what a caller passed as `dtype` beside `x`; None if it is no dtype."""
    if isinstance(dtype, str) and dtype in _support.REAL:
        return dtype
    if type(dtype) is type(x.dtype):
        return _support.dtype_name(dtype)
    try:
        return _support.dtype_name(numpy.dtype(dtype))
    except (TypeError, ValueError):
        return None


def dtype_like(x: Any, name: str) -> Any:
    """Dtype called `name` in the library of `x`, or None."""
    if type(x) is numpy.ndarray:
        return _support.numpy_dtype(name)
    library = _foreign.library_of(x)
    return getattr(_foreign.namespace(x), name, None) if library is None else library.dtype(name)


# --- results -------------------------------------------------------------------------------


def out_array(
    function: str, argument: str, given: Any, shape: tuple[int, ...], dtype: Any, inputs: list[Any]
) -> Any:
    """Return `out` as an array that the result can be written to."""
    like = inputs[0]
    if type(like) is numpy.ndarray:
        if not isinstance(given, numpy.ndarray) or isinstance(given, numpy.ma.MaskedArray):
            raise _checks.wrong_kind_of_out(function, argument, given, like)
        _checks.check_out(function, argument, given, shape, dtype)
        _checks.check_out_memory(function, argument, given, given, inputs)
        return numpy.asarray(given)
    return _foreign.out_array(function, argument, given, shape, dtype, inputs)


def out_pair(
    function: str,
    given: Any,
    shape: tuple[int, ...],
    dtype: Any,
    indices_dtype: Any,
    inputs: list[Any],
) -> tuple[Any, Any]:
    """Return `out` of a call with indices as a pair of arrays that can be written to."""
    _checks.check_pair(function, given)
    values = out_array(function, "out[0]", given[0], shape, dtype, inputs)
    return values, out_array(function, "out[1]", given[1], shape, indices_dtype, [*inputs, values])
