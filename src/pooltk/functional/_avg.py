"""Average pooling over sliding windows, forward and backward."""

from collections.abc import Sequence
from typing import Any

from .. import _checks, _dispatch, _reference
from .._recent import Call, recalled, remember
from .._types import Array, DataFormat, Ints, Padding


def avg_pool1d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each window over the last axis.

    Parameters
    ----------
    x : array of shape (..., L), or (..., L, C) if channels last
        Of any dtype of `avg_pool2d`.
    kernel_size, stride, dilation : int or tuple of 1 int
        As in `avg_pool2d`.
    padding : int, tuple of 1 int, tuple of 1 (low, high) pair, or str
        As in `avg_pool2d`.
    ceil_mode, count_include_pad, divisor_override, data_format, dtype, out
        As in `avg_pool2d`.

    Returns
    -------
    array of shape (..., L_out), C last if channels last
        In the memory order of `x`.

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d`.

    References
    ----------
    See `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> pooltk.avg_pool1d(x, 2)
    array([1.5, 3.5])
    >>> pooltk.avg_pool1d(x, 4, 3, 2, ceil_mode=True, count_include_pad=False)
    array([1.5, 3.5, 5. ])
    """
    options = (
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
        dtype,
    )
    return _avg_pool("avg_pool1d", 1, x, options, out)


def avg_pool2d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each window over the last two axes.

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
        How far windows reach beyond the input, where values are 0; less than the window's extent
        ``dilation * (kernel_size - 1) + 1``. "valid" is 0; "same" pads for ``ceil(H / stride)``
        windows along an axis, the odd one on the high side, "same_lower" on the low side.
    ceil_mode : bool
        Let a last window stick out, as long as it starts inside the input or the low padding. What
        sticks out of the padding never counts.
    count_include_pad : bool
        Divide by the number of taps inside the padded input, or, if False, inside the input.
    divisor_override : int, optional
        Divide by this, of either sign and below 2**53 in magnitude.
    dilation : int or tuple of 2 ints
        Distance between the taps of a window.
    data_format : {"channels_first", "channels_last"}
        Whether the pooled axes are the last ones, or followed by one of channels.
    dtype : dtype, optional
        Of the result, as its name, NumPy or the library of `x` has it. By default that of `x` if it
        is floating, else float64. Of integers and bool, the average may be asked for as an integer:
        rounded half to even, then saturated.
    out : array, optional
        Where to write the result: of its shape and dtype, and apart from `x`.

    Returns
    -------
    array of shape (..., H_out, W_out), or (..., H_out, W_out, C) if channels last
        Of the library and in the memory order of `x`. A window without a tap inside the input gives
        0. Sums of integers are exact, those of halves are taken in float32, and those of float32
        and float64 are as accurate as pairwise sums.

    Raises
    ------
    TypeError
        If an argument has the wrong type, `x` a dtype that is not supported, a mask, or no values
        of its own, or if the average of a floating `x` is asked for as an integer.
    ValueError
        If an argument has a wrong value, a pooled axis no room for a window, or if `x` lies on
        a device where nothing pools it.

    See Also
    --------
    avg_pool2d_backward : The gradient.
    adaptive_avg_pool2d : Bins in place of sliding windows.
    pool_output_shape : H_out and W_out.

    References
    ----------
    AveragePool of the ONNX operators, opset 22: shape, divisor and dilation; PyTorch's AvgPool2d
    for `divisor_override`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    >>> pooltk.avg_pool2d(x, 2, stride=1)
    array([[3., 4.],
           [6., 7.]])
    >>> pooltk.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
    array([[3., 4.],
           [6., 7.]])
    >>> pooltk.avg_pool2d(np.array([[1, 2], [4, 3]]), 2, dtype="uint8")
    array([[2]], dtype=uint8)
    """
    options = (
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
        dtype,
    )
    return _avg_pool("avg_pool2d", 2, x, options, out)


