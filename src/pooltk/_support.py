"""What pools which arrays, as data: the checks, `show_config`, tests and documents read it.

Dtypes are named by strings, since no object names `bfloat16`, or any dtype, in every library.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy

FLOATING = ("float16", "bfloat16", "float32", "float64")
INTEGER = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
REAL = (*FLOATING, *INTEGER, "bool")

#: Operation, named as in the backends -> backend -> dtypes of the array that it pools or spreads.
OPERATIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "max_pool": {"cpu": REAL, "cuda": REAL, "reference": REAL},
    "avg_pool": {"cpu": REAL, "cuda": REAL, "reference": REAL},
    # Its `x` is that of `max_pool`.
    "max_pool_backward": {"cpu": FLOATING, "cuda": FLOATING, "reference": FLOATING},
    "avg_pool_backward": {"cpu": FLOATING, "cuda": FLOATING, "reference": FLOATING},
    # Given to `max_pool_backward`; those that `max_pool` returns are int64.
    "indices": {"cpu": INTEGER, "cuda": INTEGER, "reference": INTEGER},
}


class Library(NamedTuple):
    """How a library's arrays are pooled."""

    backend: str
    dtypes: tuple[str, ...]  # that the library has, of those that any backend takes


#: The module's name -> its arrays. Of the others it matters whether DLPack shows them to NumPy.
LIBRARIES = {
    "numpy": Library("cpu", REAL),
    "cupy": Library("cuda", REAL),
    "torch": Library("cpu", REAL),
    "jax": Library("cpu", REAL),
    "array_api_strict": Library("cpu", ("float32", "float64", *INTEGER, "bool")),
    "others with DLPack": Library("cpu", REAL),
    "others": Library("reference", REAL),
}
NAMED_LIBRARIES = tuple(name for name in LIBRARIES if not name.startswith("others"))


@lru_cache(maxsize=256)
def dtypes(operation: str, library: str) -> tuple[str, ...]:
    """Tell which dtypes an operation takes of a library's arrays."""
    backend, known = LIBRARIES[library]
    return tuple(name for name in OPERATIONS[operation][backend] if name in known)


@lru_cache(maxsize=256)
def average_dtypes(x_name: str, library: str) -> tuple[str, ...]:
    """Tell which dtypes an average of `x_name` can be asked for; the first is the default."""
    if x_name in FLOATING:
        names = (x_name, *(name for name in FLOATING if name != x_name))
    else:
        names = ("float64", "float16", "bfloat16", "float32", *INTEGER)
    return tuple(name for name in names if name in LIBRARIES[library].dtypes)


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of any library: "float32" of `torch.float32`."""
    if isinstance(dtype, numpy.dtype):  # JAX's and CuPy's too
        return _numpy_name(dtype)
    return str(dtype).rpartition(".")[2]


@lru_cache(maxsize=256)
def _numpy_name(dtype: numpy.dtype) -> str:
    return dtype.name  # takes longer than a small call has


@lru_cache(maxsize=64)
def numpy_dtype(name: str) -> numpy.dtype:
    """Return NumPy's dtype of this name; its bfloat16 is that of ml_dtypes."""
    if name != "bfloat16":
        return numpy.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError("bfloat16 needs the package ml_dtypes: pip install ml_dtypes") from None
    return numpy.dtype(ml_dtypes.bfloat16)
