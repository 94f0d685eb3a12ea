"""Wrong programs, each of which must be reported: the checks' own check."""

import cuda_log
import cupy as cp
import numpy as np
import ptx2cpp
import pytest

COPY = """
extern "C" __global__ void __launch_bounds__(256) copy(const float* x, float* y) {
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void copy4(const float4* x, float4* y) {
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void shared(float* y, int i) {
    __shared__ float s[32];
    s[threadIdx.x + i] = 1;
    __syncthreads();
    y[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void diverge(float* y) {
    if (threadIdx.x < 16) __shfl_sync(0xffffffff, y[0], 0);
    else __syncthreads();
}
extern "C" __global__ void stop() { __trap(); }
"""
SUM = """
extern "C" __global__ void sum(const float* x, float* y) {
    __shared__ float s[256];
    int t = threadIdx.x;
    s[t] = x[t];
    BARRIER;
    for (int d = 128; d; d >>= 1) {
        if (t < d) s[t] += s[t + d];
        __syncthreads();
    }
    if (!t) *y = s[0];
}
"""


@pytest.fixture(scope="module")
def module():
    return cp.RawModule(code=COPY)


@pytest.fixture
def exact():
    with cuda_log.exact_allocations():
        yield


def launch(module, name, *args, block=64, **kwargs):
    module.get_function(name)((1,), (block,), args, **kwargs)


def reports(*words):
    return pytest.raises(cp.cuda.driver.CUDADriverError, match=".*".join(words))


def test_read_out_of_bounds(module, exact):
    with reports("copy: out of bounds read of 4 bytes at offset 252", r"thread \(63,0,0\)"):
        launch(module, "copy", cp.zeros(63, "f4"), cp.zeros(64, "f4"))


def test_write_out_of_bounds(module, exact):
    with reports("out of bounds write"):
        launch(module, "copy", cp.zeros(64, "f4"), cp.zeros(63, "f4"))


def test_null_pointer(module):
    with reports("read of 4 bytes at unmapped"):
        launch(module, "copy", np.uint64(0), cp.zeros(64, "f4"))


def test_use_after_free(module, exact):
    x = cp.zeros(1000, "f4")
    address = np.uint64(x.data.ptr)
    del x
    with reports("copy"):
        launch(module, "copy", address, cp.zeros(64, "f4"))


def test_misaligned_vector(module):
    x = cp.zeros(500, "f4")
    with reports("misaligned read of 16 bytes"):
        launch(module, "copy4", x[1:], x)


def test_shared_memory_out_of_bounds(module):
    with reports("shared memory"):
        launch(module, "shared", cp.zeros(32, "f4"), np.int32(1), block=32)


def test_block_too_large(module):
    x = cp.zeros(2048, "f4")
    with reports("launch_bounds"):
        launch(module, "copy", x, x, block=512)
    with reports("dimensions"):
        launch(module, "copy4", x, x, block=2048)


def test_too_much_shared_memory(module):
    x = cp.zeros(64, "f4")
    with reports("shared memory"):
        launch(module, "copy", x, x, shared_mem=60_000)


def test_deadlock(module):
    with reports("deadlock"):
        launch(module, "diverge", cp.zeros(1, "f4"), block=32)


def test_error_stays_until_cleared(module):
    x = cp.zeros(64, "f4")
    with reports("trap"):
        launch(module, "stop")
    with pytest.raises(cp.cuda.driver.CUDADriverError):
        launch(module, "copy", x, x)
    cuda_log.clear_error()
    launch(module, "copy", x, x)


@pytest.mark.parametrize("barrier, correct", [("__syncthreads()", True), ("", False)])
def test_missing_barrier(barrier, correct):
    kernel = cp.RawKernel(SUM.replace("BARRIER", barrier), "sum")
    x, y = cp.arange(256, dtype="f4"), cp.zeros(1, "f4")
    right = []
    for _ in cuda_log.schedules():
        kernel((1,), (256,), (x, y))
        right.append(float(y[0]) == 255 * 128)
    assert all(right) == correct


def test_float_atomics_depend_on_the_order():
    code = (
        'extern "C" __global__ void f(const float* x, float* y) { atomicAdd(y, x[threadIdx.x]); }'
    )
    kernel = cp.RawKernel(code, "f")
    x = cp.asarray(np.random.default_rng(0).standard_normal(256, dtype="f4"))
    results = set()
    for _ in cuda_log.schedules():
        y = cp.zeros(1, "f4")
        kernel((1,), (256,), (x, y))
        results.add(float(y[0]))
    assert len(results) > 1


def test_unwritten_results_are_nan(module, exact):
    y = cp.empty(64, "f4")
    launch(module, "copy", cp.zeros(64, "f4"), y, block=60)
    assert np.isnan(y.get()).sum() == 4


def test_float32_subnormals_are_flushed():
    """RawKernel compiles with -ftz=true; an emulation of the source would not see that."""
    kernel = cp.RawKernel('extern "C" __global__ void f(float* x) { x[0] = x[0] > x[1]; }', "f")
    x = cp.array([3e-40, 1e-40], "f4")
    kernel((1,), (1,), (x,))
    assert float(x[0]) == 0


@pytest.mark.parametrize(
    "line",
    ["frobnicate.u32 %r1, %r2;", "add.frob.u32 %r1, %r1, %r1;", "ld.global.u32 %r1, [nowhere];"],
)
def test_unknown_ptx_is_refused(line):
    with pytest.raises(ptx2cpp.Unsupported, match="line 1"):
        ptx2cpp.translate(".visible .entry f() { .reg .b32 %r<4>; " + line + " ret; }")


def test_printf_is_refused():
    code = 'extern "C" __global__ void f() { printf("hello"); }'
    with reports("printf"):
        cp.RawKernel(code, "f").compile()
