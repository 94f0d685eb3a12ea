"""Adaptive pooling, forward and backward: the input is cut into a given number of bins.

Bin ``i`` of ``m`` along an axis of length ``n`` covers ``floor(i * n / m)`` up to, not including,
``ceil((i + 1) * n / m)``.
"""

from collections.abc import Sequence
from typing import Any

from .. import _checks, _dispatch
from .._recent import Call, recalled
from .._types import Array, DataFormat, OutputSize
from ._avg import run_avg_pool, run_avg_pool_backward
from ._max import backward_arrays, run_max_pool, run_max_pool_backward


def adaptive_avg_pool1d(
    x: Array,
    /,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each bin over the last axis; of all of it if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., L), or (..., L, C) if channels last
        Of any dtype of `adaptive_avg_pool2d`.
    output_size : int or None, or tuple of 1 of them
        Number of bins along each pooled axis; None keeps the axis.
    data_format, dtype, out
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    array of shape (..., L_out), C last if channels last
        In the memory order of `x`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d`.

    References
    ----------
    See `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_avg_pool1d(np.arange(10.0), 4)
    array([1., 3., 6., 8.])
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, x, (output_size, data_format, dtype), out)


def adaptive_avg_pool2d(
    x: Array,
    /,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each bin over the last two axes; of the whole plane if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., H, W), or (..., H, W, C) if channels last
        All axes that are not pooled are batch axes; there may be none. Of any library that
        `pooltk.functional` names, and of any floating or integer dtype (float16, bfloat16, float32,
        float64, int8 to uint64) or bool.
    output_size : int, None, or tuple of 2 of them
        Number of bins along each pooled axis. None keeps the axis as it is; there may be more bins
        than elements, and they overlap where the length is no multiple of their number.
    data_format : {"channels_first", "channels_last"}
        Whether the pooled axes are the last ones, or followed by one of channels.
    dtype, out
        As in `avg_pool2d`.

    Returns
    -------
    array of shape (..., H_out, W_out), or (..., H_out, W_out, C) if channels last
        Of the dtype that `avg_pool2d` gives, of the library and in the memory order of `x`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, `x` a dtype that is not supported, a mask, or no values
        of its own, or if the average of a floating `x` is asked for as an integer.
    ValueError
        If an argument has a wrong value, a pooled axis the length 0, or if `x` lies on a device
        where nothing pools it.

    See Also
    --------
    adaptive_avg_pool2d_backward : The gradient.
    avg_pool2d : Sliding windows in place of bins.

    References
    ----------
    PyTorch's AdaptiveAvgPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.arange(12.0).reshape(3, 4)
    >>> pooltk.adaptive_avg_pool2d(x, (2, None))
    array([[2., 3., 4., 5.],
           [6., 7., 8., 9.]])
    >>> pooltk.adaptive_avg_pool2d(x, 1)
    array([[5.5]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, x, (output_size, data_format, dtype), out)


def adaptive_avg_pool3d(
    x: Array,
    /,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    dtype: Any = None,
    out: Array | None = None,
) -> Array:
    """Average of each bin over the last three axes; of all of them if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Of any dtype of `adaptive_avg_pool2d`.
    output_size : int, None, or tuple of 3 of them
        Number of bins along each pooled axis; None keeps the axis.
    data_format, dtype, out
        As in `adaptive_avg_pool2d`.

    Returns
    -------
    array of shape (..., D_out, H_out, W_out), C last if channels last
        In the memory order of `x`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d`.

    References
    ----------
    See `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_avg_pool3d(np.arange(27.0).reshape(3, 3, 3), (1, 1, None))
    array([[[12., 13., 14.]]])
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, x, (output_size, data_format, dtype), out)


def adaptive_max_pool1d(
    x: Array,
    /,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each bin over the last axis; of all of it if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., L), or (..., L, C) if channels last
        Of any dtype of `adaptive_max_pool2d`.
    output_size : int or None, or tuple of 1 of them
        Number of bins along each pooled axis; None keeps the axis.
    return_indices, data_format, out
        As in `adaptive_max_pool2d`.

    Returns
    -------
    values : array of shape (..., L_out), C last if channels last
        Of the dtype and the memory order of `x`.
    indices : array of int64, of the same shape
        Only if `return_indices`; counted over the pooled axis of the input.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool2d`.

    References
    ----------
    See `adaptive_max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_max_pool1d(np.array([3, 1, 2, 5, 4]), 2, return_indices=True)
    (array([3, 5]), array([0, 3]))
    """
    return _adaptive_max_pool(
        "adaptive_max_pool1d", 1, x, (output_size, return_indices, data_format), out
    )


def adaptive_max_pool2d(
    x: Array,
    /,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each bin over the last two axes; of the whole plane if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., H, W), or (..., H, W, C) if channels last
        All axes that are not pooled are batch axes; there may be none. Of any library that
        `pooltk.functional` names, and of any floating or integer dtype (float16, bfloat16, float32,
        float64, int8 to uint64) or bool.
    output_size : int, None, or tuple of 2 of them
        Number of bins along each pooled axis. None keeps the axis as it is; there may be more bins
        than elements, and they overlap where the length is no multiple of their number.
    return_indices, data_format, out
        As in `max_pool2d`.

    Returns
    -------
    values : array of shape (..., H_out, W_out), or (..., H_out, W_out, C) if channels last
        Of the library, the dtype and the memory order of `x`.
    indices : array of int64, of the same shape
        Only if `return_indices`; as those of `max_pool2d`.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or `x` a dtype that is not supported, a mask, or no
        values of its own.
    ValueError
        If an argument has a wrong value, a pooled axis the length 0, or if `x` lies on a device
        where nothing pools it.

    See Also
    --------
    adaptive_max_pool2d_backward : The gradient.
    max_pool2d : Sliding windows in place of bins.

    References
    ----------
    PyTorch's AdaptiveMaxPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([[1, 2, 3], [6, 5, 4], [0, 9, 7]])
    >>> values, indices = pooltk.adaptive_max_pool2d(x, 2, return_indices=True)
    >>> values
    array([[6, 5],
           [9, 9]])
    >>> indices
    array([[3, 4],
           [7, 7]])
    """
    return _adaptive_max_pool(
        "adaptive_max_pool2d", 2, x, (output_size, return_indices, data_format), out
    )


def adaptive_max_pool3d(
    x: Array,
    /,
    output_size: OutputSize,
    return_indices: bool = False,
    *,
    data_format: DataFormat = "channels_first",
    out: Any = None,
) -> Any:
    """Greatest value of each bin over the last three axes; of all of them if `output_size` is 1.

    Parameters
    ----------
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Of any dtype of `adaptive_max_pool2d`.
    output_size : int, None, or tuple of 3 of them
        Number of bins along each pooled axis; None keeps the axis.
    return_indices, data_format, out
        As in `adaptive_max_pool2d`.

    Returns
    -------
    values : array of shape (..., D_out, H_out, W_out), C last if channels last
        Of the dtype and the memory order of `x`.
    indices : array of int64, of the same shape
        Only if `return_indices`; counted over the pooled axes of the input.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool2d`.

    References
    ----------
    See `adaptive_max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_max_pool3d(np.arange(27).reshape(3, 3, 3), (1, 1, None))
    array([[[24, 25, 26]]])
    """
    return _adaptive_max_pool(
        "adaptive_max_pool3d", 3, x, (output_size, return_indices, data_format), out
    )


def adaptive_avg_pool1d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    *,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_avg_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    data_format
        The forward's argument.
    out : array, optional
        As in `adaptive_avg_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of the input
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d_backward`.

    References
    ----------
    See `adaptive_avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_avg_pool1d_backward(np.array([2.0, 4.0]), (3,))
    array([1., 3., 2.])
    """
    return _adaptive_avg_pool_backward(
        "adaptive_avg_pool1d_backward", 1, grad_output, (input_shape, data_format), out
    )


def adaptive_avg_pool2d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    *,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_avg_pool2d` with respect to its input.

    The gradient of each output, divided by the size of its bin, goes to each element of the bin.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result: float16, bfloat16, float32 or float64. Its shape tells
        the forward's `output_size`.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    data_format : {"channels_first", "channels_last"}
        The forward's argument.
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
        If an argument has a wrong value, or the batch axes of `grad_output` are not the input's.

    See Also
    --------
    adaptive_avg_pool2d : The forward.

    References
    ----------
    The transpose of `adaptive_avg_pool2d`, which is linear.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_avg_pool2d_backward(np.array([[4.0, 8.0]]), (2, 3))
    array([[1., 3., 2.],
           [1., 3., 2.]])
    """
    return _adaptive_avg_pool_backward(
        "adaptive_avg_pool2d_backward", 2, grad_output, (input_shape, data_format), out
    )


def adaptive_avg_pool3d_backward(
    grad_output: Array,
    /,
    input_shape: Sequence[int],
    *,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_avg_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    input_shape : tuple of ints
        Shape of the forward's whole input, batch axes included.
    data_format
        The forward's argument.
    out : array, optional
        As in `adaptive_avg_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of the input
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_avg_pool2d_backward`.

    References
    ----------
    See `adaptive_avg_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> pooltk.adaptive_avg_pool3d_backward(np.array([[[8.0]]]), (1, 2, 4))
    array([[[1., 1., 1., 1.],
            [1., 1., 1., 1.]]])
    """
    return _adaptive_avg_pool_backward(
        "adaptive_avg_pool3d_backward", 3, grad_output, (input_shape, data_format), out
    )


def adaptive_max_pool1d_backward(
    grad_output: Array,
    x: Array,
    /,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_max_pool1d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    x : array of shape (..., L), or (..., L, C) if channels last
        Input of the forward.
    data_format
        The forward's argument.
    indices, out : array, optional
        As in `adaptive_max_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of `x`
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool2d_backward`.

    References
    ----------
    See `adaptive_max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([3, 1, 2, 5, 4])
    >>> pooltk.adaptive_max_pool1d_backward(np.array([1.0, 10.0]), x)
    array([ 1.,  0.,  0., 10.,  0.])
    """
    return _adaptive_max_pool_backward(
        "adaptive_max_pool1d_backward", 1, grad_output, (data_format,), out, x, indices
    )


def adaptive_max_pool2d_backward(
    grad_output: Array,
    x: Array,
    /,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_max_pool2d` with respect to its input.

    The gradient of each output goes to the element that won its bin, the first one of a tie.
    Gradients that meet at one element are added in row-major order of the outputs.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result: float16, bfloat16, float32 or float64. Its shape tells
        the forward's `output_size`.
    x : array of shape (..., H, W), or (..., H, W, C) if channels last
        Input of the forward, of any dtype that it takes and the library of `grad_output`.
    indices : array of any integer dtype, optional
        The forward's indices; without them, the winners are found again from `x`.
    data_format : {"channels_first", "channels_last"}
        The forward's argument.
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
        If an argument has a wrong value, the batch axes of `grad_output` are not those of `x`, or
        `indices` have another shape than `grad_output`.

    See Also
    --------
    adaptive_max_pool2d : The forward.

    References
    ----------
    PyTorch's AdaptiveMaxPool2d.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.array([[1, 2, 3], [6, 5, 4], [0, 9, 7]])
    >>> pooltk.adaptive_max_pool2d_backward(np.array([[1.0, 2.0], [3.0, 4.0]]), x)
    array([[0., 0., 0.],
           [1., 2., 0.],
           [0., 7., 0.]])
    """
    return _adaptive_max_pool_backward(
        "adaptive_max_pool2d_backward", 2, grad_output, (data_format,), out, x, indices
    )


def adaptive_max_pool3d_backward(
    grad_output: Array,
    x: Array,
    /,
    *,
    indices: Array | None = None,
    data_format: DataFormat = "channels_first",
    out: Array | None = None,
) -> Array:
    """Gradient of `adaptive_max_pool3d` with respect to its input.

    Parameters
    ----------
    grad_output : array of the shape of the forward's result
        Gradient with respect to that result, of a floating dtype.
    x : array of shape (..., D, H, W), or (..., D, H, W, C) if channels last
        Input of the forward.
    data_format
        The forward's argument.
    indices, out : array, optional
        As in `adaptive_max_pool2d_backward`.

    Returns
    -------
    grad_input : array of the shape of `x`
        Of the dtype and the memory order of `grad_output`.

    Raises
    ------
    TypeError, ValueError
        As in `adaptive_max_pool2d_backward`.

    References
    ----------
    See `adaptive_max_pool2d_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> import pooltk
    >>> x = np.arange(8).reshape(1, 2, 4)
    >>> pooltk.adaptive_max_pool3d_backward(np.array([[[7.0]]]), x)
    array([[[0., 0., 0., 0.],
            [0., 0., 0., 7.]]])
    """
    return _adaptive_max_pool_backward(
        "adaptive_max_pool3d_backward", 3, grad_output, (data_format,), out, x, indices
    )


@recalled
def _adaptive_avg_pool(
    call: Call | None,
    function: str,
    ndim: int,
    x: Any,
    output_size: Any,
    data_format: Any,
    dtype: Any,
    out: Any,
) -> Any:
    x = _dispatch.to_array(function, "x", x, "avg_pool")
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.adaptive_axes(
        function, "x.shape", tuple(x.shape), ndim, channels_last, output_size
    )
    return run_avg_pool(call, function, x, windows, channels_last, True, None, dtype, out)


@recalled
def _adaptive_max_pool(
    call: Call | None,
    function: str,
    ndim: int,
    x: Any,
    output_size: Any,
    return_indices: Any,
    data_format: Any,
    out: Any,
) -> Any:
    x = _dispatch.to_array(function, "x", x, "max_pool")
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.adaptive_axes(
        function, "x.shape", tuple(x.shape), ndim, channels_last, output_size
    )
    return run_max_pool(call, function, x, windows, channels_last, return_indices, out)


@recalled
def _adaptive_avg_pool_backward(
    call: Call | None,
    function: str,
    ndim: int,
    grad_output: Any,
    input_shape: Any,
    data_format: Any,
    out: Any,
) -> Any:
    grad_output = _dispatch.to_array(function, "grad_output", grad_output, "avg_pool_backward")
    input_shape = _checks.as_shape(function, "input_shape", input_shape)
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.adaptive_backward_axes(
        function, "input_shape", input_shape, ndim, channels_last, tuple(grad_output.shape)
    )
    return run_avg_pool_backward(
        call, function, grad_output, input_shape, windows, channels_last, True, None, out
    )


@recalled
def _adaptive_max_pool_backward(
    call: Call | None,
    function: str,
    ndim: int,
    grad_output: Any,
    x: Any,
    indices: Any,
    data_format: Any,
    out: Any,
) -> Any:
    grad_output, x, indices = backward_arrays(function, grad_output, x, indices)
    channels_last = _checks.is_channels_last(function, data_format)
    windows = _checks.adaptive_backward_axes(
        function, "x.shape", tuple(x.shape), ndim, channels_last, tuple(grad_output.shape)
    )
    return run_max_pool_backward(
        call, function, grad_output, x, windows, channels_last, indices, out
    )
