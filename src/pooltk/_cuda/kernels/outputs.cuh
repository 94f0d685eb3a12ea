// The windows that hold an element of the input, for gradients.

// Windows that reach over a position; between dilated taps, without one on it.
__device__ inline Range outputs_over(const Axis &a, index_t position) {
    if (!a.stride) {
        index_t first = position * a.output_size / a.input_size;
        index_t stop = ((position + 1) * a.output_size + a.input_size - 1) / a.input_size;
        return {first, stop - first};
    }
    index_t last = smaller((position + a.padding_low) / a.stride, a.output_size - 1);
    index_t before = position + a.padding_low - a.dilation * (a.kernel_size - 1);
    index_t first = before <= 0 ? 0 : (before + a.stride - 1) / a.stride;
    return {first, at_least_0(last - first + 1)};
}

__device__ inline bool is_tap(const Axis &a, index_t output, index_t position) {
    return a.dilation == 1 || !a.stride || (position - origin(a, output)) % a.dilation == 0;
}

#if VW > 1
// Where the windows over the first of an item's elements begin, FIRST outputs from it, is known when
// this is compiled, and so is which of the OUTPUTS in a row hold which of the VW elements.
__device__ inline bool is_over(const Axis &width, int window, int element) {
    const index_t tap = element + width.padding_low - (FIRST + window) * width.stride;
    return tap >= 0 && tap < width.kernel_size;
}
#else
#define OUTPUTS 1
__device__ inline bool is_over(const Axis &, int, int) { return true; }
#endif

// Call `add(d, h, w)` for the windows over an item in row-major order: OUTPUTS in a row at once, the
// first of which is at output w.
template <class Add>
__device__ inline void add_windows(const Geometry &g, const Item &item, Add add) {
    const Axis depth = axis(g, 0), height = axis(g, 1), width = axis(g, 2);
    const Range over_d = outputs_over(depth, item.d), over_h = outputs_over(height, item.h);
#pragma unroll 1
    for (index_t i = 0; i < over_d.count; ++i)
#pragma unroll 1
        for (index_t j = 0; j < over_h.count; ++j) {
            const index_t d = over_d.first + i, h = over_h.first + j;
            if (!is_tap(depth, d, item.d) || !is_tap(height, h, item.h)) continue;
#if VW > 1
            add(d, h, item.w * (VW / width.stride) + FIRST);
#else
            const Range over_w = outputs_over(width, item.w);
#pragma unroll 1
            for (index_t k = 0; k < over_w.count; ++k)
                if (is_tap(width, over_w.first + k, item.w)) add(d, h, over_w.first + k);
#endif
        }
}
