"""Where memory ends: a MemoryError, nothing lost, and later calls that work."""

import gc
import sys
import tracemalloc

import numpy as np
import pytest
from _cpu_cases import (
    DTYPES,
    FLOATS,
    LEVELS,
    Case,
    array_of,
    assert_same_bits,
    dtype_named,
    forget_plans,
    uses_builds,
    using,
)
from libraries import Exhausted

from pooltk import _cpu, _views

pytestmark = uses_builds

# --- scratch, which the kernels allocate ------------------------------------------------------

# Each thread has its own, 16 MB of it for windows so wide. So many threads together want more than
# any machine addresses, whatever was freed before. None of them ever starts, and the arrays that
# give them work repeat one element.
THREADS = 2**31 - 1
WIDE = Case("wide", (2**32, 2**21), 1, kernel_size=2**20, stride=2**18)
# Of an average's backward, it is the windows that hold an element which are so wide.
DENSE = Case("dense", (2**32, 2**21), 1, kernel_size=2**20, stride=1)
OPERATIONS = ("max_pool", "max_pool_indices", "avg_pool", "max_pool_backward", "avg_pool_backward")
SMALL = Case("small", (3, 64), 1, kernel_size=32, stride=8)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_memory_for_scratch(operation, dtype, level):
    if operation == "avg_pool_backward" and dtype not in FLOATS:
        pytest.skip("gradients are floating")
    with using(level):
        expected = results(operation, SMALL, dtype, ordinary)
    with using(level, THREADS):
        case = DENSE if operation == "avg_pool_backward" else WIDE
        check_out_of_memory(
            lambda: results(operation, case, dtype, repeated),
            r"^no memory for \d{13,} bytes of scratch rows$",
        )
    with using(level):
        for array, wanted in zip(results(operation, SMALL, dtype, ordinary), expected, strict=True):
            assert_same_bits(array, wanted)


def ordinary(shape, dtype):
    return array_of(shape, dtype, seed=1)


def repeated(shape, dtype):
    element = np.ones((), dtype_named(dtype))
    return np.lib.stride_tricks.as_strided(element, shape, (0,) * len(shape))


def results(operation, case, dtype, new):
    """Of the operation, in arrays that the public functions would not write to."""
    large, small = case.shape, case.result_shape
    if operation == "max_pool":
        return [_cpu.max_pool(new(large, dtype), case.axes, False, False, new(small, dtype))]
    if operation == "max_pool_indices":
        out = new(small, dtype), new(small, "int64")
        return _cpu.max_pool(new(large, dtype), case.axes, False, True, out)
    if operation == "avg_pool":
        out = new(small, "float64")
        return [_cpu.avg_pool(new(large, dtype), case.axes, False, True, None, out.dtype, out)]
    if operation == "max_pool_backward":
        x, gradient, out = new(large, dtype), new(small, "float32"), new(large, "float32")
        return [_cpu.max_pool_backward(gradient, x, case.axes, False, None, out)]
    gradient, out = new(small, dtype), new(large, dtype)
    return [_cpu.avg_pool_backward(gradient, large, case.axes, False, True, None, out)]


def check_out_of_memory(call, message):
    """The call fails so each time, and leaves no array behind."""

    def fail():
        with pytest.raises(MemoryError, match=message):
            call()

    tracemalloc.start()
    try:
        fail()
        before = arrays_alive()
        for _ in range(5):
            fail()
        assert arrays_alive() == before
    finally:
        tracemalloc.stop()


def arrays_alive():
    """Bytes and number of arrays that have memory of their own."""
    gc.collect()
    of_numpy = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    traces = tracemalloc.take_snapshot().filter_traces([of_numpy]).traces
    return sum(trace.size for trace in traces), len(traces)


# --- arrays, which NumPy allocates ------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "allocated"),
    [
        # What is kept of a geometry takes three arrays, its batch axes twice and its windows, and
        # results that are only looked at.
        ("max_pool", 5),
        ("max_pool_indices", 7),
        ("avg_pool", 5),
        ("max_pool_backward", 5),
        ("avg_pool_backward", 6),  # and the windows of the forward
    ],
)
def test_no_memory_for_arrays(operation, allocated, monkeypatch):
    """Whichever allocation fails, nothing half made is kept: the same call works afterwards."""
    memory = Exhausted(sys.maxsize)
    for module in (_cpu, _views):
        monkeypatch.setattr(module, "numpy", memory)
    case = Case("any", (3, 4, 20), 2, kernel_size=(2, 3), stride=(1, 2), padding=1)
    x, gradient = array_of(case.shape, "float32", 1), array_of(case.result_shape, "float32", 2)

    def call():
        if operation == "max_pool_indices":
            return case.pool("max_pool", x, return_indices=True)
        arrays = {"max_pool_backward": (gradient, x), "avg_pool_backward": (gradient,)}
        return (case.pool(operation, *arrays.get(operation, (x,))),)

    with using(LEVELS[-1]):
        expected = call()
        for number in range(allocated + 1):
            forget_geometry()
            memory.left = number
            if number < allocated:
                with pytest.raises(MemoryError, match="no memory for this array"):
                    call()
            else:
                call()
                assert memory.left == 0, "it allocates less than this test knows of"
            memory.left = sys.maxsize
            for result, wanted in zip(call(), expected, strict=True):
                assert_same_bits(result, wanted)


def forget_geometry():
    forget_plans()
    for function in (_cpu.views, _cpu._windows, _cpu._transposed):
        function.cache_clear()


@pytest.mark.parametrize("operation", ["max_pool", "max_pool_indices", "avg_pool"])
def test_no_memory_for_huge_results(operation):
    """NumPy's own error, before any work."""
    case = Case("pairs", (2**50,), 1, kernel_size=2)
    x = repeated(case.shape, "float32")
    pair = {"return_indices": True} if operation == "max_pool_indices" else {}
    check_out_of_memory(
        lambda: case.pool(operation.removesuffix("_indices"), x, **pair), "^Unable to allocate"
    )
