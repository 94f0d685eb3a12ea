// Gradient of an average: each element of the input adds up, in row-major order, its shares of the
// gradients of the windows that hold it.
//
// A thread has a block of VH by VW elements, or those of VC channels.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "outputs.cuh"
#include "sums.cuh"

typedef FloatSum<WIDE> Sums[VH][VW][VC];

// What a window gives to each of its taps; its gradient alone where the divisor is that of all.
__device__ inline WIDE share(GRADIENT gradient, index_t taps) {
    WIDE wide;
    convert(gradient, wide);
    return COUNTED ? divide(wide, (WIDE)taps) : wide;
}

#ifdef KERNEL_SIZE

// Add the shares of a row of windows, the row-th of those over the block.
__device__ inline void add_row(const Geometry &g, const GRADIENT *grad_output, const Item &item,
                               index_t d, int row, Sums &sum) {
    const index_t h = first_over(1, item.h) + row, w = first_over(2, item.w);
    FloatSum<WIDE> of_row[VW][VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) of_row[i / VC][i % VC].clear();
    Pack<GRADIENT, VC> gradient[WINDOWS_OVER[2]];
    load_row(g, g.strides[0], grad_output, d, h, w, gradient);
    const index_t taps = COUNTED ? count(axis(g, 0), d) * count(axis(g, 1), h) : 1;
#pragma unroll
    for (int n = 0; n < WINDOWS_OVER[2]; ++n) {
        const index_t taps_of_one = COUNTED ? taps * count(axis(g, 2), w + n) : 1;
        WIDE given[VC];
#pragma unroll
        for (int c = 0; c < VC; ++c)
            given[c] = share(gradient[n].at[c], taps_of_one ? taps_of_one : 1);
#pragma unroll
        for (int i = 0; i < VW * VC; ++i)
            if (is_tap(2, tap(2, n, i / VC))) of_row[i / VC][i % VC].take(given[i % VC]);
    }
#pragma unroll
    for (int u = 0; u < VH; ++u) {
        if (!is_tap(1, tap(1, row, u))) continue;
#pragma unroll
        for (int i = 0; i < VW * VC; ++i) sum[u][i / VC][i % VC].merge(of_row[i / VC][i % VC]);
    }
}

__device__ inline void add_all(const Geometry &g, const GRADIENT *grad_output, const Item &item,
                               Sums &sum) {
    add_rows(g, item,
             [&](index_t d, int row) { add_row(g, grad_output, item, d, row, sum); });
}

#else

__device__ inline void add_all(const Geometry &g, const GRADIENT *grad_output, const Item &item,
                               Sums &sum) {
    const GRADIENT *row;
    index_t taps_of_row;
    const auto begin = [&](index_t d, index_t h) {
        row = grad_output + offset_of(g.strides[0], d, h, 0);
        taps_of_row = COUNTED ? count(axis(g, 0), d) * count(axis(g, 1), h) : 1;
    };
    add_windows(g, item, begin, [&](index_t w) {
        const auto gradient = load<VC>(row + w * step_in_row(g.strides[0]));
        const index_t taps = COUNTED ? taps_of_row * count(axis(g, 2), w) : 1;
#pragma unroll
        for (int c = 0; c < VC; ++c) sum[0][0][c].take(share(gradient.at[c], taps));
    });
}

#endif

extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    avg_pool_backward(const GRADIENT *__restrict__ grad_output, RESULT *__restrict__ grad_input,
                      const Geometry g) {
    const index_t place = item_number();
    if (place >= g.items) return;
    const Item item = item_at(g, place);

    Sums sum;
#pragma unroll
    for (int i = 0; i < VH * VW * VC; ++i) sum[i / VC / VW][i / VC % VW][i % VC].clear();
    add_all(g, grad_output + plane_of(g.strides[0], item), item, sum);
    store_group(grad_input, g.strides[1], g, item, g.axes[1].input_size, g.axes[2].input_size,
                [&](int u, int v, int c) {
                    WIDE share = sum[u][v][c].value();
                    if (!COUNTED) share = divide(share, (WIDE)g.divisor);
                    RESULT result;
                    convert(share, result);
                    return result;
                });
}
