"""Arrays of other libraries, pooled where they lie by the NumPy or the CuPy backend.

DLPack shows their memory to NumPy or CuPy, and the result's memory to them: neither is copied.
`Library` is that rule, and each class below it is the one place that knows how its library departs
from it. No library is imported here, since who passes its array has done so: none but CuPy, for
the arrays of others on its devices.

To its callers this is a backend: the functions at the end take what those of `_cpu` take.
"""

import sys
from math import prod
from types import ModuleType
from typing import Any

import numpy

from . import _checks, _cpu, _recent, _support
from ._geometry import Axis, result_shape

_INT64 = numpy.dtype(numpy.int64)
_INT32_MAX = 2**31 - 1
_DLPACK_CPU, _DLPACK_CUDA = 1, 2  # kDLCPU, kDLCUDA
_JAX_ALIGNMENT = 64  # bytes; what is not aligned so, JAX copies


class Library:
    """A library that has `from_dlpack` and whose arrays have `__dlpack__`."""

    name = "others with DLPack"  # in `_support.LIBRARIES`
    pool: Any = _cpu  # the module that does the work

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        if xp.__name__ in _support.NAMED_LIBRARIES:
            self.name = xp.__name__

    def check(self, function: str, argument: str, x: Any) -> None:
        """Refuse an array that has no memory which NumPy or CuPy can see."""
        self.check_device(function, argument, x, self.device(x))

    def check_device(self, function: str, argument: str, x: Any, device: Any) -> None:
        """Refuse an array on a device of another kind, or on one that CuPy does not work on."""
        if self.is_on_host(x):
            return
        reason = _no_cupy() if self.is_on_cuda(x) else ""
        if reason is not None:
            raise _checks.wrong_device(function, argument, x, device, reason)

    def is_on_host(self, x: Any) -> bool:
        """Tell whether NumPy can see the array; otherwise CuPy can."""
        return bool(x.__dlpack_device__()[0] == _DLPACK_CPU)

    def is_on_cuda(self, x: Any) -> bool:
        """Tell whether CuPy could see the array."""
        return bool(x.__dlpack_device__()[0] == _DLPACK_CUDA)

    def check_out(self, function: str, argument: str, out: Any, like: Any) -> None:
        """Refuse what is no array beside `like`, in its library and on its device, to write to."""
        if library_of(out) is not self:
            raise _checks.wrong_kind_of_out(function, argument, out, like)
        self.check(function, argument, out)
        device, other = self.device(out), self.device(like)
        if device != other:
            raise _checks.mixed_devices(function, argument, out, device, "the input", other)

    def check_indices(self, function: str, axes: tuple[Axis, ...]) -> None:
        """Refuse to return indices that the library has no integers for."""

    def device(self, x: Any) -> Any:
        """Where the array lies."""
        return x.device

    def dtype(self, name: str) -> Any:
        """Dtype of this name; None if the library has none."""
        return getattr(self.xp, name, None)

    def view(self, x: Any) -> numpy.ndarray:
        """NumPy array of the same memory."""
        return numpy.from_dlpack(x)

    def new(self, x: numpy.ndarray, dtype: numpy.dtype, shape: tuple[int, ...]) -> numpy.ndarray:
        """Memory for a result, in the order of `x`, that `array` need not copy."""
        return numpy.empty_like(x, dtype, shape=shape, subok=False)

    def array(self, values: numpy.ndarray, like: Any) -> Any:
        """Array of the library over the memory of `values`, on the device of `like`."""
        return self.xp.from_dlpack(values, device=like.device)

    def exported(self, x: Any) -> Any:
        """Array of the same memory whose DLPack CuPy may take."""
        return x

    def imported(self, values: Any) -> Any:
        """Array of the library over the memory of CuPy's, behind whose work its own then comes."""
        return self.xp.from_dlpack(values)

    def wrote(self, out: Any) -> None:
        """Tell the library that the values of `out` have changed."""

    def backend(self) -> ModuleType:
        """Return the module that pools the library's arrays."""
        return sys.modules[__name__]

    # What follows is the same for every library.

    def memory(
        self, x: numpy.ndarray, dtype: numpy.dtype, shape: tuple[int, ...], out: Any
    ) -> numpy.ndarray:
        """Memory to write a result to: that of `out`, or new."""
        return self.new(x, dtype, shape) if out is None else self.view(out)

    def result(self, values: numpy.ndarray, like: Any, out: Any) -> Any:
        """Hand back what was written to `memory`."""
        if out is None:
            return self.array(values, like)
        self.wrote(out)
        return out


