// Maxima of windows, and the numbers of the taps that win, as asked: VALUES, NUMBERS or both.
//
// A thread, or a team of threads, has VW windows in a row, or those of VC channels. Numbers count
// over the plane, or, if RELATIVE, from the window's origin.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "windows.cuh"
#include "winners.cuh"

extern "C" __global__ void __launch_bounds__(BLOCK, 4)
    max_pool(const X *__restrict__ x, X *__restrict__ values, NUMBER *__restrict__ numbers,
             const Geometry g) {
    const index_t place = item_number();
    const bool is_mine = place < g.items;
    if (TEAM == 1 && !is_mine) return;
    const Item item = item_at(g, is_mine ? place : 0);

    Winner window[VW][VC];
    walk<VW>(g, x + plane_of(g.strides[0], item), item.d, item.h, item.w * VW, window);
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) gather(window[i / VC][i % VC]);
    if (!is_mine || member() != 0) return;

    const index_t length = g.axes[2].output_size;
#ifdef VALUES
    X value[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) value[i] = window[i / VC][i % VC].value();
    store_group(values, g.strides[1], g, item, length, value);
#endif
#ifdef NUMBERS
    NUMBER number[VW * VC];
#pragma unroll
    for (int i = 0; i < VW * VC; ++i) {
        number[i] = (NUMBER)window[i / VC][i % VC].number;
#ifdef RELATIVE
        number[i] -= (NUMBER)number_of_origin(g, item.d, item.h, item.w * VW + i / VC);
#endif
    }
    store_group(numbers, g.strides[2], g, item, length, number);
#endif
}
