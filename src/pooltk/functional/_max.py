"""Max pooling over sliding windows, forward and backward."""

from typing import Any

from .. import _checks, _dispatch, _reference
from .._recent import Call, recalled, remember
from .._types import Array, DataFormat, Ints, Padding


def max_pool1d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each window over the last axis.

    Parameters
    ----------
    x : array of shape (..., L), or (..., L, C) if channels last
        Of any dtype of `max_pool2d`.
    kernel_size, stride, dilation : int or tuple of 1 int
        As in `max_pool2d`.
    padding : int, tuple of 1 int, tuple of 1 (low, high) pair, or str
        As in `max_pool2d`.
    ceil_mode, return_indices, data_format, out
        As in `max_pool2d`.

    Returns
    -------
    values : array of shape (..., L_out), C last if channels last
        Of the dtype and the memory order of `x`.
    indices : array of int64, of the same shape
        Only if `return_indices`; counted over the pooled axis of the input.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`.

    References
    ----------
    See `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.max_pool1d(np.array([1.0, 3.0, 2.0, 5.0, 4.0]), 3, stride=1)
    array([3., 5., 5.])
    >>> pooltk.max_pool1d(np.array([1.0, 3.0, 2.0]), 2, padding=((1, 0),), return_indices=True)
    (array([1., 3.]), array([0, 1]))
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)
    return _max_pool("max_pool1d", 1, x, options, out)


