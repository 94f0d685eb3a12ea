"""Every error: its type, its words, and that it comes before any work."""

import ast
import traceback
from pathlib import Path

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
from libraries import LIBRARIES

import pooltk
from pooltk import _checks, _dispatch, functional

X = np.arange(16.0).reshape(1, 1, 4, 4)
GRAD = np.ones((1, 1, 2, 2))
INDICES = np.zeros((1, 1, 2, 2), np.int64)
STRICT_X, STRICT_GRAD = array_api_strict.asarray(X), array_api_strict.asarray(GRAD)
ELSEWHERE = array_api_strict.Device("device1")
FLOATING = "float16, bfloat16, float32, float64"
INTEGER = "int8, int16, int32, int64, uint8, uint16, uint32, uint64"
REAL = f"{FLOATING}, {INTEGER}, bool"


def max2(x=X, kernel_size=2, *arguments, **options):
    """Call of `max_pool2d`."""
    return lambda: pooltk.max_pool2d(x, kernel_size, *arguments, **options)


def avg2(x=X, kernel_size=2, *arguments, **options):
    """Call of `avg_pool2d`."""
    return lambda: pooltk.avg_pool2d(x, kernel_size, *arguments, **options)


def bins2(x=X, *arguments, **options):
    """Call of `adaptive_max_pool2d`."""
    return lambda: pooltk.adaptive_max_pool2d(x, *arguments, **options)


def max2_backward(grad_output=GRAD, x=X, kernel_size=2, **options):
    """Call of `max_pool2d_backward`."""
    return lambda: pooltk.max_pool2d_backward(grad_output, x, kernel_size, **options)


def avg2_backward(grad_output=GRAD, input_shape=(1, 1, 4, 4), kernel_size=2, **options):
    """Call of `avg_pool2d_backward`."""
    return lambda: pooltk.avg_pool2d_backward(grad_output, input_shape, kernel_size, **options)


def bins2_backward(grad_output=GRAD, input_shape=(1, 1, 4, 4), **options):
    """Call of `adaptive_avg_pool2d_backward`."""
    return lambda: pooltk.adaptive_avg_pool2d_backward(grad_output, input_shape, **options)


def shape(*arguments):
    """Call of `pool_output_shape`."""
    return lambda: pooltk.pool_output_shape(*arguments)


def field(layers):
    """Call of `receptive_field`."""
    return lambda: pooltk.receptive_field(layers)


def by_reference(call):
    """Let the reference pool array-api-strict's arrays."""

    def called():
        with LIBRARIES["strict-reference"]():
            call()

    return called


def strided(shape, strides):
    """Array whose elements may share memory."""
    return np.lib.stride_tricks.as_strided(np.zeros(99), shape, strides)


INTS = "must be an int, or a tuple of one int for each pooled axis"
TWO_INTS = "must be an int, or a tuple of length 2, the number of pooled axes"
PAIRS_OF_INTS = "must be made of ints, or of one (low, high) pair of ints for each pooled axis"
TWO_PAIRS = "must be one (low, high) pair for each pooled axis, 2 in all"
EXTENT = "must be smaller than the window extent"
POSITIONS = "must keep every position of a window below 2**62"
TAPS = "must make a window of fewer than 2**53 taps"
LARGE = (1, 1, 2**40, 2**40)

