"""The public functions, one file for each family of operations.

They take these arrays without a copy, and give back arrays of the same library:

- NumPy's, of any strides and kind of memory. A subclass counts as its base array, a mask is
  refused, bfloat16 is that of ml_dtypes; only what is not in native byte order is copied. Lists
  and numbers become arrays of NumPy.
- CuPy's, of any strides, on any of its devices. Work is put on the current stream, and nothing
  waits for it.
- PyTorch's dense tensors that require no gradient, or any under ``torch.no_grad()``.
- JAX's, outside of its transformations. They cannot be ``out``. Unless JAX's x64 mode is on, it has
  no 64-bit results: indices are int32, and averages of integers float32.
- those of any other library of the array API that exports DLPack.
- those of any other library of the array API. The library's own functions pool them, slowly.

All but CuPy's lie on the CPU, or on a CUDA device where CuPy is installed and works.

The arrays of a call are of one library and on one device. What lies elsewhere is refused: nothing
is copied from one device to another.

A function owns its signature and docstring. Behind it, one private function for each family
takes the number of pooled axes: it checks the arguments (`_checks`), has the windows described
(`_geometry`), and calls the backend of the array (`_dispatch`).
"""

from ._adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool3d,
    adaptive_avg_pool3d_backward,
    adaptive_max_pool1d,
    adaptive_max_pool1d_backward,
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    adaptive_max_pool3d,
    adaptive_max_pool3d_backward,
)
from ._avg import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
)
from ._max import (
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
)
from ._shapes import ReceptiveField, pool_output_shape, receptive_field

__all__ = [
    "ReceptiveField",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool3d",
    "adaptive_avg_pool3d_backward",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_backward",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "pool_output_shape",
    "receptive_field",
]
