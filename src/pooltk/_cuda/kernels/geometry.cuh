// Geometry: what _launch.py says of a call, in its order, and window arithmetic as in _geometry.py.

typedef INDEX index_t; // int or long long; every position, offset and count of a call fits
typedef unsigned INDEX unsigned_index_t;

struct Divider { // n / divisor for n >= 0 as (high half of n * multiplier, plus n) >> shift
    index_t divisor, multiplier, shift;
};

struct Axis { // a pooled one; stride is 0 where the windows are adaptive bins
    index_t input_size, output_size, kernel_size, stride, dilation, padding_low, padding_high;
    Divider by_output_size, by_stride; // of bins, which have no stride, by their input's size
};

struct Strides { // of an array, in elements
    index_t batch[2], d, h, w, c;
};

struct Geometry {
    int64 divisor; // of every window; 0 if they differ
    index_t items; // groups of elements; each is the work of one thread, or of one team
    index_t packed; // whether groups in a row are stored whole
    Divider batch, d, h, w, c; // how many groups there are along all axes but the slowest
    index_t number_d, number_h; // a position's number is d * number_d + h * number_h + w
    Axis axes[3];
    Strides strides[4];
};

// --- where a group is ------------------------------------------------------------------------

struct Item {
    index_t batch[2], d, h, w, c; // h, w and c count groups
};

__device__ inline uint32 high_half(uint32 a, uint32 b) { return __umulhi(a, b); }
__device__ inline uint64 high_half(uint64 a, uint64 b) { return __umul64hi(a, b); }

__device__ inline index_t quotient(index_t n, const Divider &by) {
    const unsigned_index_t whole = (unsigned_index_t)n;
    return (index_t)((high_half(whole, (unsigned_index_t)by.multiplier) + whole) >> by.shift);
}

// What is known of an axis: all items are at 0, or no slower axis has more than one place.
constexpr int ONE = 0, LAST = 1, MANY = 2;

template <int KIND> __device__ inline index_t split(index_t &n, const Divider &by) {
    if (KIND == ONE) return 0;
    if (KIND == LAST) {
        const index_t all = n;
        n = 0;
        return all;
    }
    const index_t whole = quotient(n, by), rest = n - whole * by.divisor;
    n = whole;
    return rest;
}

__device__ inline Item item_at(const Geometry &g, index_t n) {
    constexpr int kinds[6] = {PLACES};
    Item item;
    item.c = split<kinds[5]>(n, g.c);
    item.w = split<kinds[4]>(n, g.w);
    item.h = split<kinds[3]>(n, g.h);
    item.d = split<kinds[2]>(n, g.d);
    item.batch[1] = split<kinds[1]>(n, g.batch);
    item.batch[0] = kinds[0] == ONE ? 0 : n;
    return item;
}

// Offset of the first element of the channels and the plane that an item lies in.
__device__ inline index_t plane_of(const Strides &s, const Item &item) {
    return item.batch[0] * s.batch[0] + item.batch[1] * s.batch[1] + item.c * VC * s.c;
}

__device__ inline index_t step_in_row(const Strides &s) {
#ifdef ROWS_RUN_ON // then a load is so many bytes from another, which the instruction says
    return 1;
#else
    return s.w;
#endif
}

__device__ inline index_t offset_of(const Strides &s, index_t d, index_t h, index_t w) {
    return d * s.d + h * s.h + w * step_in_row(s);
}

// --- windows ---------------------------------------------------------------------------------

__device__ inline Axis axis(const Geometry &g, int a) {
    constexpr int ones[3] = {ONES}; // such an axis is there, but not pooled
    if (ones[a]) return {1, 1, 1, 1, 1, 0, 0, {1, 1, 0}, {1, 1, 0}};
    Axis it = g.axes[a];
#ifdef KERNEL_SIZE // windows that are known when this is compiled, without dilation
    constexpr int kernel[3] = {KERNEL_SIZE}, stride[3] = {STRIDES}, padding[3] = {PADDINGS};
    it.kernel_size = kernel[a];
    it.stride = stride[a];
    it.dilation = 1;
    it.padding_low = padding[a];
#endif
    return it;
}

struct Range {
    index_t first, count;
};

__device__ inline bool is_within(index_t position, index_t size) { // and not below 0
    return (unsigned_index_t)position < (unsigned_index_t)size;
}
__device__ inline index_t at_least_0(index_t n) { return n < 0 ? 0 : n; }
__device__ inline index_t smaller(index_t a, index_t b) { return a < b ? a : b; }
__device__ inline index_t steps(index_t distance, index_t step) { // rounded up
    return step == 1 ? distance : (distance + step - 1) / step;
}

// First position of a window, were there no edge.
__device__ inline index_t origin(const Axis &a, index_t output) {
    if (!a.stride) return quotient(output * a.input_size, a.by_output_size);
    return output * a.stride - a.padding_low;
}

__device__ inline index_t number_of_origin(const Geometry &g, index_t d, index_t h, index_t w) {
    return origin(axis(g, 0), d) * g.number_d + origin(axis(g, 1), h) * g.number_h +
           origin(axis(g, 2), w);
}

// Taps of a window inside the input, `dilation` apart.
__device__ inline Range taps(const Axis &a, index_t output) {
    index_t first = origin(a, output);
    if (!a.stride) {
        index_t stop = (output + 1) * a.input_size + a.output_size - 1;
        return {first, quotient(stop, a.by_output_size) - first};
    }
    index_t skipped = steps(at_least_0(-first), a.dilation);
    first += skipped * a.dilation;
    index_t inside = steps(at_least_0(a.input_size - first), a.dilation);
    return {first, at_least_0(smaller(a.kernel_size - skipped, inside))};
}

// Taps by which an average divides.
#ifdef COUNT_INCLUDE_PAD
__device__ inline index_t count(const Axis &a, index_t output) {
    if (!COUNT_INCLUDE_PAD || !a.stride) return taps(a, output).count;
    index_t first = origin(a, output);
    index_t stop = smaller(first + a.dilation * (a.kernel_size - 1) + 1,
                           a.input_size + a.padding_high);
    return at_least_0(steps(at_least_0(stop - first), a.dilation));
}
#endif