class _Torch(Library):
    """PyTorch: gradients, many kinds of tensors without plain memory, bfloat16."""

    def check(self, function: str, argument: str, x: Any) -> None:
        torch = self.xp
        if torch.jit.is_tracing():
            must = "have values, which it has not inside torch.jit.trace: call outside of it"
            raise _checks.refused(function, argument, x, must)
        if type(x).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
            must = "be a plain torch.Tensor with values of its own"
            raise _checks.refused(function, argument, x, must)
        if x.layout is not torch.strided or x.is_nested:
            must = f"be dense and strided: pass {argument}.to_dense()"
            raise _checks.refused(function, argument, x, must)
        self.check_device(function, argument, x, x.device)
        try:
            x.data_ptr()
        except RuntimeError:
            must = "have values, which it has not inside torch.func.grad, vmap and their like"
            raise _checks.refused(function, argument, x, must) from None
        if torch.is_grad_enabled():
            tangent = torch.autograd.forward_ad.unpack_dual(x).tangent
            if x.requires_grad or tangent is not None:
                must = (
                    f"require no gradient, since none is recorded: pass {argument}.detach(), or "
                    "call under torch.no_grad()"
                )
                raise _checks.refused(function, argument, x, must)
        if x.is_neg():
            must = f"hold its values, not their negatives: pass {argument}.resolve_neg()"
            raise _checks.refused(function, argument, x, must)

    def device(self, x: Any) -> Any:
        return "cpu" if x.is_cpu else x.device  # "cpu:0" is the same

    def is_on_host(self, x: Any) -> bool:
        return bool(x.is_cpu)

    def is_on_cuda(self, x: Any) -> bool:
        return bool(x.is_cuda)  # DLPack does not know all of torch's devices

    def exported(self, x: Any) -> Any:
        return x.detach() if x.requires_grad else x  # under no_grad

    def view(self, x: Any) -> numpy.ndarray:
        x = self.exported(x)
        if x.dtype is self.xp.bfloat16:
            return x.view(self.xp.int16).numpy().view(_support.numpy_dtype("bfloat16"))
        return x.numpy()  # as from_dlpack, and three times as fast

    def array(self, values: numpy.ndarray, like: Any) -> Any:
        if _support.dtype_name(values.dtype) == "bfloat16":
            return self.xp.from_numpy(values.view(numpy.int16)).view(self.xp.bfloat16)
        return self.xp.from_numpy(values)

    def wrote(self, out: Any) -> None:
        self.xp.autograd.graph.increment_version(out)  # autograd may have saved the old values


class _Jax(Library):
    """JAX: tracers, immutable arrays, 32 bits for 64, aligned memory, bfloat16."""

    def check(self, function: str, argument: str, x: Any) -> None:
        if isinstance(x, self.xp.core.Tracer):
            must = (
                "have values, which it has not inside jax.jit, jax.grad, jax.vmap and their like: "
                "call outside of them, or through jax.pure_callback"
            )
            raise _checks.refused(function, argument, x, must)
        device, *others = x.devices()
        if others:
            raise _checks.refused(function, argument, x, "lie on one device, not on several")
        self.check_device(function, argument, x, device)

    def check_out(self, function: str, argument: str, out: Any, like: Any) -> None:
        must = "be None for JAX, whose arrays cannot be written to"
        raise _checks.refused(function, argument, out, must)

    def check_indices(self, function: str, axes: tuple[Axis, ...]) -> None:
        greatest = prod(axis.input_size for axis in axes) - 1
        if greatest > _INT32_MAX and self.dtype("int64") != _INT64:
            raise _checks.narrow_indices(function, greatest, "jax.enable_x64(True)")

    def device(self, x: Any) -> Any:
        (device,) = x.devices()
        return device

    def dtype(self, name: str) -> Any:
        return self.xp.dtypes.canonicalize_dtype(_support.numpy_dtype(name))

    def view(self, x: Any) -> numpy.ndarray:
        if _support.dtype_name(x.dtype) == "bfloat16":
            return numpy.asarray(x)
        return numpy.from_dlpack(x)  # `asarray` copies what is not in row-major order

    def new(self, x: numpy.ndarray, dtype: numpy.dtype, shape: tuple[int, ...]) -> numpy.ndarray:
        size = prod(shape) * dtype.itemsize
        memory = numpy.empty(size + _JAX_ALIGNMENT, numpy.uint8)
        start = -memory.ctypes.data % _JAX_ALIGNMENT
        return memory[start : start + size].view(dtype).reshape(shape)

    def array(self, values: numpy.ndarray, like: Any) -> Any:
        # `from_dlpack` takes no bfloat16, and `asarray` always copies.
        return self.xp.device_put(values, self.device(like), may_alias=True)

    def is_on_host(self, x: Any) -> bool:
        return bool(self.device(x).platform == "cpu")

    def imported(self, values: Any) -> Any:
        narrowed = values.astype(self.dtype(values.dtype.name), copy=False)
        return self.xp.dlpack.from_dlpack(narrowed)


