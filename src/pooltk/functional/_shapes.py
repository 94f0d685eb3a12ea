"""Shape arithmetic of pooling: no array is needed for it."""

from collections.abc import Sequence
from typing import NamedTuple

from .. import _checks
from .._types import Ints, Padding


def pool_output_shape(
    input_shape: Sequence[int],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Lengths of the pooled axes after `max_pool2d` or `avg_pool2d`, in any number of axes.

    Parameters
    ----------
    input_shape : tuple of ints
        Lengths of the pooled axes alone, each at least 1.
    kernel_size, stride, padding, dilation, ceil_mode
        As in `max_pool2d`.

    Returns
    -------
    tuple of ints
        Without `ceil_mode` ``(n + low + high - extent) // stride + 1`` for each axis of length
        ``n``, where ``extent`` is ``dilation * (kernel_size - 1) + 1``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument has a wrong value, or an axis no room for a window.

    References
    ----------
    MaxPool of the ONNX operators, opset 22.

    Examples
    --------
    >>> import pooltk
    >>> pooltk.pool_output_shape((112, 112), 3, stride=2, padding=1)
    (56, 56)
    >>> pooltk.pool_output_shape((5,), 2, ceil_mode=True)
    (3,)
    """
    function = "pool_output_shape"
    sizes = _checks.as_shape(function, "input_shape", input_shape)
    _, result_shape = _checks.sliding_axes(
        function,
        "input_shape",
        sizes,
        max(len(sizes), 1),
        False,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
    return result_shape


class ReceptiveField(NamedTuple):
    """Region of an axis that one output sees: ``size`` elements from ``offset + i * stride`` on."""

    size: int
    stride: int
    offset: int


def receptive_field(layers: Sequence[Sequence[int]]) -> ReceptiveField:
    """Region of the input, along one axis, that one output of a stack of layers sees.

    Parameters
    ----------
    layers : sequence of tuples ``(kernel_size, stride=1, padding=0, dilation=1)``
        From the input on; ints, of pooling layers or convolutions.

    Returns
    -------
    ReceptiveField
        Named tuple ``(size, stride, offset)``: output ``i`` sees the ``size`` elements from
        ``offset + i * stride`` on, some of which may be padding.

    Raises
    ------
    TypeError
        If `layers` is no sequence of tuples of ints.
    ValueError
        If a tuple has not 1 to 4 entries, or one of them is too small.

    References
    ----------
    A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural
    networks", Distill, 2019, doi:10.23915/distill.00021.

    Examples
    --------
    >>> import pooltk
    >>> pooltk.receptive_field([(7, 2, 3), (3, 2, 1)])
    ReceptiveField(size=11, stride=4, offset=-5)
    """
    size, stride, offset = 1, 1, 0
    for layer in _checks.as_layers("receptive_field", layers):
        kernel, step, padding, dilation = layer
        size += dilation * (kernel - 1) * stride
        offset -= padding * stride
        stride *= step
    return ReceptiveField(size, stride, offset)
