// The walk over the taps of windows, in row-major order.
//
// What takes them has `clear()`, `start(number)`, called with the number of the window's first tap
// where there is one, `take(element, number)`, and `neutral()`, an element that changes nothing.

#ifdef KERNEL_SIZE

// N windows in a row, the first of them at output w. Rows are loaded in whole chunks, and that of
// the first tap of all begins PHASE elements before it. ROWS_AT_ONCE are loaded before the first
// one is needed.
template <int N, class A>
__device__ inline void walk(const Geometry &g, const X *plane, index_t d, index_t h, index_t w,
                            A (&window)[N][VC]) {
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    constexpr int kernel[3] = {KERNEL_SIZE}, stride[3] = {STRIDES};
    constexpr int SPAN = PHASE + (N - 1) * stride[2] + kernel[2];
    constexpr int CHUNKS = (SPAN + CHUNK - 1) / CHUNK;
    const index_t first_d = origin(depth, d), first_h = origin(height, h);
    const index_t first_w = origin(width, w);
    const index_t number =
        at_least_0(first_d) * g.number_d + at_least_0(first_h) * g.number_h;
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
        for (int c = 0; c < VC; ++c) {
            window[n][c].clear();
            window[n][c].start(number + at_least_0(first_w + n * stride[2]));
        }

#pragma unroll 1
    for (int i = 0; i < kernel[0]; ++i) {
#pragma unroll ROWS_AT_ONCE
        for (int j = 0; j < kernel[1]; ++j) {
            const index_t at_d = first_d + i, at_h = first_h + j;
            const bool inside = at_d >= 0 && at_d < depth.input_size && at_h >= 0 &&
                                at_h < height.input_size;
            Pack<X, CHUNK * VC> row[CHUNKS];
#pragma unroll
            for (int k = 0; k < CHUNKS; ++k) {
                const index_t at_w = first_w - PHASE + k * CHUNK;
                if (inside && at_w >= 0 && at_w < width.input_size) {
                    row[k] = load<CHUNK * VC>(plane + offset_of(g.strides[0], at_d, at_h, at_w));
                } else {
#pragma unroll
                    for (int c = 0; c < CHUNK * VC; ++c) row[k].at[c] = A::neutral();
                }
            }
            const index_t row_number = at_d * g.number_d + at_h * g.number_h + first_w;
#pragma unroll
            for (int n = 0; n < N; ++n)
#pragma unroll
                for (int k = 0; k < kernel[2]; ++k) {
                    const int at = PHASE + n * stride[2] + k;
#pragma unroll
                    for (int c = 0; c < VC; ++c)
                        window[n][c].take(row[at / CHUNK].at[at % CHUNK * VC + c],
                                          row_number + n * stride[2] + k);
                }
        }
    }
}

#else

// Take what lies at an offset: VC channels of one tap.
template <class A>
__device__ inline void take(const X *at, index_t number, A (&window)[VC]) {
    const Pack<X, VC> pack = load<VC>(at);
#pragma unroll
    for (int c = 0; c < VC; ++c) window[c].take(pack.at[c], number);
}

// One window. Each of TEAM threads takes its share of the taps.
template <int N, class A>
__device__ inline void walk(const Geometry &g, const X *plane, index_t d, index_t h, index_t w,
                            A (&windows)[N][VC]) {
    static_assert(N == 1, "windows that slide are known when this is compiled");
    A(&window)[VC] = windows[0];
#pragma unroll
    for (int c = 0; c < VC; ++c) window[c].clear();
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    const Range td = taps(depth, d), th = taps(height, h), tw = taps(width, w);
    if (td.count == 0 || th.count == 0 || tw.count == 0) return;
    const Strides &s = g.strides[0];
    const index_t number = td.first * g.number_d + th.first * g.number_h + tw.first;
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
#pragma unroll 4
            for (index_t k = 0; k < tw.count; ++k)
                take(row + k * width.dilation * s.w, row_number + k * width.dilation, window);
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
#pragma unroll
        for (int i = 0; i < CHUNK; ++i) window[0].take(pack.at[i], number + at + i);
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