class _Cupy(Library):
    """CuPy: arrays with a backend of their own, on a device."""

    def __init__(self, cupy: ModuleType) -> None:
        super().__init__(cupy)
        from ._cuda import _pool

        self._pool = _pool
        plain_types.add(cupy.ndarray)
        _recent.device_types.add(cupy.ndarray)

    def check(self, function: str, argument: str, x: Any) -> None:
        """Nothing to refuse: where CuPy has arrays, it has their device."""

    def dtype(self, name: str) -> Any:
        return _support.numpy_dtype(name)

    def device(self, x: Any) -> Any:
        return f"cuda:{x.data.device_id}"  # a `cupy.cuda.Device` takes three times as long

    def is_on_host(self, x: Any) -> bool:
        return True  # in its own library's hands

    def view(self, x: Any) -> Any:
        return x

    def backend(self) -> ModuleType:
        return self._pool


class _OnDevice(Library):
    """The arrays of another library that lie on a CUDA device: as CuPy's.

    DLPack lets each library's work wait for that of the other on the array, and the host for none.
    """

    def __init__(self, library: Library) -> None:
        import cupy

        from ._cuda import _pool

        self.library, self.cupy, self.pool = library, cupy, _pool

    def view(self, x: Any) -> Any:
        return self.cupy.from_dlpack(self.library.exported(x))

    def new(self, x: Any, dtype: numpy.dtype, shape: tuple[int, ...]) -> Any:
        with x.device:
            return self.cupy.empty_like(x, dtype=dtype, shape=shape)

    def result(self, values: Any, like: Any, out: Any) -> Any:
        imported = self.library.imported(values)
        if out is None:
            return imported
        self.library.wrote(out)
        return out


# --- which library an array is of -----------------------------------------------------------


def library_of(x: Any) -> Library | None:
    """Return the library that shows NumPy the memory of arrays like `x`, if it has one."""
    cupy, torch, jax = map(sys.modules.get, ("cupy", "torch", "jax"))
    if cupy is not None and isinstance(x, cupy.ndarray):
        return _LIBRARIES.get(cupy) or _LIBRARIES.setdefault(cupy, _Cupy(cupy))
    if torch is not None and isinstance(x, torch.Tensor):
        return _LIBRARIES.get(torch) or _LIBRARIES.setdefault(torch, _Torch(torch))
    if jax is not None and isinstance(x, jax.Array):
        return _LIBRARIES.get(jax) or _LIBRARIES.setdefault(jax, _Jax(jax))
    if hasattr(type(x), "__dlpack__") and speaks_array_api(x):
        xp = namespace(x)
        return _LIBRARIES.get(xp) or _LIBRARIES.setdefault(xp, Library(xp))
    return None


_LIBRARIES: dict[Any, Library] = {}  # those met so far, by their modules
plain_types: set[type] = set()  # of arrays in which nothing but their dtype needs a look


def speaks_array_api(x: Any) -> bool:
    """Tell whether `x` is an array with the array API's functions."""
    import array_api_compat  # takes 100 ms or more, with what it imports for a library

    return array_api_compat.is_array_api_obj(x)


def namespace(x: Any) -> Any:
    """Return the module with the array API's functions for `x`."""
    if type(x) is numpy.ndarray:
        return numpy
    import array_api_compat

    return array_api_compat.array_namespace(x)


def check_host(function: str, argument: str, x: Any) -> None:
    """Refuse what belongs to no array library and would be copied from its device by NumPy."""
    if hasattr(x, "__cuda_array_interface__") or (
        hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] != _DLPACK_CPU
    ):
        raise _checks.wrong_device(function, argument, x, "another device")


# --- the arrays of a call ------------------------------------------------------------------


