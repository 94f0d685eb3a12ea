// Gradient of an average: each element of the input adds up, in row-major order, its shares of the
// gradients of the windows that hold it.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "outputs.cuh"
#include "sums.cuh"

// Add the shares of OUTPUTS windows in a row, from output w on, to the VW elements of the item.
__device__ inline void add_shares(const Geometry &g, const GRADIENT *grad_output, const Item &item,
                                  index_t d, index_t h, index_t w, FloatSum<WIDE> (&sum)[VW][VC]) {
    const Axis width = axis(g, 2);
    const index_t rows = COUNTED ? count(axis(g, 0), d) * count(axis(g, 1), h) : 1;
#pragma unroll
    for (int n = 0; n < OUTPUTS; ++n) {
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
                if (is_over(width, n, v)) sum[v][c].take(share);
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
    grad_output += plane_of(g.strides[0], item);

    FloatSum<WIDE> sum[VW][VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) sum[i / VC][i % VC].clear();
    add_windows(g, item, [&](index_t d, index_t h, index_t w) {
        add_shares(g, grad_output, item, d, h, w, sum);
    });

    GRADIENT result[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) {
        WIDE share = sum[i / VC][i % VC].value();
        if (!COUNTED) share = divide(share, (WIDE)g.divisor);
        convert(share, result[i]);
    }
    store_group(grad_input, g.strides[1], g, item, axis(g, 2).input_size, result);
}
