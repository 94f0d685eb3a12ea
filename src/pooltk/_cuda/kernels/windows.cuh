// The walk over the taps of windows, in row-major order.
//
// What takes them has `clear()`, `start(number)`, called with the number of the window's first tap
// where there is one, `take(element, number)`, `take_all(elements, number, step)`, and `neutral()`,
// an element that changes nothing. It takes over what a row's taps came to by
// `follow(row, number)`, to which their numbers are to be added, and another thread's by
// `merge(other)`.

// From which the numbers of a window's taps count.
__device__ inline index_t number_zero(const Geometry &g, index_t d, index_t h, index_t w) {
#ifdef RELATIVE
    return number_of_origin(g, d, h, w);
#else
    return 0;
#endif
}

#ifdef KERNEL_SIZE

// VH by VW windows, the first of them at output (d, h, w). Rows are loaded in whole chunks, and
// that of the first tap of all begins PHASE elements before it. What a row's taps come to is found
// once for the windows above each other that have them.
template <class A>
__device__ inline void walk(const Geometry &g, const X *plane, index_t d, index_t h, index_t w,
                            A (&window)[VH][VW][VC]) {
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    constexpr int kernel[3] = {KERNEL_SIZE}, stride[3] = {STRIDES};
    constexpr int ROWS = (VH - 1) * stride[1] + kernel[1];
    constexpr int SPAN = PHASE + (VW - 1) * stride[2] + kernel[2];
    constexpr int CHUNKS = (SPAN + CHUNK - 1) / CHUNK;
    const index_t first_d = origin(depth, d), first_h = origin(height, h);
    const index_t first_w = origin(width, w);
#pragma unroll
    for (int m = 0; m < VH; ++m)
#pragma unroll
        for (int n = 0; n < VW; ++n) {
            const index_t number = at_least_0(first_d) * g.number_d +
                                   at_least_0(first_h + m * stride[1]) * g.number_h +
                                   at_least_0(first_w + n * stride[2]);
#pragma unroll
            for (int c = 0; c < VC; ++c) {
                window[m][n][c].clear();
                window[m][n][c].start(number - number_zero(g, d, h + m, w + n));
            }
        }

#pragma unroll 1
    for (int i = 0; i < kernel[0]; ++i) {
        const index_t at_d = first_d + i;
        if (kernel[0] > 1 && !is_within(at_d, depth.input_size)) continue;
#pragma unroll
        for (int j = 0; j < ROWS; ++j) {
            const index_t at_h = first_h + j;
            const bool inside = is_within(at_h, height.input_size);
            const X *first = plane + offset_of(g.strides[0], at_d, at_h, first_w - PHASE);
            Pack<X, CHUNK * VC> row[CHUNKS];
#pragma unroll
            for (int k = 0; k < CHUNKS; ++k) {
                const index_t at_w = first_w - PHASE + k * CHUNK;
                if (inside && is_within(at_w, width.input_size)) {
                    row[k] = load<CHUNK * VC>(first + k * CHUNK * step_in_row(g.strides[0]));
                } else {
#pragma unroll
                    for (int c = 0; c < CHUNK * VC; ++c) row[k].at[c] = A::neutral();
                }
            }
#pragma unroll
            for (int n = 0; n < VW; ++n)
#pragma unroll
                for (int c = 0; c < VC; ++c) {
                    A taps;
                    taps.clear();
#pragma unroll
                    for (int k = 0; k < kernel[2]; ++k) {
                        const int at = PHASE + n * stride[2] + k;
                        taps.take(row[at / CHUNK].at[at % CHUNK * VC + c], k);
                    }
#pragma unroll
                    for (int m = 0; m < VH; ++m) {
                        const int of_window = j - m * stride[1];
                        if (of_window < 0 || of_window >= kernel[1]) continue;
#ifdef RELATIVE
                        const index_t number = (i * kernel[1] + of_window) * kernel[2];
#else
                        const index_t number = at_d * g.number_d + at_h * g.number_h + first_w +
                                               n * stride[2];
#endif
                        window[m][n][c].follow(taps, number);
                    }
                }
        }
    }
}

#else