def max_pool2d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each window over the last two axes.

    Parameters
    ----------
    x : array of shape (..., H, W), or (..., H, W, C) if channels last
        All axes that are not pooled are batch axes; there may be none. Of any library that
        `pooltk.functional` names, and of any floating or integer dtype (float16, bfloat16, float32,
        float64, int8 to uint64) or bool.
    kernel_size : int or tuple of 2 ints
        Length of the window along each pooled axis.
    stride : int or tuple of 2 ints, optional
        Distance between windows; by default `kernel_size`.
    padding : int, tuple of 2 ints, tuple of 2 (low, high) pairs, or str
        How far windows reach beyond the input, where no value wins; less than the window's extent
        ``dilation * (kernel_size - 1) + 1``. "valid" is 0; "same" pads for ``ceil(H / stride)``
        windows along an axis, the odd one on the high side, "same_lower" on the low side.
    dilation : int or tuple of 2 ints
        Distance between the taps of a window.
    ceil_mode : bool
        Let a last window stick out, as long as it starts inside the input or the low padding.
    return_indices : bool
        Also return where the greatest values are.
    data_format : {"channels_first", "channels_last"}
        Whether the pooled axes are the last ones, or followed by one of channels.
    out : array, or pair of arrays if `return_indices`, optional
        Where to write the result: of its shape and dtype, and apart from `x`.

    Returns
    -------
    values : array of shape (..., H_out, W_out), or (..., H_out, W_out, C) if channels last
        Of the library, the dtype and the memory order of `x`. NaN wins over every number. A window
        without a tap inside the input gives -inf, the least integer, or False.
    indices : array of int64, of the same shape
        Only if `return_indices`. Position of the first greatest value in the window, counted in
        row-major order over the pooled axes of the unpadded input; -1 for a window without taps.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or `x` a dtype that is not supported, a mask, or no
        values of its own.
    ValueError
        If an argument has a wrong value, a pooled axis no room for a window, or if `x` lies on
        a device where nothing pools it.

    See Also
    --------
    max_pool2d_backward : The gradient.
    adaptive_max_pool2d : Bins in place of sliding windows.
    pool_output_shape : H_out and W_out.

    References
    ----------
    MaxPool of the ONNX operators, opset 22, for the output's shape; indices as PyTorch's MaxPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([[1, 2, 3, 0], [4, 9, 6, 7], [3, 2, 8, 8]])
    >>> pooltk.max_pool2d(x, 2, stride=1)
    array([[9, 9, 7],
           [9, 9, 8]])
    >>> values, indices = pooltk.max_pool2d(x, (3, 2), return_indices=True)
    >>> indices
    array([[ 5, 10]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)
    return _max_pool("max_pool2d", 2, x, options, out)


def max_pool3d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each window over the last three axes.

    Parameters
    ----------
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Of any dtype of `max_pool2d`.
    kernel_size, stride, dilation : int or tuple of 3 ints
        As in `max_pool2d`.
    padding : int, tuple of 3 ints, tuple of 3 (low, high) pairs, or str
        As in `max_pool2d`.
    ceil_mode, return_indices, data_format, out
        As in `max_pool2d`.

    Returns
    -------
    values : array of shape (..., D_out, H_out, W_out), C last if channels last
        Of the dtype and the memory order of `x`.
    indices : array of int64, of the same shape
        Only if `return_indices`; counted over the pooled axes of the input.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d`.

    References
    ----------
    See `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.arange(64).reshape(4, 4, 4)
    >>> pooltk.max_pool3d(x, 2)
    array([[[21, 23],
            [29, 31]],
    <BLANKLINE>
           [[53, 55],
            [61, 63]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, return_indices, data_format)
    return _max_pool("max_pool3d", 3, x, options, out)


def max_pool1d_backward(
    grad_output: Array,
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    x : array of shape (..., L), or (..., L, C) if channels last
        Input of the forward.
    kernel_size, stride, padding, dilation, ceil_mode, data_format
        The forward's arguments.
    indices, out : array, optional
        As in `max_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of `x`
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d_backward`.

    References
    ----------
    See `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([1, 3, 2, 5, 4])
    >>> pooltk.max_pool1d_backward(np.array([1.0, 10.0, 100.0]), x, 3, stride=1)
    array([  0.,   1.,   0., 110.,   0.])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, data_format)
    return _max_pool_backward("max_pool1d_backward", 1, grad_output, options, out, x, indices)


def max_pool2d_backward(
    grad_output: Array,
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool2d` with respect to its input.

    The gradient of each output goes to the element that won its window, the first one of a tie.
    Gradients that meet at one element are added in row-major order of the outputs.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result: float16, bfloat16, float32 or float64.
    x : array of shape (..., H, W), or (..., H, W, C) if channels last
        Input of the forward, of any dtype that it takes and the library of `grad_output`.
    kernel_size, stride, padding, dilation, ceil_mode, data_format
        The forward's arguments.
    indices : array of any integer dtype, optional
        The forward's indices. Without them, the winners are found again from `x`, which is about
        as fast and holds no memory between the two passes. One outside the plane is ignored.
    out : array, optional
        Where to write the result: of its shape and dtype, and apart from the other arrays.

    Returns
    -------
    grad_input : array of the shape of `x`
        Of the library, the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError
        If an argument has the wrong type or dtype, or the arrays come from two libraries.
    ValueError
        If an argument has a wrong value, or `grad_output` or `indices` the wrong shape.

    See Also
    --------
    max_pool2d : The forward, and what its arguments mean.

    References
    ----------
    Indices, and what they do here, as in PyTorch's MaxPool2d and MaxUnpool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([[1, 2, 3], [4, 9, 6], [7, 5, 8]])
    >>> grad_output = np.array([[1.0, 10.0], [100.0, 1000.0]])
    >>> pooltk.max_pool2d_backward(grad_output, x, 2, stride=1)
    array([[   0.,    0.,    0.],
           [   0., 1111.,    0.],
           [   0.,    0.,    0.]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, data_format)
    return _max_pool_backward("max_pool2d_backward", 2, grad_output, options, out, x, indices)


def max_pool3d_backward(
    grad_output: Array,
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `max_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Input of the forward.
    kernel_size, stride, padding, dilation, ceil_mode, data_format
        The forward's arguments.
    indices, out : array, optional
        As in `max_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of `x`
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `max_pool2d_backward`.

    References
    ----------
    See `max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.arange(8.0).reshape(2, 2, 2)
    >>> pooltk.max_pool3d_backward(np.array([[[7.0]]]), x, 2)
    array([[[0., 0.],
            [0., 0.]],
    <BLANKLINE>
           [[0., 0.],
            [0., 7.]]])
    """
    options = (kernel_size, stride, padding, dilation, ceil_mode, data_format)
    return _max_pool_backward("max_pool3d_backward", 3, grad_output, options, out, x, indices)


@recalled
def _max_pool(
    call: Call | None,
    function: str,
    ndim: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    return_indices: Any,
    data_format: Any,
    out: Any,
) -> Any:
    x = _dispatch.to_array(function, "x", x, "max_pool")
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.sliding_axes(
        function,
        "x.shape",
        tuple(x.shape),
        ndim,
        channels_last,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
    return run_max_pool(call, function, x, windows, channels_last, return_indices, out)


def run_max_pool(
    call: Call | None,
    function: str,
    x: Any,
    windows: _checks.Windows,
    channels_last: bool,
    return_indices: Any,
    out: Any,
) -> Any:
    """Check what sliding windows and bins have in common, and pool."""
    if type(return_indices) is not bool:
        return_indices = _checks.as_flag(function, "return_indices", return_indices)
    axes, shape = windows
    if return_indices:
        _dispatch.check_indices(function, x, axes)
    if out is not None:
        dtype = _dispatch.native_dtype(x)
        if return_indices:
            indices_dtype = _dispatch.dtype_like(x, "int64")
            out = _dispatch.out_pair(function, out, shape, dtype, indices_dtype, [x])
        else:
            out = _dispatch.out_array(function, "out", out, shape, dtype, [x])
    backend = _dispatch.backend(x)
    if call is not None and backend is not _reference:
        remember(call, backend.ready_max_pool(x, axes, channels_last, return_indices))
    return backend.max_pool(_dispatch.native(x), axes, channels_last, return_indices, out)


@recalled
def _max_pool_backward(
    call: Call | None,
    function: str,
    ndim: int,
    grad_output: Any,
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    data_format: Any,
    out: Any,
) -> Any:
    grad_output, x, indices = backward_arrays(function, grad_output, x, indices)
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.sliding_axes(
        function,
        "x.shape",
        tuple(x.shape),
        ndim,
        channels_last,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
    return run_max_pool_backward(
        call, function, grad_output, x, windows, channels_last, indices, out
    )


def backward_arrays(
    function: str, grad_output: Any, x: Any, indices: Any
) -> tuple[Any, Any, Any | None]:
    """Check the types and dtypes of the three arrays of a backward function."""
    grad_output = _dispatch.to_array(function, "grad_output", grad_output, "max_pool_backward")
    x = _dispatch.to_array(function, "x", x, "max_pool")
    _dispatch.same_library(function, "x", x, "grad_output", grad_output)
    if indices is not None:
        indices = _dispatch.to_array(function, "indices", indices, "indices")
        _dispatch.same_library(function, "indices", indices, "grad_output", grad_output)
    return grad_output, x, indices


def run_max_pool_backward(
    call: Call | None,
    function: str,
    grad_output: Any,
    x: Any,
    windows: _checks.Windows,
    channels_last: bool,
    indices: Any,
    out: Any,
) -> Any:
    """Check what sliding windows and bins have in common, and spread the gradient."""
    axes, result_shape = windows
    _checks.check_same_shape(function, "grad_output", tuple(grad_output.shape), result_shape)
    inputs = [grad_output, x]
    if indices is not None:
        _checks.check_same_shape(function, "indices", tuple(indices.shape), result_shape)
        inputs.append(indices)
    if out is not None:
        dtype = _dispatch.native_dtype(grad_output)
        out = _dispatch.out_array(function, "out", out, tuple(x.shape), dtype, inputs)
    winners = None if indices is None else _dispatch.as_indices(indices)
    backend = _dispatch.backend(grad_output)
    if call is not None and backend is not _reference and winners is indices:
        ready = backend.ready_max_pool_backward(grad_output, x, axes, channels_last, indices)
        remember(call, lambda grad_output, x, indices: ready(x, None, indices, grad_output))
    arrays = _dispatch.native(grad_output), _dispatch.native(x)
    return backend.max_pool_backward(*arrays, axes, channels_last, winners, out)