# (call, its words)
TYPE_ERRORS = [
    # The array.
    (max2(None), "max_pool2d: x=None must be an array of numbers"),
    (max2({}), "max_pool2d: x={} must be an array of numbers"),
    (max2(print), "max_pool2d: x=<built-in function print> must be an array of numbers"),
    (max2({"a": "b" * 99}), "max_pool2d: x=<dict> must be an array of numbers"),
    (avg2(len), "avg_pool2d: x=<built-in function len> must be an array of numbers"),
    (max2("abc"), f"max_pool2d: x.dtype=str96 must be one of {REAL}"),
    (max2(b"abc"), f"max_pool2d: x.dtype=bytes24 must be one of {REAL}"),
    (max2([[1, None]]), f"max_pool2d: x.dtype=object must be one of {REAL}"),
    (max2(1j), f"max_pool2d: x.dtype=complex128 must be one of {REAL}"),
    (max2(X.astype("F")), f"max_pool2d: x.dtype=complex64 must be one of {REAL}"),
    (avg2(X.astype("D")), f"avg_pool2d: x.dtype=complex128 must be one of {REAL}"),
    (bins2(X.astype("O"), 1), f"adaptive_max_pool2d: x.dtype=object must be one of {REAL}"),
    (avg2(X.astype("U")), f"avg_pool2d: x.dtype=str1024 must be one of {REAL}"),
    (avg2(X.astype("M8[s]")), f"avg_pool2d: x.dtype=datetime64[s] must be one of {REAL}"),
    (avg2(X.astype("m8[s]")), f"avg_pool2d: x.dtype=timedelta64[s] must be one of {REAL}"),
    (max2(X.astype("i4,f4")), f"max_pool2d: x.dtype=void64 must be one of {REAL}"),
    (
        max2(X.astype(ml_dtypes.float8_e5m2)),
        f"max_pool2d: x.dtype=float8_e5m2 must be one of {REAL}",
    ),
    (
        max2(array_api_strict.zeros((4, 4), dtype=array_api_strict.complex64)),
        f"max_pool2d: x.dtype=complex64 must be one of float32, float64, {INTEGER}, bool",
    ),
    (
        max2(np.ma.array(X)),
        "max_pool2d: x=numpy.ma.MaskedArray must be an array without a mask, which would be lost: "
        "fill it first",
    ),
    # Windows.
    (max2(X, 1.0), f"max_pool2d: kernel_size=1.0 {INTS}"),
    (max2(X, "2"), f"max_pool2d: kernel_size='2' {INTS}"),
    (max2(X, None), f"max_pool2d: kernel_size=None {INTS}"),
    (max2(X, {}), f"max_pool2d: kernel_size={{}} {INTS}"),
    (max2(X, (1, 1.0)), f"max_pool2d: kernel_size=(1, 1.0) {INTS}"),
    (max2(X, [None, 1]), f"max_pool2d: kernel_size=[None, 1] {INTS}"),
    (max2(X, np.array([1, 1])), f"max_pool2d: kernel_size=array([1, 1]) {INTS}"),
    (max2(X, np.float64(1)), f"max_pool2d: kernel_size=np.float64(1.0) {INTS}"),
    (max2(X, True), f"max_pool2d: kernel_size=True {INTS}"),
    (max2(X, (1, True)), f"max_pool2d: kernel_size=(1, True) {INTS}"),
    (max2(X, np.True_), f"max_pool2d: kernel_size=np.True_ {INTS}"),
    (max2(X, np.array(True)), f"max_pool2d: kernel_size=array(True) {INTS}"),
    (max2(X, 2, 1.0), f"max_pool2d: stride=1.0 {INTS}"),
    (max2(X, 2, True), f"max_pool2d: stride=True {INTS}"),
    (max2(X, 2, (None, 1)), f"max_pool2d: stride=(None, 1) {INTS}"),
    (max2(X, 2, dilation=1.0), f"max_pool2d: dilation=1.0 {INTS}"),
    (avg2(X, 2, dilation=True), f"avg_pool2d: dilation=True {INTS}"),
    (max2(X, 2, dilation=None), f"max_pool2d: dilation=None {INTS}"),
    (max2(X, 2, padding=0.0), f"max_pool2d: padding=0.0 {INTS}"),
    (max2(X, 2, padding=False), f"max_pool2d: padding=False {INTS}"),
    (max2(X, 2, padding=None), f"max_pool2d: padding=None {INTS}"),
    (max2(X, 2, padding=(0, 0.0)), f"max_pool2d: padding=(0, 0.0) {INTS}"),
    (max2(X, 2, padding=((0, 1), 1)), f"max_pool2d: padding=((0, 1), 1) {PAIRS_OF_INTS}"),
    (
        max2(X, 2, padding=((0, 1), (0, True))),
        f"max_pool2d: padding=((0, 1), (0, True)) {PAIRS_OF_INTS}",
    ),
    (max2(X, 2, ceil_mode=1), "max_pool2d: ceil_mode=1 must be a bool"),
    (avg2(X, 2, ceil_mode=None), "avg_pool2d: ceil_mode=None must be a bool"),
    (shape((4, 4), 2, 1, 0, 1, 0), "pool_output_shape: ceil_mode=0 must be a bool"),
    (max2(X, 2, return_indices=1), "max_pool2d: return_indices=1 must be a bool"),
    (bins2(X, 2, 0), "adaptive_max_pool2d: return_indices=0 must be a bool"),
    (avg2(X, 2, count_include_pad=1), "avg_pool2d: count_include_pad=1 must be a bool"),
    (avg2(X, 2, divisor_override=2.0), "avg_pool2d: divisor_override=2.0 must be None or an int"),
    (avg2(X, 2, divisor_override=True), "avg_pool2d: divisor_override=True must be None or an int"),
    (
        avg2_backward(count_include_pad=None),
        "avg_pool2d_backward: count_include_pad=None must be a bool",
    ),
    (
        avg2_backward(divisor_override="2"),
        "avg_pool2d_backward: divisor_override='2' must be None or an int",
    ),
    (max2(X, 2, data_format=None), "max_pool2d: data_format=None must be a str"),
    (max2(X, 2, data_format=["NHWC"]), "max_pool2d: data_format=['NHWC'] must be a str"),
    (
        bins2(X, 1.0),
        "adaptive_max_pool2d: output_size=1.0 must be an int or None, or a tuple of one int or "
        "None for each pooled axis",
    ),
    (
        bins2(X, (None, True)),
        "adaptive_max_pool2d: output_size=(None, True) must be an int or None, or a tuple of one "
        "int or None for each pooled axis",
    ),
    # The result's dtype.
    (
        avg2(X, dtype="int8"),
        "avg_pool2d: dtype='int8' must be one of float64, float16, bfloat16, float32 for "
        "x.dtype=float64",
    ),
    (
        avg2(X.astype("f4"), dtype=bool),
        "avg_pool2d: dtype=<class 'bool'> must be one of float32, float16, bfloat16, float64 for "
        "x.dtype=float32",
    ),
    (
        avg2(X.astype("u1"), dtype="complex64"),
        f"avg_pool2d: dtype='complex64' must be one of float64, float16, bfloat16, float32, "
        f"{INTEGER} for x.dtype=uint8",
    ),
    (
        avg2(X.astype("?"), dtype="bool"),
        f"avg_pool2d: dtype='bool' must be one of float64, float16, bfloat16, float32, {INTEGER} "
        f"for x.dtype=bool",
    ),
    (
        lambda: pooltk.adaptive_avg_pool1d(X, 1, dtype="no dtype"),
        "adaptive_avg_pool1d: dtype='no dtype' must be one of float64, float16, bfloat16, float32 "
        "for x.dtype=float64",
    ),
    (
        avg2(X, dtype=3),
        "avg_pool2d: dtype=3 must be one of float64, float16, bfloat16, float32 for "
        "x.dtype=float64",
    ),
    (
        avg2(STRICT_X, dtype=array_api_strict.int8),
        "avg_pool2d: dtype=array_api_strict.int8 must be one of float64, float32 for "
        "x.dtype=float64",
    ),
    # The other arrays.
    (
        max2_backward(None),
        "max_pool2d_backward: grad_output=None must be an array of numbers",
    ),
    (
        max2_backward(GRAD.astype(int)),
        f"max_pool2d_backward: grad_output.dtype=int64 must be one of {FLOATING}",
    ),
    (
        avg2_backward(GRAD.astype("?")),
        f"avg_pool2d_backward: grad_output.dtype=bool must be one of {FLOATING}",
    ),
    (
        bins2_backward(GRAD.astype("u1")),
        f"adaptive_avg_pool2d_backward: grad_output.dtype=uint8 must be one of {FLOATING}",
    ),
    (
        max2_backward(x=X.astype("D")),
        f"max_pool2d_backward: x.dtype=complex128 must be one of {REAL}",
    ),
    (
        max2_backward(indices=INDICES.astype("f8")),
        f"max_pool2d_backward: indices.dtype=float64 must be one of {INTEGER}",
    ),
    (
        max2_backward(indices=INDICES.astype("?")),
        f"max_pool2d_backward: indices.dtype=bool must be one of {INTEGER}",
    ),
    (
        max2_backward(indices=print),
        "max_pool2d_backward: indices=<built-in function print> must be an array of numbers",
    ),
    (
        max2_backward(np.ma.array(GRAD)),
        "max_pool2d_backward: grad_output=numpy.ma.MaskedArray must be an array without a mask, "
        "which would be lost: fill it first",
    ),
    (
        max2_backward(indices=np.ma.array(INDICES)),
        "max_pool2d_backward: indices=numpy.ma.MaskedArray must be an array without a mask, which "
        "would be lost: fill it first",
    ),
    (
        max2_backward(GRAD, STRICT_X),
        "max_pool2d_backward: x=array_api_strict.Array must come from the same library as "
        "grad_output=numpy.ndarray",
    ),
    (
        max2_backward(STRICT_GRAD, X),
        "max_pool2d_backward: x=numpy.ndarray must come from the same library as "
        "grad_output=array_api_strict.Array",
    ),
    (
        max2_backward(STRICT_GRAD, STRICT_X, indices=INDICES),
        "max_pool2d_backward: indices=numpy.ndarray must come from the same library as "
        "grad_output=array_api_strict.Array",
    ),
    (
        by_reference(max2_backward(STRICT_GRAD, X)),
        "max_pool2d_backward: x=numpy.ndarray must come from the same library as "
        "grad_output=array_api_strict.Array",
    ),
    (avg2_backward(GRAD, 4), "avg_pool2d_backward: input_shape=4 must be a tuple of ints"),
    (
        avg2_backward(GRAD, (1, 1, 4, 4.0)),
        "avg_pool2d_backward: input_shape=(1, 1, 4, 4.0) must be a tuple of ints",
    ),
    (
        bins2_backward(GRAD, [1, True, 4, 4]),
        "adaptive_avg_pool2d_backward: input_shape=[1, True, 4, 4] must be a tuple of ints",
    ),
    (
        avg2_backward(GRAD, np.array([1, 1, 4, 4])),
        "avg_pool2d_backward: input_shape=array([1, 1, 4, 4]) must be a tuple of ints",
    ),
    # out
    (
        max2(out=1),
        "max_pool2d: out=<int> must be an array of the input's kind, numpy.ndarray",
    ),
    (
        max2(out=(GRAD, INDICES)),
        "max_pool2d: out=<tuple> must be an array of the input's kind, numpy.ndarray",
    ),
    (
        avg2(out=np.ma.zeros((1, 1, 2, 2))),
        "avg_pool2d: out=<numpy.MaskedArray> must be an array of the input's kind, numpy.ndarray",
    ),
    (
        avg2(out=STRICT_GRAD),
        "avg_pool2d: out=<array_api_strict.Array> must be an array of the input's kind, "
        "numpy.ndarray",
    ),
    (
        avg2(STRICT_X, out=GRAD.copy()),
        "avg_pool2d: out=<numpy.ndarray> must be an array of the input's kind, "
        "array_api_strict.Array",
    ),
    (
        by_reference(avg2(STRICT_X, out=GRAD)),
        "avg_pool2d: out=<numpy.ndarray> must be an array of the input's kind, "
        "array_api_strict.Array",
    ),
    (
        max2(out=GRAD.astype("f4")),
        "max_pool2d: out.dtype=float32 must be float64 in native byte order, the result's dtype",
    ),
    (
        max2(out=GRAD.astype(">f8")),
        "max_pool2d: out.dtype=>f8 must be float64 in native byte order, the result's dtype",
    ),
    (
        avg2(out=GRAD.copy(), dtype="float16"),
        "avg_pool2d: out.dtype=float64 must be float16 in native byte order, the result's dtype",
    ),
    (
        avg2_backward(GRAD.astype("f2"), out=np.zeros((1, 1, 4, 4))),
        "avg_pool2d_backward: out.dtype=float64 must be float16 in native byte order, the "
        "result's dtype",
    ),
    (
        max2(return_indices=True, out=GRAD.copy()),
        "max_pool2d: out=<numpy.ndarray> must be a pair (values, indices), as return_indices=True",
    ),
    (
        max2(return_indices=True, out=(GRAD.copy(), GRAD.copy())),
        "max_pool2d: out[1].dtype=float64 must be int64 in native byte order, the result's dtype",
    ),
    (
        max2(return_indices=True, out=(INDICES.copy(), INDICES.copy())),
        "max_pool2d: out[0].dtype=int64 must be float64 in native byte order, the result's dtype",
    ),
    # Without an array.
    (shape(3, 2), "pool_output_shape: input_shape=3 must be a tuple of ints"),
    (shape((3, 3.0), 2), "pool_output_shape: input_shape=(3, 3.0) must be a tuple of ints"),
    (
        field(3),
        "receptive_field: layers=3 must be a sequence of (kernel_size, stride, padding, dilation)",
    ),
    (field([3]), "receptive_field: layers[0]=3 must be a tuple of ints"),
    (field([(2,), (3, 1.0)]), "receptive_field: layers[1]=(3, 1.0) must be a tuple of ints"),
    (field([(True,)]), "receptive_field: layers[0]=(True,) must be a tuple of ints"),
    (lambda: pooltk.set_num_threads(2.0), "set_num_threads: n=2.0 must be an int"),
    (lambda: pooltk.set_num_threads(True), "set_num_threads: n=True must be an int"),
    (lambda: pooltk.set_num_threads("2"), "set_num_threads: n='2' must be an int"),
]
VALUE_ERRORS = [
    # The array.
    (
        max2([[1, 2], [3]]),
        "max_pool2d: x=[[1, 2], [3]] must have rows of equal length, as an array has",
    ),
    (max2(X[0, 0, 0]), "max_pool2d: x.shape=(4,) must have at least 2 axes"),
    (max2(3.0), "max_pool2d: x.shape=() must have at least 2 axes"),
    (lambda: pooltk.max_pool1d(3, 1), "max_pool1d: x.shape=() must have at least 1 axis"),
    (
        max2(X[0, 0], data_format="channels_last"),
        "max_pool2d: x.shape=(4, 4) must have at least 3 axes",
    ),
    (
        lambda: pooltk.adaptive_avg_pool3d(X[0, 0], 1),
        "adaptive_avg_pool3d: x.shape=(4, 4) must have at least 3 axes",
    ),
    (
        max2(np.zeros((2, 0, 4))),
        "max_pool2d: x.shape=(2, 0, 4) must have no pooled axis of length 0, as axis 1 is",
    ),
    (
        bins2(np.zeros((2, 4, 0, 3)), 1, data_format="channels_last"),
        "adaptive_max_pool2d: x.shape=(2, 4, 0, 3) must have no pooled axis of length 0, as axis "
        "2 is",
    ),
    # Windows.
    (max2(X, 0), "max_pool2d: kernel_size=0 must be at least 1"),
    (max2(X, (1, -1)), "max_pool2d: kernel_size=(1, -1) must be at least 1"),
    (max2(X, ()), f"max_pool2d: kernel_size=() {TWO_INTS}"),
    (max2(X, (1,)), f"max_pool2d: kernel_size=(1,) {TWO_INTS}"),
    (max2(X, [1, 1, 1]), f"max_pool2d: kernel_size=[1, 1, 1] {TWO_INTS}"),
    (
        lambda: pooltk.max_pool1d(X, 2, 1, (1, 1)),
        "max_pool1d: padding=(1, 1) must be an int, or a tuple of length 1, the number of pooled "
        "axes",
    ),
    (max2(X, 2, 0), "max_pool2d: stride=0 must be at least 1"),
    (avg2(X, 2, (1, -2)), "avg_pool2d: stride=(1, -2) must be at least 1"),
    (max2(X, 2, (1, 1, 1)), f"max_pool2d: stride=(1, 1, 1) {TWO_INTS}"),
    (max2(X, 2, dilation=0), "max_pool2d: dilation=0 must be at least 1"),
    (max2(X, 2, dilation=(1,)), f"max_pool2d: dilation=(1,) {TWO_INTS}"),
    (max2(X, 2, padding=-1), "max_pool2d: padding=-1 must be at least 0"),
    (
        avg2(X, 2, padding=((0, 0), (-1, 0))),
        "avg_pool2d: padding=((0, 0), (-1, 0)) must be at least 0",
    ),
    (max2(X, 2, padding=(1,)), f"max_pool2d: padding=(1,) {TWO_INTS}"),
    (max2(X, 2, padding=((0, 1),)), f"max_pool2d: padding=((0, 1),) {TWO_PAIRS}"),
    (
        max2(X, 2, padding=((0, 1, 1), (0, 1))),
        f"max_pool2d: padding=((0, 1, 1), (0, 1)) {TWO_PAIRS}",
    ),
    (max2(X, 3, padding=(3, 3)), f"max_pool2d: padding=(3, 3) {EXTENT} (3, 3) on every side"),
    (avg2(X, (3, 2), padding=2), f"avg_pool2d: padding=2 {EXTENT} (3, 2) on every side"),
    (
        max2(X, 2, dilation=3, padding=((3, 3), (3, 4))),
        f"max_pool2d: padding=((3, 3), (3, 4)) {EXTENT} (4, 4) on every side",
    ),
    (
        max2(X, 2, padding="full"),
        "max_pool2d: padding='full' must be 'valid', 'same' or 'same_lower', if it is a str",
    ),
    (
        max2(X, (2, 5)),
        "max_pool2d: x.shape=(1, 1, 4, 4) must have room for one window along axis 3: length 4 "
        "with padding (0, 0) is too short for the window extent 5 (kernel_size 5, dilation 1)",
    ),
    (
        avg2(X, 4, 1, ((1, 0), (1, 1)), dilation=2, data_format="channels_last"),
        "avg_pool2d: x.shape=(1, 1, 4, 4) must have room for one window along axis 1: length 1 "
        "with padding (1, 0) is too short for the window extent 7 (kernel_size 4, dilation 2)",
    ),
    (
        avg2(X, divisor_override=0),
        "avg_pool2d: divisor_override=0 must be an int other than 0 and between -2**53 and 2**53",
    ),
    (
        avg2_backward(divisor_override=-(2**53)),
        "avg_pool2d_backward: divisor_override=-9007199254740992 must be an int other than 0 and "
        "between -2**53 and 2**53",
    ),
    (
        max2(data_format="NHWC"),
        "max_pool2d: data_format='NHWC' must be 'channels_first' or 'channels_last'",
    ),
    (
        bins2(X, (1,)),
        "adaptive_max_pool2d: output_size=(1,) must be an int or None, or a tuple of length 2, the "
        "number of pooled axes",
    ),
    (bins2(X, -1), "adaptive_max_pool2d: output_size=-1 must be at least 0"),
    (bins2(X, (None, -2)), "adaptive_max_pool2d: output_size=(None, -2) must be at least 0"),
    # Sizes beyond what can be counted.
    (max2(X, 2**62), f"max_pool2d: kernel_size=4611686018427387904 {TAPS}"),
    (max2(X, 10**200), f"max_pool2d: kernel_size=<int> {TAPS}"),
    (max2(X, (2**27, 2**26)), f"max_pool2d: kernel_size=(134217728, 67108864) {TAPS}"),
    (max2(X, 2, 2**62), f"max_pool2d: stride=4611686018427387904 {POSITIONS}"),
    (max2(X, 2, dilation=2**62), f"max_pool2d: dilation=4611686018427387904 {POSITIONS}"),
    (
        max2(X, 2, 1, 2**61, 2**61 + 1),
        f"max_pool2d: padding=2305843009213693952 {POSITIONS}",
    ),
    (
        bins2(X, (2**60, 1)),
        "adaptive_max_pool2d: output_size=(1152921504606846976, 1) must stay below 2**62 when "
        "multiplied by x.shape=(1, 1, 4, 4) along its axis",
    ),
    (
        bins2(X, 2**40),
        "adaptive_max_pool2d: output_size=1099511627776 must give an array of fewer than 2**60 "
        "elements, not of shape (1, 1, 1099511627776, 1099511627776)",
    ),
    (
        max2(X, 2, 1, 2**40, 2**40 + 1),
        "max_pool2d: x.shape=(1, 1, 4, 4) must give an array of fewer than 2**60 elements, not of "
        "shape (1, 1, 1099511627779, 1099511627779)",
    ),
    (
        max2(np.broadcast_to(np.int8(0), (2**20, 2**20, 2**20))),
        "max_pool2d: x.shape=(1048576, 1048576, 1048576) must give an array of fewer than 2**60 "
        "elements, not of shape (1048576, 1048576, 1048576)",
    ),
    (
        avg2_backward(GRAD, LARGE),
        f"avg_pool2d_backward: input_shape={LARGE} must give an array of fewer than 2**60 "
        f"elements, not of shape {LARGE}",
    ),
    (
        shape((2**62,), 1),
        "pool_output_shape: input_shape=(4611686018427387904,) must give an array of fewer than "
        "2**60 elements, not of shape (4611686018427387904,)",
    ),
    # The other arrays.
    (
        max2_backward(GRAD[0]),
        "max_pool2d_backward: grad_output.shape=(1, 2, 2) must be (1, 1, 2, 2), the shape of the "
        "forward's result",
    ),
    (
        max2_backward(indices=INDICES[..., :1]),
        "max_pool2d_backward: indices.shape=(1, 1, 2, 1) must be (1, 1, 2, 2), the shape of the "
        "forward's result",
    ),
    (
        max2_backward(STRICT_GRAD.to_device(ELSEWHERE), STRICT_X),
        f"max_pool2d_backward: x=<array_api_strict.Array on {STRICT_X.device}> must lie where "
        f"grad_output does, on {ELSEWHERE}",
    ),
    (
        avg2_backward(GRAD, (2, 1, 4, 4)),
        "avg_pool2d_backward: grad_output.shape=(1, 1, 2, 2) must be (2, 1, 2, 2), the shape of "
        "the forward's result",
    ),
    (
        avg2_backward(GRAD, (4,)),
        "avg_pool2d_backward: input_shape=(4,) must have at least 2 axes",
    ),
    (
        avg2_backward(GRAD, (1, 1, 4, -4)),
        "avg_pool2d_backward: input_shape=(1, 1, 4, -4) must have no size below 0",
    ),
    (
        avg2_backward(GRAD, (1, 1, 4, 0)),
        "avg_pool2d_backward: input_shape=(1, 1, 4, 0) must have no pooled axis of length 0, as "
        "axis 3 is",
    ),
    (
        bins2_backward(GRAD, (1, 4, 4)),
        "adaptive_avg_pool2d_backward: grad_output.shape=(1, 1, 2, 2) must have as many axes as "
        "input_shape=(1, 4, 4)",
    ),
    (
        bins2_backward(GRAD, (1, 2, 4, 4)),
        "adaptive_avg_pool2d_backward: grad_output.shape=(1, 1, 2, 2) must be (1, 2, 2, 2), the "
        "shape of the forward's result",
    ),
    (
        lambda: pooltk.adaptive_max_pool2d_backward(GRAD, X[0]),
        "adaptive_max_pool2d_backward: grad_output.shape=(1, 1, 2, 2) must have as many axes as "
        "x.shape=(1, 4, 4)",
    ),
    # out
    (
        max2(out=np.zeros((1, 2, 2))),
        "max_pool2d: out.shape=(1, 2, 2) must be (1, 1, 2, 2), the shape of the result",
    ),
    (
        avg2(STRICT_X, out=array_api_strict.zeros((2, 2), dtype=array_api_strict.float64)),
        "avg_pool2d: out.shape=(2, 2) must be (1, 1, 2, 2), the shape of the result",
    ),
    (
        avg2_backward(out=np.zeros((1, 1, 4, 5))),
        "avg_pool2d_backward: out.shape=(1, 1, 4, 5) must be (1, 1, 4, 4), the shape of the result",
    ),
    (
        max2(out=np.broadcast_to(0.0, (1, 1, 2, 2))),
        "max_pool2d: out=<read-only array> must be writeable",
    ),
    (
        max2(out=X[..., :2, :2]),
        "max_pool2d: out=<numpy.ndarray> must share no memory with an input or another result",
    ),
    (
        max2_backward(out=X),
        "max_pool2d_backward: out=<numpy.ndarray> must share no memory with an input or "
        "another result",
    ),
    (
        avg2(STRICT_X, 1, out=STRICT_X),
        "avg_pool2d: out=<array_api_strict.Array> must share no memory with an input or "
        "another result",
    ),
    (
        by_reference(avg2(STRICT_X, 1, out=STRICT_X)),
        "avg_pool2d: out=<array_api_strict.Array> must share no memory with an input or "
        "another result",
    ),
    (
        max2(out=strided((1, 1, 2, 2), (8, 8, 8, 8))),
        "max_pool2d: out=<array of strides (8, 8, 8, 8)> must not overlap itself",
    ),
    (
        max2(out=strided((1, 1, 2, 2), (0, 0, 0, 8))),
        "max_pool2d: out=<array of strides (0, 0, 0, 8)> must not overlap itself",
    ),
    (
        max2(return_indices=True, out=(GRAD.copy(),)),
        "max_pool2d: out=<1 objects> must be a pair (values, indices), as return_indices=True",
    ),
    (
        bins2(X, 2, True, out=[GRAD.copy()] * 3),
        "adaptive_max_pool2d: out=<3 objects> must be a pair (values, indices), as "
        "return_indices=True",
    ),
    (
        lambda: pooltk.max_pool2d(X, 2, return_indices=True, out=(z := GRAD.copy(), z.view("i8"))),
        "max_pool2d: out[1]=<numpy.ndarray> must share no memory with an input or another result",
    ),
    # Without an array.
    (shape((), 2), "pool_output_shape: input_shape=() must have at least 1 axis"),
    (
        shape((3, 0), 2),
        "pool_output_shape: input_shape=(3, 0) must have no pooled axis of length 0, as axis 1 is",
    ),
    (shape((3, -1), 2), "pool_output_shape: input_shape=(3, -1) must have no size below 0"),
    (
        shape((2, 5), 3),
        "pool_output_shape: input_shape=(2, 5) must have room for one window along axis 0: length "
        "2 with padding (0, 0) is too short for the window extent 3 (kernel_size 3, dilation 1)",
    ),
    (
        field([(3, 1, 1, 1, 1)]),
        "receptive_field: layers[0]=(3, 1, 1, 1, 1) must have 1 to 4 entries: kernel_size, stride, "
        "padding, dilation",
    ),
    (
        field([()]),
        "receptive_field: layers[0]=() must have 1 to 4 entries: kernel_size, stride, padding, "
        "dilation",
    ),
    *(
        (
            field([(2,), layer]),
            f"receptive_field: layers[1]={layer} must have a kernel_size, stride and dilation of "
            f"at least 1, and no padding below 0",
        )
        for layer in ((0,), (3, 0), (3, 1, -1), (3, 1, 0, 0))
    ),
    (lambda: pooltk.set_num_threads(0), "set_num_threads: n=0 must be from 1 to 1024"),
    (lambda: pooltk.set_num_threads(1025), "set_num_threads: n=1025 must be from 1 to 1024"),
    (
        lambda: pooltk.show_config("json"),
        "show_config: mode='json' must be 'stdout' or 'dicts'",
    ),
]
ERRORS = [(call, TypeError, words) for call, words in TYPE_ERRORS]
ERRORS += [(call, ValueError, words) for call, words in VALUE_ERRORS]


