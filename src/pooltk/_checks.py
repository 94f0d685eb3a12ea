"""Which arguments are legal, and the words of every error.

Checks look at types, shapes and dtypes, never at an array's values, and all of them are done
before any work. A wrong type is a TypeError, a wrong value a ValueError, and both read
``{function}: {argument}={given} must ...``.

What is said about plain ints is cached, and a cache takes ``True`` and ``1.0`` for ``1``: so
every public check here first makes sure of the types, then asks its cached other half.
"""

import operator
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy

from . import _geometry, _support
from ._geometry import Axis

Shape = tuple[int, ...]
Ints = int | tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
Windows = tuple[tuple[Axis, ...], Shape]  # the pooled axes, and the shape of the forward's result

# Bytes of the widest result (int64 or float64) stay below 2**63, whatever its dtype.
_MAX_ELEMENTS = (2**63 - 1) // 8
# Positions along an axis, and every sum of two of them, are int64 in the kernels.
_MAX_POSITION = 2**62 - 1
# A float64 holds every smaller integer: a window's count and its divisor are exact in it.
_MAX_TAPS = 2**53 - 1


# --- the words -----------------------------------------------------------------------------


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 100 else f"<{type_name(given)}>"


def _wrong(
    error: type[Exception], function: str, argument: str, given: str, must: str
) -> Exception:
    return error(f"{function}: {argument}={given} must {must}")


def type_name(value: Any) -> str:
    """Library and class of an object: "torch.Tensor"."""
    cls = type(value)
    library = cls.__module__.partition(".")[0]
    return cls.__name__ if library == "builtins" else f"{library}.{cls.__name__}"


def no_array(function: str, argument: str, given: Any) -> Exception:
    """Error: the object is not an array."""
    return _wrong(TypeError, function, argument, _shown(given), "be an array of numbers")


def ragged_array(function: str, argument: str, given: Any) -> Exception:
    """Error: nested sequences that make no rectangular array."""
    return _wrong(
        ValueError, function, argument, _shown(given), "have rows of equal length, as an array has"
    )


def masked_array(function: str, argument: str) -> Exception:
    """Error: pooling would lose the mask."""
    must = "be an array without a mask, which would be lost: fill it first"
    return _wrong(TypeError, function, argument, "numpy.ma.MaskedArray", must)


def mixed_libraries(
    function: str, argument: str, given: Any, other_argument: str, other: Any
) -> Exception:
    """Error: the arrays of one call come from two libraries."""
    must = f"come from the same library as {other_argument}={type_name(other)}"
    return _wrong(TypeError, function, argument, type_name(given), must)


def mixed_devices(
    function: str, argument: str, given: Any, device: Any, other_argument: str, other: Any
) -> Exception:
    """Error: the arrays of one call lie on two devices."""
    must = f"lie where {other_argument} does, on {other}"
    return _wrong(ValueError, function, argument, f"<{type_name(given)} on {device}>", must)


def wrong_device(
    function: str, argument: str, given: Any, device: Any, because: str = ""
) -> Exception:
    """Error: no backend pools an array where this one lies; `because` says what is amiss there."""
    must = (
        "lie on the CPU or on a CUDA device on which CuPy works, since it is pooled where it lies"
    )
    if because:
        must += f": {because}"
    return _wrong(ValueError, function, argument, f"<{type_name(given)} on {device}>", must)


def refused(function: str, argument: str, given: Any, must: str) -> Exception:
    """Error: an array with a peculiarity of its library, in the words of `_foreign`."""
    return _wrong(TypeError, function, argument, f"<{type_name(given)}>", must)


def narrow_indices(function: str, greatest: int, remedy: str) -> Exception:
    """Error: the library's integers are too narrow for the indices."""
    must = f"be False, as int32 holds no index of {greatest}; or pool under {remedy}"
    return _wrong(ValueError, function, "return_indices", "True", must)


def not_compiled(kernel: str, options: Sequence[str], reason: Exception) -> Exception:
    """Error: CuPy, its compiler or the driver refused a kernel, and says why."""
    return RuntimeError(
        f"the CUDA kernel {kernel} was not compiled with {' '.join(options)}, since CuPy says: "
        f"{type_name(reason)}: {reason}"
    )


# --- single values -------------------------------------------------------------------------


