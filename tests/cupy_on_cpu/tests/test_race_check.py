"""Races that ThreadSanitizer must report, beside kernels in which it must find none."""

import numpy as np
import pytest
import race_check

SOURCE = """
extern "C" __global__ void __launch_bounds__(64) sum(const float* x, float* y) {
    __shared__ float s[64];
    int t = threadIdx.x;
    s[t] = x[blockIdx.x * 64 + t];
    BARRIER;
    for (int d = 32; d; d >>= 1) {
        if (t < d) s[t] += s[t + d];
        __syncthreads();
    }
    if (!t) y[blockIdx.x * STEP] = s[0];
}
// The sum of a warp by shuffles, which order nothing: that of the block needs a barrier.
extern "C" __global__ void sum_of_warps(const double* x, double* y) {
    __shared__ double s[2];
    double v = x[threadIdx.x];
    for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
    BARRIER;
    if (threadIdx.x == 0) *y = s[0] + s[1];
}
extern "C" __global__ void neighbours(const int* x, int* y) {
    __shared__ int s[32];
    s[threadIdx.x] = x[threadIdx.x];
    BARRIER;
    y[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void early(const int* x, int* y, int n) {   // some threads never arrive
    if (threadIdx.x >= n) return;
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
extern "C" __global__ void diverge() {
    if (threadIdx.x < 16) __syncthreads();
    else __shfl_sync(~0u, 0, 0);
}
struct Geometry { int size[3]; float scale; };
template <class T> __global__ void by_value(T* y, Geometry g) {
    int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[t] = g.size[threadIdx.y] * g.scale + (T)blockIdx.y;
}
"""
X = np.arange(256.0)
ORDERED = ["BARRIER=__syncthreads()", "STEP=1"]


def run(kernel, *arguments, grid=1, block=64, macros=ORDERED):
    return race_check.run(SOURCE, kernel, grid, block, arguments, macros)[-1]


def test_no_race_in_blocks():
    y = run("sum", X.astype("f4"), np.zeros(4, "f4"), grid=4)
    np.testing.assert_array_equal(y, X.reshape(4, 64).sum(1))


def test_no_race_in_warps():
    assert run("sum_of_warps", X, np.zeros(1)) == X[:64].sum()


def test_missing_barrier_of_a_block():
    with pytest.raises(race_check.Race, match=r"source\.cu:5 in sum"):
        run("sum", X.astype("f4"), np.zeros(4, "f4"), grid=4, macros=["BARRIER=", "STEP=1"])


@pytest.mark.parametrize("barrier, orders", [("__syncwarp()", False), ("__syncthreads()", True)])
def test_shuffles_order_nothing(barrier, orders):
    macros = [f"BARRIER={barrier}", "STEP=1"]
    if orders:
        run("sum_of_warps", X, np.zeros(1), macros=macros)
        return
    with pytest.raises(race_check.Race, match="sum_of_warps"):
        run("sum_of_warps", X, np.zeros(1), macros=macros)


@pytest.mark.parametrize(
    "barrier, orders", [("__shfl_sync(~0u, 1, 0)", False), ("__syncwarp()", True)]
)
def test_warps_need_a_barrier_too(barrier, orders):
    x, y = X.astype("i4"), np.zeros(32, "i4")
    macros = [f"BARRIER={barrier}", "STEP=1"]
    if orders:
        np.testing.assert_array_equal(run("neighbours", x, y, block=32, macros=macros), x[31::-1])
        return
    with pytest.raises(race_check.Race, match="neighbours"):
        run("neighbours", x, y, block=32, macros=macros)


def test_blocks_that_write_one_place():
    with pytest.raises(race_check.Race, match=r"source\.cu:11 in sum"):
        run("sum", X.astype("f4"), np.zeros(1, "f4"), grid=4, macros=[ORDERED[0], "STEP=0"])


def test_threads_that_returned_are_not_waited_for():
    y = run("early", X.astype("i4"), np.full(64, -1, "i4"), np.int32(40))
    assert y.tolist() == [*range(40), *[-1] * 24]


def test_deadlock():
    with pytest.raises(RuntimeError, match="deadlock"):
        run("diverge", block=32)


def test_more_threads_than_are_known():
    with pytest.raises(ValueError, match="9216 threads"):
        run("diverge", grid=(3, 3), block=1024)


def test_structs_templates_and_three_axes():
    geometry = np.zeros((), [("size", "i4", 3), ("scale", "f4")])
    geometry["size"], geometry["scale"] = [2, 3, 5], 2
    y = run("by_value<double>", np.zeros((2, 3, 4)), geometry, block=(4, 3, 2))
    assert (y == np.float64([4, 6, 10])[:, None]).all()


def test_what_the_shim_lacks_is_named():
    with pytest.raises(race_check.CompileError, match="atomicAdd"):
        race_check.run(
            'extern "C" __global__ void f(int* x) { atomicAdd(x, 1); }', "f", 1, 1, [np.zeros(1)]
        )
