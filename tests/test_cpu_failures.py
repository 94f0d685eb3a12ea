"""Where memory ends: a MemoryError, nothing lost, and later calls that work."""

import sys

import pytest
from _cpu_cases import LEVELS, SANITIZED, check_python

# Windows so wide that the scratch of one thread takes 16 MB and more, and few of them.
PROGRAM = """
import resource
import sys
from _cpu_cases import *

def used(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

def fails(call):
    try:
        call()
    except MemoryError as error:
        return str(error)
    return None

def limit_memory(more):
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used("VmSize") + more if more else hard, hard))

operation, dtype, level, threads = sys.argv[1:]
stride = 1 if operation == "avg_pool_backward" else 2**18
case = Case("", (2**21,), 1, kernel_size=2**20, stride=stride)
x = array_of(case.shape, dtype, 1)
gradient = array_of(case.result_shape, "float32", 2)
indices = np.full(case.result_shape, 5)

def call():
    if operation == "max_pool_indices":
        return case.pool("max_pool", x, return_indices=True)
    if operation == "max_pool_backward":
        return case.pool("max_pool_backward", gradient, x, out=grad_input)
    if operation == "max_pool_backward_of_indices":
        return case.pool("max_pool_backward", half_gradient, x, indices=indices, out=half_input)
    if operation == "avg_pool_backward":
        return case.pool("avg_pool_backward", gradient, out=grad_input)
    return case.pool(operation, x)

grad_input = np.ones(case.shape, "float32")
half_gradient, half_input = gradient.astype("float16"), np.ones(case.shape, "float16")

with using(level, int(threads)):
    expected = call()
    expected = [array.copy() for array in (expected if isinstance(expected, tuple) else [expected])]
    limit_memory(2**20)
    said = fails(call)
    assert said, "there was memory enough"
    size = used("VmRSS")
    for _ in range(300):
        assert fails(call) == said
    lost = used("VmRSS") - size
    limit_memory(None)
    result = call()
    result = result if isinstance(result, tuple) else (result,)
    for array, wanted in zip(result, expected, strict=True):
        assert_same_bits(array, wanted)
    assert lost < 100_000, lost
print(said)
"""

# What is freed goes back to the system, so that it is not there for what is to fail.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}

unlimited = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is used")
sanitized = pytest.mark.skipif(SANITIZED, reason="sanitizers need address space of their own")


@unlimited
@sanitized
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("operation", "dtype"),
    [
        ("max_pool", "float32"),
        ("max_pool", "bfloat16"),
        ("max_pool", "uint8"),
        ("max_pool_indices", "float32"),
        ("max_pool_indices", "float64"),
        ("avg_pool", "float32"),
        ("avg_pool", "float16"),
        ("avg_pool", "int64"),
        ("max_pool_backward", "float32"),
        ("max_pool_backward", "int16"),
        ("avg_pool_backward", "float32"),
    ],
)
def test_no_memory_for_scratch(operation, dtype, level, threads):
    said = check_python(PROGRAM, operation, dtype, level, threads, **GIVE_BACK)
    assert "scratch" in said


@unlimited
@sanitized
@pytest.mark.parametrize("operation", ["max_pool", "max_pool_indices", "avg_pool"])
def test_no_memory_for_results(operation):
    """NumPy's own error, before any work."""
    program = PROGRAM.replace("kernel_size=2**20, stride=stride", "kernel_size=2")
    said = check_python(program, operation, "float32", LEVELS[-1], 1, **GIVE_BACK)
    assert "Unable to allocate" in said