@pytest.mark.parametrize(("call", "error", "words"), ERRORS, ids=[words for *_, words in ERRORS])
def test_error(call, error, words, monkeypatch):
    def work(*arguments):
        raise AssertionError("worked before it had checked everything")

    monkeypatch.setattr(_dispatch, "backend", work)
    monkeypatch.setattr(_dispatch, "native", work)
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert str(caught.value) == words


def places_of_raise():
    """(file, line) of every `raise` in the files that refuse arguments."""
    files = [_checks.__file__, _dispatch.__file__, *Path(functional.__file__).parent.glob("*.py")]
    return {
        (str(path), node.lineno)
        for path in files
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.Raise)
    }


def places_of(error):
    """(file, line) of all that was raised on the way to an error."""
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            yield frame.filename, frame.lineno
        error = error.__context__


def test_every_error_is_in_the_table():
    seen = set()
    for call, *_ in ERRORS:
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        seen.update(places_of(caught.value))
    assert places_of_raise(), "there is nothing to look for"
    assert places_of_raise() - seen == set()


FUNCTIONS = {
    f"{name}{ndim}d{suffix}": ndim
    for name in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool")
    for ndim in (1, 2, 3)
    for suffix in ("", "_backward")
}


def valid_call(name):
    """Positional arguments of a public function, and the shape of its result."""
    ndim = FUNCTIONS[name]
    small, large = (2, *(2,) * ndim), (2, *(4,) * ndim)
    first = [np.ones(small), np.ones(large)] if name.endswith("backward") else [np.ones(large)]
    if name.endswith("backward") and "avg" in name:
        first[1] = large
    windows = [2] if "adaptive" not in name or not name.endswith("backward") else []
    return first + windows, large if name.endswith("backward") else small


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_names_itself(name):
    function, (arguments, shape) = getattr(pooltk, name), valid_call(name)
    assert function(*arguments).shape == shape
    first = "grad_output" if name.endswith("backward") else "x"

    def check(words, *arguments, **options):
        with pytest.raises((TypeError, ValueError)) as caught:
            function(*arguments, **options)
        assert str(caught.value).startswith(f"{name}: {words} must ")

    check("data_format='NCHW'", *arguments, data_format="NCHW")
    check("data_format=1", *arguments, data_format=1)
    check("out=<int>", *arguments, out=3)
    check("out.dtype=float32", *arguments, out=np.zeros(shape, "f4"))
    check("out.shape=(1,)", *arguments, out=np.zeros(1))
    check(f"{first}=None", None, *arguments[1:])
    check(f"{first}=numpy.ma.MaskedArray", np.ma.array(arguments[0]), *arguments[1:])
    check(f"{first}.dtype=complex128", arguments[0] * 1j, *arguments[1:])
    if "adaptive" not in name:
        windows = arguments[:-1]
        check("kernel_size=0", *windows, 0)
        check("kernel_size=1.0", *windows, 1.0)
        check("stride=True", *windows, 1, True)
        check("padding='none'", *windows, 1, padding="none")
        check("dilation=-1", *windows, 1, dilation=-1)
        check("ceil_mode='no'", *windows, 1, ceil_mode="no")
    elif not name.endswith("backward"):
        check("output_size=-1", arguments[0], -1)
        check("output_size='2'", arguments[0], "2")
    if "avg" in name and "adaptive" not in name:
        check("count_include_pad=2", *arguments, count_include_pad=2)
        check("divisor_override=0", *arguments, divisor_override=0)
    if "avg" in name and not name.endswith("backward"):
        check("dtype='int8'", *arguments, dtype="int8")
    if "max" in name and not name.endswith("backward"):
        check("return_indices=None", *arguments, return_indices=None)
        check("out=<numpy.ndarray>", *arguments, return_indices=True, out=np.zeros(shape))
    if "max" in name and name.endswith("backward"):
        check("x.dtype=complex128", arguments[0], arguments[1] * 1j, *arguments[2:])
        check("indices.dtype=float64", *arguments, indices=arguments[0])
        check("indices.shape=(1,)", *arguments, indices=np.zeros(1, int))
    if "avg" in name and name.endswith("backward"):
        check("input_shape=4", arguments[0], 4, *arguments[2:])


