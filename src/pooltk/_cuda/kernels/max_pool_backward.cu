// Gradient of a maximum: each element of the input adds up, in row-major order, the gradients of
// the windows that it won. Nothing is scattered, so that the bits are the same in every run.
//
// Who won is searched again in `x`, or read from `numbers`: those of positions in the plane, as
// max_pool gives them to its caller, or RELATIVE to each window.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "outputs.cuh"
#include "windows.cuh"
#include "winners.cuh"

// Add the gradients of OUTPUTS windows in a row, from output w on, to the VW elements of the item.
__device__ inline void add_won(const Geometry &g, const X *x, const NUMBER *numbers,
                               const GRADIENT *grad_output, const Item &item, index_t d, index_t h,
                               index_t w, WIDE (&sum)[VW][VC]) {
    const Axis width = axis(g, 2);
    const index_t own_w = item.w * VW;
#ifdef SEARCH
    Winner winner[OUTPUTS][VC];
    walk<OUTPUTS>(g, x, d, h, w, winner);
#endif
#pragma unroll
    for (int n = 0; n < OUTPUTS; ++n) {
        const index_t at_w = w + n;
        if (at_w < 0 || at_w >= width.output_size) continue;
        index_t own = item.d * g.number_d + item.h * g.number_h + own_w;
#ifdef RELATIVE
        own -= number_of_origin(g, d, h, at_w);
#endif
#ifndef SEARCH
        const Pack<NUMBER, VC> winner =
            load<VC>(numbers + offset_of(g.strides[2], d, h, at_w));
#endif
        const Pack<GRADIENT, VC> gradient =
            load<VC>(grad_output + offset_of(g.strides[3], d, h, at_w));
#pragma unroll
        for (int v = 0; v < VW; ++v) {
            if (!is_over(width, n, v)) continue;
#pragma unroll
            for (int c = 0; c < VC; ++c) {
#ifdef SEARCH
                const bool won = winner[n][c].number == own + v;
#else
                const bool won = (int64)winner.at[c] == (int64)(own + v);
#endif
                WIDE wide;
                convert(gradient.at[c], wide);
                if (won) sum[v][c] = add(sum[v][c], wide);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    max_pool_backward(const X *__restrict__ x, GRADIENT *__restrict__ grad_input,
                      const NUMBER *__restrict__ numbers,
                      const GRADIENT *__restrict__ grad_output, const Geometry g) {
    const index_t place = item_number();
    if (place >= g.items) return;
    const Item item = item_at(g, place);
#ifdef SEARCH
    x += plane_of(g.strides[0], item);
#else
    numbers += plane_of(g.strides[2], item);
#endif
    grad_output += plane_of(g.strides[3], item);

    WIDE sum[VW][VC] = {};
    add_windows(g, item, [&](index_t d, index_t h, index_t w) {
        add_won(g, x, numbers, grad_output, item, d, h, w, sum);
    });

    GRADIENT result[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) convert(sum[i / VC][i % VC], result[i]);
    store_group(grad_input, g.strides[1], g, item, axis(g, 2).input_size, result);
}
