// Maxima of windows, and the numbers of the taps that win, as asked: VALUES, NUMBERS or both.
//
// A thread, or a team of threads, has a block of VH by VW windows, or those of VC channels. Numbers
// count over the plane, or, if RELATIVE, from the window's origin.

#include "elements.cuh"
#include "geometry.cuh"
#include "groups.cuh"
#include "windows.cuh"
#include "winners.cuh"

#ifdef NUMBERS
typedef Winner Window;
#else
typedef Greatest Window;
#endif

extern "C" __global__ void __launch_bounds__(BLOCK, 3)
    max_pool(const X *__restrict__ x, X *__restrict__ values, NUMBER *__restrict__ numbers,
             const Geometry g) {
    const index_t place = item_number();
    const bool is_mine = place < g.items;
    if (TEAM == 1 && !is_mine) return;
    const Item item = item_at(g, is_mine ? place : 0);

    Window window[VH][VW][VC];
    walk(g, x + plane_of(g.strides[0], item), item.d, item.h * VH, item.w * VW, window);
#pragma unroll
    for (int c = 0; c < VC; ++c) gather(window[0][0][c]); // a team has no more
    if (!is_mine || member() != 0) return;

    const index_t rows = g.axes[1].output_size, columns = g.axes[2].output_size;
#ifdef VALUES
    store_group(values, g.strides[1], g, item, rows, columns,
                [&](int m, int n, int c) { return window[m][n][c].value(); });
#endif
#ifdef NUMBERS
    store_group(numbers, g.strides[2], g, item, rows, columns,
                [&](int m, int n, int c) { return (NUMBER)window[m][n][c].number; });
#endif
}
