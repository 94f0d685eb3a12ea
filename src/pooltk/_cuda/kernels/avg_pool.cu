// Averages of windows.
//
// A thread, or a team of threads, has VW windows in a row, or those of VC channels.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "windows.cuh"
#include "sums.cuh"

struct Window {
    SUM sum;

    __device__ static X neutral() {
        X nothing = {};
        return nothing;
    }
    __device__ void clear() { sum.clear(); }
    __device__ void start(index_t) {}
#ifdef WIDE // floating
    __device__ void take(X element, index_t) {
        WIDE wide;
        convert(element, wide);
        sum.take(wide);
    }
#else
    __device__ void take(X element, index_t) { sum.take(element); }
#endif
    __device__ void merge(const Window &other) { sum.merge(other.sum); }
    __device__ void average(int64 divisor, RESULT &result) const {
#ifdef WIDE
        convert(divide(sum.value(), (WIDE)divisor), result);
#else
        round_to(divide(sum.limbs(), divisor), result);
#endif
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    avg_pool(const X *__restrict__ x, RESULT *__restrict__ result, const Geometry g) {
    const index_t place = item_number();
    const bool is_mine = place < g.items;
    if (TEAM == 1 && !is_mine) return;
    const Item item = item_at(g, is_mine ? place : 0);
    const index_t w = item.w * VW;

    Window window[VW][VC];
    walk<VW>(g, x + plane_of(g.strides[0], item), item.d, item.h, w, window);
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) gather(window[i / VC][i % VC]);
    if (!is_mine || member() != 0) return;

    const index_t rows = g.divisor ? 1 : count(axis(g, 0), item.d) * count(axis(g, 1), item.h);
    RESULT average[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) {
        // A window without taps, or one beyond the row, has the sum 0.
        const index_t columns = g.divisor ? 1 : count(axis(g, 2), w + i / VC);
        const int64 divisor = g.divisor ? g.divisor : (int64)rows * columns;
        window[i / VC][i % VC].average(divisor ? divisor : 1, average[i]);
    }
    store_group(result, g.strides[1], g, item, g.axes[2].output_size, average);
}