// Take VC channels of one tap, or of N that are so many elements apart.
template <class A>
__device__ inline void take(const X *at, index_t number, A (&window)[VC]) {
    const Pack<X, VC> pack = load<VC>(at);
#pragma unroll
    for (int c = 0; c < VC; ++c) window[c].take(pack.at[c], number);
}
template <int N, class A>
__device__ inline void take_all(const X *at, index_t apart, index_t number, index_t step,
                                A (&window)[VC]) {
    Pack<X, VC> packs[N];
#pragma unroll
    for (int k = 0; k < N; ++k) packs[k] = load<VC>(at + k * apart);
#pragma unroll
    for (int c = 0; c < VC; ++c) {
        Pack<X, N> elements;
#pragma unroll
        for (int k = 0; k < N; ++k) elements.at[k] = packs[k].at[c];
        window[c].take_all(elements, number, step);
    }
}

// One window. Each of TEAM threads takes its share of the taps.
template <class A>
__device__ inline void walk(const Geometry &g, const X *plane, index_t d, index_t h, index_t w,
                            A (&windows)[VH][VW][VC]) {
    static_assert(VH * VW == 1, "of windows in a block it is known where they are");
    A(&window)[VC] = windows[0][0];
#pragma unroll
    for (int c = 0; c < VC; ++c) window[c].clear();
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    const Range td = taps(depth, d), th = taps(height, h), tw = taps(width, w);
    if (td.count == 0 || th.count == 0 || tw.count == 0) return;
    const Strides &s = g.strides[0];
    const index_t number = td.first * g.number_d + th.first * g.number_h + tw.first -
                           number_zero(g, d, h, w);
#pragma unroll
    for (int c = 0; c < VC; ++c) window[c].start(number);
    const X *first = plane + offset_of(s, td.first, th.first, tw.first);
#if TEAM == 1
#pragma unroll 1
    for (index_t i = 0; i < td.count; ++i)
#pragma unroll 1
        for (index_t j = 0; j < th.count; ++j) {
            const X *row = first + i * depth.dilation * s.d + j * height.dilation * s.h;
            const index_t row_number =
                number + i * depth.dilation * g.number_d + j * height.dilation * g.number_h;
            const index_t apart = width.dilation * step_in_row(s);
            index_t k = 0;
#pragma unroll 1
            for (; k + 4 <= tw.count; k += 4)
                take_all<4>(row + k * apart, apart, row_number + k * width.dilation,
                            width.dilation, window);
#pragma unroll 1
            for (; k < tw.count; ++k)
                take(row + k * apart, row_number + k * width.dilation, window);
        }
#elif defined(RUN)
    // The taps lie side by side: up to the first chunk and after the last one by one.
    const index_t ahead = (16 - (uint64)first % 16) % 16 / sizeof(X);
    const index_t head = smaller(tw.count, ahead);
    const index_t body = (tw.count - head) / CHUNK;
#pragma unroll 1
    for (index_t k = member(); k < head; k += TEAM) take(first + k, number + k, window);
#pragma unroll 4
    for (index_t k = member(); k < body; k += TEAM) {
        const index_t at = head + k * CHUNK;
        const Pack<X, CHUNK> pack = load<CHUNK>(first + at);
        window[0].take_all(pack, number + at, 1);
    }
#pragma unroll 1
    for (index_t k = head + body * CHUNK + member(); k < tw.count; k += TEAM)
        take(first + k, number + k, window);
#else
    // Every TEAM-th tap: a step is so many columns, rows and planes.
    const index_t step_w = TEAM % tw.count, rows = TEAM / tw.count;
    const index_t step_h = rows % th.count, step_d = rows / th.count;
    index_t k = member() % tw.count, j = member() / tw.count % th.count;
    index_t i = member() / tw.count / th.count;
#pragma unroll 4
    while (i < td.count) {
        const index_t at_d = i * depth.dilation, at_h = j * height.dilation;
        const index_t at_w = k * width.dilation;
        take(first + offset_of(s, at_d, at_h, at_w),
             number + at_d * g.number_d + at_h * g.number_h + at_w, window);
        k += step_w;
        j += step_h;
        i += step_d;
        if (k >= tw.count) {
            k -= tw.count;
            j += 1;
        }
        if (j >= th.count) {
            j -= th.count;
            i += 1;
        }
    }
#endif
}

#endif