@pytest.mark.parametrize("bad", [True, 1.0, np.True_, np.float64(1)], ids=repr)
def test_no_cache_takes_bools_and_floats_for_the_ints_before(bad):
    """They are equal, and hash alike."""
    x, square = np.ones((2, 2)), ((1, 1), (1, 1))
    pool, average = pooltk.max_pool2d, pooltk.avg_pool2d
    assert pool(x, 1, 1, 0, 1).shape == pool(x, (1, 1), (1, 1), (0, 0), (1, 1)).shape == (2, 2)
    assert pool(x, 2, 1, 1).shape == pool(x, 2, 1, square).shape == (3, 3)
    assert average(x, 1, divisor_override=1).shape == (2, 2)
    assert pooltk.adaptive_max_pool2d(x, 1).shape == pooltk.adaptive_max_pool2d(x, (1, 1)).shape
    assert pooltk.avg_pool2d_backward(x, (2, 2), 1).shape == (2, 2)
    assert pooltk.adaptive_avg_pool2d_backward(x[:1, :1], (1, 1)).shape == (1, 1)
    assert pooltk.pool_output_shape((1, 1), 1) == (1, 1)
    assert pooltk.receptive_field([(1, 1, 1, 1)]) == (1, 1, -1)
    calls = [
        lambda: pool(x, bad, 1, 0, 1),
        lambda: pool(x, (1, bad), (1, 1), (0, 0), (1, 1)),
        lambda: pool(x, 1, bad, 0, 1),
        lambda: pool(x, (1, 1), (bad, 1), (0, 0), (1, 1)),
        lambda: pool(x, 2, 1, bad),
        lambda: pool(x, 2, 1, (1, bad)),
        lambda: pool(x, 2, 1, ((1, 1), (1, bad))),
        lambda: pool(x, 1, 1, 0, bad),
        lambda: pool(x, (1, 1), (1, 1), (0, 0), (1, bad)),
        lambda: average(x, 1, divisor_override=bad),
        lambda: pooltk.adaptive_max_pool2d(x, bad),
        lambda: pooltk.adaptive_max_pool2d(x, (bad, 1)),
        lambda: pooltk.avg_pool2d_backward(x, (2, 2), bad),
        lambda: pooltk.adaptive_avg_pool2d_backward(x[:1, :1], (bad, 1)),
        lambda: pooltk.pool_output_shape((bad, 1), 1),
        lambda: pooltk.receptive_field([(1, 1, bad, 1)]),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("bad", [0, 1, np.int64(1), 1.0], ids=repr)
def test_no_cache_takes_numbers_for_the_flags_before(bad):
    x = np.ones((2, 2))
    for flag in (False, True, np.True_):
        pooltk.max_pool2d(x, 1, ceil_mode=flag, return_indices=flag)
        pooltk.avg_pool2d(x, 1, ceil_mode=flag, count_include_pad=flag)
    for name in ("ceil_mode", "return_indices"):
        with pytest.raises(TypeError, match=f"max_pool2d: {name}="):
            pooltk.max_pool2d(x, 1, **{name: bad})
    with pytest.raises(TypeError, match="avg_pool2d: count_include_pad="):
        pooltk.avg_pool2d(x, 1, count_include_pad=bad)


def test_bad_input_leaves_out_as_it_was():
    out, indices = np.full((1, 1, 2, 2), 9.0), np.full((1, 1, 2, 2), 9)
    for options in (
        {"padding": 2},
        {"dilation": 0},
        {"return_indices": True, "out": (out, indices[0])},
        {"return_indices": True, "out": (out, out.view(np.int64))},
        {"data_format": "NCHW"},
    ):
        with pytest.raises(ValueError, match="must"):
            pooltk.max_pool2d(X, 2, **{"out": out, **options})
    assert (out == 9).all()
    assert (indices == 9).all()


@pytest.mark.parametrize("size", [(), (1,), (2,), (3,), (2, 2), (3, 2), (2, 1, 3)], ids=str)
def test_overlap_is_found_exactly(size):
    """Against marking the bytes of every element."""
    rng = np.random.default_rng(len(size))
    buffer = np.zeros(200, np.uint8)
    for strides in rng.integers(-9, 10, (200, len(size))):
        for item in (1, 2, 4):
            array = np.ndarray(size, f"u{item}", buffer, 100, tuple(map(int, strides)))
            buffer[:] = 0
            touched = [
                100 + int(np.dot(position, strides)) + byte
                for position in np.ndindex(size)
                for byte in range(item)
            ]
            overlaps = len(set(touched)) < len(touched)
            assert _checks._overlaps_itself(array) == overlaps, (size, strides, item)


def test_overlap_of_empty_and_large_arrays():
    assert not _checks._overlaps_itself(np.broadcast_to(0.0, (5, 0)))
    assert not _checks._overlaps_itself(np.zeros((64, 64, 64))[::2, ::-1, 1:].transpose(2, 0, 1))
    assert _checks._overlaps_itself(strided((9, 9), (8, 8)))
    # Too hard to tell at a reasonable price counts as overlapping.
    sizes, strides = (2,) * 30, tuple(3 * 5**n % 2**26 * 8 + 8 for n in range(30))
    array = np.lib.stride_tricks.as_strided(np.zeros(1), sizes, strides)
    assert _checks._overlaps_itself(array)
