// Gradient of a maximum: each element of the input adds up, in row-major order, the gradients of
// the windows that it won. Nothing is scattered, so that the bits are the same in every run.
//
// Who won is read from `numbers`: those of positions in the plane, as max_pool gives them to its
// caller, or RELATIVE to each window. A thread has a block of VH by VW elements, or those of VC
// channels.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "outputs.cuh"

typedef WIDE Sums[VH][VW][VC];

// A number of any type, or -1, which no position has.
__device__ inline index_t position(NUMBER number) {
    return (NUMBER)(index_t)number == number ? (index_t)number : -1;
}

#ifdef KERNEL_SIZE

// Add the gradients of a row of windows, from (d, h, w) on, the row-th of those over the block.
__device__ inline void add_row(const Geometry &g, const NUMBER *numbers,
                               const GRADIENT *grad_output, const Item &item, index_t d, int row,
                               Sums &sum) {
    const index_t h = first_over(1, item.h) + row, w = first_over(2, item.w);
#ifdef RELATIVE
    const index_t own = (item.d - origin(axis(g, 0), d)) * g.number_d;
#else
    const index_t own = item.d * g.number_d + item.h * VH * g.number_h + item.w * VW;
#endif
    Pack<NUMBER, VC> winner[WINDOWS_OVER[2]];
    Pack<GRADIENT, VC> gradient[WINDOWS_OVER[2]]; // adding 0 changes nothing
    load_row(g, g.strides[1], numbers, d, h, w, winner);
    load_row(g, g.strides[2], grad_output, d, h, w, gradient);
#pragma unroll
    for (int n = 0; n < WINDOWS_OVER[2]; ++n) {
#pragma unroll
        for (int u = 0; u < VH; ++u)
#pragma unroll
            for (int v = 0; v < VW; ++v) {
                const int tap_h = tap(1, row, u), tap_w = tap(2, n, v);
                if (!is_tap(1, tap_h) || !is_tap(2, tap_w)) continue;
#ifdef RELATIVE
                const index_t mine = own + tap_h * axis(g, 2).kernel_size + tap_w;
#else
                const index_t mine = own + u * g.number_h + v;
#endif
#pragma unroll
                for (int c = 0; c < VC; ++c) {
                    WIDE wide;
                    convert(gradient[n].at[c], wide);
                    if (position(winner[n].at[c]) == mine) sum[u][v][c] = add(sum[u][v][c], wide);
                }
            }
    }
}

__device__ inline void add_all(const Geometry &g, const NUMBER *numbers,
                               const GRADIENT *grad_output, const Item &item, Sums &sum) {
    add_rows(g, item, [&](index_t d, int row) {
        add_row(g, numbers, grad_output, item, d, row, sum);
    });
}

#else

__device__ inline void add_all(const Geometry &g, const NUMBER *numbers,
                               const GRADIENT *grad_output, const Item &item, Sums &sum) {
    const index_t own = item.d * g.number_d + item.h * g.number_h + item.w;
    const NUMBER *row;
    const GRADIENT *gradients;
    index_t in_row; // the item's number, were it counted from that of the row's windows
    const auto begin = [&](index_t d, index_t h) {
        row = numbers + offset_of(g.strides[1], d, h, 0);
        gradients = grad_output + offset_of(g.strides[2], d, h, 0);
        in_row = own;
#ifdef RELATIVE
        in_row -= origin(axis(g, 0), d) * g.number_d + origin(axis(g, 1), h) * g.number_h;
#endif
    };
    add_windows(g, item, begin, [&](index_t w) {
        index_t mine = in_row;
#ifdef RELATIVE
        mine -= origin(axis(g, 2), w);
#endif
        const auto winner = load<VC>(row + w * step_in_row(g.strides[1]));
        const GRADIENT *gradient = gradients + w * step_in_row(g.strides[2]);
#pragma unroll
        for (int c = 0; c < VC; ++c) {
            if (position(winner.at[c]) != mine) continue;
            WIDE wide;
            convert(gradient[c], wide);
            sum[0][0][c] = add(sum[0][0][c], wide);
        }
    });
}

#endif

extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    max_pool_backward(GRADIENT *__restrict__ grad_input, const NUMBER *__restrict__ numbers,
                      const GRADIENT *__restrict__ grad_output, const Geometry g) {
    const index_t place = item_number();
    if (place >= g.items) return;
    const Item item = item_at(g, place);

    Sums sum = {};
    add_all(g, numbers + plane_of(g.strides[1], item), grad_output + plane_of(g.strides[2], item),
            item, sum);
    store_group(grad_input, g.strides[0], g, item, g.axes[1].input_size, g.axes[2].input_size,
                [&](int u, int v, int c) {
                    GRADIENT result;
                    convert(sum[u][v][c], result);
                    return result;
                });
}