def check_same(function: str, argument: str, x: Any, other_argument: str, other: Any) -> None:
    """Refuse two arrays of different libraries or devices."""
    library = library_of(x)
    if library is not library_of(other) or (library is None and namespace(x) != namespace(other)):
        raise _checks.mixed_libraries(function, argument, x, other_argument, other)
    device, other_device = (
        getattr(array, "device", None) if library is None else library.device(array)
        for array in (x, other)
    )
    if device != other_device:
        raise _checks.mixed_devices(function, argument, x, device, other_argument, other_device)


def out_array(
    function: str, argument: str, given: Any, shape: tuple[int, ...], dtype: Any, inputs: list[Any]
) -> Any:
    """Return `out` for arrays other than NumPy's, sure that the result can be written to it."""
    like = inputs[0]
    library = library_of(like)
    if library is None:
        if not isinstance(given, type(like)):
            raise _checks.wrong_kind_of_out(function, argument, given, like)
        _checks.check_out(function, argument, given, shape, dtype)
        # Nothing tells what memory it shares; `_reference` writes to it last of all.
        if any(given is array for array in inputs):
            raise _checks.shared_out(function, argument, given)
        return given
    library.check_out(function, argument, given, like)
    _checks.check_out(function, argument, given, shape, dtype)
    views = [_addresses(array) for array in [given, *inputs]]
    _checks.check_out_memory(function, argument, given, views[0], views[1:])
    return given


def _addresses(x: Any) -> numpy.ndarray:
    """Array with the addresses of `x`, to ask what shares memory; one on a device is never read."""
    view = _of(x).view(x)
    return view if isinstance(view, numpy.ndarray) else numpy.asarray(_DeviceMemory(view))


class _DeviceMemory:
    """What NumPy takes for an array where one of CuPy lies."""

    def __init__(self, x: Any) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (x.data.ptr, False),
            "shape": x.shape,
            "strides": x.strides,
            "typestr": f"|V{x.dtype.itemsize}",
        }


# --- the backend ---------------------------------------------------------------------------


def max_pool(
    x: Any, axes: tuple[Axis, ...], channels_last: bool, return_indices: bool, out: Any
) -> Any:
    """Maxima of windows, and where they are."""
    library = _of(x)
    view = library.view(x)
    shape = result_shape(view.shape, axes, channels_last)
    out_values, out_indices = out if return_indices and out is not None else (out, None)
    values = library.memory(view, view.dtype, shape, out_values)
    if not return_indices:
        library.pool.max_pool(view, axes, channels_last, False, values)
        return library.result(values, x, out)
    indices = library.memory(view, _INT64, shape, out_indices)
    library.pool.max_pool(view, axes, channels_last, True, (values, indices))
    return library.result(values, x, out_values), library.result(indices, x, out_indices)


def avg_pool(
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: Any,
    out: Any,
) -> Any:
    """Averages of windows."""
    library = _of(x)
    view = library.view(x)
    dtype = _support.numpy_dtype(_support.dtype_name(dtype))
    values = library.memory(view, dtype, result_shape(view.shape, axes, channels_last), out)
    library.pool.avg_pool(
        view, axes, channels_last, count_include_pad, divisor_override, dtype, values
    )
    return library.result(values, x, out)


def max_pool_backward(
    grad_output: Any,
    x: Any,
    axes: tuple[Axis, ...],
    channels_last: bool,
    indices: Any,
    out: Any,
) -> Any:
    """Each gradient, at the tap that won."""
    library = _of(grad_output)
    gradient, view = library.view(grad_output), library.view(x)
    if indices is not None:
        indices = library.view(indices).astype(_INT64, copy=False)
    grad_input = library.memory(gradient, gradient.dtype, view.shape, out)
    library.pool.max_pool_backward(gradient, view, axes, channels_last, indices, grad_input)
    return library.result(grad_input, grad_output, out)


def avg_pool_backward(
    grad_output: Any,
    input_shape: tuple[int, ...],
    axes: tuple[Axis, ...],
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: Any,
) -> Any:
    """Each gradient, divided among its window's taps."""
    library = _of(grad_output)
    gradient = library.view(grad_output)
    grad_input = library.memory(gradient, gradient.dtype, input_shape, out)
    library.pool.avg_pool_backward(
        gradient, input_shape, axes, channels_last, count_include_pad, divisor_override, grad_input
    )
    return library.result(grad_input, grad_output, out)


def _of(x: Any) -> Library:
    library = library_of(x)
    assert library is not None  # or `_dispatch` had chosen another backend
    return library if library.is_on_host(x) else _OnDevice(library)


def _no_cupy() -> str | None:
    """Say why CuPy cannot pool an array on a CUDA device; None if it can."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    return None if cupy.is_available() else "CuPy finds no device"