def as_flag(function: str, argument: str, given: Any) -> bool:
    """Return a bool; 0 and 1 are none."""
    if type(given) is bool:
        return given
    if isinstance(given, numpy.bool):
        return bool(given)
    raise _wrong(TypeError, function, argument, _shown(given), "be a bool")


def is_channels_last(function: str, data_format: Any) -> bool:
    """Tell whether the pooled axes come before the last one."""
    if not isinstance(data_format, str):
        raise _wrong(TypeError, function, "data_format", _shown(data_format), "be a str")
    if data_format == "channels_first":
        return False
    if data_format == "channels_last":
        return True
    must = "be 'channels_first' or 'channels_last'"
    raise _wrong(ValueError, function, "data_format", _shown(data_format), must)


def as_divisor(function: str, given: Any) -> int | None:
    """Return `divisor_override`: None, or an int other than 0."""
    if given is None:
        return None
    try:
        value = _as_int(given)
    except TypeError:
        must = "be None or an int"
        raise _wrong(TypeError, function, "divisor_override", _shown(given), must) from None
    if value == 0 or abs(value) > _MAX_TAPS:
        must = "be an int other than 0 and between -2**53 and 2**53"
        raise _wrong(ValueError, function, "divisor_override", _shown(given), must)
    return value


def check_dtype(function: str, argument: str, given: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a dtype whose name is not among `allowed`."""
    name = _support.dtype_name(given)
    if name not in allowed:
        must = f"be one of {', '.join(allowed)}"
        raise _wrong(TypeError, function, f"{argument}.dtype", name, must)


def as_average_dtype(
    function: str, given: Any, name: str | None, x_name: str, allowed: tuple[str, ...]
) -> str:
    """Return the name of an average's dtype; None, for no dtype at all, is refused as well."""
    if name is None or name not in allowed:
        must = f"be one of {', '.join(allowed)} for x.dtype={x_name}"
        raise _wrong(TypeError, function, "dtype", _shown(given), must)
    return name


# --- ints, one or one per axis -------------------------------------------------------------


def _as_int(given: Any) -> int:
    """Return anything with ``__index__`` as int, bools of any library excepted."""
    if type(given) is int:
        return given
    if isinstance(given, bool) or _support.dtype_name(getattr(given, "dtype", None)) == "bool":
        raise TypeError
    return int(operator.index(given))


def _are_plain_ints(given: Any) -> bool:
    if type(given) is not tuple:
        return False
    for value in given:  # noqa: SIM110 - `all` takes three times as long
        if type(value) is not int:
            return False
    return True


def _ints(function: str, argument: str, given: Any, ndim: int, none: bool = False) -> Any:
    """Return an int, or a tuple with one for each pooled axis; with `none`, also None for any."""
    if _are_plain_ints(given) and len(given) == ndim:
        return given
    kind = "int or None" if none else "int"
    try:
        if not isinstance(given, (list, tuple)):
            return None if none and given is None else _as_int(given)
        values = tuple(None if none and value is None else _as_int(value) for value in given)
    except TypeError:
        must = f"be an {kind}, or a tuple of one {kind} for each pooled axis"
        raise _wrong(TypeError, function, argument, _shown(given), must) from None
    if len(values) != ndim:
        must = f"be an {kind}, or a tuple of length {ndim}, the number of pooled axes"
        raise _wrong(ValueError, function, argument, _shown(given), must)
    return values


def _padding(function: str, given: Any, ndim: int) -> str | Ints | Pairs:
    """Return padding in one of its forms, made of plain ints and tuples."""
    if _are_plain_ints(given):
        return _ints(function, "padding", given, ndim)
    if isinstance(given, str):
        if given not in ("valid", "same", "same_lower"):
            must = "be 'valid', 'same' or 'same_lower', if it is a str"
            raise _wrong(ValueError, function, "padding", _shown(given), must)
        return str(given)
    if not isinstance(given, (list, tuple)) or not any(
        isinstance(side, (list, tuple)) for side in given
    ):
        return _ints(function, "padding", given, ndim)
    try:
        pairs: Any = tuple(tuple(map(_as_int, pair)) for pair in given)
    except TypeError:
        must = "be made of ints, or of one (low, high) pair of ints for each pooled axis"
        raise _wrong(TypeError, function, "padding", _shown(given), must) from None
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        must = f"be one (low, high) pair for each pooled axis, {ndim} in all"
        raise _wrong(ValueError, function, "padding", _shown(given), must)
    return pairs


def as_shape(function: str, argument: str, given: Any) -> Shape:
    """Return a shape as tuple of ints; the windows' checks look at their values."""
    if _are_plain_ints(given):
        return given
    if isinstance(given, (list, tuple)):
        try:
            return tuple(map(_as_int, given))
        except TypeError:
            pass
    raise _wrong(TypeError, function, argument, _shown(given), "be a tuple of ints")


def as_layers(function: str, given: Any) -> list[tuple[int, ...]]:
    """Return (kernel_size, stride, padding, dilation) of each layer."""
    if not isinstance(given, (list, tuple)):
        must = "be a sequence of (kernel_size, stride, padding, dilation)"
        raise _wrong(TypeError, function, "layers", _shown(given), must)
    layers = []
    for number, layer in enumerate(given):
        argument, shown = f"layers[{number}]", _shown(layer)
        if not isinstance(layer, (list, tuple)):
            raise _wrong(TypeError, function, argument, shown, "be a tuple of ints")
        try:
            values = tuple(map(_as_int, layer))
        except TypeError:
            must = "be a tuple of ints"
            raise _wrong(TypeError, function, argument, shown, must) from None
        if not 1 <= len(values) <= 4:
            must = "have 1 to 4 entries: kernel_size, stride, padding, dilation"
            raise _wrong(ValueError, function, argument, shown, must)
        values += (1, 1, 0, 1)[len(values) :]
        if any(map(operator.lt, values, (1, 1, 0, 1))):
            must = "have a kernel_size, stride and dilation of at least 1, and no padding below 0"
            raise _wrong(ValueError, function, argument, shown, must)
        layers.append(values)
    return layers


# --- windows -------------------------------------------------------------------------------


def sliding_axes(
    function: str,
    shape_argument: str,
    shape: Shape,
    ndim: int,
    channels_last: bool,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
) -> Windows:
    """Check the arguments of sliding windows; describe the pooled axes and the result's shape."""
    if type(kernel_size) is not int:
        kernel_size = _ints(function, "kernel_size", kernel_size, ndim)
    if stride is not None and type(stride) is not int:
        stride = _ints(function, "stride", stride, ndim)
    if type(padding) is not int:
        padding = _padding(function, padding, ndim)
    if type(dilation) is not int:
        dilation = _ints(function, "dilation", dilation, ndim)
    if type(ceil_mode) is not bool:
        ceil_mode = as_flag(function, "ceil_mode", ceil_mode)
    return _sliding_axes(
        function,
        shape_argument,
        shape,
        ndim,
        channels_last,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )


@lru_cache(maxsize=4096)
def _sliding_axes(
    function: str,
    shape_argument: str,
    shape: Shape,
    ndim: int,
    channels_last: bool,
    kernel_size: Ints,
    stride: Ints | None,
    padding: str | Ints | Pairs,
    dilation: Ints,
    ceil_mode: bool,
) -> Windows:
    sizes = _pooled_sizes(function, shape_argument, shape, ndim, channels_last)
    kernels = _at_least(1, function, "kernel_size", kernel_size, ndim)
    strides = kernels if stride is None else _at_least(1, function, "stride", stride, ndim)
    dilations = _at_least(1, function, "dilation", dilation, ndim)
    extents = tuple(map(_geometry.extent, kernels, dilations))
    pairs = _padding_pairs(function, padding, sizes, kernels, strides, dilations, extents)
    if prod(kernels) > _MAX_TAPS:
        must = "make a window of fewer than 2**53 taps"
        raise _wrong(ValueError, function, "kernel_size", _shown(kernel_size), must)
    for argument, given, values in (
        ("dilation", dilation, extents + dilations),
        ("stride", stride, strides),
        ("padding", padding, tuple(map(sum, pairs, sizes))),
    ):
        if max(values) > _MAX_POSITION:
            must = "keep every position of a window below 2**62"
            raise _wrong(ValueError, function, argument, _shown(given), must)
    axes = tuple(
        _geometry.sliding_axis(n, k, s, d, low, high, ceil_mode)
        for n, k, s, d, (low, high) in zip(sizes, kernels, strides, dilations, pairs, strict=True)
    )
    first = len(shape) - ndim - channels_last
    for number, (axis, length) in enumerate(zip(axes, extents, strict=True), first):
        if axis.output_size < 1:
            raise _wrong(
                ValueError,
                function,
                shape_argument,
                str(shape),
                f"have room for one window along axis {number}: length {axis.input_size} with "
                f"padding {(axis.padding_low, axis.padding_high)} is too short for the window "
                f"extent {length} (kernel_size {axis.kernel_size}, dilation {axis.dilation})",
            )
    result_shape = _geometry.result_shape(shape, axes, channels_last)
    _fits(function, shape_argument, shape, result_shape)
    return axes, result_shape


def adaptive_axes(
    function: str,
    shape_argument: str,
    shape: Shape,
    ndim: int,
    channels_last: bool,
    output_size: Any,
) -> Windows:
    """Check the output size of adaptive bins; describe the pooled axes and the result's shape."""
    if type(output_size) is not int:
        output_size = _ints(function, "output_size", output_size, ndim, none=True)
    return _adaptive_axes(function, shape_argument, shape, ndim, channels_last, output_size)


@lru_cache(maxsize=4096)
def _adaptive_axes(
    function: str,
    shape_argument: str,
    shape: Shape,
    ndim: int,
    channels_last: bool,
    output_size: int | tuple[int | None, ...] | None,
) -> Windows:
    sizes = _pooled_sizes(function, shape_argument, shape, ndim, channels_last)
    given = output_size if isinstance(output_size, tuple) else (output_size,) * ndim
    kept = tuple(n if m is None else m for n, m in zip(sizes, given, strict=True))
    outputs = _at_least(0, function, "output_size", kept, ndim, output_size)
    if any(n * (m + 1) > _MAX_POSITION for n, m in zip(sizes, outputs, strict=True)):
        must = f"stay below 2**62 when multiplied by {shape_argument}={shape} along its axis"
        raise _wrong(ValueError, function, "output_size", _shown(output_size), must)
    axes = tuple(map(_geometry.adaptive_axis, sizes, outputs))
    result_shape = _geometry.result_shape(shape, axes, channels_last)
    _fits(function, "output_size", output_size, result_shape)
    return axes, result_shape


def adaptive_backward_axes(
    function: str,
    shape_argument: str,
    shape: Shape,
    ndim: int,
    channels_last: bool,
    grad_shape: Shape,
) -> Windows:
    """Describe bins whose number is that of `grad_output`, as `adaptive_axes` does."""
    _pooled_sizes(function, shape_argument, shape, ndim, channels_last)
    if len(grad_shape) != len(shape):
        must = f"have as many axes as {shape_argument}={shape}"
        raise _wrong(ValueError, function, "grad_output.shape", str(grad_shape), must)
    first = len(shape) - ndim - channels_last
    output_size = grad_shape[first : first + ndim]
    return adaptive_axes(function, shape_argument, shape, ndim, channels_last, output_size)


def _pooled_sizes(
    function: str, shape_argument: str, shape: Shape, ndim: int, channels_last: bool
) -> Shape:
    needed = ndim + channels_last
    if len(shape) < needed:
        must = f"have at least {needed} {'axes' if needed > 1 else 'axis'}"
        raise _wrong(ValueError, function, shape_argument, str(shape), must)
    if min(shape) < 0:
        raise _wrong(ValueError, function, shape_argument, str(shape), "have no size below 0")
    _fits(function, shape_argument, shape, shape)
    first = len(shape) - needed
    sizes = shape[first : first + ndim]
    if 0 in sizes:
        must = f"have no pooled axis of length 0, as axis {first + sizes.index(0)} is"
        raise _wrong(ValueError, function, shape_argument, str(shape), must)
    return sizes


def _at_least(
    least: int, function: str, argument: str, value: Ints, ndim: int, given: Any = None
) -> Shape:
    values = (value,) * ndim if isinstance(value, int) else value
    if min(values) < least:
        shown = _shown(value if given is None else given)
        raise _wrong(ValueError, function, argument, shown, f"be at least {least}")
    return values


def _padding_pairs(
    function: str,
    padding: str | Ints | Pairs,
    sizes: Shape,
    kernels: Shape,
    strides: Shape,
    dilations: Shape,
    extents: Shape,
) -> Pairs:
    """(low, high) padding of each pooled axis."""
    if padding == "valid":
        return ((0, 0),) * len(sizes)
    if isinstance(padding, str):
        lower = padding == "same_lower"
        return tuple(
            _geometry.same_padding(n, k, s, d, lower)
            for n, k, s, d in zip(sizes, kernels, strides, dilations, strict=True)
        )
    sides = (padding,) * len(sizes) if isinstance(padding, int) else padding
    pairs = tuple((side, side) if isinstance(side, int) else side for side in sides)
    if min(map(min, pairs)) < 0:
        raise _wrong(ValueError, function, "padding", _shown(padding), "be at least 0")
    if any(max(pair) >= length for pair, length in zip(pairs, extents, strict=True)):
        must = f"be smaller than the window extent {extents} on every side"
        raise _wrong(ValueError, function, "padding", _shown(padding), must)
    return pairs


def _fits(function: str, argument: str, given: Any, result: Shape) -> None:
    # As NumPy counts: an axis of length 0 doesn't excuse the others.
    if prod(size for size in result if size) > _MAX_ELEMENTS:
        must = f"give an array of fewer than 2**60 elements, not of shape {result}"
        raise _wrong(ValueError, function, argument, _shown(given), must)


# --- the other arrays of a call ------------------------------------------------------------


def check_same_shape(function: str, argument: str, given: Shape, result: Shape) -> None:
    """Refuse `grad_output` or `indices` of another shape than the forward's result has."""
    if given != result:
        must = f"be {result}, the shape of the forward's result"
        raise _wrong(ValueError, function, f"{argument}.shape", str(given), must)


def wrong_kind_of_out(function: str, argument: str, given: Any, like: Any) -> Exception:
    """Error: `out` is no array, or one of another library."""
    must = f"be an array of the input's kind, {type_name(like)}"
    return _wrong(TypeError, function, argument, f"<{type_name(given)}>", must)


def shared_out(function: str, argument: str, given: Any) -> Exception:
    """Error: writing to `out` might change an input, or the other result."""
    must = "share no memory with an input or another result"
    return _wrong(ValueError, function, argument, f"<{type_name(given)}>", must)


def check_pair(function: str, given: Any) -> None:
    """Refuse as `out` of a call with indices all but a pair."""
    must = "be a pair (values, indices), as return_indices=True"
    if not isinstance(given, (tuple, list)):
        raise _wrong(TypeError, function, "out", f"<{type_name(given)}>", must)
    if len(given) != 2:
        raise _wrong(ValueError, function, "out", f"<{len(given)} objects>", must)


def check_out(function: str, argument: str, given: Any, shape: Shape, dtype: Any) -> None:
    """Refuse an array of another dtype or shape than the result's."""
    if given.dtype != dtype:
        must = f"be {_support.dtype_name(dtype)} in native byte order, the result's dtype"
        raise _wrong(TypeError, function, f"{argument}.dtype", str(given.dtype), must)
    if tuple(given.shape) != shape:
        must = f"be {shape}, the shape of the result"
        raise _wrong(ValueError, function, f"{argument}.shape", str(tuple(given.shape)), must)


def check_out_memory(
    function: str,
    argument: str,
    given: Any,
    memory: numpy.ndarray,
    inputs: Sequence[numpy.ndarray],
) -> None:
    """Refuse memory that is read-only, an input's, or several elements' at once."""
    if not memory.flags.writeable:
        raise _wrong(ValueError, function, argument, "<read-only array>", "be writeable")
    if any(numpy.may_share_memory(memory, array) for array in inputs):
        raise shared_out(function, argument, given)
    if _overlaps_itself(memory):
        must = "not overlap itself"
        raise _wrong(ValueError, function, argument, f"<array of strides {memory.strides}>", must)


def _overlaps_itself(array: numpy.ndarray) -> bool:
    """Tell whether two elements of a NumPy array share memory."""
    if array.size == 0:
        return False
    # Where each stride steps over all that the smaller ones span, nothing overlaps. So it is
    # in every array that NumPy's own slices, transposes and reshapes make.
    span = array.itemsize
    steps = [
        (abs(stride), size)
        for stride, size in zip(array.strides, array.shape, strict=True)
        if size > 1
    ]
    for stride, size in sorted(steps):
        if stride < span:
            break
        span += stride * (size - 1)
    else:
        return False
    # The other arrays exactly: two elements that differ along an axis are, moved there together,
    # in different halves of it, or in the halves of its first half, and so on.
    try:
        for axis in range(array.ndim):
            while array.shape[axis] > 1:
                half, other = numpy.split(array, [-(-array.shape[axis] // 2)], axis=axis)
                if numpy.shares_memory(half, other, max_work=100_000):  # type: ignore[arg-type]
                    return True
                array = half
    except numpy.exceptions.TooHardError:
        return True
    return False
