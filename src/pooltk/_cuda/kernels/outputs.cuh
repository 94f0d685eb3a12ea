// The windows that hold an element of the input, for gradients.

// Windows that reach over a position; between dilated taps, without one on it.
__device__ inline Range outputs_over(const Axis &a, index_t position) {
    if (!a.stride) {
        index_t first = quotient(position * a.output_size, a.by_stride);
        index_t stop = (position + 1) * a.output_size + a.input_size - 1;
        return {first, quotient(stop, a.by_stride) - first};
    }
    index_t last = smaller(quotient(position + a.padding_low, a.by_stride), a.output_size - 1);
    index_t before = position + a.padding_low - a.dilation * (a.kernel_size - 1);
    index_t first = quotient(at_least_0(before + a.stride - 1), a.by_stride);
    return {first, at_least_0(last - first + 1)};
}

#ifdef KERNEL_SIZE

// Where the windows over the first of a block's elements begin, FIRST outputs from it, is known
// when this is compiled, and so is which of the WINDOWS that follow hold which of its elements.
constexpr int VECTORS[3] = {1, VH, VW}, FIRSTS[3] = {0, FIRST}, WINDOWS_OVER[3] = {1, WINDOWS};

// Which tap of a window an element of the block is, if it is one.
__device__ inline int tap(int a, int window, int element) {
    constexpr int stride[3] = {STRIDES}, padding[3] = {PADDINGS};
    return element + padding[a] - (FIRSTS[a] + window) * stride[a];
}
__device__ inline bool is_tap(int a, int tap) {
    constexpr int kernel[3] = {KERNEL_SIZE};
    return tap >= 0 && tap < kernel[a];
}
// The first window over a block.
__device__ inline index_t first_over(int a, index_t item) {
    constexpr int stride[3] = {STRIDES};
    return item * (VECTORS[a] / stride[a]) + FIRSTS[a];
}

// Call `add(d, row)` for the rows of windows over an item: so many planes, and the row-th in each.
template <class Add>
__device__ inline void add_rows(const Geometry &g, const Item &item, Add add) {
    const Range over_d = outputs_over(axis(g, 0), item.d);
#pragma unroll 1
    for (index_t i = 0; i < over_d.count; ++i)
#pragma unroll
        for (int row = 0; row < WINDOWS_OVER[1]; ++row) add(over_d.first + i, row);
}

// What a row of windows has, from (d, h, w) on, VC channels each; 0 where there is no window.
template <class T>
__device__ inline void load_row(const Geometry &g, const Strides &s, const T *from, index_t d,
                                index_t h, index_t w, Pack<T, VC> (&row)[WINDOWS_OVER[2]]) {
    const bool inside = is_within(h, g.axes[1].output_size);
    from += offset_of(s, d, h, w);
#pragma unroll
    for (int n = 0; n < WINDOWS_OVER[2]; ++n) {
        row[n] = {};
        if (inside && is_within(w + n, g.axes[2].output_size))
            row[n] = load<VC>(from + n * step_in_row(s));
    }
}

#else

// Call `add(w)` for the windows over an item, in row-major order, after `begin(d, h)` for a row.
template <class Begin, class Add>
__device__ inline void add_windows(const Geometry &g, const Item &item, Begin begin, Add add) {
    static_assert(VH * VW == 1, "of windows over a block it is known where they are");
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    const Range over_d = outputs_over(depth, item.d), over_h = outputs_over(height, item.h);
    const Range over_w = outputs_over(width, item.w);
    const auto holds = [](const Axis &a, index_t output, index_t position) {
        return a.dilation == 1 || (position - origin(a, output)) % a.dilation == 0;
    };
#pragma unroll 1
    for (index_t i = 0; i < over_d.count; ++i)
#pragma unroll 1
        for (index_t j = 0; j < over_h.count; ++j) {
            const index_t d = over_d.first + i, h = over_h.first + j;
            if (!holds(depth, d, item.d) || !holds(height, h, item.h)) continue;
            begin(d, h);
#pragma unroll 4
            for (index_t k = 0; k < over_w.count; ++k) {
                const index_t w = over_w.first + k;
                if (holds(width, w, item.w)) add(w);
            }
        }
}

#endif
