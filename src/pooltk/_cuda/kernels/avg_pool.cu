// Averages of windows.
//
// A thread, or a team of threads, has a block of VH by VW windows, or those of VC channels.

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
    __device__ void take(X element, index_t) { sum.take(wide(element)); }
    template <int N> __device__ void take_all(const Pack<X, N> &elements, index_t, index_t) {
        WIDE each[N];
#pragma unroll
        for (int i = 0; i < N; ++i) each[i] = wide(elements.at[i]);
#ifdef ONE_BY_ONE
#pragma unroll
        for (int i = 0; i < N; ++i) sum.take(each[i]);
#else
        sum.take(in_pairs(each));
#endif
    }
    __device__ static WIDE wide(X element) {
        WIDE result;
        convert(element, result);
        return result;
    }
#else
    __device__ void take(X element, index_t) { sum.take(element); }
    template <int N> __device__ void take_all(const Pack<X, N> &elements, index_t, index_t) {
#pragma unroll
        for (int i = 0; i < N; ++i) sum.take(elements.at[i]);
    }
#endif
    __device__ void follow(const Window &row, index_t) { merge(row); }
    __device__ void merge(const Window &other) { sum.merge(other.sum); }
    __device__ RESULT average(int64 divisor) const {
        RESULT result;
#ifdef WIDE
        convert(divide(sum.value(), (WIDE)divisor), result);
#elif defined(TINY_SUMS)
        round_quotient(sum.total, (int32)divisor, result);
#else
        round_to(divide(sum.limbs(), divisor), result);
#endif
        return result;
    }
};

extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    avg_pool(const X *__restrict__ x, RESULT *__restrict__ result, const Geometry g) {
    const index_t place = item_number();
    const bool is_mine = place < g.items;
    if (TEAM == 1 && !is_mine) return;
    const Item item = item_at(g, is_mine ? place : 0);
    const index_t h = item.h * VH, w = item.w * VW;

    Window window[VH][VW][VC];
    walk(g, x + plane_of(g.strides[0], item), item.d, h, w, window);
#pragma unroll
    for (int c = 0; c < VC; ++c) gather(window[0][0][c]); // a team has no more
    if (!is_mine || member() != 0) return;

    const index_t planes = g.divisor ? 1 : count(axis(g, 0), item.d);
    const auto average = [&](int m, int n, int c) {
        int64 divisor = g.divisor;
        if (!divisor) {
            divisor = (int64)planes * count(axis(g, 1), h + m) * count(axis(g, 2), w + n);
            if (!divisor) divisor = 1; // without taps, or beyond the row, it has the sum 0
        }
        return window[m][n][c].average(divisor);
    };
    store_group(result, g.strides[1], g, item, g.axes[1].output_size, g.axes[2].output_size,
                average);
}