def avg_pool3d(
    x: Array,
    /,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each window over the last three axes.

    Parameters
    ----------
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Of any dtype of `avg_pool2d`.
    kernel_size, stride, dilation : int or tuple of 3 ints
        As in `avg_pool2d`.
    padding : int, tuple of 3 ints, tuple of 3 (low, high) pairs, or str
        As in `avg_pool2d`.
    ceil_mode, count_include_pad, divisor_override, data_format, dtype, out
        As in `avg_pool2d`.

    Returns
    -------
    array of shape (..., D_out, H_out, W_out), C last if channels last
        In the memory order of `x`.

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d`.

    References
    ----------
    See `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.arange(64.0).reshape(4, 4, 4)
    >>> pooltk.avg_pool3d(x, 2)
    array([[[10.5, 12.5],
            [18.5, 20.5]],
    <BLANKLINE>
           [[42.5, 44.5],
            [50.5, 52.5]]])
    """
    options = (
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
        dtype,
    )
    return _avg_pool("avg_pool3d", 3, x, options, out)


def avg_pool1d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    kernel_size, stride, padding, ceil_mode
        The forward's arguments.
    count_include_pad, divisor_override, dilation, data_format
        The forward's arguments.
    out : array, optional
        As in `avg_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of the input
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d_backward`.

    References
    ----------
    See `avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.avg_pool1d_backward(np.array([2.0, 6.0]), (5,), 2)
    array([1., 1., 3., 3., 0.])
    """
    options = (
        input_shape,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
    )
    return _avg_pool_backward("avg_pool1d_backward", 1, grad_output, options, out)


def avg_pool2d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool2d` with respect to its input.

    The gradient of each output, divided by its window's divisor, goes to each tap of the window
    that lies inside the input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result: float16, bfloat16, float32 or float64.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    kernel_size, stride, padding, ceil_mode
        The forward's arguments.
    count_include_pad, divisor_override, dilation, data_format
        The forward's arguments.
    out : array, optional
        Where to write the result: of its shape and dtype, and apart from `grad_output`.

    Returns
    -------
    grad_input : array of shape `input_shape`
        Of the library, the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or `grad_output` the wrong dtype.
    ValueError
        If an argument has a wrong value, or `grad_output` the wrong shape.

    See Also
    --------
    avg_pool2d : The forward, and what its arguments mean.

    References
    ----------
    The transpose of `avg_pool2d`, which is linear.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.avg_pool2d_backward(np.array([[4.0, 8.0], [0.0, 0.0]]), (3, 3), 2, stride=1)
    array([[1., 3., 2.],
           [1., 3., 2.],
           [0., 0., 0.]])
    """
    options = (
        input_shape,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
    )
    return _avg_pool_backward("avg_pool2d_backward", 2, grad_output, options, out)


def avg_pool3d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `avg_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    kernel_size, stride, padding, ceil_mode
        The forward's arguments.
    count_include_pad, divisor_override, dilation, data_format
        The forward's arguments.
    out : array, optional
        As in `avg_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of the input
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d_backward`.

    References
    ----------
    See `avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.avg_pool3d_backward(np.array([[[8.0]]]), (2, 2, 2), 2)
    array([[[1., 1.],
            [1., 1.]],
    <BLANKLINE>
           [[1., 1.],
            [1., 1.]]])
    """
    options = (
        input_shape,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        dilation,
        data_format,
    )
    return _avg_pool_backward("avg_pool3d_backward", 3, grad_output, options, out)


@recalled
def _avg_pool(
    call: Call | None,
    function: str,
    ndim: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    dilation: Any,
    data_format: Any,
    dtype: Any,
    out: Any,
) -> Any:
    x = _dispatch.to_array(function, "x", x, "avg_pool")
    channels_last = _checks.is_channels_last(function, data_format)
    if type(count_include_pad) is not bool:
        count_include_pad = _checks.as_flag(function, "count_include_pad", count_include_pad)
    if divisor_override is not None:
        divisor_override = _checks.as_divisor(function, divisor_override)
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
    return run_avg_pool(
        call, function, x, windows, channels_last, count_include_pad, divisor_override, dtype, out
    )


def run_avg_pool(
    call: Call | None,
    function: str,
    x: Any,
    windows: _checks.Windows,
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    dtype: Any,
    out: Any,
) -> Any:
    """Check what sliding windows and bins have in common, and pool."""
    axes, shape = windows
    dtype = _dispatch.average_dtype(function, x, dtype)
    if out is not None:
        out = _dispatch.out_array(function, "out", out, shape, dtype, [x])
    backend = _dispatch.backend(x)
    options = (count_include_pad, divisor_override, dtype)
    if call is not None and backend is not _reference:
        remember(call, backend.ready_avg_pool(x, axes, channels_last, *options))
    return backend.avg_pool(_dispatch.native(x), axes, channels_last, *options, out)


@recalled
def _avg_pool_backward(
    call: Call | None,
    function: str,
    ndim: int,
    grad_output: Any,
    input_shape: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
    dilation: Any,
    data_format: Any,
    out: Any,
) -> Any:
    grad_output = _dispatch.to_array(function, "grad_output", grad_output, "avg_pool_backward")
    input_shape = _checks.as_shape(function, "input_shape", input_shape)
    channels_last = _checks.is_channels_last(function, data_format)
    if type(count_include_pad) is not bool:
        count_include_pad = _checks.as_flag(function, "count_include_pad", count_include_pad)
    if divisor_override is not None:
        divisor_override = _checks.as_divisor(function, divisor_override)
    windows = _checks.sliding_axes(
        function,
        "input_shape",
        input_shape,
        ndim,
        channels_last,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
    return run_avg_pool_backward(
        call,
        function,
        grad_output,
        input_shape,
        windows,
        channels_last,
        count_include_pad,
        divisor_override,
        out,
    )


def run_avg_pool_backward(
    call: Call | None,
    function: str,
    grad_output: Any,
    input_shape: tuple[int, ...],
    windows: _checks.Windows,
    channels_last: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: Any,
) -> Any:
    """Check what sliding windows and bins have in common, and spread the gradient."""
    axes, result_shape = windows
    _checks.check_same_shape(function, "grad_output", tuple(grad_output.shape), result_shape)
    if out is not None:
        dtype = _dispatch.native_dtype(grad_output)
        out = _dispatch.out_array(function, "out", out, input_shape, dtype, [grad_output])
    backend = _dispatch.backend(grad_output)
    options = (input_shape, axes, channels_last, count_include_pad, divisor_override)
    if call is not None and backend is not _reference:
        remember(call, backend.ready_avg_pool_backward(grad_output, *options))
    return backend.avg_pool_backward(_dispatch.native(grad_output), *options, out)
