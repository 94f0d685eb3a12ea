// Gradient of an average: each element of the input adds up, in row-major order, its shares of the
// gradients of the windows that hold it.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "sums.cuh"

// Add the shares of N windows in a row, from output w on, to the VW elements of the item.
template <int N>
__device__ inline void add_shares(const Geometry &g, const GRADIENT *grad_output, const Item &item,
                                  index_t d, index_t h, index_t w, FloatSum<WIDE> (&sum)[VW][VC]) {
    const Axis width = axis(g, 2);
    const index_t rows = COUNTED ? count(axis(g, 0), d) * count(axis(g, 1), h) : 1;
#pragma unroll
    for (int n = 0; n < N; ++n) {
        const index_t at_w = w + n;
        if (at_w < 0 || at_w >= width.output_size) continue;
        const Pack<GRADIENT, VC> gradient =
            load<VC>(grad_output + offset_of(g.strides[0], d, h, at_w));
#pragma unroll
        for (int c = 0; c < VC; ++c) {
            WIDE share;
            convert(gradient.at[c], share);
            if (COUNTED) share = divide(share, (WIDE)(rows * count(width, at_w)));
#pragma unroll
            for (int v = 0; v < VW; ++v) {
#if VW > 1
                const index_t tap = v + width.padding_low - (FIRST + n) * width.stride;
                if (tap < 0 || tap >= width.kernel_size) continue;
#endif
                sum[v][c].take(share);
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    avg_pool_backward(const GRADIENT *__restrict__ grad_output, GRADIENT *__restrict__ grad_input,
                      const Geometry g) {
    const index_t place = item_number();
    if (place >= g.items) return;
    const Item item = item_at(g, place);
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    grad_output += plane_of(g.strides[0], item);

    FloatSum<WIDE> sum[VW][VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) sum[i / VC][i % VC].clear();
    const Range over_d = outputs_over(depth, item.d), over_h = outputs_over(height, item.h);
#pragma unroll 1
    for (index_t i = 0; i < over_d.count; ++i)
#pragma unroll 1
        for (index_t j = 0; j < over_h.count; ++j) {
            const index_t d = over_d.first + i, h = over_h.first + j;
            if (!is_tap(depth, d, item.d) || !is_tap(height, h, item.h)) continue;
#if VW > 1 // FIRST is where the windows over the first group begin
            const index_t w = item.w * (VW / width.stride) + FIRST;
            add_shares<OUTPUTS>(g, grad_output, item, d, h, w, sum);
#else
            const Range over_w = outputs_over(width, item.w);
#pragma unroll 1
            for (index_t k = 0; k < over_w.count; ++k)
                if (is_tap(width, over_w.first + k, item.w))
                    add_shares<1>(g, grad_output, item, d, h, over_w.first + k, sum);
#endif
        }

    GRADIENT result[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) {
        WIDE share = sum[i / VC][i % VC].value();
        if (!COUNTED) share = divide(share, (WIDE)g.divisor);
        convert(share, result[i]);
    }
    store_group(grad_input, g.strides[1], g, item, width.input_size, result);
}
